"""Number of threads of small computations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from threadpoolctl import ThreadpoolController

from motion_diffusion import THREADS_WAIT_BUSILY

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


def all_threads() -> nullcontext[None]:
    """Leave the number of threads as it is; RuntimeWarning if they wait busily for each other.

    Eight motions beside a process that used a core took 71 s on two threads that wait busily, 4.4 s on two that sleep.
    """
    if THREADS_WAIT_BUSILY and torch.get_num_threads() > 1:
        warnings.warn(
            "torch was imported before motion_diffusion, so its threads wait busily, and other work on this machine "
            "may slow several motions tenfold; import motion_diffusion first, or set OMP_WAIT_POLICY=PASSIVE",
            RuntimeWarning,
            stacklevel=2,
        )
    return nullcontext()
