"""Which examples make up a batch: within a window of some steps, those of like length, so that little is padded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_loaders.types import Examples
from train.seeding import Use, seed_of


class Buckets:
    """The examples of each step, the same ones for everybody who asks. Every index from 0 on comes once.

    A window is so many steps; its examples are the next ones in the data set, sorted by length into its batches, whose
    order is then drawn by (seed, window). A window of 1 sorts nothing, and asks no example for its length.
    """

    def __init__(self, examples: Examples, *, batch: int, window: int, seed: int):
        """batch: examples of a step, over all processes."""
        self.examples, self.batch, self.window, self.seed = examples, batch, window, seed
        self._sorted: tuple[int, NDArray[np.int64]] = (-1, np.zeros((0, 0), np.int64))

    def of_step(self, step: int) -> list[int]:
        """Indices of the examples of a step."""
        number, place = divmod(step, self.window)
        if self._sorted[0] != number:
            self._sorted = (number, self._sort(number))
        return self._sorted[1][place].tolist()

    def _sort(self, number: int) -> NDArray[np.int64]:
        """(window, batch) indices."""
        size = self.window * self.batch
        index = np.arange(number * size, (number + 1) * size)
        if self.window == 1:
            return index[None]
        lengths = [self.examples.frames(i) for i in index.tolist()]
        batches = index[np.argsort(lengths, kind="stable")].reshape(self.window, self.batch)
        order = np.random.default_rng(seed_of(self.seed, Use.ORDER, number)).permutation(self.window)
        return batches[order]
