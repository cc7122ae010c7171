"""The job queue of all pages.

A job is a function of a `JobMonitor`, to which it reports progress between its steps. There it is stopped when its
owner asks for it or leaves, or when its time is up. Its outcome is reported exactly once.

One job computes at a time. Between two of its steps it gives way to one more urgent job, which runs to its end there.
An urgent job thus waits for a step at most, and the other one still takes a step after each. Jobs of equal urgency run
in the order of submission, and an owner has at most one waiting preview, so that owners who change their plans at the
same time see them in turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from motion_diffusion.errors import InputError
from visualize.studio.threads import Task, report_exception

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


class Urgency(IntEnum):
    """Urgency of a job; lower values come first."""

    PREVIEW = 0
    """A preview of few steps. A newer one of its owner replaces it while it waits."""
    FINAL = 1
    """The motion in full quality that follows the previews."""
    REQUESTED = 2
    """A job that was asked for by a button."""


class JobMonitor:
    """Progress and cancellation of a job."""

    def __init__(self, seconds: float, progress: Callable[[float], None], give_way: Task = lambda: None):
        self._seconds, self._progress, self._give_way = seconds, progress, give_way
        self._stop = threading.Event()
        self._ends = float("inf")

    def start(self) -> None:
        """Start the time limit."""
        self._ends = time.monotonic() + self._seconds

    def stop(self) -> None:
        """Stop the job at its next step. Safe to call from any thread."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether the job is to stop."""
        return self._stop.is_set()

    def step(self, share: float) -> None:
        """Report the finished share, 0 to 1, and let a more urgent job run. Raises JobStopped if the job is to stop,
        and InputError if its time is up; that of the more urgent jobs does not count."""
        if self._stop.is_set():
            raise JobStopped
        if time.monotonic() > self._ends:
            raise InputError(f"this takes more than {self._seconds:g} s; make it shorter, or fewer at once")
        self._progress(share)
        begun = time.monotonic()
        self._give_way()
        self._ends += time.monotonic() - begun


@dataclass(frozen=True, eq=False)
class Job:
    """A job of an owner."""

    owner: Hashable
    run: Callable[[JobMonitor], Any]
    done: Callable[[Outcome], None]
    monitor: JobMonitor
    urgency: Urgency


class JobQueue:
    """A thread that runs jobs."""

    def __init__(self, seconds: float = MAX_JOB_SECONDS):
        """Start the thread.

        Args:
            seconds: time limit of a job.
        """
        self._seconds = seconds
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        """The running job, preceded by those that gave way to it."""
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
        urgency: Urgency = Urgency.REQUESTED,
    ) -> Job:
        """Queue a job.

        Args:
            owner: identifies the client.
            run: the job.
            done: called with the outcome on the job thread, or on the caller's thread if the job is stopped before it
                began; must be quick.
            progress: called with the finished share on the job thread; must be quick.
            urgency: of the job. A preview takes the place of one of the same owner that waits.

        Raises:
            InputError: if the queue is closed.
        """
        job = Job(owner, run, done, JobMonitor(self._seconds, progress, self._run_more_urgent), urgency)
        with self._changed:
            if self._closed:
                raise InputError("the studio is closing; start it again")
            old = next((other for other in self._waiting if _replaces(job, other)), None)
            if old is None:
                self._waiting.append(job)
            else:
                self._waiting[self._waiting.index(old)] = job
            self._changed.notify()
        if old is not None:
            _notify(old, Outcome(stopped=True))
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

    @property
    def idle(self) -> bool:
        """Whether no job is running or queued."""
        with self._changed:
            return not self._jobs()

    def _jobs(self) -> list[Job]:
        """The running job, those that gave way to it, and the queued ones in order."""
        return [*self._running[::-1], *sorted(self._waiting, key=lambda job: job.urgency)]

    def _next(self) -> Job | None:
        """The next job; None once the queue is closed."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            return self._begin(min(self._waiting, key=lambda job: job.urgency))

    def _begin(self, job: Job) -> Job:
        self._waiting.remove(job)
        self._running.append(job)
        return job

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._run_job(job)

    def _run_more_urgent(self) -> None:
        """Run one job that is more urgent than the running one, between two steps of it."""
        with self._changed:
            first = min(self._waiting, key=lambda job: job.urgency, default=None)
            if first is None or first.urgency >= self._running[-1].urgency:
                return
            job = self._begin(first)
        self._run_job(job)

    def _run_job(self, job: Job) -> None:
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
        with self._changed:
            self._running.remove(job)


def _replaces(new: Job, old: Job) -> bool:
    """Whether a job makes a waiting one superfluous."""
    return new.owner == old.owner and new.urgency == old.urgency == Urgency.PREVIEW


def _notify(job: Job, outcome: Outcome) -> None:
    """Report an outcome; an exception of the receiver does not affect other jobs."""
    try:
        job.done(outcome)
    except Exception as error:
        report_exception(error)
