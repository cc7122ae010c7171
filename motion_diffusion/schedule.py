"""Noise schedules: x_t = α_t·x0 + σ_t·ε, with data at t = 0 and (nearly) pure noise at t = T.

A schedule is a float64 table of α and σ over t = 0 … T; everything a sampler or a loss needs follows from two of its
rows. Steps may jump from any t to any s < t, so a respaced chain needs no table of its own: with

    a = α_t / α_s,   σ²_{t|s} = σ_t² − a²·σ_s²

the posterior of x_s given x_t and x0 is Gaussian with mean A·x_t + B·x0 and variance β̃,

    A = a·σ_s² / σ_t²,   B = α_s·σ²_{t|s} / σ_t²,   β̃ = σ²_{t|s}·σ_s² / σ_t²

(Ho et al. 2020, eq. 7, for the variance-preserving case; Kingma et al. 2021, appendix A, in general).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """α_t and σ_t for t = 0 … T, float64 tables of T + 1 entries; entry 0 is the data (α = 1, σ = 0)."""

    name: str
    alpha: Tensor
    sigma: Tensor

    @property
    def T(self) -> int:
        """The last time, at which sampling starts."""
        return len(self.alpha) - 1

    def at(self, t: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
        """α_t and σ_t in the type and on the device of `like`, shaped to broadcast over its trailing dimensions.

        t: an int, or a tensor (B,) of times, one for each sample of like (B, ...).
        """
        if isinstance(t, int):
            return self.alpha[t].to(like), self.sigma[t].to(like)
        index = t.to(self.alpha.device)
        shape = (-1,) + (1,) * (like.ndim - 1)
        return self.alpha[index].to(like).view(shape), self.sigma[index].to(like).view(shape)

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """The forward process: x_t = α_t·x0 + σ_t·ε."""
        alpha, sigma = self.at(t, x0)
        return alpha * x0 + sigma * eps

    def posterior(self, t: int, s: int) -> tuple[float, float, float]:
        """(A, B, β̃) of q(x_s | x_t, x0) = N(A·x_t + B·x0, β̃), for 0 ≤ s < t ≤ T, in float64."""
        if not 0 <= s < t <= self.T:
            raise ValueError(f"posterior needs 0 <= s < t <= {self.T}, got t = {t}, s = {s}")
        alpha_t, sigma_t, alpha_s, sigma_s = (float(v) for v in (*self.row(t), *self.row(s)))
        a = alpha_t / alpha_s
        step_variance = sigma_t**2 - a**2 * sigma_s**2
        return (
            a * sigma_s**2 / sigma_t**2,
            alpha_s * step_variance / sigma_t**2,
            step_variance * (sigma_s / sigma_t) ** 2,
        )

    def row(self, t: int) -> tuple[float, float]:
        """(α_t, σ_t) as Python floats, which are float64."""
        return self.alpha[t].item(), self.sigma[t].item()

    def times(self, steps: int) -> list[int]:
        """The respaced chain: steps + 1 whole times, evenly spread, from T down to 0."""
        if not 1 <= steps <= self.T:
            raise ValueError(f"steps must be between 1 and {self.T}, got {steps}")
        return [round(self.T * (1 - i / steps)) for i in range(steps + 1)]


def _from_betas(name: str, betas: Tensor) -> Schedule:
    """The variance-preserving table with one-step noise β_1 … β_T: ᾱ_t = Π(1 − β), α = √ᾱ, σ = √(1 − ᾱ)."""
    if not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError(f"{name} schedule with T = {len(betas)}: every beta must lie in (0, 1); use more steps")
    log_alpha_bar = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-betas).cumsum(0)])
    return Schedule(name, (0.5 * log_alpha_bar).exp(), (-torch.expm1(log_alpha_bar)).sqrt())


def cosine(T: int = 1000) -> Schedule:
    """Nichol & Dhariwal 2021, eq. 17: ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + 0.008)/1.008 · π/2), β capped at 0.999."""
    f = [math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(T + 1)]
    betas = torch.tensor([min(1 - f[t] / f[t - 1], 0.999) for t in range(1, T + 1)], dtype=torch.float64)
    return _from_betas("cosine", betas)


def linear(T: int = 1000) -> Schedule:
    """Ho et al. 2020: β from 1e-4 to 0.02 at T = 1000, scaled by 1000/T so that any T approximates the same process."""
    return _from_betas("linear", torch.linspace(0.1 / T, 20.0 / T, T, dtype=torch.float64))


SCHEDULES: dict[str, Callable[[int], Schedule]] = {"cosine": cosine, "linear": linear}
"""The schedules by the name that stands in a model's config."""
