"""TODO."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from motion_diffusion.errors import InputError
from visualize.studio.event_loop import report_exception

MAX_JOB_SECONDS = 300.0
"""That a job may take, so that nobody waits for ever."""


class JobStopped(Exception):
    """Raised in a job that shall not go on."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a result, words of an error, or neither if it was stopped."""

    result: Any = None
    error: str = ""
    stopped: bool = False


class JobMonitor:
    """What a job tells how far it is."""

    def __init__(self, seconds: float, progress: Callable[[float], None]):
        self._seconds, self._progress = seconds, progress
        self._stop = threading.Event()
        self._ends = float("inf")

    def start(self) -> None:
        """From now on its time runs."""
        self._ends = time.monotonic() + self._seconds

    def stop(self) -> None:
        """Let the next step be the last."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether it shall stop."""
        return self._stop.is_set()

    def step(self, share: float) -> None:
        """A step is done, and so much of the whole, 0 to 1. Raises Stopped, or InputError when the time is up."""
        if self._stop.is_set():
            raise JobStopped
        if time.monotonic() > self._ends:
            raise InputError(f"this takes more than {self._seconds:g} s; make it shorter, or fewer at once")
        self._progress(share)


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be done for a person."""

    owner: Hashable
    run: Callable[[JobMonitor], Any]
    done: Callable[[Outcome], None]
    monitor: JobMonitor


class JobQueue:
    """A thread that does jobs."""

    def __init__(self, seconds: float = MAX_JOB_SECONDS):
        """seconds: that a job may take."""
        self._seconds = seconds
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio-work", daemon=True)
        self._thread.start()

    def submit(
        self,
        owner: Hashable,
        run: Callable[[JobMonitor], Any],
        *,
        done: Callable[[Outcome], None],
        progress: Callable[[float], None] = lambda share: None,
    ) -> Job:
        """Have something done. done and progress are called on the working thread, and must be quick.

        InputError if it is closed.
        """
        job = Job(owner, run, done, JobMonitor(self._seconds, progress))
        with self._changed:
            if self._closed:
                raise InputError("the studio is closing; start it again")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def position(self, job: Job) -> int | None:
        """How many jobs come before this one; 0 if it is being done, None if it is not there any more."""
        with self._changed:
            order = self._jobs()
            return order.index(job) if job in order else None

    def stop(self, job: Job) -> None:
        """Take a job from the queue, or let it stop at its next step."""
        with self._changed:
            if waits := job in self._waiting:
                self._waiting.remove(job)
            job.monitor.stop()
        if waits:
            _notify(job, Outcome(stopped=True))

    def cancel_all(self, owner: Hashable) -> None:
        """Stop everything of a person."""
        with self._changed:
            mine = [job for job in self._jobs() if job.owner == owner]
        for job in mine:
            self.stop(job)

    def close(self) -> None:
        """Stop everything, and wait until it has."""
        with self._changed:
            self._closed = True
            every = self._jobs()
            self._changed.notify()
        for job in every:
            self.stop(job)
        self._thread.join()

    def _jobs(self) -> list[Job]:
        """What is being done, and what waits, in order."""
        return [*([] if self._running is None else [self._running]), *self._waiting]

    def _next(self) -> Job | None:
        """The next job; None when there will be none."""
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
    """Say what became of a job; whoever hears it cannot stop the work of others."""
    try:
        job.done(outcome)
    except Exception as error:
        report_exception(error)
