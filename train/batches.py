"""Batches: examples side by side and what is drawn for each, made in the loader's processes, encoded on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_loaders.types import Example, Examples
from motion_diffusion.body.features import encode
from motion_diffusion.model import MotionModel
from train.length_bucketing import Buckets
from train.seeding import Draws


class Batch(NamedTuple):
    """B examples, padded to the longest, of F frames. A tuple, so that it can be pinned and goes between processes."""

    texts: list[str]
    joints: Tensor
    """(B, F, 22, 3) metres; the last frame is repeated."""
    lengths: Tensor
    """(B,) frames that exist."""
    hide: Tensor
    """(B,) bool: whose words are hidden."""
    eps: Tensor
    """(B, F, D), the noise; 0 where there is no frame."""
    known: Tensor | None
    """(B, F, 22, 3) bool: which positions are known, for models with masks."""

    @property
    def padding(self) -> int:
        """How many of the B·F frames do not exist."""
        return self.joints.shape[0] * self.joints.shape[1] - int(self.lengths.sum())


def make_batch(examples: Examples, indices: Sequence[int], draws: Draws) -> Batch:
    """The examples of these numbers, and what is drawn for them."""
    several = [examples.example(index) for index in indices]
    drawn = [draws.draw(index, len(example.joints)) for index, example in zip(indices, several, strict=True)]
    joints, lengths = pad(several)
    known = [each.known for each in drawn if each.known is not None]
    return Batch(
        [example.text for example in several],
        joints,
        lengths,
        torch.tensor([each.hide for each in drawn]),
        pad_sequence([each.eps for each in drawn], batch_first=True),
        pad_sequence(known, batch_first=True) if known else None,
    )


def pad(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Joints (B, F, 22, 3), of which each example repeats its last frame up to the longest one's, and lengths (B,)."""
    lengths = torch.tensor([len(example.joints) for example in examples])
    longest = int(lengths.max())
    padded = [np.pad(e.joints, ((0, longest - len(e.joints)), (0, 0), (0, 0)), mode="edge") for e in examples]
    return torch.from_numpy(np.stack(padded)), lengths


def encoded(joints: Tensor, lengths: Tensor, model: MotionModel) -> tuple[Tensor, Tensor]:
    """What the model sees of padded joints (B, F, 22, 3): normalised features x0 (B, F, D), and frames (B, F) bool."""
    frames = torch.arange(joints.shape[1], device=joints.device) < lengths.to(joints.device)[:, None]
    features = encode(joints, lengths=lengths, groups=model.config.features)
    return model.representation.normalise(features) * frames[..., None], frames


class Steps(torch.utils.data.Dataset[list[Batch]]):
    """One item a step, from `first` on: the parts of one process' share of its batch.

    Whoever prepares an item needs nothing from the others: any number of workers gives the same, and so does going on.
    """

    def __init__(
        self, examples: Examples, order: Buckets, draws: Draws, *, first: int, last: int, share: slice, part_size: int
    ):
        """share: this process' place in the batch."""
        self.examples, self.order, self.draws = examples, order, draws
        self.first, self.last, self.share, self.part_size = first, last, share, part_size

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, item: int) -> list[Batch]:
        if item >= len(self):
            raise IndexError(item)
        mine = self.order.of_step(self.first + item)[self.share]
        parts = [mine[i : i + self.part_size] for i in range(0, len(mine), self.part_size)]
        return [make_batch(self.examples, part, self.draws) for part in parts]
