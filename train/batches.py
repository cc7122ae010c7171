"""Batches: which examples belong to a step, what is drawn for each of them, and their encoding as features.

Batches are assembled in the data loader's worker processes and encoded on the device. An item depends only on the step
it belongs to, so any number of workers, and a resumed training, produce the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_loaders.types import Example, Examples
from motion_diffusion.body.features import encode
from motion_diffusion.model import MotionModel
from train.config import TrainingOptions
from train.seeding import ExampleDraws, Purpose, seed_of

T = TypeVar("T")


class Batch(NamedTuple):
    """B examples padded to F frames, the longest length. A tuple, so that a data loader can pin and transfer it."""

    texts: list[str]
    joints: Tensor
    """(B, F, 22, 3) joint positions in metres; padding repeats the last frame."""
    lengths: Tensor
    """(B,) number of frames before padding."""
    drop_text: Tensor
    """(B,) bool: examples trained without their text."""
    eps: Tensor
    """(B, F, D) noise; 0 in padding."""
    motion_mask: Tensor | None
    """(B, F, 22, 3) bool: observed positions, for models conditioned on an observed motion."""

    @property
    def padding(self) -> int:
        """Number of padded frames among the B·F."""
        return self.joints.shape[0] * self.joints.shape[1] - int(self.lengths.sum())


def make_batch(examples: Examples, indices: Sequence[int], draws: ExampleDraws) -> Batch:
    """Assemble the examples of some indices with what is drawn for each of them."""
    chosen = [examples.example(index) for index in indices]
    drawn = [draws.draw(index, len(example.joints)) for index, example in zip(indices, chosen, strict=True)]
    joints, lengths = pad(chosen)
    masks = [each.motion_mask for each in drawn if each.motion_mask is not None]
    return Batch(
        [example.text for example in chosen],
        joints,
        lengths,
        torch.tensor([each.drop_text for each in drawn]),
        pad_sequence([each.eps for each in drawn], batch_first=True),
        pad_sequence(masks, batch_first=True) if masks else None,
    )


def make_parts(
    examples: Examples, draws: ExampleDraws, share: slice, part_size: int, indices: Sequence[int]
) -> list[Batch]:
    """Assemble one process's share of a step's examples, in parts for gradient accumulation.

    Args:
        examples: The data set.
        draws: Random draws for each example.
        share: Which of the step's examples belong to this process.
        part_size: Examples in each part.
        indices: Examples of the step, over all processes.
    """
    mine = indices[share]
    return [make_batch(examples, mine[i : i + part_size], draws) for i in range(0, len(mine), part_size)]


def pad(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Stack examples as joints (B, F, 22, 3), padded by repeating their last frame, and lengths (B,)."""
    lengths = torch.tensor([len(example.joints) for example in examples])
    longest = int(lengths.max())
    padded = [np.pad(e.joints, ((0, longest - len(e.joints)), (0, 0), (0, 0)), mode="edge") for e in examples]
    return torch.from_numpy(np.stack(padded)), lengths


def encoded(joints: Tensor, lengths: Tensor, model: MotionModel) -> tuple[Tensor, Tensor]:
    """Encode padded joints (B, F, 22, 3) as the model's features.

    Returns:
        Normalised features x0 (B, F, D), 0 in padding, and the mask (B, F) bool of frames that are no padding.
    """
    frames = torch.arange(joints.shape[1], device=joints.device) < lengths.to(joints.device)[:, None]
    features = encode(joints, lengths=lengths, groups=model.config.features)
    return model.representation.normalise(features) * frames[..., None], frames


class LengthBuckets:
    """Assigns examples to steps so that the lengths in a batch are similar and little is padded.

    Every index from 0 on is used once. The examples of a window of consecutive steps are sorted by length into its
    batches, whose order is then drawn by (seed, window). A window of 1 keeps the data set's order.
    """

    def __init__(self, examples: Examples, *, batch: int, window: int, seed: int):
        """Create buckets for the steps of a training.

        Args:
            examples: The data set, which is only asked for lengths.
            batch: Examples in a step, over all processes.
            window: Steps in a window.
            seed: Seed of the training.
        """
        self.examples, self.batch, self.window, self.seed = examples, batch, window, seed
        self._sorted: tuple[int, NDArray[np.int64]] = (-1, np.zeros((0, 0), np.int64))

    def indices(self, step: int) -> list[int]:
        """Indices of the examples of a step."""
        number, place = divmod(step, self.window)
        if self._sorted[0] != number:
            self._sorted = (number, self._sort(number))
        return self._sorted[1][place].tolist()

    def _sort(self, number: int) -> NDArray[np.int64]:
        """Indices (window, batch) of a window."""
        size = self.window * self.batch
        index = np.arange(number * size, (number + 1) * size)
        if self.window == 1:
            return index[None]
        lengths = [self.examples.frames(i) for i in index.tolist()]
        batches = index[np.argsort(lengths, kind="stable")].reshape(self.window, self.batch)
        order = np.random.default_rng(seed_of(self.seed, Purpose.ORDER, number)).permutation(self.window)
        return batches[order]


class StepBatches(torch.utils.data.Dataset[T], Generic[T]):
    """A data set with one item for each step from `first` to before `last`: `make(indices of its examples)`."""

    def __init__(self, buckets: LengthBuckets, make: Callable[[list[int]], T], *, first: int, last: int):
        self.buckets, self.make, self.first, self.last = buckets, make, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, item: int) -> T:
        if item >= len(self):
            raise IndexError(item)
        return self.make(self.buckets.indices(self.first + item))


def step_loader(
    examples: Examples,
    options: TrainingOptions,
    make: Callable[[list[int]], T],
    *,
    first: int,
    processes: int = 1,
    pin_memory: bool = False,
) -> torch.utils.data.DataLoader[T]:
    """A data loader over the remaining steps of a training.

    Args:
        examples: The data set.
        options: Batch size of each process, number of steps, window, seed and workers.
        make: Assembles an item from the indices of a step's examples, over all processes. Must be picklable.
        first: Number of steps already taken.
        processes: Number of processes that train together.
        pin_memory: Whether to copy items to pinned memory, for GPUs.
    """
    buckets = LengthBuckets(examples, batch=processes * options.batch_size, window=options.window, seed=options.seed)
    return torch.utils.data.DataLoader(
        StepBatches(buckets, make, first=first, last=options.steps),
        batch_size=None,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        pin_memory=pin_memory,
    )
