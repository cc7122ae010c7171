"""In-betweening: a pose at both ends, and what happens in between is up to the words.

    python docs/examples/05_in_between.py                       # between the ends of a walk that is made first
    python docs/examples/05_in_between.py motion.npz --text "a person dances"

A `pose` goal takes any joints at any frame; here all of them, in the first and in the last frame of a motion. They are
met exactly, since the projection moves the neighbouring frames along.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_loaders.load_motion import read_motion
from guidance.goals.goal_set import GoalSet
from guidance.goals.poses import Pose
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.stills import draw_strip


@dataclass(frozen=True)
class Options:
    """Make what lies between the first and the last pose of a motion."""

    source: Annotated[Path | None, tyro.conf.Positional] = None
    """A motion (.npz, .bvh, .amc, .npy); without one, "a person walks" is made first."""
    text: str = "a person walks"
    model: str = "v-masks"
    steps: int = 50
    seed: int = 1
    out: Path = Path("out/in-between")


@command
def main() -> None:
    options = parse_arguments(Options)
    model, settings = MotionModel.load(options.model), Settings(steps=options.steps)
    if options.source is None:
        (source,) = generate(model, ["a person walks"], [80], goals=[GoalSet()], seeds=[0], settings=settings)
    else:
        source = read_motion(options.source)
    ends = to_origin(source.joints)
    last = len(ends) - 1
    goals = GoalSet(goals=[Pose.of(ends[:1], frame=0), Pose.of(ends[-1:], frame=last)])
    (motion,) = generate(
        model, [options.text], [len(ends)], goals=[goals], seeds=[options.seed], settings=settings, progress=True
    )
    motion.save(options.out / "motion.npz")
    draw_strip(motion, options.out / "motion.png")
    first, second = (100 * residual.worst for residual in goals.residuals(motion.joints))
    apart = 100 * (motion.joints - ends)[len(ends) // 2].norm(dim=-1).mean()
    print(
        f"the first pose is met to {first:.3f} cm, the last one to {second:.3f} cm; halfway joints are {apart:.0f} cm"
    )
    print(f"from the source on average; wrote {options.out}/motion.npz and motion.png")


if __name__ == "__main__":
    main()
