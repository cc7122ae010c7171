"""Several pictures in one."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.errors import InputError
from visualize.drawing import style

ABREAST = 16
"""Motions side by side."""


def check_count(count: int, *, most: int = ABREAST) -> None:
    """InputError if so many motions cannot be seen in one picture."""
    if not 1 <= count <= most:
        raise InputError(f"{count} motions do not go into one picture; give 1 to {most}, or make pages of key poses")


def grid(count: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns for so many pictures; up to three are in one row if not told otherwise."""
    columns = columns or (count if count <= 3 else ceil(sqrt(count)))
    return ceil(count / columns), columns


def tiled(pictures: Sequence[NDArray[np.uint8]], *, columns: int | None = None) -> NDArray[np.uint8]:
    """Pictures of one size (height, width, 3) in one, row by row, see `grid`."""
    rows, columns = grid(len(pictures), columns)
    blank = np.full(pictures[0].shape, np.round(255 * style.rgb(style.BACKGROUND)), dtype=np.uint8)
    panels = [*pictures, *[blank] * (rows * columns - len(pictures))]
    return np.concatenate([np.concatenate(panels[row * columns :][:columns], axis=1) for row in range(rows)])
