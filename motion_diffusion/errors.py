"""Errors as part of the interface: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import ParamSpec

P = ParamSpec("P")

_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that ask a process to end, as ctrl-c does."""


class InputError(ValueError):
    """Something a user gave cannot be used; the message is one line: what, where, remedy."""


def command(main: Callable[P, None]) -> Callable[P, None]:
    """Make `main` a well-behaved command.

    What the user or the disk got wrong prints as one line, exit code 2. Ctrl-c, SIGTERM and SIGHUP unwind it, so that
    nothing is left half-written, exit code 128 and the signal's number.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _unwinding():
                main(*args, **kwargs)
        except (InputError, OSError) as error:
            print("error: " + " ".join(str(error).split()), file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt as stop:
            with suppress(OSError):  # its terminal is gone
                print("stopped", file=sys.stderr)
            (number,) = stop.args or (signal.SIGINT,)
            raise SystemExit(128 + number) from None

    return run


@contextmanager
def _unwinding() -> Iterator[None]:
    """Meanwhile signals that would end the process raise KeyboardInterrupt, with their number, in the main thread.

    Those that are ignored, as under nohup, or handled already stay as they are.
    """
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a worker that was forked
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        raise KeyboardInterrupt(number)

    here = threading.current_thread() is threading.main_thread()
    changed = [number for number in _ENDINGS if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
