"""Threads of the studio: the event loop of each page, and the reports of unexpected errors.

Clients may send anything, as often as they like, and must not flood the terminal: each unexpected error is reported
once.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue

Task = Callable[[], None]
MAX_QUEUED = 1000
"""Maximum number of pending tasks; further ones are dropped."""


class EventLoop:
    """A thread that runs posted tasks in order and calls a function periodically.

    Attributes:
        ticking: whether the periodic function is called.
    """

    def __init__(self, tick: Task, *, rate: float = 30.0):
        """Start the thread.

        Args:
            tick: called periodically while `ticking`.
            rate: calls per second.
        """
        self.ticking = False
        self._tick, self._between = tick, 1 / rate
        self._tasks: Queue[Task | None] = Queue()
        self._newest: dict[str, Task] = {}
        self._later: dict[str, tuple[float, Task]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="studio-event-loop", daemon=True)
        self._thread.start()

    def post(self, task: Task) -> bool:
        """Schedule a task unless the loop is full. Returns whether it was scheduled."""
        if self._tasks.qsize() >= MAX_QUEUED:
            report_once("a person's clicks come faster than they can be followed; some are dropped")
            return False
        self._tasks.put(task)
        return True

    def post_always(self, task: Task) -> None:
        """Schedule a task even if the loop is full."""
        self._tasks.put(task)

    def post_newest(self, key: str, task: Task) -> None:
        """Schedule a task in place of a pending one with the same key."""
        with self._lock:
            pending = key in self._newest
            self._newest[key] = task
            if not pending and not self.post(lambda: self._take_newest(key)()):
                del self._newest[key]

    def post_later(self, key: str, seconds: float, task: Task) -> None:
        """Schedule a task in `seconds` seconds, in place of one with the same key that is still to come. Call it on the
        loop's thread."""
        self._later[key] = (time.monotonic() + seconds, task)

    def _take_newest(self, key: str) -> Task:
        with self._lock:
            return self._newest.pop(key)

    def _take_due(self) -> Task | None:
        """The earliest of the tasks that are due."""
        key = min(self._later, key=lambda key: self._later[key][0], default=None)
        if key is None or self._later[key][0] > time.monotonic():
            return None
        return self._later.pop(key)[1]

    def _wait(self, due: float) -> float:
        """Seconds until the next tick, at `due`, or the next later task."""
        times = [time for time, _ in self._later.values()] + ([due] if self.ticking else [])
        return max(min(times) - time.monotonic(), 0.0) if times else 0.25

    def close(self) -> None:
        """Drop pending tasks, end the thread and wait for it, unless called from it."""
        self._tasks = Queue()
        self._tasks.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            wait = min(self._wait(due), 0.25)
            try:
                task = self._tasks.get(timeout=wait) if wait > 0 else self._tasks.get_nowait()
            except Empty:
                task = self._take_due()
                if task is None:
                    task = self._tick if self.ticking else _nothing
                    due = time.monotonic() + self._between
            if task is None:
                return
            try:
                task()
            except Exception as error:
                report_exception(error)


def _nothing() -> None:
    return


_reported: set[str] = set()
_LOGGERS = ("asyncio", "websockets.server")
"""Libraries that log a traceback for every message that they cannot handle."""


def report_once(problem: str, words: str = "") -> None:
    """Print a problem with details, unless it has been printed before."""
    if problem not in _reported:
        _reported.add(problem)
        print(" ".join(f"studio: {problem}{words}".split())[:300], file=sys.stderr, flush=True)


def report_exception(error: BaseException) -> None:
    """Print an unexpected exception, identified by its type and origin."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    places = ", from ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    report_once(f"{type(error).__name__} at {places}", f": {error}")


class _ExceptionFilter(logging.Filter):
    """Removes exceptions from a log and reports each once."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            report_exception(error)
        return error is None


_FILTER = _ExceptionFilter()


def filter_library_logs(begin: bool = True) -> None:
    """Start or stop reporting the exceptions that libraries log once only."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        (logger.addFilter if begin else logger.removeFilter)(_FILTER)
