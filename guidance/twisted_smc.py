"""Twisted sequential Monte Carlo (TDS: Wu et al. 2023, arXiv 2306.17775): exact in the limit of many particles.

P particles of each motion are sampled together. With p̃_t(x_t) an approximation of p(y | x_t) from the prediction x̂0,
a step from t to s of an ancestral chain p(x_s | x_t) = N(m, Σ) proposes

    x_s ~ q(x_s | x_t) = N(m + B·α_t·r_t²·∇_{x_t} log p̃_t(x_t), Σ),    r_t² = σ_t²/(α_t² + σ_t²)

(B that of m = A·x_t + B·x̂0; the score's own factor σ_t²/α_t, of which this is the limit for small noise, multiplies the
errors of a network's gradient where α_t is small) and weighs each particle by

    w = p(x_s | x_t) p̃_s(x_s) / (q(x_s | x_t) p̃_t(x_t)),    w_T = p̃_T(x_T),    p̃_0(x_0) = p(y | x_0)

so that the weighted particles of x_0 follow p(x_0 | y) for the chain, whatever p̃_t is; it only decides how even the
weights are. Here, with d² the squared distances to the goals (`GuidanceProblem.misfit`),

    log p(y | x_0) = −d²(x_0) / 2σ_y²,    log p̃_t(x_t) = −d²(x̂0) / 2(σ_y² + σ_0²·σ_t²/(α_t² + σ_t²))

Particles are resampled where their effective number 1/Σ w² has fallen below P/2. In the end one particle is drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor

from guidance.gradients import slope, with_pullback
from guidance.protocol import GuidanceProblem
from guidance.windows import Windows
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise, OnStep, ancestral_step, require_noise
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.option_ranges import Range

RESAMPLED = 0.5
"""Share of the particles: they are resampled where their effective number is less."""
FEW = 0.1
"""Share of the particles: a warning is given where their effective number is less."""


@dataclass(frozen=True)
class TwistedSMC:
    """Twisted sequential Monte Carlo: several particles a motion, weighted by how well they meet the goals."""

    differentiates: ClassVar[bool] = True
    differentiates_denoiser: ClassVar[bool] = True
    steps: ClassVar[int | None] = None

    particles: Annotated[int, Range(1, 100_000)] = 16
    """Particles of each motion, sampled together."""
    spread: Annotated[float, Range(0, 10, above=True)] = 0.05
    """σ_y in metres, the standard deviation with which goals are met; that of a goal of weight w is σ_y/√w."""
    prior_spread: Annotated[float, Range(0, 100)] = 0.1
    """σ_0 in metres, the standard deviation of a joint about its prediction in pure noise."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The unchanged denoiser; guidance is in the sampler."""
        return denoise

    def sampler(self, problem: GuidanceProblem) -> ParticleSampler:
        """The sampler of the module's docstring, whatever the settings say."""
        return ParticleSampler(self, problem)


class Evaluated(NamedTuple):
    """Particles (P, B, F, D) before a step."""

    x0: Tensor
    eps: Tensor
    mean: Tensor
    """m of the ancestral step."""
    variance: Tensor
    """Σ, which broadcasts over the particles."""
    shift: Tensor
    """By which the proposal's mean differs from m."""
    log_twist: Tensor
    """log p̃_t, (P, M)."""

    def of_particles(self, chosen: Tensor, windows: Windows) -> Evaluated:
        """The same for the chosen particles (P, M)."""
        *parts, log_twist = self
        return Evaluated._make([*(_of_particles(part, chosen, windows) for part in parts), log_twist.gather(0, chosen)])


@dataclass(eq=False)
class ParticleSampler:
    """A sampler (see `diffusion.samplers`) of P particles a motion; the denoiser is called once for each particle."""

    options: TwistedSMC
    problem: GuidanceProblem
    sizes: list[Tensor] = field(default_factory=list)
    """Effective sample sizes (M,) before each step of the last run, and at its end."""

    def __call__(
        self,
        denoise: Denoise,
        x: Tensor,
        schedule: Schedule,
        times: Sequence[int],
        *,
        noise: Noise | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        noise = require_noise(noise, "twisted SMC")
        particles, log_weights = self.run(denoise, x, schedule, times, noise=noise, on_step=on_step)
        least = min(size.min().item() for size in self.sizes)
        if least < FEW * len(particles):
            warnings.warn(
                f"smc: the effective sample size fell to {least:.1f} of {len(particles)} particles; give more "
                "--smc.particles, or a larger --smc.spread",
                stacklevel=2,
            )
        windows = self.problem.windows
        chosen = _systematic(log_weights.softmax(0), _uniform(noise, windows), 1)
        return _of_particles(particles, chosen, windows)[0]

    def run(
        self,
        denoise: Denoise,
        x: Tensor,
        schedule: Schedule,
        times: Sequence[int],
        *,
        noise: Noise,
        on_step: OnStep | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All particles of x_0 (P, B, F, D) and the logarithms of their weights (P, M)."""
        count, windows = self.options.particles, self.problem.windows
        alpha, sigma = schedule.row(times[0])
        scale = (alpha**2 + sigma**2) ** 0.5
        particles = torch.stack([x, *(scale * noise() for _ in range(count - 1))])
        log_weights = x.new_zeros(count, len(windows.lengths))
        self.sizes.clear()
        for t, s in pairwise(times):
            now = self._evaluated(denoise, particles, t, s, schedule)
            log_weights = log_weights + now.log_twist
            weights = self._weights(log_weights)
            if on_step is not None:
                of_windows = torch.stack([windows.of_windows(w) for w in weights])[..., None, None]
                on_step(t, Estimate((of_windows * now.x0).sum(0), (of_windows * now.eps).sum(0)))
            few, uniform = self.sizes[-1] < RESAMPLED * count, _uniform(noise, windows)
            kept = torch.arange(count, device=x.device)[:, None]
            now = now.of_particles(torch.where(few, _systematic(weights, uniform, count), kept), windows)
            log_weights = torch.where(few, 0.0, log_weights)
            if s > 0:
                particles, log_ratio = _proposed(now, noise, windows)
            else:
                particles, log_ratio = now.mean, torch.zeros_like(log_weights)
            log_weights = log_weights + log_ratio - now.log_twist
        log_weights = log_weights + torch.stack([self._log_twist(x0, 0.0) for x0 in particles])
        self._weights(log_weights)
        return particles, log_weights

    def _evaluated(self, denoise: Denoise, particles: Tensor, t: int, s: int, schedule: Schedule) -> Evaluated:
        alpha, sigma = schedule.row(t)
        noise = sigma / (alpha**2 + sigma**2) ** 0.5
        by_gradient = float(schedule.posterior(t, s).B) * alpha * noise**2
        each = []
        for x in particles:
            estimate, pullback = with_pullback(denoise, x, t, s)
            gradient, log_twist = slope(lambda x0: self._log_twist(x0, noise), estimate.x0)
            mean, variance = ancestral_step(estimate, t, s, schedule)
            variance = torch.as_tensor(variance).to(mean).expand_as(mean)
            each.append(
                Evaluated(estimate.x0, estimate.eps, mean, variance, by_gradient * pullback(gradient), log_twist)
            )
        return Evaluated(*(torch.stack(parts) for parts in zip(*each, strict=True)))

    def _log_twist(self, x0: Tensor, noise: float) -> Tensor:
        """log p̃ (M,) of x̂0 at a noise level of 0 to 1."""
        variance = self.options.spread**2 + (self.options.prior_spread * noise) ** 2
        return -self.problem.misfit(x0) / (2 * variance)

    def _weights(self, log_weights: Tensor) -> Tensor:
        """Weights (P, M) of sum 1; their effective number is recorded."""
        weights = log_weights.softmax(0)
        self.sizes.append(1 / weights.square().sum(0))
        return weights


def _proposed(now: Evaluated, noise: Noise, windows: Windows) -> tuple[Tensor, Tensor]:
    """Particles (P, B, F, D) of the proposal, and log p(x_s | x_t) − log q(x_s | x_t), (P, M)."""
    draw = now.variance.sqrt() * torch.stack([noise() for _ in now.mean])
    off = now.shift * (draw + now.shift / 2) / now.variance  # ((x_s − m)² − (x_s − m − shift)²) / 2Σ
    return now.mean + now.shift + draw, -torch.stack([windows.of_motions(each.flatten(1).sum(1)) for each in off])


def _systematic(weights: Tensor, uniform: Tensor, count: int) -> Tensor:
    """Indices (count, M) of particles drawn with weights (P, M) by systematic resampling, uniform (M,) in [0, 1)."""
    positions = (torch.arange(count, device=weights.device)[:, None] + uniform) / count
    cumulative = weights.cumsum(0)
    index = torch.searchsorted(cumulative.T.contiguous(), positions.T.contiguous()).T
    return index.clamp(max=len(weights) - 1)


def _of_particles(values: Tensor, chosen: Tensor, windows: Windows) -> Tensor:
    """Values (P, B, F, D) of the chosen particles (n, M)."""
    index = torch.stack([windows.of_windows(each) for each in chosen])
    return values.gather(0, index[..., None, None].expand(-1, -1, *values.shape[2:]))


def _uniform(noise: Noise, windows: Windows) -> Tensor:
    """A uniform number (M,) for each motion, from the first numbers of its windows' noise."""
    first = noise()[:, 0, 0]
    return torch.special.ndtr(windows.of_motions(first) / windows.of_motions(torch.ones_like(first)).sqrt())
