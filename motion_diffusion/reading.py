"""The least-squares reading: one path from features that say twice where it goes, by positions and by velocities.

For every coordinate over time, with p the positions, v the velocities (metres a frame) and D the forward difference,

    x = argmin |x - p|² + w·|D x - v|²,        (I + w·DᵀD) x = p + w·Dᵀ v,

so x = p + K (v - D p) with K = w·(I + w·DᵀD)⁻¹·Dᵀ. Where p and v agree, x = p exactly. K depends on the number of
frames alone: it is found once, in float64, and reading is one matrix product, linear in the features.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

VELOCITY_WEIGHT = 1000.0
"""w: how much a velocity counts against a position. It averages positions over about √w ≈ 32 frames."""


@lru_cache(maxsize=256)
def _kernel(frames: int, weight: float) -> Tensor:
    """K (frames, frames - 1), float64."""
    identity = torch.eye(frames, dtype=torch.float64)
    difference = identity.diff(dim=0)
    kernel: Tensor = weight * torch.linalg.solve(identity + weight * difference.T @ difference, difference.T)
    return kernel


def least_squares(
    positions: Tensor, velocities: Tensor, *, lengths: Tensor | None = None, weight: float = VELOCITY_WEIGHT
) -> Tensor:
    """The path x that fits positions (..., F, C) and velocities (..., F, C), in metres and metres a frame: (..., F, C).

    velocities[t] leads from frame t to t + 1; the last one is not used. lengths: (...) frames that count in each item
    of the batch; later frames influence nothing and are returned as they were.
    """
    frames = positions.shape[-2]
    residual = velocities[..., :-1, :] - positions.diff(dim=-2)
    if lengths is None:
        return positions + _kernel(frames, weight).to(residual) @ residual
    counts, which = torch.unique(lengths.cpu(), return_inverse=True)
    kernels = torch.zeros(len(counts), frames, frames - 1, dtype=torch.float64)
    for kernel, count in zip(kernels, counts.tolist(), strict=True):
        kernel[:count, : count - 1] = _kernel(count, weight)
    steps = torch.arange(frames - 1, device=lengths.device) < lengths[..., None] - 1
    residual = residual.where(steps[..., None].to(residual.device), 0)
    return positions + kernels.to(residual)[which] @ residual


def constrain(
    x: Tensor,
    target: Tensor,
    mask: Tensor,
    *,
    lengths: Tensor | None = None,
    weight: float = VELOCITY_WEIGHT,
) -> Tensor:
    """The same least-squares problem with hard rows: x = target where mask, the rest as near the old minimum as it can.

    x: (..., F, C), a path from `least_squares` with the same lengths and weight; target, mask (bool): like x.

    The change c that this takes is known where a frame is given and has (I + w·DᵀD) c = 0 elsewhere. With
    cosh θ = 1 + 1/(2w), between two given frames, a frames after the one and b before the other,

        c = (sinh(θ·b) c_before + sinh(θ·a) c_after) / sinh(θ·(a + b)),

    and beyond the first and the last one as if the path were mirrored at its ends.
    """
    frames = x.shape[-2]
    time = torch.arange(frames, device=x.device)[:, None].expand(x.shape)
    count = torch.full_like(time, frames) if lengths is None else lengths.to(x.device)[..., None, None].expand(x.shape)
    given = mask & (time < count)
    change = torch.where(given, target.to(x.dtype) - x, 0)
    before = torch.where(given, time, -1).cummax(-2).values
    after = torch.where(given, time, frames).flip(-2).cummin(-2).values.flip(-2)
    is_first, is_last = before < 0, after == frames
    c_before = change.gather(-2, torch.where(is_first, after, before).clamp_max(frames - 1))
    c_after = change.gather(-2, torch.where(is_last, before, after).clamp_min(0))
    a = time - torch.where(is_first, -1 - after, before)
    b = torch.where(is_last, 2 * count - 1 - before, after) - time
    free = (time < count) & ~given
    theta = math.acosh(1 + 1 / (2 * weight))
    share_before, share_after = (_sinh_ratio(theta, u, a + b).where(free, 0).to(x.dtype) for u in (b, a))
    return torch.where(given, target.to(x.dtype), x + share_before * c_before + share_after * c_after)


def _sinh_ratio(theta: float, steps: Tensor, whole: Tensor) -> Tensor:
    """sinh(θ·steps) / sinh(θ·whole) for 0 ≤ steps ≤ whole, in float64, without overflow."""
    u, span = theta * steps.double(), theta * whole.double()
    return torch.exp(u - span) * torch.expm1(-2 * u) / torch.expm1(-2 * span)
