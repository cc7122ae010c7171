"""Files that are either whole or not there, and where those go that can be made again."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from motion_diffusion.errors import InputError

T = TypeVar("T")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the name when the block ends well, else it vanishes.

    The temporary name keeps the ending, since many writers choose the format by it. A link stays one: what it leads to
    is replaced. InputError if it cannot be written.
    """
    given, path = path, Path(os.path.realpath(path))
    temporary = path.with_name(f".half-{uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.filename not in (None, temporary, str(temporary), path.parent, str(path.parent)):
            raise  # of another file
        raise _cannot(given, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_place(path: str | Path) -> None:
    """InputError if no file can be written to `path`, to be known before the work whose result it would hold."""
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
    """Let the renames in a directory reach the disk; Windows does not open directories."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path, kind: type[T], remedy: str) -> T:
    """A JSON file as a dataclass; InputError names the field that is wrong."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {first['msg']}; {remedy}") from None


def cache_folder() -> Path:
    """`motion-diffusion` in the user's cache folder: in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "motion-diffusion"
