"""The least-squares reading: one path from features that say twice where it goes, by positions and by velocities.

For every coordinate over time, with p the positions, v the velocities (metres a frame) and D the forward difference,

    x = argmin |x - p|² + w·|D x - v|²,        (I + w·DᵀD) x = p + w·Dᵀ v,

so x = p + K (v - D p) with K = w·P·Dᵀ and P = (I + w·DᵀD)⁻¹. Where p and v agree, x = p exactly. P and K depend on the
number of frames alone: they are found once, in float64, and reading is one matrix product, linear in the features.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

VELOCITY_WEIGHT = 1000.0
"""w: how much a velocity counts against a position. It averages positions over about √w ≈ 32 frames."""


@lru_cache(maxsize=256)
def _system(frames: int, weight: float) -> tuple[Tensor, Tensor]:
    """P (frames, frames) and K (frames, frames - 1), float64."""
    identity = torch.eye(frames, dtype=torch.float64)
    difference = identity.diff(dim=0)
    inverse = torch.linalg.inv(identity + weight * difference.T @ difference)
    return inverse, weight * inverse @ difference.T


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
        return positions + _system(frames, weight)[1].to(residual) @ residual
    counts, which = torch.unique(lengths.cpu(), return_inverse=True)
    kernels = torch.zeros(len(counts), frames, frames - 1, dtype=torch.float64)
    for kernel, count in zip(kernels, counts.tolist(), strict=True):
        kernel[:count, : count - 1] = _system(count, weight)[1]
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
    With S the frames of a coordinate that are given, x ← x + P[:, S] P[S, S]⁻¹ (target - x)[S] (Lagrange multipliers).
    """
    frames = x.shape[-2]
    counts = torch.full(x.shape[:-2], frames) if lengths is None else lengths.cpu().expand(x.shape[:-2])
    mask = mask & (torch.arange(frames) < counts[..., None])[..., None].to(mask.device)
    residual = (target - x).where(mask, 0).transpose(-1, -2).reshape(-1, frames)
    given = mask.transpose(-1, -2).reshape(-1, frames).cpu()
    rows = given.any(-1).nonzero()[:, 0]
    if not len(rows):
        return x
    counts = counts[..., None].expand(*x.shape[:-2], x.shape[-1]).reshape(-1)
    # Coordinates with the same frames given, in motions of the same length, share their system.
    patterns, which = torch.unique(
        torch.cat([given[rows].int(), counts[rows, None].int()], 1), dim=0, return_inverse=True
    )
    corrections, order = [], []
    for index, pattern in enumerate(patterns):
        members = rows[which == index]
        count = int(pattern[-1])
        known = pattern[:-1].nonzero()[:, 0]
        inverse = _system(count, weight)[0]
        spread = torch.linalg.solve(inverse[known][:, known], inverse[known]).to(x.device)
        wanted = residual[members.to(x.device)][:, known.to(x.device)].to(spread.dtype)
        corrections.append(torch.nn.functional.pad(wanted @ spread, (0, frames - count)))
        order.append(members)
    correction = torch.zeros(residual.shape, dtype=torch.float64, device=x.device)
    correction = correction.index_copy(0, torch.cat(order).to(x.device), torch.cat(corrections))
    correction = correction.to(x.dtype).reshape(*x.shape[:-2], x.shape[-1], frames).transpose(-1, -2)
    return torch.where(mask, target.to(x.dtype), x + correction)
