"""Options of a training, their ranges, and checks of their combinations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_loaders.datasets import MIN_FRAMES, DatasetName
from motion_diffusion.diffusion.losses import MIN_SNR_GAMMA, LossName, WeightName
from motion_diffusion.diffusion.timestep_sampling import TimeSamplerName
from motion_diffusion.diffusion.variance import VarianceName
from motion_diffusion.errors import InputError
from motion_diffusion.model import MAX_FRAMES, Emphasis, PredictionName, ScheduleName, Steps
from motion_diffusion.network.denoiser import Depth, Dropout, FramesPerToken, Heads, TextDepth, Width, check_sizes
from motion_diffusion.option_ranges import Range, Seed, check_ranges

Count = Annotated[int, Range(1, 1_000_000_000)]
Weight = Annotated[float, Range(0.0, 1e30)]
Share = Annotated[float, Range(0.0, 1.0)]
Threads = Annotated[int, Range(0, 1024)]
Workers = Annotated[int, Range(0, 256)]

PresetName = Literal[
    "mdm", "humanml3d-small", "x0-small", "eps-small", "v-small", "v-masks", "root-x0", "root-eps", "root-v"
]


@dataclass(frozen=True)
class Network:
    """Sizes of the denoiser."""

    width: Width = 256
    depth: Depth = 5
    heads: Heads = 4
    frames_per_token: FramesPerToken = 4
    frame_width: Width = 192
    text_depth: TextDepth = 1
    dropout: Dropout = 0.0

    def check(self) -> None:
        """Raise InputError for sizes that are out of range or do not fit each other."""
        check_sizes(self)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The learning rate warms up, stays constant, and decays to zero over the last part of the steps."""

    steps: Count = 20_000
    batch_size: Count = 64
    """Examples in a step, in each process."""
    accumulate: Count = 1
    """Micro-batches in a step: gradients are accumulated over them, with the same result in less memory."""
    learning_rate: Weight = 1e-3
    """Peak learning rate."""
    warmup: Annotated[int, Range(0, 1_000_000_000)] = 200
    """Steps of the linear warm-up of the learning rate."""
    cooldown: Share = 0.2
    """Share of the steps, at the end, over which the learning rate decays to zero."""
    decay: Literal["linear", "cosine"] = "linear"
    """Shape of the decay; the usual cosine schedule is "cosine" with --cooldown 1."""
    weight_decay: Weight = 0.01
    """Weight decay of matrices (AdamW)."""
    clip_norm: Annotated[float, Range(0.0, 1e30, above=True)] = 1.0
    """Norm at which gradients are clipped."""
    ema: tuple[float, ...] = (0.999,)
    """Rates of the exponential moving averages of the weights. The first average is the model of the run directory;
    each further one is a model in its folder ema-<rate>."""
    drop_text: Share = 0.1
    """Share of examples trained without their text, for classifier-free guidance."""
    drop_masks: Share = 0.1
    """Share of examples trained without observed positions, in models with masks."""
    loss: LossName = "simple"
    """Weighted squared error (simple), variational bound (vlb), or both (hybrid)."""
    weight: WeightName = "target"
    """Weight of the squared error of x0 over t; "target" is the unweighted error of the predicted quantity."""
    min_snr_gamma: Annotated[float, Range(0.0, 1e30, above=True)] = MIN_SNR_GAMMA
    """Largest weight of "min-snr". With 0.04, the loss of ε is unweighted where σ/α is above 5, and smaller below."""
    position_weight: Weight = 0.0
    """Weight of the squared error of joint positions, m² (MDM, eq. 3); 0: not computed."""
    velocity_weight: Weight = 0.0
    """Weight of the squared error of joint displacements between frames, m² (MDM, eq. 5)."""
    foot_weight: Weight = 0.0
    """Weight of the squared displacements of feet that are in contact in the data, m² (MDM, eq. 4)."""
    jerk_weight: Weight = 0.0
    """Weight of the squared error of third differences of joint positions over frames, m²: against trembling."""
    bone_weight: Weight = 0.0
    """Weight of the squared error of bone lengths, m²: against stretching."""
    metres_from: Share = 0.0
    """Share of the steps after which these losses in metres count; steps before it are faster."""
    times: TimeSamplerName = "stratified"
    """Distribution of the diffusion times of a batch."""
    window: Count = 16
    """Steps whose examples are sorted into batches by length, against padding; 1 keeps the order of the data set."""
    mixed_precision: Literal["no", "bf16"] | None = None
    """bf16: the network computes in bfloat16; by default as in accelerate's configuration."""
    compile: bool = False
    """Compile the blocks of the network (torch.compile): takes half a minute, then steps are faster."""
    seed: Seed = 0
    """Seed of initial weights, batches and noise."""
    workers: Workers = 0
    """Worker processes that prepare examples; 0 prepares them in the training process."""
    log_every: Count = 50
    """Steps between log entries."""
    validate_every: Count = 500
    """Steps between validations, each with pictures."""
    save_every: Count = 250
    """Steps between checkpoints."""
    validation_examples: Count = 256
    """Held-out examples of a validation."""
    log_with: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Trackers that receive the losses too; they need the extra "tracking"."""

    def check(self) -> None:
        """Raise InputError for options that are out of range or contradict each other."""
        check_ranges(self)
        rates = set(self.ema)
        sensible = len(rates) == len(self.ema) > 0 and all(0 <= rate < 1 for rate in rates)
        _refuse(not sensible, self, "ema", "one or more rates from 0 to below 1, such as 0.999, each once")
        _refuse(self.batch_size % self.accumulate > 0, self, "accumulate", f"a divisor of {self.batch_size}")
        if self.min_snr_gamma != MIN_SNR_GAMMA and self.weight != "min-snr":
            raise InputError(f"--min-snr-gamma is for --weight min-snr, not {self.weight}; leave it out")
        if self.decay == "cosine" and self.cooldown == 0:
            raise InputError("--decay cosine needs a --cooldown above 0: the share of the steps over which to fall")

    @property
    def part_size(self) -> int:
        """Examples in a micro-batch."""
        return self.batch_size // self.accumulate


@dataclass(frozen=True)
class Options:
    """Train a motion diffusion model. The same command continues an interrupted training."""

    preset: PresetName | None = None
    """A published recipe: defaults of all other options."""
    run: Path = Path("runs/walks")
    """Run directory: the model, the training state, losses and pictures."""
    data: DatasetName = "procedural"
    """Data set; "procedural" needs no download."""
    data_root: Path | None = None
    """Folder with the clips of a data set that must be downloaded."""
    prediction: PredictionName = "x0"
    """Quantity that the network predicts."""
    features: tuple[str, ...] = ("root", "positions", "velocities", "contacts")
    """Groups of features; "rotations" can be added, and "root" alone gives a model of the root path."""
    emphasis: Emphasis = 4.0
    """Scale of the root's yaw and path relative to the other features."""
    schedule: ScheduleName = "cosine"
    """Noise schedule; "rectified" with prediction "velocity" is flow matching."""
    T: Steps = 1000
    """Number of diffusion times."""
    variance: VarianceName = "fixed-small"
    """Variance of the reverse steps; learned ones need --loss hybrid or vlb."""
    max_frames: Annotated[int, Range(MIN_FRAMES, MAX_FRAMES)] = 120
    """Longest motion, in frames at 20 frames per second."""
    masks: bool = False
    """Condition the network on randomly observed positions, so that it can follow goals (CondMDI, Kimodo)."""
    start: str | None = None
    """Initialise from this model, with its features and sizes; layers it lacks are initialised to zero."""
    text: str = "static"
    """Text encoder: "static", "clip" (extra "clip") or "transformers:<name or folder>" (extra "text")."""
    threads: Threads = 0
    """CPU threads; 0 for all."""
    network: tyro.conf.OmitArgPrefixes[Network] = field(default_factory=Network)
    training: tyro.conf.OmitArgPrefixes[TrainingOptions] = field(default_factory=TrainingOptions)

    def check(self) -> None:
        """Raise InputError for options that are wrong whatever the model and the data set."""
        check_ranges(self)
        self.network.check()
        self.training.check()


def _refuse(wrong: bool, options: object, name: str, remedy: str) -> None:
    if wrong:
        value = getattr(options, name)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{name.replace('_', '-')} is {shown}; give {remedy}")
