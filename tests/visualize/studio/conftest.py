"""Fixtures of the studio's tests: a small model, a session without a page, and goals of every kind."""

from __future__ import annotations

import socket
import time
from queue import Empty, Queue

import pytest

from guidance.goals.goal_file import SCHEMA, load_goals
from tests.visualize.studio.visitor import CHROMIUM, FLAGS
from visualize.studio import threads
from visualize.studio.generation import Models
from visualize.studio.job_queue import JobQueue
from visualize.studio.session import Session

PATIENCE = 120.0
"""Deadline in seconds, for slow machines."""


@pytest.fixture(autouse=True)
def fresh_reports(monkeypatch):
    """Problems are reported once per process; in tests, once per test."""
    monkeypatch.setattr(threads, "_reported", set())


@pytest.fixture
def models(make_model, tmp_path) -> Models:
    """A small untrained model `m`, and the shipped models."""
    make_model().save(tmp_path / "m")
    return Models([tmp_path / "m"])


@pytest.fixture
def queue():
    """A job queue that is closed after the test."""
    queue = JobQueue()
    yield queue
    queue.close()


class SessionHarness:
    """A session whose event loop is the test's thread: posted tasks run in `settle` and `follow`, and later ones in
    `rest`."""

    def __init__(self, models, queue, owner, live):
        self.posted: Queue = Queue()
        self.later: dict = {}
        self.on_task = lambda: None
        """Called after each posted task."""
        self.delivered: list[tuple[str, bytes]] = []
        self.session = Session(
            models=models,
            queue=queue,
            owner=owner,
            post=self.posted.put,
            post_newest=lambda what, task: self.posted.put(task),
            post_later=lambda what, seconds, task: self.later.update({what: task}),
            deliver=lambda name, content: self.delivered.append((name, content)),
        )
        self.session.live.enabled = live
        self.session.edit(lambda plan: plan.changed("steps", 3))
        self.session.set_part_seconds(0, 2.0)

    def wait_task(self):
        """Run the next posted task."""
        self.posted.get(timeout=PATIENCE)()
        self.on_task()

    def follow(self):
        """Run posted tasks until nothing is computed. Returns the session."""
        until = time.monotonic() + PATIENCE
        while not (self.session.queue.idle and self.posted.empty()):
            assert time.monotonic() < until
            try:
                self.posted.get(timeout=0.05)()
                self.on_task()
            except Empty:
                continue
        return self.session

    def start_rest(self):
        """Let the hand rest: later tasks are due."""
        later, self.later = list(self.later.values()), {}
        for task in later:
            task()

    def rest(self):
        """Let the hand rest until the motion is there. Returns the session."""
        self.start_rest()
        return self.follow()

    def settle(self):
        """Run posted tasks until no job is running. Returns the session."""
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
    """Factory of sessions by owner, with three sampling steps and two seconds."""
    return lambda owner=1, live=False: SessionHarness(models, queue, owner, live)


@pytest.fixture(scope="session")
def every_goal():
    """Goals of all kinds."""
    return load_goals(SCHEMA.parent / "everything.json").goals


@pytest.fixture
def open_studio():
    """Start of a studio on a free port; it is closed after the test."""
    from visualize.studio.server import Address, Studio

    opened = []

    def start(**options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        opened.append(Studio(Address("127.0.0.1", port), **options))
        return opened[-1]

    yield start
    for studio in opened:
        studio.close()


@pytest.fixture(scope="session")
def browser():
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        yield browser
        browser.close()
