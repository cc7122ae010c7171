"""Atomic file writes, locks on folders, tensors and JSON on disk, and the cache folder."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar
from uuid import uuid4

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from motion_diffusion.errors import InputError, first_problem

T = TypeVar("T")

MARK = "Temporary folder of motion-diffusion, removed when its file is complete or its writer has ended.\n"
"""Content of the file that marks a temporary folder as created by `atomic`."""

EMPTIED = 60.0
"""Seconds after which an empty temporary folder, or one with an empty mark, counts as abandoned."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Write a file or folder atomically.

    Yields a temporary path on the same file system, which is renamed to `path` when the block succeeds and removed
    otherwise. The temporary name keeps the suffix, since many writers choose the format by it. If `path` is a link, its
    target is replaced. The temporary path lies in a hidden folder beside `path` that carries a mark and is locked
    meanwhile; folders left by killed processes are removed by the next write beside them.

    Raises:
        InputError: if `path` cannot be written.
    """
    given, path = path, Path(os.path.realpath(path))
    folder = path.with_name(f".half-{uuid4().hex[:8]}")
    temporary, lock = folder / f".half{path.suffix}", FileLock(folder / "mark", timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        folder.mkdir()
        lock.acquire()
        (folder / "mark").write_text(MARK)
        yield temporary
        _finish(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        about = folder if error.filename is None else Path(error.filename)
        if about != path.parent and folder not in (about, *about.parents):
            raise  # concerns another file
        raise _cannot(given, error) from None
    finally:
        _remove(folder, lock)


def _finish(written: Path) -> None:
    """Flush a file, or the files of a folder, to disk and give them the permissions of any new file."""
    (fresh := written.with_name("fresh")).touch()
    mode = stat.S_IMODE(fresh.stat().st_mode)
    for file in written.iterdir() if written.is_dir() else [written]:
        file.chmod(mode)  # safetensors creates files readable by their owner only
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _remove(folder: Path, lock: FileLock) -> None:
    """Remove a temporary folder; its mark goes last, so that the rest of an interrupted removal is still recognised."""
    for left in folder.glob("[!m]*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=1024)
def _remove_leftovers(folder: Path) -> None:
    """Remove temporary folders of `atomic` whose writers were killed; once per process and folder."""
    for left in folder.glob(".half-*"):
        mark = left / "mark"
        if not re.fullmatch(r"\.half-[0-9a-f]{8}", left.name):
            continue
        with suppress(OSError, Timeout, UnicodeDecodeError):
            content = mark.read_text() if mark.exists() else ""
            if content == MARK:
                with FileLock(mark, timeout=0):
                    pass  # no writer is active
                shutil.rmtree(left, ignore_errors=True)
            elif not content and time.time() - left.stat().st_mtime > EMPTIED:
                mark.unlink(missing_ok=True)
                left.rmdir()  # fails unless empty


def check_place(path: str | Path) -> None:
    """Raise InputError if `path` cannot be written. Meant to be called before long computations."""
    place = Path(os.path.realpath(path))
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(place.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(folder for folder in place.parents if folder.exists())
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot(path, error) from None


def _cannot(path: str | Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written ({error.strerror or error}); choose another place")


def _flush(directory: Path) -> None:
    """Flush the renames in a directory to disk. Not on Windows, which does not open directories."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path, kind: type[T], remedy: str) -> T:
    """Read a JSON file as a dataclass.

    Args:
        path: the file.
        kind: the dataclass.
        remedy: appended to error messages.

    Raises:
        InputError: names the invalid field.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        place, problem = first_problem(error)
        raise InputError(f"{path}: {'.'.join(map(str, place)) or 'the file'}: {problem}; {remedy}") from None


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file. Raises OSError, like other writers, if the disk is full or read-only."""
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path, metadata)
    except SafetensorError as error:
        if (found := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number)) from None


def cache_folder() -> Path:
    """`motion-diffusion` in the user's cache folder: in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "motion-diffusion"


LOCK = ".lock"


@contextmanager
def locked(folder: str | Path, option: str) -> Iterator[None]:
    """Lock a folder for this process.

    The folder is created if missing, and removed again if nothing was written to it. The operating system releases the
    lock however the process ends.

    Args:
        folder: the folder to lock.
        option: command-line option that names the folder, for error messages.

    Raises:
        InputError: if another process holds the lock; names the process.
        OSError: if the folder cannot be written.
    """
    path = Path(folder) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{folder} is in use by {_holder(path)}; wait for it, or give another {option}") from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M}")
        yield
    finally:
        with suppress(OSError):
            path.write_text("")
            if list(path.parent.iterdir()) == [path]:
                path.unlink()
                path.parent.rmdir()
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if holder := path.read_text():
            return holder[:200]
    return "another process"
