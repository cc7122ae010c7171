"""A guidance method of one's own: recurrence, or time travel (FreeDoM; Yu et al. 2023).

What guidance does to x̂0 at one step, the network sees only at the next one, which has less noise left to repair
anything with. With recurrence every step is taken several times: x̂0 is noised to the same t again, and the network sees
a motion that has been guided before. A guidance method is an object with `wrap`, which takes a denoiser and returns a
denoiser, so this one works around any other, and with any sampler.

    python docs/examples/11_a_new_way_of_guiding.py

prints, for a few walks through way-points, by how far they miss them and how much feet slide, with each step taken
once, twice and three times, under a cheap gradient (to x̂0 alone) and under projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from data_loaders.load_motion import read_motion
from guidance.classifier import Classifier
from guidance.goals.goal_file import load_goals
from guidance.projection import Projection
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise
from motion_diffusion.diffusion.schedule import linear_combination
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate


@dataclass(frozen=True)
class Recurrence:
    """Every step taken several times, until the last share of the diffusion time, where there is little to repair.

    x_t ← α_t·x̂0(x_t) + σ_t·z has the same noise level as before, and what guidance did to x̂0.
    """

    times: int
    end: float = 0.2

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        def repeated(x: Tensor, t: int, s: int) -> Estimate:
            alpha, sigma = problem.schedule.row(t)
            for _ in range(self.times - 1 if t > self.end * problem.schedule.T else 0):
                x = linear_combination(alpha, denoise(x, t, s).x0, sigma, noise())
            return denoise(x, t, s)

        return repeated


@dataclass(frozen=True)
class Options:
    """Compare steps that are taken once with steps that are taken several times."""

    goals: Path = Path("assets/goals/zigzag.json")
    text: str = "a tired person walks"
    model: str = "v-masks"
    motions: int = 4
    frames: int = 120
    steps: int = 20
    most: int = 3
    """Times that a step is taken, at most."""


@command
def main() -> None:
    options = parse_arguments(Options)
    if options.most < 1:
        raise InputError(f"--most is {options.most}; a step is taken 1 time or more")
    model, count = MotionModel.load(options.model), options.motions
    goals = load_goals(options.goals, read_motion=read_motion)
    print(f"{'':12}{'each step':>10}{'missed by':>14}{'skating':>10}")
    for name, method in (("gradient", Classifier(through="x0", inner=0)), ("projection", Projection())):
        for times in range(1, options.most + 1):
            motions = generate(
                model,
                [options.text] * count,
                [options.frames] * count,
                goals=[goals] * count,
                settings=Settings(steps=options.steps),
                guidance=[method, Recurrence(times)],
            )
            missed = [residual.error for motion in motions for residual in goals.residuals(motion.joints)]
            skating = sum(foot_skating_ratio(motion.joints) for motion in motions) / count
            print(f"{name:12}{f'{times} times':>10}{100 * sum(missed) / len(missed):11.1f} cm{skating:10.3f}")


if __name__ == "__main__":
    main()
