"""Work shared by several processes (started by `accelerate launch`), or done by a single one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from motion_diffusion.atomic_io import locked
from motion_diffusion.errors import InputError

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=30)
"""Timeout of barriers across processes."""


def processes() -> PartialState:
    """The state of this process among the launched ones; on the CPU unless there is a CUDA device."""
    cpu = not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    return PartialState(cpu=cpu, timeout=LONGEST_WAIT)


def by_main(work: Callable[[], T]) -> T:
    """Run `work` in the main process and return its result, or raise its InputError or OSError, in all processes."""
    found: list[T | InputError | OSError | None] = [None]
    if processes().is_main_process:
        try:
            found = [work()]
        except (InputError, OSError) as error:
            found = [error]
    (result,) = broadcast_object_list(found)
    if isinstance(result, InputError | OSError):
        raise result
    return result


@contextmanager
def locked_by_main(folder: str | Path, option: str) -> Iterator[None]:
    """Lock a folder for these processes, see `atomic_io.locked`; all of them raise its InputError."""
    with ExitStack() as held:
        by_main(lambda: held.enter_context(locked(folder, option)))
        yield
