"""Between two motions: two ways through noise (Ho et al. 2020, section 4.4; Song et al. 2021, section 5.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_diffusion.diffusion.samplers import Denoise, ddim, ddim_inversion
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a to b along the arc between them: a, b (...), share (K,) of the way → (K, ...).

    The ends are exact and the norm goes evenly from |a| to |b|, as noise wants it; a straight line would pass
    through points of too small a norm.
    """
    norm_a, norm_b = a.norm(), b.norm()
    cos = ((a / norm_a) * (b / norm_b)).sum().clamp(-1, 1)
    angle = torch.acos(cos)
    share = share.to(a).view(-1, *[1] * a.ndim)
    if angle < 1e-6:
        return (1 - share) * a + share * b
    part_a, part_b = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
    direction = part_a * (a / norm_a) + part_b * (b / norm_b)
    return direction * ((1 - share) * norm_a + share * norm_b)


def by_shared_noise(
    denoise: Denoise,
    a: Tensor,
    b: Tensor,
    share: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    *,
    eps: Tensor,
) -> Tensor:
    """Both motions (...) get the same noise eps (...) of the first of times; lines between them are sampled by DDIM.

    With the same noise in both, every point between has noise of the right size. Coarse features are mixed where that
    first time is near T; it decides how far from a and b a result may be. denoise is for K motions. Returns (K, ...).
    """
    mixed = torch.lerp(a, b, share.to(a).view(-1, *[1] * a.ndim))
    x = schedule.add_noise(mixed, eps.expand_as(mixed), times[0])
    return ddim(denoise, x, schedule, times)


def by_inversion(
    denoise_ends: Denoise,
    denoise: Denoise,
    a: Tensor,
    b: Tensor,
    share: Tensor,
    schedule: Schedule,
    times: Sequence[int],
) -> Tensor:
    """The noise of both motions (...) is found by DDIM inversion, and DDIM samples from the arc between: (K, ...).

    denoise_ends: for the two motions; denoise: for the K results. times: from T to 0, the more the nearer the ends come
    back to a and b (of first order). InputError if they do not start at T.
    """
    if times[0] != schedule.T:
        raise InputError(f"inversion leads to T = {schedule.T}, but the times start at {times[0]}")
    z_a, z_b = ddim_inversion(denoise_ends, torch.stack([a, b]), schedule, times)
    return ddim(denoise, slerp(z_a, z_b, share), schedule, times)
