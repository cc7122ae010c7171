"""Threads of the studio: the event loop of each page, and the job queue of all pages.

Clients may send anything, as often as they like, and must not flood the terminal: each unexpected error is reported
once. A job is a function of a `JobMonitor`, to which it reports progress between its steps. There it is stopped when
its owner asks for it or leaves, or when its time is up. Its outcome is reported exactly once.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from motion_diffusion.errors import InputError

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

    def _take_newest(self, key: str) -> Task:
        with self._lock:
            return self._newest.pop(key)

    def close(self) -> None:
        """Drop pending tasks, end the thread and wait for it, unless called from it."""
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


MAX_JOB_SECONDS = 300.0
"""Time limit of a job."""


class JobStopped(Exception):
    """Raised within a job that is to stop."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job: a result, an error message, or neither if it was stopped."""

    result: Any = None
    error: str = ""
    stopped: bool = False


class JobMonitor:
    """Progress and cancellation of a job."""

    def __init__(self, seconds: float, progress: Callable[[float], None]):
        self._seconds, self._progress = seconds, progress
        self._stop = threading.Event()
        self._ends = float("inf")

    def start(self) -> None:
        """Start the time limit."""
        self._ends = time.monotonic() + self._seconds

    def stop(self) -> None:
        """Make the next call of `step` raise JobStopped."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether the job is to stop."""
        return self._stop.is_set()

    def step(self, share: float) -> None:
        """Report the finished share, 0 to 1.

        Raises:
            JobStopped: if the job is to stop.
            InputError: if its time is up.
        """
        if self._stop.is_set():
            raise JobStopped
        if time.monotonic() > self._ends:
            raise InputError(f"this takes more than {self._seconds:g} s; make it shorter, or fewer at once")
        self._progress(share)


@dataclass(frozen=True, eq=False)
class Job:
    """A job of an owner."""

    owner: Hashable
    run: Callable[[JobMonitor], Any]
    done: Callable[[Outcome], None]
    monitor: JobMonitor


class JobQueue:
    """A thread that runs jobs."""

    def __init__(self, seconds: float = MAX_JOB_SECONDS):
        """Start the thread.

        Args:
            seconds: time limit of a job.
        """
        self._seconds = seconds
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio-jobs", daemon=True)
        self._thread.start()

    def submit(
        self,
        owner: Hashable,
        run: Callable[[JobMonitor], Any],
        *,
        done: Callable[[Outcome], None],
        progress: Callable[[float], None] = lambda share: None,
    ) -> Job:
        """Queue a job.

        Args:
            owner: identifies the client.
            run: the job.
            done: called with the outcome on the job thread; must be quick.
            progress: called with the finished share on the job thread; must be quick.

        Raises:
            InputError: if the queue is closed.
        """
        job = Job(owner, run, done, JobMonitor(self._seconds, progress))
        with self._changed:
            if self._closed:
                raise InputError("the studio is closing; start it again")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def position(self, job: Job) -> int | None:
        """Number of jobs before this one: 0 if it is running, None if it has ended."""
        with self._changed:
            order = self._jobs()
            return order.index(job) if job in order else None

    def stop(self, job: Job) -> None:
        """Remove a job from the queue, or stop it at its next step."""
        with self._changed:
            if waits := job in self._waiting:
                self._waiting.remove(job)
            job.monitor.stop()
        if waits:
            _notify(job, Outcome(stopped=True))

    def cancel_all(self, owner: Hashable) -> None:
        """Stop all jobs of an owner."""
        with self._changed:
            mine = [job for job in self._jobs() if job.owner == owner]
        for job in mine:
            self.stop(job)

    def close(self) -> None:
        """Stop all jobs and wait for the thread to end."""
        with self._changed:
            self._closed = True
            every = self._jobs()
            self._changed.notify()
        for job in every:
            self.stop(job)
        self._thread.join()

    def _jobs(self) -> list[Job]:
        """The running job and the queued ones, in order."""
        return [*([] if self._running is None else [self._running]), *self._waiting]

    def _next(self) -> Job | None:
        """The next job; None once the queue is closed."""
        with self._changed:
            self._running = None
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            self._running = self._waiting.popleft()
            return self._running

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job.monitor.start()
            try:
                outcome = Outcome(job.run(job.monitor))
            except JobStopped:
                outcome = Outcome(stopped=True)
            except (InputError, OSError) as error:
                outcome = Outcome(error=" ".join(str(error).split()))
            except Exception as error:
                report_exception(error)
                outcome = Outcome(error="something went wrong inside; the terminal that runs the studio says what")
            _notify(job, Outcome(stopped=True) if job.monitor.stopped else outcome)


def _notify(job: Job, outcome: Outcome) -> None:
    """Report an outcome; an exception of the receiver does not affect other jobs."""
    try:
        job.done(outcome)
    except Exception as error:
        report_exception(error)
