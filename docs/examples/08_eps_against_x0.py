"""ε against x0: the same words, the same goals, the same noise, and three models that differ in what they predict.

    python docs/examples/08_eps_against_x0.py
    python docs/examples/08_eps_against_x0.py --guidance imputation

The three have the same network, data, noise, steps and loss. The table says how far each is from its goals without
guidance and with it, and how steady it is; the film has them side by side. Why they differ:
docs/where-guidance-gets-undone.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.motion_metrics import foot_skating_ratio, joint_jitter
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.film import write_film

MODELS = ("x0-mixed", "eps-mixed", "v-mixed")


@dataclass(frozen=True)
class Options:
    """Three prediction types, unguided and guided."""

    goals: Path = Path("assets/goals/zigzag.json")
    text: str = "a tired person walks"
    frames: int = 120
    guidance: str = "projection"
    motions: int = 4
    steps: int = 50
    out: Path = Path("out/eps-against-x0")


def mean(measure: Callable[[Tensor], float], motions: list[Motion]) -> float:
    return sum(measure(motion.joints) for motion in motions) / len(motions)


@command
def main() -> None:
    options = parse_arguments(Options)
    goals, count = load_goals(options.goals, read_motion=read_motion), options.motions

    def missed(joints: Tensor) -> float:
        """Mean distance from the goals in cm."""
        residuals = goals.residuals(joints)
        return 100 * sum(residual.error for residual in residuals) / len(residuals)

    first: list[Motion] = []
    print(f"{'':10}{'guidance':>12}{'goals missed by':>18}{'skating':>10}{'joint jitter':>14}")
    for name in MODELS:
        model = MotionModel.load(name)
        for guidance in ("none", options.guidance):
            settings = Settings(guidance=guidance, steps=options.steps)
            motions = generate(
                model,
                [options.text] * count,
                [options.frames] * count,
                goals=[goals if guidance != "none" else GoalSet()] * count,
                seeds=range(count),
                settings=settings,
                progress=True,
            )
            figures = [mean(measure, motions) for measure in (missed, foot_skating_ratio, joint_jitter)]
            print(f"{name:10}{guidance:>12}{figures[0]:15.1f} cm{figures[1]:10.3f}{figures[2]:10.0f} m/s³")
        motions[0].save(options.out / f"{name}.npz")
        first.append(motions[0])
    write_film(first, options.out / "side-by-side.mp4", goals=goals)
    print(f"wrote {options.out}/side-by-side.mp4 and the motions in it")


if __name__ == "__main__":
    main()
