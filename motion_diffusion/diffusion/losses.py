"""The training objective: noise a motion, predict its target, and weight the squared error.

The prediction type determines the network's output, the weight how much its errors count at each t (stated as weight of
the squared error of x0). The two choices are independent; their product determines what is learned. With a learned
variance the variational bound is part of the objective (Nichol & Dhariwal 2021, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from motion_diffusion.diffusion.prediction import MAX_NOISE_RATIO, Prediction
from motion_diffusion.diffusion.schedule import Level, Scalar, Schedule, linear_combination
from motion_diffusion.diffusion.variance import VarianceName, is_learned, log_variance, small_variance
from motion_diffusion.diffusion.variational_bound import bound_term
from motion_diffusion.errors import InputError

Network = Callable[[Tensor, Level], Tensor]
"""(x_t (B, F, D), level) → prediction (B, F, D), or (B, F, 2·D) with a learned variance after it."""

WeightName = Literal["target", "uniform", "snr", "min-snr", "truncated", "clamped", "capped", "vlb"]
"""Weights of the squared error of x0: "target" is the plain squared error of the prediction; "uniform" 1; "snr" that of
ε; "min-snr" min(SNR, γ) (Hang et al. 2023); "truncated" max(SNR, 1) (Salimans & Ho 2022); "clamped" SNR clamped to (1,
5); "capped" that of v, SNR + 1, but at most 50²·SNR; "vlb" that of the variational bound with fixed small variance,
½(SNR_{t−1} − SNR_t).

The plain loss of ε hardly counts errors of x0 at large t, where the content of a motion is decided (docs/LOG.md). Two
of these move weight there and stay finite. With "capped" the squared error of ε is weighted as that of v, 1 + 1/SNR, up
to where σ/α is 50 and sampling starts (`prediction.MAX_NOISE_RATIO`). With "min-snr" the weight is min(1, γ/SNR): with
γ = 0.04 it is the plain loss where σ/α > 5, and less below.
"""

MIN_SNR_GAMMA = 5.0
"""γ of "min-snr" as published (Hang et al. 2023, section 4.2)."""

LossName = Literal["simple", "vlb", "hybrid"]
"""The weighted squared error; the variational bound; or their sum, in which the bound is scaled by 1/1000 and trains
the variance alone (Nichol & Dhariwal 2021, eq. 16, there in bits).
"""

_SNR_RANGE = {
    "uniform": (1.0, 1.0),
    "snr": (0.0, torch.inf),
    "truncated": (1.0, torch.inf),
    "clamped": (1.0, 5.0),
}


def x0_weight(
    name: WeightName, prediction: Prediction, schedule: Schedule, t: Tensor, *, gamma: float = MIN_SNR_GAMMA
) -> Tensor:
    """The weight (B,), float64, of the squared error of x0 at times t (B,). gamma: γ of "min-snr"."""
    if name not in get_args(WeightName):
        raise InputError(f"unknown weight {name!r}; choose from {', '.join(get_args(WeightName))}")
    level = schedule.at(t)
    if name == "target":
        return _full(prediction.weight(level), t)
    if name == "capped":
        snr = _full(level.snr, t)
        return torch.minimum(snr + 1, MAX_NOISE_RATIO**2 * snr)
    if name == "vlb":
        return _full(level.B**2 / (2 * small_variance(schedule, t, t - 1)), t)
    return _full(level.snr, t).clamp(*((0.0, gamma) if name == "min-snr" else _SNR_RANGE[name]))


def training_loss(
    network: Network,
    x0: Tensor,
    frames: Tensor,
    t: Tensor,
    eps: Tensor,
    *,
    schedule: Schedule,
    prediction: Prediction,
    weight: WeightName = "target",
    gamma: float = MIN_SNR_GAMMA,
    variance: VarianceName = "fixed-small",
    loss: LossName = "simple",
    penalty: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The training loss of a batch.

    Args:
        network: the network.
        x0: (B, F, D) clean motions.
        frames: (B, F) bool, which frames exist.
        t: (B,) times on the CPU.
        eps: (B, F, D) noise.
        schedule: the noise schedule.
        prediction: the prediction type.
        weight: the weight of the squared error.
        gamma: γ of "min-snr".
        variance: the variance of the reverse step.
        loss: squared error, bound, or both. The bound is scaled by T, so that its mean over uniform t is the whole
            bound in nats per feature.
        penalty: an additional loss (B,) of the implied x̂0 (B, F, D). It is multiplied by min(SNR, 1): at large t the
            error of ε's x̂0 is σ/α times that of its prediction and would dominate otherwise.

    Returns:
        The loss and the squared error of the implied x̂0, averaged over features and existing frames, each (B,).
    """
    level = schedule.at(t, x0)
    x_t = linear_combination(level.alpha, x0, level.sigma, eps)
    y, w = split(network(x_t, level), variance)

    def average(values: Tensor) -> Tensor:
        return (values * frames[..., None]).sum((1, 2)) / (frames.sum(1) * x0.shape[-1])

    error = average((y - prediction.target(x0, eps, level)).square())
    of_target = _full(prediction.weight(level), t)
    x0_error = error.detach() / of_target.to(error)
    total = torch.zeros_like(error)
    if loss != "vlb":
        total = error * (x0_weight(weight, prediction, schedule, t, gamma=gamma) / of_target).to(error)
    if penalty is not None:
        total = total + _full(level.snr, t).clamp(max=1.0).to(error) * penalty(prediction.to_x0(y, x_t, level))
    if loss != "simple":
        x0_hat = prediction.to_x0(y.detach() if loss == "hybrid" else y, x_t, level)
        log_var = log_variance(variance, w, schedule, t, t - 1, x0)
        terms = bound_term(x0, x_t, x0_hat, log_var, schedule, t, t - 1)
        total = total + schedule.T * (1e-3 if loss == "hybrid" else 1.0) * average(terms)
    return total, x0_error


def split(output: Tensor, variance: VarianceName) -> tuple[Tensor, Tensor | None]:
    """Split a network's output (..., D or 2·D) into the prediction and, where it is learned, the variance output."""
    if not is_learned(variance):
        return output, None
    y, w = output.chunk(2, dim=-1)
    return y, w


def _full(values: Scalar, t: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64).flatten().expand(t.shape)
