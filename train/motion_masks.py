"""Random masks of observed positions, on which models with masks are conditioned during training."""

from __future__ import annotations

import torch
from torch import Tensor

from motion_diffusion.body.skeleton import JOINTS, KEY_JOINTS

GOAL_JOINTS = tuple(map(JOINTS.index, KEY_JOINTS))
"""Indices of the joints that goals are usually given for."""


def draw_motion_mask(frames: int, generator: torch.Generator, *, drop: float) -> Tensor:
    """Draw which positions of a motion are observed.

    The joints are the pelvis alone, some of `GOAL_JOINTS`, all of them, or all joints. The frames are all frames, a few
    or many (their number is log-uniform), an interval, or both ends. The axes are all three, for the pelvis mostly x
    and z, or a random subset.

    Args:
        frames: Number of frames F.
        generator: Source of randomness.
        drop: Probability of observing nothing, for classifier-free guidance.

    Returns:
        (F, 22, 3) bool.
    """
    if _chance(generator) < drop:
        return torch.zeros(frames, len(JOINTS), 3, dtype=torch.bool)
    return _frames(frames, generator)[:, None, None] & _entries(generator)


def _frames(count: int, generator: torch.Generator) -> Tensor:
    """(count,) bool: frames at which something is observed."""
    kind, chosen = _chance(generator), torch.zeros(count, dtype=torch.bool)
    if kind < 0.1:
        chosen[:] = True
    elif kind < 0.65:
        many = round(count ** _chance(generator))
        chosen[torch.randperm(count, generator=generator)[:many]] = True
    elif kind < 0.85:
        first, last = sorted(_integer(count, generator) for _ in range(2))
        chosen[first : last + 1] = True
    else:
        chosen[: 1 + _integer(max(count // 4, 1), generator)] = True
        chosen[count - 1 - _integer(max(count // 4, 1), generator) :] = True
    return chosen


def _entries(generator: torch.Generator) -> Tensor:
    """(22, 3) bool: joints and axes."""
    kind, entries = _chance(generator), torch.zeros(len(JOINTS), 3, dtype=torch.bool)
    if kind < 0.35:
        entries[0] = True
    elif kind < 0.7:
        some = torch.randperm(len(GOAL_JOINTS), generator=generator)[: 1 + _integer(3, generator)]
        entries[[GOAL_JOINTS[i] for i in some.tolist()]] = True
    elif kind < 0.8:
        entries[list(GOAL_JOINTS)] = True
    else:
        entries[:] = True
    if _chance(generator) < (0.7 if kind < 0.35 else 0.25):
        entries[0, 1] = False  # a way-point on the floor leaves the height free
    if _chance(generator) < 0.15:
        entries &= torch.rand(entries.shape, generator=generator) < 0.6
    return entries


def _chance(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
