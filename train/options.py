"""What can be asked of a training run, and what makes no sense."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from data_loaders.datasets import MIN_FRAMES, DatasetName
from motion_diffusion.errors import InputError
from motion_diffusion.model import PredictionName, ScheduleName
from motion_diffusion.process import MIN_SNR_GAMMA, LossName, WeightName
from motion_diffusion.timesteps import TimeSamplerName
from motion_diffusion.variance import VarianceName

PresetName = Literal[
    "mdm", "humanml3d-small", "x0-small", "eps-small", "v-small", "v-masks", "root-x0", "root-eps", "root-v"
]


@dataclass(frozen=True)
class Network:
    """Sizes of the denoiser."""

    width: int = 256
    depth: int = 5
    heads: int = 4
    frames_per_token: int = 4
    frame_width: int = 192
    text_depth: int = 1
    dropout: float = 0.0

    def check(self) -> None:
        """Raises InputError for what makes no sense."""
        _whole(self, "width", "depth", "heads", "frames_per_token", "frame_width")
        _not_negative(self, "text_depth")
        _refuse(self.width % (2 * self.heads) > 0, self, "width", f"a multiple of {2 * self.heads}, twice the heads")
        _refuse(not 0 <= self.dropout < 1, self, "dropout", "a share from 0 to below 1")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The learning rate warms up, stays, and falls to zero over the last part of the steps."""

    steps: int = 20_000
    batch_size: int = 64
    """Examples of a step, in each process."""
    accumulate: int = 1
    """Parts in which a process goes through its batch, to need less memory; what is learned stays the same."""
    learning_rate: float = 1e-3
    warmup: int = 200
    """Steps over which the learning rate rises."""
    cooldown: float = 0.2
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    decay: Literal["linear", "cosine"] = "linear"
    """How it falls; the usual cosine schedule is "cosine" with --cooldown 1."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    """Largest norm of the gradient; longer ones are shortened to it."""
    ema: tuple[float, ...] = (0.999,)
    """Rates of exponential moving averages of the weights. The first average is the model of the run directory, each
    further one a model in it, called ema-<rate>."""
    drop_text: float = 0.1
    """Share of examples whose words are hidden, for classifier-free guidance."""
    drop_masks: float = 0.1
    """Share of examples of which nothing is known, in models with masks."""
    loss: LossName = "simple"
    """The weighted squared error, the variational bound, or both: hybrid."""
    weight: WeightName = "target"
    """Weight of the squared error of x0; "target" is the plain error of what is predicted."""
    min_snr_gamma: float = MIN_SNR_GAMMA
    """Largest weight of "min-snr". With 0.04, ε's loss is the plain one where σ/α is above 5, and counts less below."""
    position_weight: float = 0.0
    """Weight of the squared distance of joints from where they should be, m² (MDM, eq. 3); 0: not computed."""
    velocity_weight: float = 0.0
    """Weight of the squared error of joints' steps from frame to frame, m² (MDM, eq. 5)."""
    foot_weight: float = 0.0
    """Weight of the squared steps of feet that should stand, m² (MDM, eq. 4)."""
    jerk_weight: float = 0.0
    """Weight of the squared error of joints' third differences from frame to frame, m²: against trembling."""
    times: TimeSamplerName = "stratified"
    """How the noise levels of a batch are drawn."""
    window: int = 16
    """Steps whose examples are sorted by length into their batches, against padding; 1 takes them as they come."""
    mixed_precision: Literal["no", "bf16"] | None = None
    """bf16: the network computes in bfloat16; left out, what accelerate's configuration says."""
    compile: bool = False
    """Compile the blocks of the network first (torch.compile): half a minute, and faster steps."""
    seed: int = 0
    workers: int = 0
    """Processes that prepare examples; 0 prepares them in the training process."""
    log_every: int = 50
    validate_every: int = 500
    save_every: int = 250
    validation_examples: int = 256
    log_with: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where losses go as well; needs the extra "tracking"."""

    def check(self) -> None:
        """Raises InputError for what makes no sense."""
        _whole(self, "steps", "batch_size", "accumulate", "window", "log_every", "validate_every", "save_every")
        _whole(self, "validation_examples")
        _not_negative(self, "learning_rate", "warmup", "weight_decay", "seed", "workers")
        _not_negative(self, "position_weight", "velocity_weight", "foot_weight", "jerk_weight")
        _positive(self, "clip_norm", "min_snr_gamma")
        for name in ("cooldown", "drop_text", "drop_masks"):
            _refuse(not 0 <= getattr(self, name) <= 1, self, name, "a share from 0 to 1")
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
    emphasis: float = 4.0
    """Scale of the root's yaw and path against the other features."""
    schedule: ScheduleName = "cosine"
    """Noise schedule; "rectified" with prediction "velocity" is flow matching."""
    T: int = 1000
    variance: VarianceName = "fixed-small"
    """Variance of the reverse steps; learned ones need --loss hybrid or vlb."""
    max_frames: int = 120
    """Longest motion, at 20 frames a second."""
    masks: bool = False
    """Tell the network positions that are known, at random, so that it can be told goals (CondMDI, Kimodo)."""
    start: str | None = None
    """Model to go on from: its weights, features and sizes; what it has not yet begins silent."""
    text: str = "static"
    """Text encoder: "static", "clip" or "transformers:<name or folder>"; the extras clip and text have them."""
    threads: int = 0
    """CPU threads; 0 for all."""
    network: tyro.conf.OmitArgPrefixes[Network] = field(default_factory=Network)
    training: tyro.conf.OmitArgPrefixes[TrainingOptions] = field(default_factory=TrainingOptions)

    def check(self) -> None:
        """Raises InputError for what makes no sense, as far as no model or data set is needed to tell."""
        _whole(self, "T")
        _not_negative(self, "threads")
        _refuse(self.max_frames < MIN_FRAMES, self, "max_frames", f"{MIN_FRAMES} or more, the shortest clip's")
        self.network.check()
        self.training.check()


def _whole(options: object, *names: str) -> None:
    for name in names:
        _refuse(getattr(options, name) < 1, options, name, "1 or more")


def _not_negative(options: object, *names: str) -> None:
    for name in names:
        _refuse(not 0 <= getattr(options, name) < math.inf, options, name, "0 or more")


def _positive(options: object, *names: str) -> None:
    for name in names:
        _refuse(not 0 < getattr(options, name) < math.inf, options, name, "more than 0")


def _refuse(wrong: bool, options: object, name: str, remedy: str) -> None:
    if wrong:
        value = getattr(options, name)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{name.replace('_', '-')} is {shown}; give {remedy}")
