"""Event loop: order, deduplication, later tasks, ticking, limits and errors."""

import re
import threading
import time

from visualize.studio.threads import MAX_QUEUED, EventLoop

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


def test_post_later_runs_the_newest_task_of_its_key_when_it_is_due():
    loop, seen, ended = EventLoop(lambda: None), [], threading.Event()
    begun = time.monotonic()

    def schedule():
        loop.post_later("rest", 60.0, lambda: seen.append("never"))
        loop.post_later("rest", 0.1, lambda: seen.append(("rest", time.monotonic() - begun)))
        loop.post_later("other", 0.2, ended.set)

    loop.post(schedule)
    assert ended.wait(LONG)
    loop.close()
    ((name, seconds),) = seen
    assert name == "rest"
    assert seconds >= 0.1
