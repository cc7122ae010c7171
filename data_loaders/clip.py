"""A clip of a data set: where the joints are, what is said about it, and to which part of the data it belongs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from motion_diffusion.body.heading import to_origin

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Caption:
    """A sentence about a clip, or about a part of it."""

    text: str
    start: float = 0.0
    end: float = 0.0
    """Seconds of the clip that it is about; both 0: the whole of it (as in HumanML3D's files)."""
    tokens: tuple[str, ...] = ()
    """Its words with their part of speech, such as "walk/VERB", where the data set has them."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip.

    joints: (F, 22, 3) float32 metres, y up, 20 frames a second, from the origin, facing +z; the floor is y = 0.
    """

    name: str
    joints: NDArray[np.float32]
    split: Split = "train"
    captions: tuple[Caption, ...] = ()
    action: str = ""
    style: str = ""
    """Labels, where the data set has them: "walk-turn-left", "elderly"."""


def from_origin(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Joints (F, 22, 3) as a `Clip` has them: beginning at the origin and facing +z. Heights stay."""
    return to_origin(torch.from_numpy(joints)).numpy().astype(np.float32)


def split_of(name: str) -> Split:
    """Which part a clip belongs to where the data set does not say, by a hash of its name: 90 %, 5 %, 5 %."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.9 else "val" if share < 0.95 else "test"
