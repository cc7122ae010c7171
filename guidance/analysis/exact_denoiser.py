"""Exact denoisers of Gaussian data and mixtures. With an exact network all prediction types predict the same motion."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from motion_diffusion.diffusion.prediction import Prediction
from motion_diffusion.diffusion.samplers import Denoise, Estimate
from motion_diffusion.diffusion.schedule import Schedule

Mean = Callable[[Tensor, float, float], Tensor]
"""(x_t, α, σ) → E[x0 | x_t]."""


def mixture_mean(means: Tensor, std: float) -> Mean:
    """E[x0 | x_t] for a mixture of equally likely Gaussians in one dimension: means (K,), one standard deviation."""

    def mean(x: Tensor, alpha: float, sigma: float) -> Tensor:
        variance = alpha**2 * std**2 + sigma**2
        off = x[..., None] - alpha * means
        chance = torch.softmax(-off.square() / (2 * variance), dim=-1)
        return (chance * (means + alpha * std**2 / variance * off)).sum(-1)

    return mean


def through(prediction: Prediction, mean: Mean, schedule: Schedule) -> Denoise:
    """The exact denoiser expressed by a prediction type: the target is computed and converted back to x0 and ε."""

    def denoise(x: Tensor, t: int, s: int) -> Estimate:
        level = schedule.at(t)
        alpha, sigma = schedule.row(t)
        x0 = mean(x, alpha, sigma)
        y = prediction.target(x0, (x - alpha * x0) / sigma, level)
        return Estimate(prediction.to_x0(y, x, level), prediction.to_eps(y, x, level))

    return denoise


def gaussian_survival(covariance: Tensor, push: Tensor, schedule: Schedule, times: list[int]) -> Tensor:
    """The share of a push that ancestral sampling with the exact denoiser of Gaussian data keeps, in closed form.

    In the eigenbasis of the covariance a step from t to s multiplies by A + B·αλ/(α²λ + σ²).

    Args:
        covariance: (N, N) of x0.
        push: (N,) displacement, added to x_t as α_t·push.
        schedule: the noise schedule.
        times: the chain, descending to 0.

    Returns:
        (len(times) − 1,): for each t of times the share of the push, along itself, that remains at t = 0.
    """
    variance, basis = torch.linalg.eigh(covariance.double())
    variance = variance.clamp_min(0)
    weight = (basis.T @ push.double()).square() / push.double().square().sum()
    factor = torch.ones_like(variance)
    kept = []
    for s, t in pairwise(times[::-1]):
        (alpha, sigma), (A, B) = schedule.row(t), schedule.posterior(t, s)[:2]
        factor = factor * (A + B * alpha * variance / (alpha**2 * variance + sigma**2))
        kept.append(alpha * (weight * factor).sum())
    return torch.stack(kept[::-1])
