"""What a prompt gives with several seeds: its best and its worst motion, as the text–motion model judges them.

All motions of a prompt are sampled in one batch and compared with their words; the strip of the best is drawn on the
left, that of the worst on the right. `python -m sample --tries 8` keeps the best of eight in the same way.

    python docs/examples/16_best_and_worst.py
    python docs/examples/16_best_and_worst.py --prompts "a person boxes" "a person laughs" --seeds 4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import frame_of
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from sample.generate import Settings, generate
from sample.text_fit import DEFAULT_MATCHER, text_fit
from visualize.drawing.canvas import tile
from visualize.stills import draw_strip

PROMPTS = (
    "a person sits down on a chair",
    "a person stands up from a chair",
    "a person lies down on the floor",
    "a person gets up from the floor",
    "a person jumps up high",
    "a person does a cartwheel",
    "a person climbs a ladder",
    "a person picks something up from the floor",
    "a person kicks a ball",
    "a person throws a ball",
    "a person boxes",
    "a person dances salsa",
)
SIZE = (900, 260)
"""Pixels of a strip."""


@dataclass(frozen=True)
class Options:
    """Draw the best and the worst motion of each prompt."""

    prompts: tuple[str, ...] = PROMPTS
    model: str = "v-masks"
    seeds: int = 8
    """Motions of a prompt."""
    seconds: float = 4.0
    steps: int | None = None
    """Sampling steps; by default those that the model recommends."""
    out: Path = Path("out/best_and_worst.png")


def draw_sheet(pairs: Sequence[tuple[Motion, Motion]], path: Path) -> None:
    """Draw a row for each pair of motions, the first on the left."""
    strips = []
    with TemporaryDirectory() as folder:
        for pair in pairs:
            for motion, which in zip(pair, ("best", "worst"), strict=True):
                strip = Path(folder) / "strip.png"
                draw_strip(motion, strip, title=which, size=SIZE)
                with Image.open(strip) as picture:
                    strips.append(np.asarray(picture.convert("RGB")))
    with atomic(path) as temporary:
        Image.fromarray(tile(strips, columns=2)).save(temporary)


@command
def main() -> None:
    options = parse_arguments(Options)
    if options.seeds < 1:
        raise InputError(f"--seeds is {options.seeds}; give 1 or more")
    model, matcher = MotionModel.load(options.model), TextMotionEncoder.load(DEFAULT_MATCHER)
    settings, frames = Settings(guidance="none", steps=options.steps), frame_of(options.seconds)
    pairs = []
    for prompt in options.prompts:
        motions = generate(model, [prompt] * options.seeds, [frames] * options.seeds, settings=settings, progress=True)
        fits = {text_fit(matcher, motion, prompt, GoalSet()).similarity: motion for motion in motions}
        print(f"{min(fits):5.2f} to {max(fits):5.2f}  {prompt}")
        pairs.append((fits[max(fits)], fits[min(fits)]))
    draw_sheet(pairs, options.out)
    print(f"drew {len(pairs)} prompts into {options.out}")


if __name__ == "__main__":
    main()
