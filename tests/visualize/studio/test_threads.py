"""Event loop: order, deduplication, ticking, limits and errors. Job queue: order, cancellation, one outcome, limits."""

import re
import threading
import time

import pytest

from motion_diffusion.errors import InputError
from visualize.studio.threads import MAX_QUEUED, EventLoop, JobQueue, JobStopped, Outcome

LONG = 60.0


def test_event_loop_runs_tasks_in_order_on_one_thread():
    loop, seen, ended = EventLoop(lambda: None), [], threading.Event()
    for k in range(100):
        loop.post(lambda k=k: seen.append((k, threading.get_ident())))
    loop.post(ended.set)
    assert ended.wait(LONG)
    loop.close()
    assert [k for k, _ in seen] == list(range(100))
    assert len({thread for _, thread in seen}) == 1


def test_post_newest_replaces_the_pending_task_of_its_key():
    loop, seen, go, ended = EventLoop(lambda: None), [], threading.Event(), threading.Event()
    loop.post(lambda: go.wait(LONG))
    for k in range(10):
        loop.post_newest("move", lambda k=k: seen.append(k))
        loop.post_newest("other", lambda k=k: seen.append(-k))
    loop.post(ended.set)
    go.set()
    assert ended.wait(LONG)
    loop.close()
    assert sorted(seen) == [-9, 9]


def test_event_loop_ticks_only_while_ticking():
    ticks = []
    loop = EventLoop(lambda: ticks.append(time.monotonic()), rate=200)
    time.sleep(0.1)
    assert ticks == []
    loop.ticking = True
    until = time.monotonic() + LONG
    while len(ticks) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    loop.close()
    count = len(ticks)
    assert count >= 5
    time.sleep(0.05)
    assert len(ticks) == count


def test_event_loop_survives_exceptions_and_reports_each_once(capsys):
    loop, ended = EventLoop(lambda: None), threading.Event()
    for _ in range(100):
        loop.post(lambda: 1 / 0)
    loop.post(ended.set)
    assert ended.wait(LONG)
    loop.close()
    (said,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"studio: ZeroDivisionError at test_threads.py:\d+, from threads.py:\d+: division by zero", said
    )


def test_event_loop_drops_tasks_beyond_its_limit(capsys):
    loop, go = EventLoop(lambda: None), threading.Event()
    seen = []
    loop.post(lambda: go.wait(LONG))
    for _ in range(MAX_QUEUED + 50):
        loop.post(lambda: seen.append(1))
    go.set()
    ended = threading.Event()
    until = time.monotonic() + LONG
    while not ended.is_set() and time.monotonic() < until:
        loop.post(ended.set)
        ended.wait(0.1)
    loop.close()
    assert len(seen) <= MAX_QUEUED
    assert capsys.readouterr().err.count("dropped") == 1


def test_full_event_loop_keeps_required_tasks_and_frees_keys(capsys):
    loop, go, seen, ended = EventLoop(lambda: None), threading.Event(), [], threading.Event()
    loop.post(lambda: go.wait(LONG))
    while loop.post(lambda: None):
        pass
    loop.post_newest("report", lambda: seen.append("in the flood"))
    loop.post_always(lambda: seen.append("the end of the work"))
    loop.post_always(ended.set)
    go.set()
    assert ended.wait(LONG)
    ended.clear()
    loop.post_newest("report", lambda: seen.append("after it"))
    loop.post(ended.set)
    assert ended.wait(LONG)
    loop.close()
    assert seen == ["the end of the work", "after it"]


class Person:
    """An owner who submits jobs and receives their outcomes."""

    def __init__(self, queue, name):
        self.queue, self.name = queue, name
        self.heard: list[tuple[object, Outcome]] = []
        self.all = threading.Semaphore(0)

    def ask(self, run, label=None):
        return self.queue.submit(self.name, run, done=lambda outcome: self._hear(label, outcome))

    def _hear(self, label, outcome):
        self.heard.append((label, outcome))
        self.all.release()

    def wait(self, count=1):
        for _ in range(count):
            assert self.all.acquire(timeout=LONG)
        return self.heard[-1][1]


class Gate:
    """A job that runs until it is released."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, monitor):
        self.begun.set()
        while not self.open.wait(0.001):
            monitor.step(0.5)
        return "through"


@pytest.fixture
def shut(queue):
    """A running gate, behind which other jobs wait."""
    gate = Gate()
    Person(queue, "gatekeeper").ask(gate)
    assert gate.begun.wait(LONG)
    yield gate
    gate.open.set()


def test_queue_runs_jobs_in_order_and_reports_positions(queue, shut):
    order = []
    ann, bob = Person(queue, "ann"), Person(queue, "bob")
    jobs = [person.ask(lambda monitor, k=k: order.append(k)) for k, person in enumerate([ann, bob, ann])]
    assert [queue.position(job) for job in jobs] == [1, 2, 3]
    shut.open.set()
    ann.wait(2)
    bob.wait()
    assert order == [0, 1, 2]
    assert queue.position(jobs[0]) is None


def test_a_stopped_job_leaves_the_queue(queue, shut):
    done = []
    ann = Person(queue, "ann")
    kept, stopped = ann.ask(lambda monitor: done.append(1), "kept"), ann.ask(lambda monitor: done.append(2), "stopped")
    queue.stop(stopped)
    assert ann.wait().stopped
    assert queue.position(stopped) is None
    queue.stop(stopped)  # again is nothing
    assert queue.position(kept) == 1
    shut.open.set()
    ann.wait()
    assert done == [1]
    assert [label for label, _ in ann.heard] == ["stopped", "kept"]


def test_a_running_job_stops_at_its_next_step(queue):
    ann, gate = Person(queue, "ann"), Gate()
    job = ann.ask(gate)
    assert gate.begun.wait(LONG)
    assert queue.position(job) == 0
    queue.stop(job)
    assert ann.wait() == Outcome(stopped=True)
    assert ann.ask(lambda monitor: "next") is not None
    assert ann.wait().result == "next"
    assert len(ann.heard) == 2


def test_cancel_all_stops_the_jobs_of_one_owner(queue, shut):
    ann, bob = Person(queue, "ann"), Person(queue, "bob")
    done = []
    for _ in range(3):
        ann.ask(lambda monitor: done.append("ann"))
    bob.ask(lambda monitor: done.append("bob"))
    queue.cancel_all("ann")
    ann.wait(3)
    shut.open.set()
    bob.wait()
    assert done == ["bob"]
    assert all(outcome.stopped for _, outcome in ann.heard)


def test_exceptions_become_messages_and_the_queue_continues(queue, capsys):
    ann = Person(queue, "ann")

    def refuse(monitor):
        raise InputError("too long;\n make it shorter")

    def fail(monitor):
        raise ZeroDivisionError("a secret")

    ann.ask(refuse)
    assert ann.wait() == Outcome(error="too long; make it shorter")
    ann.ask(fail)
    assert "a secret" not in ann.wait().error
    assert "ZeroDivisionError" in capsys.readouterr().err
    queue.submit("deaf", lambda monitor: 1, done=lambda outcome: 1 / 0)
    ann.ask(lambda monitor: "still here")
    assert ann.wait().result == "still here"


def test_job_ends_at_its_time_limit():
    queue = JobQueue(seconds=0.02)
    try:
        ann = Person(queue, "ann")
        ann.ask(Gate())
        assert "more than 0.02 s" in ann.wait().error
    finally:
        queue.close()


def test_job_reports_progress(queue):
    shares = []
    ended = threading.Event()
    queue.submit(
        "ann",
        lambda monitor: [monitor.step(share) for share in (0.0, 0.5, 1.0)],
        done=lambda outcome: ended.set(),
        progress=shares.append,
    )
    assert ended.wait(LONG)
    assert shares == [0.0, 0.5, 1.0]


def test_close_stops_all_jobs():
    queue, gate = JobQueue(), Gate()
    ann = Person(queue, "ann")
    ann.ask(gate)
    assert gate.begun.wait(LONG)
    ann.ask(lambda monitor: 1)
    queue.close()
    assert [outcome.stopped for _, outcome in ann.heard] == [True, True]
    with pytest.raises(InputError, match="closing"):
        ann.ask(lambda monitor: 2)


def test_step_raises_in_a_stopped_job(queue):
    reached = []

    def run(monitor):
        monitor.stop()
        try:
            monitor.step(0.5)
        except JobStopped:
            reached.append("stopped")
            raise
        reached.append("went on")

    ann = Person(queue, "ann")
    ann.ask(run)
    ann.wait()
    assert reached == ["stopped"]
