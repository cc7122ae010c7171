"""Arrays out of .npz files from elsewhere. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.errors import InputError


def read_members(path: Path, names: Collection[str], remedy: str) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an .npz file has; what else is in it is not touched.

    remedy: what to do about a file that cannot be used. Raises FileNotFoundError, or InputError for a file that is
    damaged, no .npz, or has one of the names as a pickle, which could run anything when it is read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {remedy}")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path} is no .npz file, or damaged; {remedy}")
        with np.load(path, allow_pickle=False) as file:
            return {name: _member(path, file, name, remedy) for name in names if name in file}
    except InputError:
        raise
    except Exception as error:  # what zipfile and numpy raise on damaged bytes is open-ended
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"{path} is damaged ({reason}); {remedy}") from None


def _member(path: Path, file: Any, name: str, remedy: str) -> NDArray[Any]:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(f"{path}: {name} is a pickle, which could run anything, and was not read; {remedy}") from None
