"""Making a part of a motion anew, with other words.

    python docs/examples/07_regenerate.py --start 1.5 --end 3.5          # of a walk that is made first
    python docs/examples/07_regenerate.py motion.npz --start 1 --end 2 --text "a person bows"

`python -m sample "…" --regenerate FILE --between 1.5 3.5` does the same. Everything outside of the part stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_loaders.load_motion import read_motion
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.editing import Part, edited
from sample.generate import Settings, generate
from visualize.stills import draw_strip


@dataclass(frozen=True)
class Options:
    """Make the part of a motion from `start` to `end` anew."""

    source: Annotated[Path | None, tyro.conf.Positional] = None
    """A motion file; without one, "a person walks" is made first."""
    start: float = 1.5
    end: float = 3.0
    """Seconds between which everything may change."""
    text: str = "a person dances"
    model: str = "v-masks"
    steps: int = 50
    seed: int = 1
    out: Path = Path("out/regenerated")


@command
def main() -> None:
    options = parse_arguments(Options)
    model, settings = MotionModel.load(options.model), Settings(steps=options.steps)
    if options.source is None:
        (source,) = generate(model, ["a person walks"], [90], settings=settings)
    else:
        source = read_motion(options.source)
    part = Part.between(source, options.start, options.end)
    motion = edited(model, options.text, part, seed=options.seed, settings=settings, progress=True)
    motion.save(options.out / "motion.npz")
    draw_strip(motion, options.out / "motion.png")
    change = 100 * (motion.joints - source.joints).norm(dim=-1)
    outside = max(change[: part.start].max(), change[part.end :].max()) if part.end < source.frames else 0.0
    print(f"outside joints moved by at most {outside:.3f} cm,", end=" ")
    print(f"inside by {change[part.start : part.end].mean():.0f} cm on average;", end=" ")
    print(f"wrote {options.out}/motion.npz and motion.png")


if __name__ == "__main__":
    main()
