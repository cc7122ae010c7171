"""Work for several people, done fairly, one thing after the other: each in turn, and everything can be stopped.

A job is a function that is given a `Watch` and tells it how far it is, between steps; there it stops when its person
wants that, is gone, or the time is up. What became of it is told once, whatever happens. Nothing here knows a page.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class WorkLimits:
    """How much work is taken."""

    waiting: int = 3
    """Jobs of one person, with the one that is being done."""
    everyone: int = 24
    """Jobs of all people."""
    seconds: float = 300.0
    """Of one job."""


USUAL = WorkLimits()
"""For a machine of a few people."""


class Stopped(Exception):
    """Raised in a job that shall not go on."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a result, words of an error, or neither if it was stopped."""

    result: Any = None
    error: str = ""
    stopped: bool = False


class Watch:
    """What a job tells how far it is."""

    def __init__(self, seconds: float, progress: Callable[[float], None]):
        self._seconds, self._progress = seconds, progress
        self._stop = threading.Event()
        self._ends = float("inf")

    def begin(self) -> None:
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
            raise Stopped
        if time.monotonic() > self._ends:
            raise InputError(f"this takes more than {self._seconds:g} s; make it shorter, or fewer at once")
        self._progress(share)


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be done for a person."""

    person: Hashable
    run: Callable[[Watch], Any]
    done: Callable[[Outcome], None]
    watch: Watch


class Work:
    """A thread that does jobs: of everybody who has some, one each in turn."""

    def __init__(self, limits: WorkLimits = USUAL):
        self._limits = limits
        self._queues: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="studio-work", daemon=True)
        self._thread.start()

    def submit(
        self,
        person: Hashable,
        run: Callable[[Watch], Any],
        *,
        done: Callable[[Outcome], None],
        progress: Callable[[float], None] = lambda share: None,
    ) -> Job:
        """Have something done. done and progress are called on the working thread, and must be quick.

        InputError if the person, or everybody together, has as much waiting as can be.
        """
        job = Job(person, run, done, Watch(self._limits.seconds, progress))
        with self._changed:
            if self._closed:
                raise InputError("the studio is closing; start it again")
            if self._count(person) >= self._limits.waiting:
                raise InputError("you have enough waiting already; let it finish, or stop it")
            if sum(map(len, self._queues.values())) + (self._running is not None) >= self._limits.everyone:
                raise InputError("too many people are waiting; try again in a minute")
            self._queues.setdefault(person, deque()).append(job)
            self._changed.notify()
        return job

    def ahead(self, job: Job) -> int | None:
        """How many jobs come before this one; 0 if it is being done, None if it is not there any more."""
        with self._changed:
            if job is self._running:
                return 0
            order = [] if self._running is None else [self._running]
            queues = [list(queue) for queue in self._queues.values()]
            for turn in range(max(map(len, queues), default=0)):
                order += [queue[turn] for queue in queues if turn < len(queue)]
            return order.index(job) if job in order else None

    def stop(self, job: Job) -> None:
        """Take a job from the queue, or let it stop at its next step."""
        with self._changed:
            queue = self._queues.get(job.person)
            waits = queue is not None and job in queue
            if queue is not None and waits:
                queue.remove(job)
                if not queue:
                    del self._queues[job.person]
            job.watch.stop()
        if waits:
            _tell(job, Outcome(stopped=True))

    def leave(self, person: Hashable) -> None:
        """Stop everything of a person."""
        with self._changed:
            mine = list(self._queues.get(person, ()))
            if self._running is not None and self._running.person == person:
                mine.append(self._running)
        for job in mine:
            self.stop(job)

    def close(self) -> None:
        """Stop everything, and wait until it has."""
        with self._changed:
            self._closed = True
            people = {*self._queues, *([] if self._running is None else [self._running.person])}
            self._changed.notify()
        for person in people:
            self.leave(person)
        self._thread.join()

    def _count(self, person: Hashable) -> int:
        running = self._running is not None and self._running.person == person
        return len(self._queues.get(person, ())) + running

    def _next(self) -> Job | None:
        """The next job, its person going to the end of the line; None when there will be none."""
        with self._changed:
            self._running = None
            while not self._queues:
                if self._closed:
                    return None
                self._changed.wait()
            person, queue = self._queues.popitem(last=False)
            job = queue.popleft()
            if queue:
                self._queues[person] = queue
            self._running = job
            return job

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.watch.begin()
            try:
                outcome = Outcome(job.run(job.watch))
            except Stopped:
                outcome = Outcome(stopped=True)
            except (InputError, OSError) as error:
                outcome = Outcome(error=" ".join(str(error).split()))
            except Exception:
                traceback.print_exc(file=sys.stderr)
                outcome = Outcome(error="something went wrong inside; the terminal that runs the studio says what")
            _tell(job, Outcome(stopped=True) if job.watch.stopped else outcome)


def _tell(job: Job, outcome: Outcome) -> None:
    """Say what became of a job; whoever hears it cannot stop the work of others."""
    try:
        job.done(outcome)
    except Exception:
        traceback.print_exc(file=sys.stderr)
