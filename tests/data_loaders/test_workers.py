"""Worker processes: order of results, one thread each, and termination. Items are expressions that are evaluated."""

import multiprocessing
import time
from contextlib import closing

import pytest

from data_loaders.workers import map_in_processes
from motion_diffusion.errors import InputError


def test_results_are_in_order():
    """The first item completes last; workers use one thread."""
    items = ["__import__('time').sleep(0.5) or 0", *map(str, range(1, 70)), "__import__('torch').get_num_threads()"]
    assert list(map_in_processes(eval, items, 2)) == [*range(70), 1]
    assert not multiprocessing.active_children()


def test_closing_ends_workers():
    """One worker is sending more than a pipe holds, the other is computing."""
    began = time.monotonic()
    with closing(map_in_processes(eval, ["0", "bytes(10**7)", *["__import__('time').sleep(60)"] * 3], 2)) as results:
        assert next(results) == 0
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()
    assert time.monotonic() - began < 50


def test_killed_worker_raises():
    with pytest.raises(InputError, match=r"a worker process was killed.*fewer --processes"):
        list(map_in_processes(eval, ["__import__('os')._exit(9)"], 1))
    assert not multiprocessing.active_children()
