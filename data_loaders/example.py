"""What every data set of the project yields: the joints of a clip and a sentence about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """One clip. joints: (frames, 22, 3) float32, metres, y up, 20 frames a second; text: its caption."""

    joints: NDArray[np.float32]
    text: str


class Examples(Protocol):
    """A data set: any index from 0 on gives an example, always the same one."""

    def example(self, index: int) -> Example: ...

    def frames(self, index: int) -> int:
        """The length of `example(index)`; made, if there is no cheaper way to tell."""
        ...


class Remembered:
    """A data set whose last examples are kept, so that those asked for their length are not made twice."""

    def __init__(self, examples: Examples, count: int = 4096):
        self.examples, self.example = examples, lru_cache(count)(examples.example)

    def frames(self, index: int) -> int:
        """The length of `example(index)`."""
        return len(self.example(index).joints)
