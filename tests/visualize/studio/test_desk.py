"""A person's own thread."""

import re
import threading
import time

from visualize.studio.desk import PILE, Desk

LONG = 60.0


def test_things_happen_in_order_on_one_thread():
    desk, seen, ended = Desk(lambda: None), [], threading.Event()
    for k in range(100):
        desk.post(lambda k=k: seen.append((k, threading.get_ident())))
    desk.post(ended.set)
    assert ended.wait(LONG)
    desk.close()
    assert [k for k, _ in seen] == list(range(100))
    assert len({thread for _, thread in seen}) == 1


def test_only_the_newest_of_a_kind_happens():
    desk, seen, go, ended = Desk(lambda: None), [], threading.Event(), threading.Event()
    desk.post(lambda: go.wait(LONG))
    for k in range(10):
        desk.post_newest("move", lambda k=k: seen.append(k))
        desk.post_newest("other", lambda k=k: seen.append(-k))
    desk.post(ended.set)
    go.set()
    assert ended.wait(LONG)
    desk.close()
    assert sorted(seen) == [-9, 9]


def test_the_clock_ticks_when_it_should():
    ticks = []
    desk = Desk(lambda: ticks.append(time.monotonic()), rate=200)
    time.sleep(0.1)
    assert ticks == []
    desk.ticking = True
    until = time.monotonic() + LONG
    while len(ticks) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    desk.close()
    count = len(ticks)
    assert count >= 5
    time.sleep(0.05)
    assert len(ticks) == count


def test_errors_do_not_end_it(capsys):
    desk, ended = Desk(lambda: None), threading.Event()
    for _ in range(100):
        desk.post(lambda: 1 / 0)
    desk.post(ended.set)
    assert ended.wait(LONG)
    desk.close()
    (said,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"studio: ZeroDivisionError at test_desk.py:\d+, from desk.py:\d+: division by zero", said)


def test_a_flood_is_not_piled_up(capsys):
    desk, go = Desk(lambda: None), threading.Event()
    seen = []
    desk.post(lambda: go.wait(LONG))
    for _ in range(PILE + 50):
        desk.post(lambda: seen.append(1))
    go.set()
    ended = threading.Event()
    until = time.monotonic() + LONG
    while not ended.is_set() and time.monotonic() < until:
        desk.post(ended.set)
        ended.wait(0.1)
    desk.close()
    assert len(seen) <= PILE
    assert capsys.readouterr().err.count("dropped") == 1


def test_a_flood_drops_neither_what_is_insisted_on_nor_a_name(capsys):
    desk, go, seen, ended = Desk(lambda: None), threading.Event(), [], threading.Event()
    desk.post(lambda: go.wait(LONG))
    while desk.post(lambda: None):
        pass
    desk.post_newest("report", lambda: seen.append("in the flood"))
    desk.insist(lambda: seen.append("the end of the work"))
    desk.insist(ended.set)
    go.set()
    assert ended.wait(LONG)
    ended.clear()
    desk.post_newest("report", lambda: seen.append("after it"))
    desk.post(ended.set)
    assert ended.wait(LONG)
    desk.close()
    assert seen == ["the end of the work", "after it"]
