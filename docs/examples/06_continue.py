"""Going on: a new motion begins as another one ends, and both together are one.

    python docs/examples/06_continue.py                          # a walk that is made first goes on as a run
    python docs/examples/06_continue.py motion.npz --text "a person dances"

The source may be any motion file: this project's, a BVH, AMASS. `python -m sample "…" --continue-from FILE` does the
same. The last second of it is a `pose` that the new part meets frame by frame, and stays as it is, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from data_loaders.load_motion import read_motion
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.editing import Part, edited
from sample.generate import Settings, generate
from visualize.stills import draw_strip


@dataclass(frozen=True)
class Options:
    """Let a motion go on."""

    source: Annotated[Path | None, tyro.conf.Positional] = None
    """A motion file; without one, "a person walks" is made first."""
    text: str = "a person runs"
    seconds: float = 4.0
    """How long it goes on."""
    model: str = "v-masks"
    steps: int = 50
    seed: int = 0
    out: Path = Path("out/continued")


@command
def main() -> None:
    options = parse_arguments(Options)
    model, settings = MotionModel.load(options.model), Settings(steps=options.steps)
    if options.source is None:
        (source,) = generate(model, ["a person walks"], [60], settings=settings)
    else:
        source = read_motion(options.source)
    part = Part.after(source, options.seconds)
    motion = edited(model, options.text, part, seed=options.seed, settings=settings, progress=True)
    motion.save(options.out / "motion.npz")
    draw_strip(motion, options.out / "motion.png")
    kept = torch.equal(motion.joints[: source.frames], source.joints)
    print(
        f"{source.seconds:g} s went on to {motion.seconds:g} s; what was there {'stayed' if kept else 'changed'};",
        end=" ",
    )
    print(f"both parts differ by {motion.provenance['part']['seam_cm']:.3f} cm where they meet;")
    print(f"wrote {options.out}/motion.npz and motion.png")


if __name__ == "__main__":
    main()
