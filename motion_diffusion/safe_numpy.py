"""Reading of .npy and .npz files of unknown origin, without unpickling and with bounded memory."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.errors import InputError

MAX_UNPACKED = 2**30
"""Maximum size in bytes of the arrays read from one file, more than an hour of motion or a body model needs."""

Shape = tuple[int | None, ...]
"""Shape of an array; None stands for any positive length."""


def read_npy(
    path: Path,
    shape: Shape,
    remedy: str,
    *,
    or_shape: Shape | None = None,
    check: Callable[[tuple[int, ...]], None] | None = None,
) -> NDArray[np.float64]:
    """Read the finite numbers of a .npy file as float64.

    Args:
        path: The file.
        shape: Required shape.
        remedy: Advice appended to error messages.
        or_shape: Alternative to `shape`.
        check: Called with the actual shape before the numbers are converted; refuses the file by raising InputError.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: If the file is empty, damaged, larger than `MAX_UNPACKED` or pickled (unpickling can execute
            arbitrary code), or if its shape or its numbers are invalid.
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
    except Exception as error:  # NumPy does not document its exceptions on damaged files
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
    if check is not None:
        check(array.shape)
    numbers = array.astype(np.float64)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if not finite.all():
        what = "frame" if shape[0] is None else "feature"
        raise InputError(f"{path}: {what} {finite.argmin()} is not all finite numbers; {remedy}")
    return numbers


def read_members(path: Path, names: Collection[str], remedy: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz file that have one of the given names, without touching its other members.

    Args:
        path: The file.
        names: Names of the arrays; missing ones are left out of the result.
        remedy: Advice appended to error messages.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: If the file is damaged or no .npz file, if the arrays unpack to more than `MAX_UNPACKED` bytes, or
            if one of them is pickled (unpickling can execute arbitrary code).
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {remedy}")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path} is no .npz file, or damaged; {remedy}")
        with np.load(path, allow_pickle=False) as file:
            wanted = [name for name in names if name in file]
            if (size := unpacked_size(path, wanted)) > MAX_UNPACKED:
                most = MAX_UNPACKED // 2**20
                raise InputError(f"{path} unpacks to {size / 2**20:.0f} MB, and {most} MB are read at most; {remedy}")
            return {name: _member(path, file, name, remedy) for name in wanted}
    except InputError:
        raise
    except Exception as error:  # zipfile and NumPy do not document their exceptions on damaged files
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"{path} is damaged ({reason}); {remedy}") from None


def unpacked_size(file: Path | IO[bytes], names: Collection[str] | None = None) -> int:
    """Size in bytes of arrays of an .npz file according to its directory, which bounds what is read.

    Args:
        file: The archive.
        names: Names of the arrays; None for all of them.

    Raises:
        zipfile.BadZipFile: If the file is no zip archive, or uses a compression that NumPy does not use.
    """
    with zipfile.ZipFile(file) as archive:
        entries = [e for e in archive.infolist() if names is None or e.filename.removesuffix(".npy") in names]
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise zipfile.BadZipFile("not packed as NumPy does")  # other methods decompress beyond the declared size
    return sum(entry.file_size for entry in entries)


def _member(path: Path, file: Any, name: str, remedy: str) -> NDArray[Any]:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(f"{path}: {name} is a pickle, which could run anything, and was not read; {remedy}") from None


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    return len(found) == len(shape) and all(m and n in (None, m) for m, n in zip(found, shape, strict=True))
