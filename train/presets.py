"""Training presets: published recipes by name, with the results measured or expected.

`python -m train --preset NAME` uses a preset as the defaults of all other options.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from motion_diffusion.errors import parse_arguments
from train.config import Network, Options, PresetName, TrainingOptions


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


_SMALL = Options(
    data="bandai",
    training=TrainingOptions(batch_size=64, cooldown=0.5, ema=(0.9995,), velocity_weight=100, mixed_precision="bf16"),
)
_ROOT = Options(
    data="bandai",
    features=("root",),
    emphasis=1.0,
    network=Network(width=128, depth=4, frame_width=64),
    training=TrainingOptions(steps=5_000, batch_size=64),
)


def _error(numbers: str) -> str:
    return f"held-out squared error of x0, by quarter of t: {numbers}"


_UNGUIDED = "in 50 steps on the test split (docs/evaluation.md)"

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
        # The shipped small models were trained in several runs each (docs/LOG.md): 10,000 steps of 32 without losses in
        # metres, then steps of 64, with these losses at least in the last run. These presets join them in one run,
        # which has not been made yet.
        "x0-small": Preset(
            dataclasses.replace(
                _SMALL, training=dataclasses.replace(_SMALL.training, steps=13_000, weight="clamped", jerk_weight=1000)
            ),
            6.0,
            f"{_error('.0070 .0169 .0276 .082')}; R-precision top-3 .99, FID .017, skating .013, {_UNGUIDED}",
        ),
        "eps-small": Preset(
            dataclasses.replace(
                _SMALL,
                prediction="eps",
                training=dataclasses.replace(
                    _SMALL.training, steps=16_500, weight="capped", times="late", jerk_weight=300
                ),
            ),
            6.0,
            f"{_error('.0046 .0129 .0242 .073')}; R-precision top-3 1.00, FID .016, skating .004, {_UNGUIDED}",
        ),
        "v-small": Preset(
            dataclasses.replace(
                _SMALL, prediction="v", training=dataclasses.replace(_SMALL.training, steps=12_500, jerk_weight=2000)
            ),
            6.0,
            f"{_error('.0059 .0155 .0259 .074')}; R-precision top-3 1.00, FID .015, skating .009, {_UNGUIDED}",
        ),
        # The shipped model was trained in five runs (docs/LOG.md): 4,500 steps with uniform times, 3,400 with late
        # ones, and 2,500 with losses of jerk and velocity. This preset joins them in one run, which has not been made
        # yet.
        "v-masks": Preset(
            dataclasses.replace(
                _SMALL,
                prediction="v",
                masks=True,
                start="v-small",
                training=dataclasses.replace(
                    _SMALL.training, steps=10_400, times="late", ema=(0.998,), jerk_weight=2000
                ),
            ),
            6.2,
            f"{_error('.0061 .0160 .0266 .072')}; R-precision top-3 1.00, FID .015, skating .008, {_UNGUIDED}",
        ),
        "root-x0": Preset(
            dataclasses.replace(_ROOT, training=dataclasses.replace(_ROOT.training, weight="clamped")),
            1.2,
            f"{_error('.0030 .0134 .0284 .132')}; root jitter 2,290 m/s³ in 50 steps, real clips 35",
        ),
        "root-eps": Preset(
            dataclasses.replace(_ROOT, prediction="eps"),
            1.2,
            f"{_error('.0026 .0132 .0297')}; root jitter 563 m/s³ in 50 steps, real clips 35",
        ),
        "root-v": Preset(
            dataclasses.replace(_ROOT, prediction="v"),
            1.2,
            f"{_error('.0029 .0140 .0310 .134')}; root jitter 869 m/s³ in 50 steps, real clips 35",
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
