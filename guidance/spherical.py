"""Spherical guidance (DSG: Yang et al. 2024, arXiv 2402.03201): the noise of each step points towards the goals.

An ancestral step x_s = m + √β̃·z lies, in n dimensions, almost surely on the sphere of radius √n·√β̃ around m. Steps
along a gradient of any other length leave it. DSG chooses the point of the sphere that descends most,

    d* = −‖z‖·∇_{x_t} L / ‖∇_{x_t} L‖,    d = z + g·(d* − z),    x_s = m + √β̃·‖z‖·d/‖d‖

with g the rate of guidance: 0 is ancestral sampling, 1 the step straight down. (‖z‖, of fresh noise, is √n to within
1/√(2n).) The whole noise of x_s is determined here, hence the sampler is DDIM, which adds none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from guidance.gradients import slope, with_pullback
from guidance.protocol import GuidanceProblem
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise, SamplerName, ancestral_step
from motion_diffusion.diffusion.schedule import linear_combination
from motion_diffusion.option_ranges import Range


@dataclass(frozen=True)
class Spherical:
    """Spherical guidance (DSG): the noise of each ancestral step is turned towards the goals, its length kept."""

    differentiates: ClassVar[bool] = True
    differentiates_denoiser: ClassVar[bool] = True
    steps: ClassVar[int | None] = None

    rate: Annotated[float, Range(0, 1, above=True)] = 0.1
    """g, how far the noise of a step is turned; 1: straight down the gradient, which leaves no randomness."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """x̂0 as it is, and in ε̂ the whole noise of x_s, √(σ_s² − Σ)·ε̂ + √Σ·‖z‖·d/‖d‖ over σ_s.

        Norms are those of a motion with all its windows.
        """
        schedule, windows = problem.schedule, problem.windows

        def norm(x: Tensor) -> Tensor:
            squared = windows.of_motions(x.square().flatten(1).sum(1))
            return windows.of_windows(squared.clamp_min(1e-24).sqrt())[:, None, None]

        def guided(x: Tensor, t: int, s: int) -> Estimate:
            if s == 0:
                return denoise(x, t, s)
            estimate, pullback = with_pullback(denoise, x, t, s)
            uphill, _ = slope(problem.loss, estimate.x0)
            gradient, z = pullback(uphill), noise()
            turned = z - self.rate * (norm(z) / norm(gradient) * gradient + z)
            mean, variance = ancestral_step(estimate, t, s, schedule)
            x_s = linear_combination(1.0, mean, variance**0.5, norm(z) / norm(turned) * turned)
            alpha, sigma = schedule.row(s)
            return estimate._replace(eps=linear_combination(1 / sigma, x_s, -alpha / sigma, estimate.x0))

        return guided

    def sampler(self, problem: GuidanceProblem) -> SamplerName:
        """DDIM, which continues with the noise of the estimate."""
        return "ddim"
