"""What went wrong inside the studio, on the terminal that runs it: each problem once, in a line.

What a page sends may be anything, and as often as it likes; the terminal must not be filled by it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path

_told: set[str] = set()
_LOGGERS = ("asyncio", "websockets.server")
"""Of the libraries, which write a whole traceback for every message that cannot be handled."""


def once(problem: str, words: str = "") -> None:
    """Print a problem, with words about it, unless it has been printed before."""
    if problem not in _told:
        _told.add(problem)
        print(" ".join(f"studio: {problem}{words}".split())[:300], file=sys.stderr, flush=True)


def failed(error: BaseException) -> None:
    """Print an exception that nobody expected: its kind, and where it came from, tell it from others."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    places = ", from ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    once(f"{type(error).__name__} at {places}", f": {error}")


class _Once(logging.Filter):
    """Takes exceptions out of what is logged, and tells each once."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            failed(error)
        return error is None


_ONCE = _Once()


def quiet(begin: bool = True) -> None:
    """From now on, or no more, tell what the libraries log of exceptions once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        (logger.addFilter if begin else logger.removeFilter)(_ONCE)
