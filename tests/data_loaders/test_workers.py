"""Worker processes: in order, alone with their threads, and gone when they are not needed. Their items are programs."""

import multiprocessing
import time
from contextlib import closing

import pytest

from data_loaders.workers import map_in_processes
from motion_diffusion.errors import InputError


def test_results_come_in_order_whoever_is_slow():
    """The first item is the last one done, and workers compute with one thread."""
    items = ["__import__('time').sleep(0.5) or 0", *map(str, range(1, 70)), "__import__('torch').get_num_threads()"]
    assert list(map_in_processes(eval, items, 2)) == [*range(70), 1]
    assert not multiprocessing.active_children()


def test_closed_early_they_are_gone_at_once():
    """One in the middle of sending, which is more than a pipe holds, the other while it computes."""
    began = time.monotonic()
    with closing(map_in_processes(eval, ["0", "bytes(10**7)", *["__import__('time').sleep(60)"] * 3], 2)) as results:
        assert next(results) == 0
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()
    assert time.monotonic() - began < 50


def test_one_that_is_killed_is_an_error_and_no_hang():
    with pytest.raises(InputError, match=r"a worker process was killed.*fewer --processes"):
        list(map_in_processes(eval, ["__import__('os')._exit(9)"], 1))
    assert not multiprocessing.active_children()
