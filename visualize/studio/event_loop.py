"""TODO."""

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
"""Tasks that may wait; what comes beyond is dropped, for nobody clicks so fast."""


class EventLoop:
    """Does what is posted, in order, and calls `tick` so many times a second as long as `ticking`."""

    def __init__(self, tick: Task, *, rate: float = 30.0):
        self.ticking = False
        self._tick, self._between = tick, 1 / rate
        self._tasks: Queue[Task | None] = Queue()
        self._newest: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="studio-desk", daemon=True)
        self._thread.start()

    def post(self, task: Task) -> bool:
        """Have something done, if not too much waits. Whether it will be."""
        if self._tasks.qsize() >= MAX_QUEUED:
            report_once("a person's clicks come faster than they can be followed; some are dropped")
            return False
        self._tasks.put(task)
        return True

    def post_always(self, task: Task) -> None:
        """Have something done, however much waits."""
        self._tasks.put(task)

    def post_newest(self, what: str, task: Task) -> None:
        """Have something done instead of what was posted before under the same name and still waits."""
        with self._lock:
            waits = what in self._newest
            self._newest[what] = task
            if not waits and not self.post(lambda: self._take_newest(what)()):
                del self._newest[what]

    def _take_newest(self, what: str) -> Task:
        with self._lock:
            return self._newest.pop(what)

    def close(self) -> None:
        """Do nothing more. Waits for what is being done, unless that is who calls."""
        self._tasks = Queue()
        self._tasks.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            wait = max(due - time.monotonic(), 0.0) if self.ticking else 0.25
            try:
                task = self._tasks.get(timeout=wait) if wait > 0 else self._tasks.get_nowait()
            except Empty:
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
"""Of the libraries, which write a whole traceback for every message that cannot be handled."""


def report_once(problem: str, words: str = "") -> None:
    """Print a problem, with words about it, unless it has been printed before."""
    if problem not in _reported:
        _reported.add(problem)
        print(" ".join(f"studio: {problem}{words}".split())[:300], file=sys.stderr, flush=True)


def report_exception(error: BaseException) -> None:
    """Print an exception that nobody expected: its kind, and where it came from, tell it from others."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    places = ", from ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    report_once(f"{type(error).__name__} at {places}", f": {error}")


class _ExceptionFilter(logging.Filter):
    """Takes exceptions out of what is logged, and tells each once."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            report_exception(error)
        return error is None


_FILTER = _ExceptionFilter()


def filter_library_logs(begin: bool = True) -> None:
    """From now on, or no more, tell what the libraries log of exceptions once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        (logger.addFilter if begin else logger.removeFilter)(_FILTER)
