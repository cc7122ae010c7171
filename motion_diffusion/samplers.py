"""Samplers: from noise to motion in short loops that know the schedule and a denoiser, nothing else.

A denoiser is a function `denoise(x_t, t, s) -> Estimate`: what it thinks of the clean motion and of the noise in x_t,
when the sampler is about to step from t to s. Every way of guiding takes a denoiser and gives back a denoiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from motion_diffusion.schedule import Schedule


class Estimate(NamedTuple):
    """A denoiser's view of x_t: the clean motion x0 and the noise eps that goes with it, both shaped like x_t.

    As a rule α_t·x0 + σ_t·eps = x_t; a method that replaces part of x_s itself puts fresh noise into eps instead.
    """

    x0: Tensor
    eps: Tensor


Denoise = Callable[[Tensor, int, int], Estimate]
Noise = Callable[[], Tensor]
"""Draws standard normal noise of the shape of the motions being sampled."""


def consistent(x0: Tensor, x_t: Tensor, t: int, schedule: Schedule) -> Estimate:
    """The estimate whose noise is what x0 leaves of x_t: eps = (x_t − α_t·x0) / σ_t."""
    alpha, sigma = schedule.row(t)
    return Estimate(x0, (x_t - alpha * x0) / sigma)


def ddim(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    times: Iterable[int],
    *,
    eta: float = 0.0,
    noise: Noise | None = None,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12) with variance η²·β̃; η = 1 is DDPM's ancestral sampling with β̃ (fixed small).

        x_s = α_s·x̂0 + √(σ_s² − η²β̃)·ε̂ + η√β̃·z

    x: noise at the first of `times` (B, ...). times: descending, from `schedule.times(steps)`, ends in 0.
    noise: draws z; needed where eta > 0. on_step: called with (t, estimate) after each denoising.
    Returns the sample at the last time, shaped like x.
    """
    if eta > 0 and noise is None:
        raise ValueError("ddim with eta > 0 needs a source of noise")
    for t, s in pairwise(times):
        estimate = denoise(x, t, s)
        if on_step is not None:
            on_step(t, estimate)
        alpha_s, sigma_s = schedule.row(s)
        variance = eta**2 * schedule.posterior(t, s)[2]
        x = alpha_s * estimate.x0 + (sigma_s**2 - variance) ** 0.5 * estimate.eps
        if variance > 0 and noise is not None:
            x = x + variance**0.5 * noise()
    return x


def ancestral(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    times: Iterable[int],
    *,
    noise: Noise,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, algorithm 2): DDIM with η = 1."""
    return ddim(denoise, x, schedule, times, eta=1.0, noise=noise, on_step=on_step)
