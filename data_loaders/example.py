"""What every data set of the project yields: the joints of a clip and a sentence about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """One clip. joints: (frames, 22, 3) float32, metres, y up, 20 frames a second; text: its caption."""

    joints: NDArray[np.float32]
    text: str
