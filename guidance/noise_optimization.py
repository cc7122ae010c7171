"""Noise optimisation: a noise is sought from which a few steps of DDIM make a motion that meets the goals (DNO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from guidance.protocol import GuidanceProblem
from motion_diffusion.diffusion.samplers import Denoise, Noise, SamplerName, ddim
from motion_diffusion.option_ranges import Range


@dataclass(frozen=True)
class NoiseOptimization:
    """Noise optimisation: the gradient of the distance to the goals, through all steps of DDIM, to the noise."""

    differentiates: ClassVar[bool] = True
    sampler: ClassVar[SamplerName] = "ddim"

    steps: Annotated[int, Range(1, 1000)] = 8
    """Steps of DDIM, for seeking the noise and for the motion that comes of it."""
    rounds: Annotated[int, Range(1, 10_000)] = 60
    """Steps of the optimiser."""
    rate: Annotated[float, Range(0, 10, above=True)] = 0.05
    """Its learning rate; it rises at first and falls to zero (DNO)."""
    stay: Annotated[float, Range(0, 1e6)] = 1e-3
    """Weight of the squared distance to the noise one began with, a mean over its numbers, in m²."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The denoiser as it is: the noise that was found leads to the goals."""
        return denoise

    def start(self, denoise: Denoise, z: Tensor, problem: GuidanceProblem, on_round: Callable[[], object]) -> Tensor:
        """Noise (B, F, D) near z from which `ddim` makes motions that meet the goals (Karunratanakul et al. 2024, DNO).

        Adam on gradients of unit length for each window, so that no motion's step depends on how far others are from
        their goals. After every step the noise is brought back to the length that it had: white noise is that long.
        on_round is called after each.
        """
        schedule = problem.schedule
        times = schedule.times(self.steps, first=problem.prediction.first(schedule))
        start, length = z.detach(), z.flatten(1).norm(dim=1)[:, None, None]
        noise = start.clone().requires_grad_()
        optimiser = torch.optim.Adam([noise], lr=self.rate)
        with torch.enable_grad():
            for step in range(self.rounds):
                share = step / self.rounds
                optimiser.param_groups[0]["lr"] = self.rate * min(1.0, 10 * (share + 0.1)) * (1 - share)
                loss = problem.loss(ddim(denoise, noise, schedule, times))
                stay = (noise - start).square().flatten(1).mean(1)
                (gradient,) = torch.autograd.grad(loss.sum() + self.stay * stay.sum(), noise)
                noise.grad = gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
                optimiser.step()
                with torch.no_grad():
                    noise.mul_(length / noise.flatten(1).norm(dim=1)[:, None, None])
                on_round()
        return noise.detach()
