"""A lock on a folder that one command at a time may write to."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from motion_diffusion.errors import InputError

LOCK = ".lock"


@contextmanager
def locked(folder: str | Path, option: str) -> Iterator[None]:
    """Hold a folder, made if it is missing, for this process alone; the system frees it however the process ends.

    Afterwards the folder is removed again if nothing was written to it.
    option: the one that names the folder, for the message. Raises InputError that names the holder if there is one,
    OSError if the folder cannot be written.
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
