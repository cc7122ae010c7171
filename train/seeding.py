"""Every random number of training comes from a generator of its own: of the seed, what it is for, and which one it is.

So it matters to nobody how many processes there are, in how many parts they go through a batch, which worker prepared
an example, or whether the run was stopped on the way. Dropout alone is drawn by torch for all examples of a part at
once: with dropout, a run can be stopped, but other parts and processes give other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.motion_masks import known_positions


class Use(IntEnum):
    """What random numbers are for."""

    ORDER = 0
    """By window: the order of its batches."""
    TIMES = 1
    """By step: the noise levels of the whole batch."""
    EXAMPLE = 2
    """By example: noise, hidden words, known positions."""
    DROPOUT = 3
    """By step and place of the first example in its batch."""
    HELD_OUT = 4
    """By held-out example; and the noise levels of all of them."""


def seed_of(seed: int, use: Use, *which: int) -> int:
    """A seed of 63 bits."""
    return int(np.random.SeedSequence((seed, use, *which)).generate_state(1, np.uint64)[0]) & (2**63 - 1)


def generator(seed: int, use: Use, *which: int) -> torch.Generator:
    """The generator for a use, by number."""
    return torch.Generator().manual_seed(seed_of(seed, use, *which))


class Drawn(NamedTuple):
    """What is drawn for an example of F frames."""

    hide: bool
    """Whether its words are hidden."""
    eps: Tensor
    """(F, D), the noise."""
    known: Tensor | None
    """(F, 22, 3) bool, which positions are known; None for models without masks."""


@dataclass(frozen=True)
class Draws:
    """Draws for examples by number."""

    seed: int
    use: Use
    features: int
    """D, numbers a frame."""
    masks: bool
    drop_text: float = 0.0
    drop_masks: float = 0.0

    def draw(self, index: int, frames: int) -> Drawn:
        """For example number `index`, of so many frames."""
        source = generator(self.seed, self.use, index)
        hide = torch.rand((), generator=source).item() < self.drop_text
        eps = torch.randn(frames, self.features, generator=source)
        return Drawn(hide, eps, known_positions(frames, source, nothing=self.drop_masks) if self.masks else None)
