"""Obstacles: many walks past circles and boxes, one of which moves; how many of them get inside?

    python docs/examples/04_obstacles.py --motions 64

At each step the way is bent at the frame that is deepest inside, sideways and a little farther than the margin, and
what lies before and after bends along; then the next one, until none is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.motion_metrics import fastest_root, foot_skating_ratio, joint_jitter
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.topdown import draw_path


@dataclass(frozen=True)
class Options:
    """Walk past obstacles, and count who gets inside."""

    goals: Path = Path("assets/goals/obstacles.json")
    text: str = "a person walks"
    model: str = "v-masks"
    motions: int = 8
    frames: int = 120
    steps: int = 50
    batch: int = 16
    guidance: str = "projection"
    out: Path = Path("out/obstacles")


@command
def main() -> None:
    options = parse_arguments(Options)
    goals, model = load_goals(options.goals, read_motion=read_motion), MotionModel.load(options.model)
    obstacles = [goal for goal in goals.goals if goal.kind == "obstacle"]
    if not obstacles:
        raise InputError(f"{options.goals} has no obstacle; give one such as assets/goals/obstacles.json")
    motions: list[Motion] = []
    for first in range(0, options.motions, options.batch):
        seeds = range(first, min(first + options.batch, options.motions))
        count = len(seeds)
        motions += generate(
            model,
            [options.text] * count,
            [options.frames] * count,
            goals=[goals] * count,
            seeds=seeds,
            settings=Settings(guidance=options.guidance, steps=options.steps),
            progress=True,
        )
    frames = torch.arange(options.frames)
    roots = [motion.joints[:, 0, [0, 2]] for motion in motions]
    clearance = torch.stack([torch.stack([o.distance(root, frames) for o in obstacles]).amin(0) for root in roots])
    inside = clearance < 0
    print(f"{int(inside.any(1).sum())} of {len(motions)} motions get inside, in {int(inside.sum())} frames of all;")
    print(f"the nearest comes to {100 * clearance.min():.1f} cm of an edge")
    for name, measure in (
        ("foot skating", foot_skating_ratio),
        ("joint jitter", joint_jitter),
        ("fastest", fastest_root),
    ):
        print(f"{name:14}{sum(measure(motion.joints) for motion in motions) / len(motions):8.3f}")
    options.out.mkdir(parents=True, exist_ok=True)
    for number, motion in enumerate(motions[:4]):
        draw_path(motion, options.out / f"path-{number}.png", goals=GoalSet(goals=goals.goals))
    print(f"wrote {options.out}/path-….png")


if __name__ == "__main__":
    main()
