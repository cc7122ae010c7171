"""Interpolation between two motions through noise (Ho et al. 2020, section 4.4; Song et al. 2021, section 5.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_diffusion.diffusion.samplers import Denoise, ddim, ddim_inversion
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation from a to b.

    The ends are exact and the norm is interpolated linearly from |a| to |b|, as suits noise; a straight line would pass
    through points of too small a norm.

    Args:
        a: (...).
        b: (...).
        share: (K,) positions between a (0) and b (1).

    Returns:
        (K, ...).
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
    """Interpolate linearly between two motions with the same noise added to both, then denoise by DDIM.

    With equal noise, every point in between has noise of the right size. The first time determines how far results may
    be from a and b; near T, coarse features are mixed.

    Args:
        denoise: denoiser for K motions.
        a: (...) first motion.
        b: (...) second motion.
        share: (K,) positions between a (0) and b (1).
        schedule: the noise schedule.
        times: descending to 0; noise is added at the first.
        eps: (...) the noise.

    Returns:
        (K, ...).
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
    """Interpolate spherically between the noises found by DDIM inversion of two motions, then sample by DDIM.

    Args:
        denoise_ends: denoiser for the two motions.
        denoise: denoiser for K motions.
        a: (...) first motion.
        b: (...) second motion.
        share: (K,) positions between a (0) and b (1).
        schedule: the noise schedule.
        times: from T to 0. The reconstruction of a and b is of first order in the steps.

    Returns:
        (K, ...).

    Raises:
        InputError: if the times do not start at T.
    """
    if times[0] != schedule.T:
        raise InputError(f"inversion leads to T = {schedule.T}, but the times start at {times[0]}")
    z_a, z_b = ddim_inversion(denoise_ends, torch.stack([a, b]), schedule, times)
    return ddim(denoise, slerp(z_a, z_b, share), schedule, times)
