"""What the studio's tests need: a small model to offer, a table in the test's own thread, and goals of every kind."""

from __future__ import annotations

import time
from queue import Empty, Queue

import pytest

from guidance.goals.goal_file import SCHEMA, load_goals
from visualize.studio import problems
from visualize.studio.bench import Bench
from visualize.studio.models import Models
from visualize.studio.work import Work

PATIENCE = 120.0
"""Seconds: other work may have the processor."""


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    """Problems are told once in a process; here, once in a test."""
    monkeypatch.setattr(problems, "_told", set())


@pytest.fixture
def models(make_model, tmp_path) -> Models:
    """A small untrained model `m`, and those that come with the project."""
    make_model().save(tmp_path / "m")
    return Models([tmp_path / "m"])


@pytest.fixture
def work():
    """A working thread that ends with the test."""
    work = Work()
    yield work
    work.close()


class Table:
    """A bench whose thread is the test's: what is posted to it happens in `settle`."""

    def __init__(self, models, work, person):
        self.posted: Queue = Queue()
        self.delivered: list[tuple[str, bytes]] = []
        self.bench = Bench(
            models,
            work=work,
            person=person,
            post=self.posted.put,
            post_newest=lambda what, task: self.posted.put(task),
            deliver=lambda name, content: self.delivered.append((name, content)),
        )
        self.bench.edit(lambda plan: plan.changed("steps", 3))
        self.bench.last(0, 2.0)

    def settle(self):
        """Let everything that is being done end."""
        until = time.monotonic() + PATIENCE
        while self.bench.doing is not None and time.monotonic() < until:
            try:
                self.posted.get(timeout=1.0)()
            except Empty:
                continue
        assert self.bench.doing is None
        return self.bench


@pytest.fixture
def table(models, work):
    """table(person): somebody's table, three steps of sampling and two seconds at first."""
    return lambda person=1: Table(models, work, person)


@pytest.fixture(scope="session")
def every_goal():
    """A goal of each kind, and more."""
    return load_goals(SCHEMA.parent / "everything.json").goals
