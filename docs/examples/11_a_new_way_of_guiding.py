"""A new way of guiding, in one file: recurrence, or going back in time (FreeDoM; Yu et al. 2023).

What guidance does to x̂0 at one step, the network sees only at the next one, which has less noise to mend anything with.
With recurrence every step is taken several times: x̂0 is noised again to the same t, and the network is asked anew about
a motion that has been guided before. A way of guiding takes a denoiser and gives back a denoiser, so this one goes
around any other, and any sampler can use it.

    python docs/examples/11_a_new_way_of_guiding.py

prints, for a few walks through way-points, how far they miss them and how much feet slide, with each step taken once,
twice and three times, under a cheap gradient (to x̂0 alone) and under projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data_loaders.load_motion import read_motion
from guidance.classifier import ClassifierOptions, classifier
from guidance.goals.goal_file import load_goals
from guidance.projection import projection
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise
from motion_diffusion.diffusion.schedule import Schedule, linear_combination
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel


def recurrence(denoise: Denoise, schedule: Schedule, noise: Noise, *, times: int, end: float = 0.2) -> Denoise:
    """Every step taken so many times, until the last `end` of the diffusion time, where there is little left to mend.

    x_t ← α_t·x̂0(x_t) + σ_t·z has the noise level that it had, and what guidance did to x̂0.
    """

    def again(x: Tensor, t: int, s: int) -> Estimate:
        alpha, sigma = schedule.row(t)
        for _ in range(times - 1 if t > end * schedule.T else 0):
            x = linear_combination(alpha, denoise(x, t, s).x0, sigma, noise())
        return denoise(x, t, s)

    return again


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
    model, goals = MotionModel.load(options.model), load_goals(options.goals, read_motion=read_motion)
    goals.check(options.frames)
    lengths = torch.tensor([options.frames] * options.motions)
    task = GuidanceProblem.of(model, [goals] * options.motions, lengths)

    def by_gradient(denoise: Denoise, noise: Noise) -> Denoise:
        return classifier(denoise, task, ClassifierOptions(through="x0", inner=0))

    def by_projection(denoise: Denoise, noise: Noise) -> Denoise:
        return projection(denoise, task, noise)

    def run(guide: Callable[[Denoise, Noise], Denoise], times: int) -> tuple[float, float]:
        """Centimetres that the goals are missed by, and the foot skating ratio."""
        x = model.sample(
            [options.text] * options.motions,
            lengths.tolist(),
            seeds=range(options.motions),
            steps=options.steps,
            guide=lambda denoise, noise: recurrence(guide(denoise, noise), model.schedule, noise, times=times),
        )
        motions = task.joints(x)
        missed = [residual.error for motion in motions for residual in goals.residuals(motion)]
        return 100 * sum(missed) / len(missed), sum(map(foot_skating_ratio, motions)) / len(motions)

    print(f"{'':12}{'each step':>10}{'missed by':>14}{'skating':>10}")
    for name, guide in (("gradient", by_gradient), ("projection", by_projection)):
        for times in range(1, options.most + 1):
            missed, skating = run(guide, times)
            print(f"{name:12}{f'{times} times':>10}{missed:11.1f} cm{skating:10.3f}")


if __name__ == "__main__":
    main()
