"""How PyTorch's threads wait for each other, and how many there are in small computations.

By default they wait busily, and beside other work a motion of two seconds took up to thirty (docs/LOG.md). What makes
them sleep, `OMP_WAIT_POLICY`, is read when PyTorch is first imported; so `motion_diffusion` imports this module first,
and PyTorch is imported here only where it is needed.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

THREADS_WAIT_BUSILY = "torch" in sys.modules and "OMP_WAIT_POLICY" not in os.environ
"""Whether PyTorch was imported before the next line could tell its threads how to wait."""
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict PyTorch and BLAS to one thread.

    A single motion gains little from two (6 s of motion in 1.4 instead of 1.6 s), and beside a process that uses a core
    they wait for each other (4 s or more).
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


def all_threads() -> nullcontext[None]:
    """Leave the number of threads as it is; RuntimeWarning if they wait busily for each other.

    Eight motions beside a process that used a core took 71 s on two threads that wait busily, 4.4 s on two that sleep.
    """
    import torch

    if THREADS_WAIT_BUSILY and torch.get_num_threads() > 1:
        warnings.warn(
            "torch was imported before motion_diffusion, so its threads wait busily, and other work on this machine "
            "may slow several motions tenfold; import motion_diffusion first, or set OMP_WAIT_POLICY=PASSIVE",
            RuntimeWarning,
            stacklevel=2,
        )
    return nullcontext()


@cache
def _libraries() -> ThreadpoolController:
    """The libraries with threads of their own that are loaded when one thread is first asked for."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
