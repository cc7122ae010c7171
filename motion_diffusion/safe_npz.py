"""Arrays out of .npz files. Nothing is ever unpickled, and no more is unpacked than a motion needs."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.errors import InputError

MAX_UNPACKED = 2**30
"""Bytes of arrays that are read from one file: more than an hour of motion, or a body model, has."""


def read_members(path: Path, names: Collection[str], remedy: str) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an .npz file has; what else is in it is not touched.

    remedy: what to do about a file that cannot be used. Raises FileNotFoundError, or InputError for a file that is
    damaged, no .npz, unpacks to more than `MAX_UNPACKED` bytes, or has one of the names as a pickle, which could run
    anything when it is read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {remedy}")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path} is no .npz file, or damaged; {remedy}")
        with np.load(path, allow_pickle=False) as file:
            wanted = [name for name in names if name in file]
            if (size := unpacked(path, wanted)) > MAX_UNPACKED:
                most = MAX_UNPACKED // 2**20
                raise InputError(f"{path} unpacks to {size / 2**20:.0f} MB, and {most} MB are read at most; {remedy}")
            return {name: _member(path, file, name, remedy) for name in wanted}
    except InputError:
        raise
    except Exception as error:  # what zipfile and numpy raise on damaged bytes is open-ended
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"{path} is damaged ({reason}); {remedy}") from None


def unpacked(file: Path | IO[bytes], names: Collection[str] | None = None) -> int:
    """Bytes of the named arrays of an .npz file, or of all that is in it, as its directory says: no more are read.

    Raises BadZipFile for what is none, or is packed in another way than NumPy packs.
    """
    with zipfile.ZipFile(file) as archive:
        entries = [e for e in archive.infolist() if names is None or e.filename.removesuffix(".npy") in names]
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise zipfile.BadZipFile("not packed as NumPy does")  # others are unpacked further than they are read
    return sum(entry.file_size for entry in entries)


def _member(path: Path, file: Any, name: str, remedy: str) -> NDArray[Any]:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(f"{path}: {name} is a pickle, which could run anything, and was not read; {remedy}") from None
