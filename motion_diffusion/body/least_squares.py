"""The least-squares reading: one path from features that say twice where it goes, by positions and by velocities.

For every coordinate over time, with p the positions, v the velocities (metres a frame) and D the forward difference,

    x = argmin |x - p|² + w·|D x - v|²,        (I + w·DᵀD) x = p + w·Dᵀ v,

so x = p + K (v - D p) with K = w·(I + w·DᵀD)⁻¹·Dᵀ. Where p and v agree, x = p exactly. K depends on the number of
frames alone: it is found once, in float64, and reading is one matrix product, linear in the features.
"""

from __future__ import annotations

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
    if lengths is None or bool((lengths == frames).all()):
        return positions + _kernel(frames, weight).to(residual) @ residual
    counts, which = torch.unique(lengths.cpu(), return_inverse=True)
    kernels = torch.zeros(len(counts), frames, frames - 1, dtype=torch.float64)
    for kernel, count in zip(kernels, counts.tolist(), strict=True):
        kernel[:count, : count - 1] = _kernel(count, weight)
    steps = torch.arange(frames - 1, device=lengths.device) < lengths[..., None] - 1
    residual = residual.where(steps[..., None].to(residual.device), 0)
    return positions + kernels.to(residual)[which] @ residual
