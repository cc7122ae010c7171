"""Parallel map over items by worker processes.

Workers are spawned, not forked: a forked process inherits the state of OpenMP without its threads, and the first
parallel operation of PyTorch blocks forever. Each worker has its own pipe, hence terminating one at any moment, even
while it sends, does not block the others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import TypeVar

import torch
from tqdm import tqdm

from motion_diffusion.errors import InputError

A = TypeVar("A")
B = TypeVar("B")

MAX_CHUNK = 16
"""Maximum number of items sent to a worker at once. Neighbouring items often share cached data."""

_ENDINGS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GRACE = 5.0
"""Seconds that workers have to complete their current item."""


def usable_cores() -> int:
    """Number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_importing_main() -> bool:
    """Whether this process is a worker that is still importing its parent's script, which then lacks a main guard."""
    return getattr(multiprocessing.current_process(), "_inheriting", False)


def map_in_processes(function: Callable[[A], B], items: Sequence[A], processes: int) -> Generator[B]:
    """Apply a function to items in order, as `map`, by worker processes with one thread each.

    Closing the generator ends the workers. Function, items and results must be picklable.

    Args:
        function: The function.
        items: Its arguments.
        processes: Number of workers.

    Raises:
        InputError: If a worker is killed.
    """
    size = max(min(MAX_CHUNK, len(items) // (4 * processes)), 1)
    chunks = [items[k : k + size] for k in range(0, len(items), size)]
    workers: dict[Connection, BaseProcess] = {}
    resource_tracker.ensure_running()  # otherwise the first worker starts it, with signals unblocked
    try:
        with _signals_held():
            for _ in chunks[:processes]:
                _start(function, workers)
        yield from _results(chunks, workers)
    finally:
        _end(workers)


def _start(function: Callable[[A], B], workers: dict[Connection, BaseProcess]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, function), daemon=True)
    process.start()
    theirs.close()
    workers[ours] = process


def _results(chunks: Sequence[Sequence[A]], workers: dict[Connection, BaseProcess]) -> Iterator[B]:
    """Distribute chunks to idle workers and yield results in the order of the items."""
    to_do, working, done = iter(enumerate(chunks)), {}, {}
    idle = list(workers)
    for index in range(len(chunks)):
        while index not in done:
            try:
                for worker, (number, chunk) in zip(idle, to_do, strict=False):
                    working[worker] = number
                    worker.send(chunk)
                ready = wait(list(working))
                idle = [worker for worker in working if worker in ready]
                for worker in idle:
                    done[working.pop(worker)] = worker.recv()
            except (EOFError, ConnectionError):
                raise InputError(
                    "a worker process was killed, perhaps for want of memory, or runs a script without "
                    'if __name__ == "__main__"; use fewer --processes, or add that line'
                ) from None
        yield from done.pop(index)


def _end(workers: dict[Connection, BaseProcess]) -> None:
    """Terminate the workers; kill those that do not exit within the grace period."""
    for connection, process in workers.items():
        process.terminate()
        connection.close()
    deadline = monotonic() + _GRACE
    for process in workers.values():
        process.join(max(deadline - monotonic(), 0))
        process.kill()
        process.join()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Block signals that end a process. Processes started in this context inherit the mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, function: Callable[[A], B]) -> None:
    """Main loop of a worker: receives chunks and sends lists of results."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # by default a semaphore, which the end of this process would leave behind
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is handled by the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()  # the thread keeps signals blocked
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
    with suppress(EOFError, ConnectionError):  # the parent has closed the connection
        while True:
            results = []
            for item in connection.recv():
                with _signals_held():  # complete the current item
                    results.append(function(item))
            connection.send(results)
    os._exit(0)  # skips PyTorch's clean-up, which takes a second


def _end_with_parent() -> None:
    """Exit when the parent process is gone, even during a long item."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
