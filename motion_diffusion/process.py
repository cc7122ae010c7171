"""The training objective: noise a motion, ask the network for its target, weigh the squared error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from motion_diffusion.prediction import Prediction
from motion_diffusion.schedule import Schedule

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t (B, F, D), α (B,), σ (B,)) → prediction (B, F, D)."""


def stratified_times(count: int, T: int, *, generator: torch.Generator) -> Tensor:
    """(count,) times in 1 … T, uniform one by one and spread evenly together: one in each of `count` equal strata."""
    strata = torch.arange(count, dtype=torch.float64) + torch.rand(count, dtype=torch.float64, generator=generator)
    t = (strata * (T / count)).long().clamp(0, T - 1) + 1
    return t[torch.randperm(count, generator=generator)]


def training_loss(
    network: Network,
    x0: Tensor,
    frames: Tensor,
    t: Tensor,
    eps: Tensor,
    *,
    schedule: Schedule,
    prediction: Prediction,
    snr_range: tuple[float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Squared error of the prediction, and what it means for x0, averaged over features and existing frames.

    x0, eps: (B, F, D) clean motion and noise; frames: (B, F) bool; t: (B,) times.
    snr_range: None for the plain error of the target; (low, high) puts the weight clamp(SNR, low, high) on the error
    of x0 whatever the network predicts: (1, 1) is the plain x0 loss, (0, ∞) the plain ε loss, (0, 5) is min-SNR-5
    (Hang et al. 2023), (1, ∞) the truncated SNR of Salimans & Ho 2022.
    Returns (loss (B,), squared error of x0 (B,)).
    """
    alpha, sigma = schedule.at(t, x0)
    x_t = alpha * x0 + sigma * eps
    y = network(x_t, alpha.flatten(), sigma.flatten())
    error = (y - prediction.target(x0, eps, alpha, sigma)).square() * frames[..., None]
    error = error.sum((1, 2)) / (frames.sum(1) * x0.shape[-1])
    weight = prediction.weight(alpha, sigma).expand(alpha.shape).flatten()
    x0_error = error.detach() / weight
    if snr_range is None:
        return error, x0_error
    snr = (alpha / sigma).square().flatten()
    return error * (snr.clamp(*snr_range) / weight), x0_error
