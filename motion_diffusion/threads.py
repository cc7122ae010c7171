"""Number of threads of small computations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import ThreadpoolController

_pools: list[ThreadpoolController] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict PyTorch and BLAS to one thread.

    A single motion gains little from two (6 s of motion in 1.4 instead of 1.6 s), and beside a process that uses a core
    they wait for each other (4 s or more).
    """
    if not _pools:
        _pools.append(ThreadpoolController())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _pools[0].limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
