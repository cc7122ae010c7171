"""A person's own thread: whatever happens to them happens there, one thing after the other, and a clock ticks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, Queue

from visualize.studio import problems

Task = Callable[[], None]
PILE = 1000
"""Tasks that may wait; what comes beyond is dropped, for nobody clicks so fast."""


class Desk:
    """Does what is posted, in order, and calls `tick` so many times a second as long as `ticking`."""

    def __init__(self, tick: Task, *, rate: float = 30.0):
        self.ticking = False
        self._tick, self._between = tick, 1 / rate
        self._tasks: Queue[Task | None] = Queue()
        self._newest: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="studio-desk", daemon=True)
        self._thread.start()

    def post(self, task: Task) -> bool:
        """Have something done, if not too much waits. Whether it will be."""
        if self._tasks.qsize() >= PILE:
            problems.once("a person's clicks come faster than they can be followed; some are dropped")
            return False
        self._tasks.put(task)
        return True

    def insist(self, task: Task) -> None:
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

    def _work(self) -> None:
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
                problems.failed(error)


def _nothing() -> None:
    return
