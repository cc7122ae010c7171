"""Work is done in order, can be stopped, is told of once, and takes no longer than it may."""

import threading

import pytest

from motion_diffusion.errors import InputError
from visualize.studio.work import Outcome, Stopped, Work

LONG = 60.0


class Person:
    """Somebody who submits jobs, and hears of them."""

    def __init__(self, work, name):
        self.work, self.name = work, name
        self.heard: list[tuple[object, Outcome]] = []
        self.all = threading.Semaphore(0)

    def ask(self, run, label=None):
        return self.work.submit(self.name, run, done=lambda outcome: self._hear(label, outcome))

    def _hear(self, label, outcome):
        self.heard.append((label, outcome))
        self.all.release()

    def wait(self, count=1):
        for _ in range(count):
            assert self.all.acquire(timeout=LONG)
        return self.heard[-1][1]


class Gate:
    """A job that begins, and goes on step by step until it is let through."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, watch):
        self.begun.set()
        while not self.open.wait(0.001):
            watch.step(0.5)
        return "through"


@pytest.fixture
def shut(work):
    """A gate that is being worked at, so that others wait behind it."""
    gate = Gate()
    Person(work, "gatekeeper").ask(gate)
    assert gate.begun.wait(LONG)
    yield gate
    gate.open.set()


def test_jobs_are_done_in_order_and_know_how_many_come_before(work, shut):
    order = []
    ann, bob = Person(work, "ann"), Person(work, "bob")
    jobs = [person.ask(lambda watch, k=k: order.append(k)) for k, person in enumerate([ann, bob, ann])]
    assert [work.ahead(job) for job in jobs] == [1, 2, 3]
    shut.open.set()
    ann.wait(2)
    bob.wait()
    assert order == [0, 1, 2]
    assert work.ahead(jobs[0]) is None


def test_a_stopped_job_leaves_the_queue(work, shut):
    done = []
    ann = Person(work, "ann")
    kept, stopped = ann.ask(lambda watch: done.append(1), "kept"), ann.ask(lambda watch: done.append(2), "stopped")
    work.stop(stopped)
    assert ann.wait().stopped
    assert work.ahead(stopped) is None
    work.stop(stopped)  # again is nothing
    assert work.ahead(kept) == 1
    shut.open.set()
    ann.wait()
    assert done == [1]
    assert [label for label, _ in ann.heard] == ["stopped", "kept"]


def test_a_running_job_stops_at_its_next_step(work):
    ann, gate = Person(work, "ann"), Gate()
    job = ann.ask(gate)
    assert gate.begun.wait(LONG)
    assert work.ahead(job) == 0
    work.stop(job)
    assert ann.wait() == Outcome(stopped=True)
    assert ann.ask(lambda watch: "next") is not None
    assert ann.wait().result == "next"
    assert len(ann.heard) == 2


def test_who_leaves_takes_all_their_work_along(work, shut):
    ann, bob = Person(work, "ann"), Person(work, "bob")
    done = []
    for _ in range(3):
        ann.ask(lambda watch: done.append("ann"))
    bob.ask(lambda watch: done.append("bob"))
    work.leave("ann")
    ann.wait(3)
    shut.open.set()
    bob.wait()
    assert done == ["bob"]
    assert all(outcome.stopped for _, outcome in ann.heard)


def test_errors_are_words_and_others_go_on(work, capsys):
    ann = Person(work, "ann")

    def refuse(watch):
        raise InputError("too long;\n make it shorter")

    def fail(watch):
        raise ZeroDivisionError("a secret")

    ann.ask(refuse)
    assert ann.wait() == Outcome(error="too long; make it shorter")
    ann.ask(fail)
    assert "a secret" not in ann.wait().error
    assert "ZeroDivisionError" in capsys.readouterr().err
    work.submit("deaf", lambda watch: 1, done=lambda outcome: 1 / 0)
    ann.ask(lambda watch: "still here")
    assert ann.wait().result == "still here"


def test_time_is_limited():
    work = Work(seconds=0.02)
    try:
        ann = Person(work, "ann")
        ann.ask(Gate())
        assert "more than 0.02 s" in ann.wait().error
    finally:
        work.close()


def test_progress_is_told(work):
    shares = []
    ended = threading.Event()
    work.submit(
        "ann",
        lambda watch: [watch.step(share) for share in (0.0, 0.5, 1.0)],
        done=lambda outcome: ended.set(),
        progress=shares.append,
    )
    assert ended.wait(LONG)
    assert shares == [0.0, 0.5, 1.0]


def test_closing_stops_everything():
    work, gate = Work(), Gate()
    ann = Person(work, "ann")
    ann.ask(gate)
    assert gate.begun.wait(LONG)
    ann.ask(lambda watch: 1)
    work.close()
    assert [outcome.stopped for _, outcome in ann.heard] == [True, True]
    with pytest.raises(InputError, match="closing"):
        ann.ask(lambda watch: 2)


def test_a_step_of_what_is_stopped_goes_no_further(work):
    reached = []

    def run(watch):
        watch.stop()
        try:
            watch.step(0.5)
        except Stopped:
            reached.append("stopped")
            raise
        reached.append("went on")

    ann = Person(work, "ann")
    ann.ask(run)
    ann.wait()
    assert reached == ["stopped"]
