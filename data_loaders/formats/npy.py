"""Arrays out of .npy files from elsewhere. Nothing is ever unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.resampling import check_length
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_npz import MAX_UNPACKED

Shape = tuple[int | None, ...]


def read_npy(
    path: Path, shape: Shape, remedy: str, *, or_shape: Shape | None = None, longest: float | None = None
) -> NDArray[np.float64]:
    """The numbers of a file. shape, or_shape: what it must be, or may be too, None for any length but 0.

    longest: seconds that its rows may last, frames at this project's rate. remedy: what to do about a file that cannot
    be used. Raises FileNotFoundError, or InputError for one that is empty, damaged or pickled (which could run anything
    when it is read), longer, has another shape, or numbers that are not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {remedy}")
    if (size := path.stat().st_size) == 0:
        raise InputError(f"{path} is empty; {remedy}")
    if size > MAX_UNPACKED:
        raise InputError(f"{path} has {size / 2**20:.0f} MB, and {MAX_UNPACKED // 2**20} MB are read at most; {remedy}")
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # what numpy raises on damaged bytes is open-ended
        if "Object arrays" in str(error):
            raise InputError(f"{path} is a pickle, which could run anything, and was not read; {remedy}") from None
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"{path} is no .npy file, or damaged ({reason}); {remedy}") from None
    shapes = [each for each in (shape, or_shape) if each]
    if not any(_fits(array.shape, each) for each in shapes):
        wanted = " or ".join(f"({', '.join('frames' if n is None else str(n) for n in each)})" for each in shapes)
        raise InputError(f"{path} has shape {array.shape} where {wanted} should be; {remedy}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {array.dtype}, no numbers; {remedy}")
    check_length(path, len(array), FPS, longest)
    numbers = array.astype(np.float64)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if not finite.all():
        what = "frame" if shape[0] is None else "feature"
        raise InputError(f"{path}: {what} {finite.argmin()} is not all finite numbers; {remedy}")
    return numbers


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    return len(found) == len(shape) and all(m and n in (None, m) for m, n in zip(found, shape, strict=True))
