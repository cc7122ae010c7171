"""Motions of other frame rates at this project's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError

SLOWEST, FASTEST = 1.0, 1000.0
"""Frames a second that motions from elsewhere may have; beyond, their files are damaged."""


def check_length(path: Path, frames: int, fps: float, longest: float | None) -> None:
    """InputError for a file that lasts longer than so many seconds, if these are given."""
    if longest is not None and frames > longest * fps * (1 + 1e-6):
        raise InputError(f"{path} lasts {frames / fps:.0f} s; give one of up to {longest:g} s, or cut it")


def resampled(values: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Values (F, ...), fps frames a second, at 20 frames a second: cubic (Catmull-Rom) interpolation over time.

    The first frame stays; the last is the last one that the values reach.
    """
    last, ratio = len(values) - 1, fps / FPS
    place = np.arange(int(last / ratio + 1e-6) + 1) * ratio
    index = np.minimum(place.astype(int), max(last - 1, 0))
    u = (place - index).reshape(-1, *[1] * (values.ndim - 1))
    before, a, b, after = (values[np.clip(index + k, 0, last)] for k in (-1, 0, 1, 2))
    return a + 0.5 * u * (b - before + u * (2 * before - 5 * a + 4 * b - after + u * (3 * (a - b) + after - before)))
