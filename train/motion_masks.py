"""What a network with masks is told while it trains: some positions of some joints at some frames."""

from __future__ import annotations

import torch
from torch import Tensor

from motion_diffusion.body.skeleton import JOINTS, KEY_JOINTS

TOLD = tuple(map(JOINTS.index, KEY_JOINTS))
"""The joints that people give goals for."""


def known_positions(frames: int, generator: torch.Generator, *, nothing: float) -> Tensor:
    """(frames, 22, 3) bool: what is known of a motion, drawn at random.

    nothing: chance that nothing is. Else the joints are the pelvis alone, some of `TOLD`, all of those, or all there
    are; the frames are all, a few or many (their number even in its logarithm), a stretch, or both ends; and the axes
    all three, for the pelvis mostly x and z, or a subset of them.
    """
    if _chance(generator) < nothing:
        return torch.zeros(frames, len(JOINTS), 3, dtype=torch.bool)
    return _frames(frames, generator)[:, None, None] & _entries(generator)


def _frames(count: int, generator: torch.Generator) -> Tensor:
    """(count,) bool: frames at which something is known."""
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
        some = torch.randperm(len(TOLD), generator=generator)[: 1 + _integer(3, generator)]
        entries[[TOLD[i] for i in some.tolist()]] = True
    elif kind < 0.8:
        entries[list(TOLD)] = True
    else:
        entries[:] = True
    if _chance(generator) < (0.7 if kind < 0.35 else 0.25):
        entries[0, 1] = False  # above a place on the floor, at any height
    if _chance(generator) < 0.15:
        entries &= torch.rand(entries.shape, generator=generator) < 0.6
    return entries


def _chance(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
