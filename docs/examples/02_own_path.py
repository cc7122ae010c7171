"""Your own path: a curve on the floor, walked at an even pace.

    python docs/examples/02_own_path.py                    # a slalom
    python docs/examples/02_own_path.py --points path.csv  # two columns, x and z in metres, the first row at the start

A `path` goal takes any number of points; the spline through them is walked evenly from `start` to `end`, and the body
faces along it. A motion begins at (0, 0) and faces +z; its left is +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import PathGoal
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.stills import draw_strip
from visualize.topdown import draw_path

SLALOM = ((0.0, 0.0), (0.5, 1.0), (-0.5, 2.2), (0.5, 3.4), (0.0, 4.4))


@dataclass(frozen=True)
class Options:
    """Walk along a curve."""

    points: Path | None = None
    """A CSV of x and z in metres, a row each point, without a header."""
    text: str = "a person walks"
    seconds: float = 6.0
    model: str = "v-masks"
    steps: int = 50
    seed: int = 1
    out: Path = Path("out/path")


def read_points(path: Path) -> list[list[float]]:
    """Rows x, z of a CSV."""
    try:
        points = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; give rows of two numbers, x and z in metres") from None
    if points.shape[1] != 2:
        raise InputError(f"{path} has {points.shape[1]} columns; give two, x and z in metres")
    return points.tolist()


@command
def main() -> None:
    options = parse_arguments(Options)
    points = SLALOM if options.points is None else read_points(options.points)
    frames = round(options.seconds * FPS)
    way = PathGoal.model_validate(
        {"points": points, "start": 0.0, "end": (frames - 1) / FPS, "curve": "spline", "face_along": True}
    )
    goals = GoalSet(goals=[way])
    (motion,) = generate(
        MotionModel.load(options.model),
        [options.text],
        [frames],
        goals=[goals],
        seeds=[options.seed],
        settings=Settings(steps=options.steps),
        progress=True,
    )
    motion.save(options.out / "motion.npz")
    draw_path(motion, options.out / "path.png", goals=goals)
    draw_strip(motion, options.out / "motion.png", goals=goals)
    (residual,) = goals.residuals(motion.joints)
    print(f"the path is missed by {100 * residual.worst:.2f} cm at most;", end=" ")
    print(f"wrote {options.out}/motion.npz, path.png and motion.png")


if __name__ == "__main__":
    main()
