"""Random draws of a training, keyed by (seed, purpose, index): noise, dropped texts, and masks of observed positions.

Hence draws are independent of the number of processes, of workers, of micro-batches and of restarts. Dropout is the
exception: torch draws it for all examples of a micro-batch at once, so with dropout a restart is exact but another
number of processes or micro-batches gives other results.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from motion_diffusion.body.skeleton import JOINTS, KEY_JOINTS

GOAL_JOINTS = tuple(map(JOINTS.index, KEY_JOINTS))
"""Indices of the joints that goals are usually given for."""


class Purpose(IntEnum):
    """Purposes of random numbers, and the index that keys them."""

    ORDER = 0
    """Order of the batches in a window; by window."""
    TIMES = 1
    """Diffusion times of the whole batch; by step."""
    EXAMPLE = 2
    """Noise, dropped text and observed positions; by example."""
    DROPOUT = 3
    """Dropout; by step and the position of the micro-batch in its batch."""
    HELD_OUT = 4
    """The same for held-out examples; by example, and without an index for the times of all of them."""


def seed_of(seed: int, purpose: Purpose, *index: int) -> int:
    """Derive a seed of 63 bits from the seed of a training, a purpose and an index."""
    return int(np.random.SeedSequence((seed, purpose, *index)).generate_state(1, np.uint64)[0]) & (2**63 - 1)


def generator(seed: int, purpose: Purpose, *index: int) -> torch.Generator:
    """Create the generator for a purpose and an index."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *index))


class Drawn(NamedTuple):
    """Random draws for one example of F frames."""

    drop_text: bool
    """Whether to train without its text."""
    eps: Tensor
    """(F, D) noise."""
    motion_mask: Tensor | None
    """(F, 22, 3) bool, the observed positions; None for models without masks."""


@dataclass(frozen=True)
class ExampleDraws:
    """Random draws for examples, keyed by their index."""

    seed: int
    purpose: Purpose
    features: int
    """D, features per frame."""
    masks: bool
    """Whether to draw observed positions."""
    drop_text: float = 0.0
    """Probability of dropping the text."""
    drop_masks: float = 0.0
    """Probability of observing nothing."""

    def draw(self, index: int, frames: int) -> Drawn:
        """Draw for an example, given its index and its number of frames."""
        source = generator(self.seed, self.purpose, index)
        drop_text = torch.rand((), generator=source).item() < self.drop_text
        eps = torch.randn(frames, self.features, generator=source)
        mask = draw_motion_mask(frames, source, drop=self.drop_masks) if self.masks else None
        return Drawn(drop_text, eps, mask)


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
