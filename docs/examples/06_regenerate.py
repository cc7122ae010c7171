"""Making a part of a motion anew: a `pose` over all frames outside of it, and other words for what is inside.

python docs/examples/06_regenerate.py --start 1.5 --end 3.5                       # of a walk that is made first
python docs/examples/06_regenerate.py motion.npz --start 1 --end 2 --text "a person bows"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from guidance.goals import Goals, Pose
from motion_diffusion.errors import InputError, command
from motion_diffusion.heading import to_origin
from motion_diffusion.model import MotionModel
from motion_diffusion.motion import Motion
from motion_diffusion.skeleton import FPS
from sample.generate import Settings, generate
from visualize.strip import draw_strip


@dataclass(frozen=True)
class Options:
    """Make the part of a motion from `start` to `end` anew."""

    source: Annotated[Path | None, tyro.conf.Positional] = None
    """A motion (.npz); without one, "a person walks" is made first."""
    start: float = 1.5
    end: float = 3.0
    """Seconds between which everything may change."""
    text: str = "a person waves"
    model: str = "v-masks"
    steps: int = 50
    seed: int = 1
    out: Path = Path("out/regenerated")


@command
def main() -> None:
    options = tyro.cli(Options)
    model, settings = MotionModel.load(options.model), Settings(steps=options.steps)
    if options.source is None:
        (source,) = generate(model, ["a person walks"], [90], goals=[Goals()], seeds=[0], settings=settings)
    else:
        source = Motion.load(options.source)
    joints = to_origin(source.joints)
    first, after = round(options.start * FPS), round(options.end * FPS)
    if not 0 < first < after < len(joints):
        raise InputError(
            f"from {options.start:g} s to {options.end:g} s of {source.seconds:g} s: give a part that begins after the "
            "first frame and ends before the last one"
        )
    goals = Goals(goals=[Pose.of(joints[:first], frame=0), Pose.of(joints[after:], frame=after)])
    (motion,) = generate(
        model, [options.text], [len(joints)], goals=[goals], seeds=[options.seed], settings=settings, progress=True
    )
    motion.save(options.out / "motion.npz")
    draw_strip(motion, options.out / "motion.png")
    change = 100 * (motion.joints - joints).norm(dim=-1)
    print(f"outside joints moved by at most {max(change[:first].max(), change[after:].max()):.3f} cm,", end=" ")
    print(f"inside by {change[first:after].mean():.0f} cm on average; wrote {options.out}/motion.npz and motion.png")


if __name__ == "__main__":
    main()
