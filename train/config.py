"""Options of a training, with their ranges and checks of their combinations, and presets of them.

Presets are published recipes by name, with the results measured or expected. `python -m train --preset NAME` uses a
preset as the defaults of all other options.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import tyro

from data_loaders.datasets import MIN_FRAMES, DatasetName
from motion_diffusion.diffusion.losses import MIN_SNR_GAMMA, LossName, WeightName
from motion_diffusion.diffusion.timestep_sampling import TimeSamplerName
from motion_diffusion.diffusion.variance import VarianceName
from motion_diffusion.errors import InputError, parse_arguments
from motion_diffusion.model import MAX_FRAMES, Emphasis, PredictionName, Recommended, ScheduleName, Shift, Steps
from motion_diffusion.network.denoiser import Depth, Dropout, FramesPerToken, Heads, TextDepth, Width, check_sizes
from motion_diffusion.option_ranges import Range, Seed, check_ranges
from train.distillation import DistillationOptions

Count = Annotated[int, Range(1, 1_000_000_000)]
Weight = Annotated[float, Range(0.0, 1e30)]
Share = Annotated[float, Range(0.0, 1.0)]
Threads = Annotated[int, Range(0, 1024)]
Workers = Annotated[int, Range(0, 256)]

PresetName = Literal[
    "mdm",
    "humanml3d-small",
    "v-masks",
    "v-live",
    "open-masks",
    "x0-mixed",
    "eps-mixed",
    "v-mixed",
    "root-x0",
    "root-eps",
    "root-v",
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
    """Initialise from this model, with its features and sizes, whatever it predicts; layers it lacks are initialised to
    zero."""
    text: str = "static"
    """Text encoder: "static", "clip" (extra "clip") or "transformers:<name or folder>" (extra "text")."""
    text_scale: Annotated[float, Range(0.0, 100.0)] = Recommended.text_scale
    """Strength of the text with which the model is sampled unless another is asked for."""
    sampling_steps: Steps = Recommended.steps
    """Steps in which the model is sampled unless others are asked for."""
    sampling_shift: Shift = Recommended.shift
    """How their times are spaced, see `Schedule.times`."""
    threads: Threads = 0
    """CPU threads; 0 for all."""
    network: tyro.conf.OmitArgPrefixes[Network] = field(default_factory=Network)
    distillation: DistillationOptions = field(default_factory=DistillationOptions)
    training: tyro.conf.OmitArgPrefixes[TrainingOptions] = field(default_factory=TrainingOptions)

    def check(self) -> None:
        """Raise InputError for options that are wrong whatever the model and the data set."""
        check_ranges(self)
        self.network.check()
        check_ranges(self.distillation, "distillation.")
        if self.start is not None and self.distillation.teacher is not None:
            raise InputError(f"--start {self.start}: a distilled model starts as its teacher; leave it out")
        self.training.check()


def _refuse(wrong: bool, options: object, name: str, remedy: str) -> None:
    if wrong:
        value = getattr(options, name)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{name.replace('_', '-')} is {shown}; give {remedy}")


@dataclass(frozen=True)
class Preset:
    """A training recipe and its expected results."""

    options: Options
    parameters: float
    """Parameters of the denoiser, in millions."""
    expected: str
    """Results, in one line."""

    def __str__(self) -> str:
        return f"{self.parameters} M parameters; expected: {self.expected}"


_MIXED = Options(
    data="mixed",
    prediction="v",
    max_frames=200,
    masks=True,
    network=Network(frames_per_token=8),
    training=TrainingOptions(
        batch_size=64, cooldown=0.5, ema=(0.9995,), drop_masks=0.8, velocity_weight=100, jerk_weight=2000,
        bone_weight=1000, metres_from=0.7, mixed_precision="no",
    ),
)  # fmt: skip
_ROOT = Options(
    data="bandai",
    features=("root",),
    emphasis=4.0,
    network=Network(width=128, depth=4, frame_width=64),
    training=TrainingOptions(steps=4_000, batch_size=64, weight="capped", jerk_weight=100, metres_from=0.6),
)


def _with_masks(steps: int) -> Options:
    """A model that is conditioned on known positions, trained in so many steps."""
    training = dataclasses.replace(_MIXED.training, steps=steps)
    return dataclasses.replace(_MIXED, text_scale=2.5, sampling_steps=20, sampling_shift=3.0, training=training)


def _of_trunk(prediction: PredictionName) -> Options:
    """A short training that starts from v-masks, of one loss for all prediction types."""
    training = dataclasses.replace(
        _MIXED.training, steps=1_500, learning_rate=5e-4, ema=(0.998,), weight="capped", drop_masks=0.1
    )
    return dataclasses.replace(
        _MIXED, prediction=prediction, start="v-masks", masks=False, text_scale=2.5, training=training
    )


def _error(numbers: str) -> str:
    return f"held-out squared error of x0, by quarter of t: {numbers}"


PRESETS: Mapping[PresetName, Preset] = MappingProxyType(
    {
        # Tevet et al. 2023: T = 1000, cosine, x0, unweighted error; batches of 64, AdamW at a constant 1e-4; 10 % of
        # the texts dropped, dropout 0.1; 600,000 steps and an average of rate 0.9999 as in its repository; 196 frames.
        # MDM is conditioned on CLIP's sentence vector and has a relative root; this recipe has word vectors and an
        # absolute root.
        "mdm": Preset(
            Options(
                data="humanml3d",
                max_frames=196,
                network=Network(width=384, depth=8, heads=6, frames_per_token=2, dropout=0.1),
                training=TrainingOptions(
                    steps=600_000, learning_rate=1e-4, warmup=0, cooldown=0.0, weight_decay=0.0, ema=(0.9999,)
                ),
            ),
            17.9,
            "MDM on HumanML3D: FID 0.544, R-precision (top 3) 0.611 in its paper; 0.489 and 0.707 with its authors' "
            "corrected evaluation. This recipe has not been run yet.",
        ),
        "humanml3d-small": Preset(
            Options(
                data="humanml3d",
                prediction="v",
                max_frames=196,
                training=TrainingOptions(steps=100_000, decay="cosine", cooldown=1.0, ema=(0.999, 0.9999)),
            ),
            6.0,
            "This recipe has not been run yet; to be compared with MDM (see the preset mdm).",
        ),
        # The shipped model was trained in five runs (docs/LOG.md): 12,000 steps of 32 with half of the masks dropped
        # and losses in metres from 0.6 of the run, then 12,000, twice 8,500 and 2,000 of 64 (in bf16), each started
        # from the one before. This preset joins them in one run, which has not been made yet.
        "v-masks": Preset(
            _with_masks(37_000),
            6.7,
            f"{_error('.0095 .0361 .0604 .279')} on mixed data; R-precision top-3 .95, FID .071, skating .019, "
            "in 20 steps on the test split (docs/evaluation.md)",
        ),
        # Eight steps of DDIM in place of the 32 of v-masks with text scale 2.5, without masks.
        "v-live": Preset(
            dataclasses.replace(
                _MIXED,
                masks=False,
                distillation=DistillationOptions(teacher="v-masks", steps=8, shift=2.0, text_scale=2.5),
                training=dataclasses.replace(
                    _MIXED.training,
                    steps=1_200,
                    learning_rate=2e-4,
                    ema=(0.998,),
                    metres_from=0.5,
                    mixed_precision="bf16",
                ),
            ),
            6.3,
            "R-precision top-3 .90, FID .085, skating .038 in its 8 steps on the test split (docs/speed.md)",
        ),
        # The same on the stores of CMU and SNU alone, whose licences permit any use; also in two runs.
        "open-masks": Preset(
            _with_masks(8_000),
            6.7,
            f"{_error('.0254 .0967 .163 .773')} on its data; R-precision top-3 .68, FID .197, skating .045, "
            "in 20 steps on the test split (docs/evaluation.md)",
        ),
        # x0, ε and v of the same trunk, data, steps, loss in terms of x0, seed: they differ in what they predict alone.
        "x0-mixed": Preset(_of_trunk("x0"), 6.3, _error(".0106 .0372 .0601 .283")),
        "eps-mixed": Preset(_of_trunk("eps"), 6.3, _error(".0109 .0373 .0614 .306")),
        "v-mixed": Preset(_of_trunk("v"), 6.3, _error(".0102 .0367 .0598 .284")),
        "root-x0": Preset(
            _ROOT,
            1.2,
            f"{_error('.0076 .0268 .0664 .107')} of 16; root jitter 408 m/s³ in 50 steps, real clips 35",
        ),
        "root-eps": Preset(
            dataclasses.replace(_ROOT, prediction="eps"),
            1.2,
            f"{_error('.0063 .0249 .0661 .115')} of 16; root jitter 290 m/s³ in 50 steps, real clips 35",
        ),
        "root-v": Preset(
            dataclasses.replace(_ROOT, prediction="v"),
            1.2,
            f"{_error('.0061 .0231 .0606 .096')} of 16; root jitter 333 m/s³ in 50 steps, real clips 35",
        ),
    }
)


def with_preset(name: PresetName) -> Options:
    """The options of a preset, with a run directory of its name."""
    return dataclasses.replace(PRESETS[name].options, preset=name, run=Path("runs") / name)


def read_options(prog: str) -> Options:
    """Parse the command line, with the options of --preset, if given, as defaults."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    name = first.parse_known_args(sys.argv[1:])[0].preset
    return parse_arguments(Options, prog=prog, default=with_preset(name) if name in PRESETS else Options())
