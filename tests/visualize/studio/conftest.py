"""What the studio's tests need: a small model to offer, a table in the test's own thread, and goals of every kind."""

from __future__ import annotations

import time
from queue import Empty, Queue

import pytest

from guidance.goals.goal_set import SCHEMA, load_goals
from visualize.studio import event_loop
from visualize.studio.generation import Models
from visualize.studio.jobs import JobQueue
from visualize.studio.session import Session

PATIENCE = 120.0
"""Seconds: other work may have the processor."""


@pytest.fixture(autouse=True)
def fresh_report(monkeypatch):
    """Problems are told once in a process; here, once in a test."""
    monkeypatch.setattr(event_loop, "_reported", set())


@pytest.fixture
def models(make_model, tmp_path) -> Models:
    """A small untrained model `m`, and those that come with the project."""
    make_model().save(tmp_path / "m")
    return Models([tmp_path / "m"])


@pytest.fixture
def queue():
    """A working thread that ends with the test."""
    queue = JobQueue()
    yield queue
    queue.close()


class SessionHarness:
    """A bench whose thread is the test's: what is posted to it happens in `settle`."""

    def __init__(self, models, queue, owner):
        self.posted: Queue = Queue()
        self.delivered: list[tuple[str, bytes]] = []
        self.session = Session(
            models,
            queue=queue,
            owner=owner,
            post=self.posted.set_if_changed,
            post_newest=lambda what, task: self.posted.set_if_changed(task),
            deliver=lambda name, content: self.delivered.append((name, content)),
        )
        self.session.edit(lambda plan: plan.changed("steps", 3))
        self.session.set_part_seconds(0, 2.0)

    def settle(self):
        """Let everything that is being done end."""
        until = time.monotonic() + PATIENCE
        while self.session.running is not None and time.monotonic() < until:
            try:
                self.posted.get(timeout=1.0)()
            except Empty:
                continue
        assert self.session.running is None
        return self.session


@pytest.fixture
def harness(models, queue):
    """table(person): somebody's table, three steps of sampling and two seconds at first."""
    return lambda owner=1: SessionHarness(models, queue, owner)


@pytest.fixture(scope="session")
def every_goal():
    """A goal of each kind, and more."""
    return load_goals(SCHEMA.parent / "everything.json").goals
