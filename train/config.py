"""What can be asked of a training run, and what makes no sense."""

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
        """Raises InputError for what makes no sense."""
        check_sizes(self)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The learning rate warms up, stays, and falls to zero over the last part of the steps."""

    steps: Count = 20_000
    batch_size: Count = 64
    """Examples of a step, in each process."""
    accumulate: Count = 1
    """Parts in which a process goes through its batch, to need less memory; what is learned stays the same."""
    learning_rate: Weight = 1e-3
    warmup: Annotated[int, Range(0, 1_000_000_000)] = 200
    """Steps over which the learning rate rises."""
    cooldown: Share = 0.2
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    decay: Literal["linear", "cosine"] = "linear"
    """How it falls; the usual cosine schedule is "cosine" with --cooldown 1."""
    weight_decay: Weight = 0.01
    clip_norm: Annotated[float, Range(0.0, 1e30, above=True)] = 1.0
    """Largest norm of the gradient; longer ones are shortened to it."""
    ema: tuple[float, ...] = (0.999,)
    """Rates of exponential moving averages of the weights. The first average is the model of the run directory, each
    further one a model in it, called ema-<rate>."""
    drop_text: Share = 0.1
    """Share of examples whose words are hidden, for classifier-free guidance."""
    drop_masks: Share = 0.1
    """Share of examples of which nothing is known, in models with masks."""
    loss: LossName = "simple"
    """The weighted squared error, the variational bound, or both: hybrid."""
    weight: WeightName = "target"
    """Weight of the squared error of x0; "target" is the plain error of what is predicted."""
    min_snr_gamma: Annotated[float, Range(0.0, 1e30, above=True)] = MIN_SNR_GAMMA
    """Largest weight of "min-snr". With 0.04, ε's loss is the plain one where σ/α is above 5, and counts less below."""
    position_weight: Weight = 0.0
    """Weight of the squared distance of joints from where they should be, m² (MDM, eq. 3); 0: not computed."""
    velocity_weight: Weight = 0.0
    """Weight of the squared error of joints' steps from frame to frame, m² (MDM, eq. 5)."""
    foot_weight: Weight = 0.0
    """Weight of the squared steps of feet that should stand, m² (MDM, eq. 4)."""
    jerk_weight: Weight = 0.0
    """Weight of the squared error of joints' third differences from frame to frame, m²: against trembling."""
    bone_weight: Weight = 0.0
    """Weight of the squared error of the bones' lengths, m²: against stretching."""
    metres_from: Share = 0.0
    """Share of the steps after which these losses in metres count; before, the features alone are learned, faster."""
    times: TimeSamplerName = "stratified"
    """How the noise levels of a batch are drawn."""
    window: Count = 16
    """Steps whose examples are sorted by length into their batches, against padding; 1 takes them as they come."""
    mixed_precision: Literal["no", "bf16"] | None = None
    """bf16: the network computes in bfloat16; left out, what accelerate's configuration says."""
    compile: bool = False
    """Compile the blocks of the network first (torch.compile): half a minute, and faster steps."""
    seed: Seed = 0
    workers: Workers = 0
    """Processes that prepare examples; 0 prepares them in the training process."""
    log_every: Count = 50
    validate_every: Count = 500
    save_every: Count = 250
    validation_examples: Count = 256
    log_with: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where losses go as well; needs the extra "tracking"."""

    def check(self) -> None:
        """Raises InputError for what makes no sense."""
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
        """Examples of a part of a process' batch."""
        return self.batch_size // self.accumulate


@dataclass(frozen=True)
class Options:
    """Train a motion diffusion model. The same command again continues a run that was stopped."""

    preset: PresetName | None = None
    """A published recipe, whose options hold unless others are given."""
    run: Path = Path("runs/walks")
    """Run directory: the model, the training state, losses and pictures."""
    data: DatasetName = "procedural"
    """Data set; "procedural" needs no download."""
    data_root: Path | None = None
    """Folder with the clips of a data set that was downloaded."""
    prediction: PredictionName = "x0"
    """What the network predicts."""
    features: tuple[str, ...] = ("root", "positions", "velocities", "contacts")
    """Groups of features that the network sees; "rotations" can be added, "root" alone is a model of the path."""
    emphasis: Emphasis = 4.0
    """Scale of the root's yaw and path against the other features."""
    schedule: ScheduleName = "cosine"
    """Noise schedule; "rectified" with prediction "velocity" is flow matching."""
    T: Steps = 1000
    variance: VarianceName = "fixed-small"
    """Variance of the reverse steps; learned ones need --loss hybrid or vlb."""
    max_frames: Annotated[int, Range(MIN_FRAMES, MAX_FRAMES)] = 120
    """Longest motion, at 20 frames a second."""
    masks: bool = False
    """Tell the network positions that are known, at random, so that it can be told goals (CondMDI, Kimodo)."""
    start: str | None = None
    """Model to go on from: its weights, features and sizes; what it has not yet begins silent."""
    text: str = "static"
    """Text encoder: "static", "clip" or "transformers:<name or folder>"; the extras clip and text have them."""
    threads: Threads = 0
    """CPU threads; 0 for all."""
    network: tyro.conf.OmitArgPrefixes[Network] = field(default_factory=Network)
    training: tyro.conf.OmitArgPrefixes[TrainingOptions] = field(default_factory=TrainingOptions)

    def check(self) -> None:
        """Raises InputError for what makes no sense, as far as no model or data set is needed to tell."""
        check_ranges(self)
        self.network.check()
        self.training.check()


def _refuse(wrong: bool, options: object, name: str, remedy: str) -> None:
    if wrong:
        value = getattr(options, name)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{name.replace('_', '-')} is {shown}; give {remedy}")
