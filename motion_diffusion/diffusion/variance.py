"""The variance of the reverse step p(x_s | x_t): fixed at one of its bounds, or learned.

β̃ ("small") is optimal if x0 is known exactly, σ²_{t|s} ("large") if x_s has unit variance of its own; the optimum lies
in between (Ho et al. 2020, section 3.2). A network may predict log Σ freely ("learned"), as an offset from log β̃ so
that it applies to any stride, or an interpolation between the two logarithms ("learned-range", Nichol & Dhariwal 2021,
eq. 15).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from motion_diffusion.diffusion.schedule import Scalar, Schedule
from motion_diffusion.errors import InputError

VarianceName = Literal["fixed-small", "fixed-large", "learned", "learned-range"]


def is_learned(name: VarianceName) -> bool:
    """Whether the network has a second output for every feature. InputError for an unknown name."""
    if name not in get_args(VarianceName):
        raise InputError(f"unknown variance {name!r}; choose from {', '.join(get_args(VarianceName))}")
    return name.startswith("learned")


def small_variance(schedule: Schedule, t: Tensor | int, s: Tensor | int, like: Tensor | None = None) -> Scalar:
    """β̃ of the step from t to s.

    Where s = 0 it would be 0; it is replaced by that of the preceding step, from 2t to t, so that p(x0 | x_t) has a
    density (Ho et al. 2020, section 3.3), or by σ_t² if there is no preceding step.
    """
    exact = schedule.posterior(t, s, like)
    if isinstance(t, int):
        if s != 0:
            return exact.variance
        return schedule.posterior(2 * t, t).variance if 2 * t <= schedule.T else exact.step_variance
    before = schedule.posterior((2 * t).clamp(max=schedule.T), t, like).variance
    shape = torch.as_tensor(before).shape
    last, alone = torch.as_tensor(s == 0).view(shape), (2 * t > schedule.T).view(shape)
    stand_in = torch.where(alone, torch.as_tensor(exact.step_variance), torch.as_tensor(before))
    return torch.where(last, stand_in, torch.as_tensor(exact.variance))


def log_variance(
    name: VarianceName, w: Tensor | None, schedule: Schedule, t: Tensor | int, s: Tensor | int, like: Tensor
) -> Tensor:
    """log Σ of p(x_s | x_t) as needed by a density, finite at s = 0 too.

    Args:
        name: the kind of variance.
        w: the network's variance output, shaped like `like`, where the variance is learned.
        schedule: the noise schedule.
        t: time, an int or (B,).
        s: time to step to, an int or (B,).
        like: (B, ...), the tensor over which the result broadcasts.
    """
    step = schedule.posterior(t, s, like)
    small = small_variance(schedule, t, s, like)
    log_small, log_large = (torch.as_tensor(v, dtype=torch.float64).log().to(like) for v in (small, step.step_variance))
    if is_learned(name):
        assert w is not None
        if name == "learned":
            return log_small + w
        share = (w + 1) / 2
        return share * log_large + (1 - share) * log_small
    return log_small if name == "fixed-small" else log_large
