"""Key frames: any joint at any place at any time.

    python docs/examples/03_key_frames.py

While walking, the right hand reaches up for something on a shelf, and at the end both hands are together in front of
the chest. `null` axes are free: the hand shall be at 1.7 m, wherever over the floor. Each goal says when it is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from guidance.goals.relations import Relation
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.stills import draw_strip

GOALS = GoalSet(
    goals=[
        Joint(joint="right_wrist", time=2.0, position=(None, 1.7, None)),
        Waypoint(time=4.0, x=0.0, z=3.6),
        Relation(joints=["left_wrist", "right_wrist"], distance=0.12, start=4.2, end=4.9),
    ]
)


@dataclass(frozen=True)
class Options:
    """Key frames of three joints in a walk of 5 s."""

    text: str = "a person walks"
    model: str = "v-masks"
    steps: int = 50
    seed: int = 1
    out: Path = Path("out/key-frames")


@command
def main() -> None:
    options = parse_arguments(Options)
    model, settings = MotionModel.load(options.model), Settings(steps=options.steps)
    (motion,) = generate(
        model, [options.text], [100], goals=[GOALS], seeds=[options.seed], settings=settings, progress=True
    )
    motion.save(options.out / "motion.npz")
    draw_strip(motion, options.out / "motion.png", goals=GOALS)
    for residual in GOALS.residuals(motion.joints):
        print(f"{residual.goal.kind:9}{100 * residual.worst:6.2f} cm off")
    print(f"wrote {options.out}/motion.npz and motion.png")


if __name__ == "__main__":
    main()
