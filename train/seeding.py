"""Random draws of a training, keyed by (seed, purpose, index).

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

from train.motion_masks import draw_motion_mask


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
