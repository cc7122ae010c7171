"""The amount of data unpacked from .npz files is bounded."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import MAX_UNPACKED, read_members


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.npz"


def claim(path: Path, member: str, size: int) -> None:
    """Set the size of a member in an archive's directory."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.getinfo(member).file_size = size
        archive.comment = b"changed"  # forces the directory to be rewritten


def test_read_members_bounds_unpacked_size(path: Path) -> None:
    np.savez_compressed(path, a=np.zeros(100), b=np.zeros(100))
    claim(path, "a.npy", 6 * 2**30)
    with pytest.raises(InputError, match=re.escape(f"{path} unpacks to 6144 MB, and 1024 MB are read at most; again")):
        read_members(path, ("a",), "again")
    assert read_members(path, ("b", "c"), "again").keys() == {"b"}  # the other member is not read
    claim(path, "a.npy", MAX_UNPACKED // 2)
    claim(path, "b.npy", MAX_UNPACKED // 2 + 1)
    with pytest.raises(InputError, match="unpacks to 1024 MB"):
        read_members(path, ("a", "b"), "again")


def test_no_more_is_unpacked_than_the_directory_says(path: Path) -> None:
    np.savez_compressed(path, a=np.zeros(10**6))
    claim(path, "a.npy", 1000)
    with pytest.raises(InputError, match="is damaged"):
        read_members(path, ("a",), "again")


@pytest.mark.parametrize("count", [10**6, 10**11, 10**18])
def test_a_header_that_claims_more_than_there_is(path: Path, count: int) -> None:
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (count,)})
        file.write(bytes(8000))
    with pytest.raises(InputError, match="is damaged"):
        read_members(path, ("a",), "again")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_does_not_pack_so_is_refused(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array(file, np.zeros(3))
    with pytest.raises(InputError, match="not packed as NumPy does"):
        read_members(path, ("a",), "again")


def test_a_motion_lasts_an_hour_at_most(path: Path) -> None:
    """In whole numbers of one byte, which would become four times as many."""
    Motion(torch.zeros(2, 22, 3)).save(path)
    with np.load(path) as file:
        entries = dict(file)
    for frames, fps in ((72_001, 20.0), (3601, 1e-3)):
        np.savez_compressed(path, **(entries | {"joints": np.zeros((frames, 22, 3), "u1"), "fps": np.array(fps)}))
        with pytest.raises(InputError, match=re.escape(f"{path} lasts more than 3600 s; give a shorter motion")):
            Motion.load(path)
