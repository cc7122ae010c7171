"""Noise optimisation (DNO): the initial noise is optimised through a few steps of DDIM to meet the goals."""

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
    """Noise optimisation, by the gradient of the distance to the goals through all steps of DDIM."""

    differentiates: ClassVar[bool] = True
    differentiates_denoiser: ClassVar[bool] = True

    steps: Annotated[int, Range(1, 1000)] = 8
    """Steps of DDIM, both during optimisation and for the final motion."""
    rounds: Annotated[int, Range(1, 10_000)] = 60
    """Steps of the optimiser."""
    rate: Annotated[float, Range(0, 10, above=True)] = 0.05
    """Peak learning rate; it warms up and decays to zero (DNO)."""
    stay: Annotated[float, Range(0, 1e6)] = 1e-3
    """Weight in m² of the mean squared distance to the initial draw (regularisation)."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The unchanged denoiser, since the optimised noise leads to the goals."""
        return denoise

    def sampler(self, problem: GuidanceProblem) -> SamplerName:
        """DDIM, through whose steps the noise is optimised."""
        return "ddim"

    def start(self, denoise: Denoise, z: Tensor, problem: GuidanceProblem, on_round: Callable[[], object]) -> Tensor:
        """Noise (B, F, D) near z from which `ddim` makes motions that meet the goals (Karunratanakul et al. 2024, DNO).

        Adam on gradients normalised for each window, so that the steps of a motion do not depend on others in the
        batch. After every step the noise is rescaled to its initial norm, which is that of white noise. on_round is
        called after each step.
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
