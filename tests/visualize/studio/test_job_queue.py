"""Job queue: order, urgency, cancellation, one outcome, limits."""

import threading
import time

import pytest

from motion_diffusion.errors import InputError
from visualize.studio.job_queue import JobQueue, JobStopped, Outcome, Urgency

LONG = 60.0


class Person:
    """An owner who submits jobs and receives their outcomes."""

    def __init__(self, queue, name):
        self.queue, self.name = queue, name
        self.heard: list[tuple[object, Outcome]] = []
        self.all = threading.Semaphore(0)

    def ask(self, run, label=None, urgency=Urgency.REQUESTED):
        return self.queue.submit(self.name, run, done=lambda outcome: self._hear(label, outcome), urgency=urgency)

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


def test_a_more_urgent_job_runs_between_two_steps(queue, shut):
    ann, bob, order = Person(queue, "ann"), Person(queue, "bob"), []

    def final(monitor):
        for step in range(3):
            order.append(f"final {step}")
            if step == 0:
                for k in range(2):
                    bob.ask(lambda monitor, k=k: order.append(f"preview {k}"), urgency=Urgency.PREVIEW)
                    bob.name = f"bob {k}"
            monitor.step(step / 3)

    ann.ask(final, urgency=Urgency.FINAL)
    ann.wait()
    bob.wait(2)
    assert order == ["final 0", "preview 0", "final 1", "preview 1", "final 2"]
    assert not shut.open.is_set()  # all that ran within another job
    assert ann.heard[-1][1].error == ""


def test_jobs_do_not_give_way_to_their_equals(queue):
    ann, order = Person(queue, "ann"), []

    def first(monitor):
        ann.ask(lambda monitor: order.append("second"))
        monitor.step(0.5)
        order.append("first")

    ann.ask(first)
    ann.wait(2)
    assert order == ["first", "second"]


def test_a_newer_preview_replaces_the_waiting_one_of_its_owner_in_its_place(queue, shut):
    seen = []
    ann, bob = Person(queue, "ann"), Person(queue, "bob")
    hold = threading.Event()
    ann.ask(lambda monitor: hold.wait(LONG), urgency=Urgency.PREVIEW)
    for k in range(5):
        ann.ask(lambda monitor, k=k: seen.append(("ann", k)), k, urgency=Urgency.PREVIEW)
        bob.ask(lambda monitor, k=k: seen.append(("bob", k)), k, urgency=Urgency.PREVIEW)
    hold.set()
    ann.wait(6)
    bob.wait(5)
    assert seen == [("ann", 4), ("bob", 4)]
    assert [label for label, outcome in bob.heard if outcome.stopped] == [0, 1, 2, 3]
    assert not shut.open.is_set()


def test_time_of_more_urgent_jobs_does_not_count():
    queue = JobQueue(seconds=0.2)
    try:
        ann, bob = Person(queue, "ann"), Person(queue, "bob")

        def first(monitor):
            bob.ask(lambda monitor: time.sleep(0.3), urgency=Urgency.PREVIEW)
            monitor.step(0.5)
            monitor.step(0.6)
            return "in time"

        ann.ask(first)
        assert ann.wait() == Outcome("in time")
        assert bob.wait().error == ""
    finally:
        queue.close()
