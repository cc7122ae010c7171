"""A function applied to many items by worker processes.

Workers are spawned, not forked: a forked process inherits the state of OpenMP without its threads, and the first
parallel operation of PyTorch waits for them forever. Each worker has a pipe of its own, hence ending one at any moment,
even while it sends, blocks nobody else.
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

from motion_diffusion.errors import InputError

A = TypeVar("A")
B = TypeVar("B")

MAX_CHUNK = 16
"""Items that a worker gets at once; neighbours often share what it has read already."""

_ENDINGS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GRACE = 5.0
"""Seconds that workers have to complete the item at which they are."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_importing_main() -> bool:
    """Whether this process is a worker that still imports its parent's script: one without a guard of its main part."""
    return getattr(multiprocessing.current_process(), "_inheriting", False)


def map_in_processes(function: Callable[[A], B], items: Sequence[A], processes: int) -> Generator[B]:
    """`map(function, items)`, by so many workers with one thread each; they are gone when the generator is closed.

    Function, items and results must be picklable. Raises InputError if a worker is killed.
    """
    size = max(min(MAX_CHUNK, len(items) // (4 * processes)), 1)
    chunks = [items[k : k + size] for k in range(0, len(items), size)]
    workers: dict[Connection, BaseProcess] = {}
    resource_tracker.ensure_running()  # else the first worker starts it, and it lets signals through again
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
    """Give each worker chunk after chunk, and yield the results in the order of the items."""
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
    """End the workers; those that do not end by themselves in a moment are killed."""
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
    """Let signals that end a process wait. Processes started meanwhile hold them too, until they are ready for them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, function: Callable[[A], B]) -> None:
    """The program of a worker: chunks come through the connection, and lists of results go back."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()  # it holds signals for ever
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
    with suppress(EOFError, ConnectionError):  # no more is wanted
        while True:
            results = []
            for item in connection.recv():
                with _signals_held():  # so that no item is half-written
                    results.append(function(item))
            connection.send(results)
    os._exit(0)  # at once, without the second that PyTorch takes to clean up


def _end_with_parent() -> None:
    """End this process when its parent is gone, even in the middle of a long item."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
