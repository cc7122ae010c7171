"""Work shared by several processes (started by `accelerate launch`), or done by a single one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from motion_diffusion.atomic_io import locked
from motion_diffusion.errors import InputError

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")

MAX_WAIT = timedelta(days=30)
"""Timeout of the final barrier across processes."""


@dataclass(frozen=True)
class SingleProcess:
    """The state of a process without others, as accelerate's `PartialState` has it."""

    device: torch.device
    process_index: int = 0
    num_processes: int = 1
    is_main_process: bool = True

    def wait_for_everyone(self) -> None:
        """Nobody to wait for."""


def processes() -> PartialState | SingleProcess:
    """This process and the others of its launcher; on the CPU unless there is a CUDA device.

    Raises:
        InputError: If a launcher started several and accelerate is not installed.
    """
    try:
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env
    except ImportError as error:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError(f"several processes need accelerate ({error}); {INSTALL}") from None
        return SingleProcess(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    cpu = not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    return PartialState(cpu=cpu, timeout=MAX_WAIT)


INSTALL = "install the extra 'train': pip install 'motion-diffusion[train]'"


def by_main(work: Callable[[], T]) -> T:
    """Run `work` in the main process and return its result, or raise its InputError or OSError, in all processes."""
    found: list[T | InputError | OSError | None] = [None]
    state = processes()
    if state.is_main_process:
        try:
            found = [work()]
        except (InputError, OSError) as error:
            found = [error]
    if state.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(found)
    (result,) = found
    if isinstance(result, InputError | OSError):
        raise result
    return result  # type: ignore[return-value]  # None only until it is broadcast


@contextmanager
def locked_by_main(folder: str | Path, option: str) -> Iterator[None]:
    """Lock a folder for these processes, see `atomic_io.locked`; all of them raise its InputError."""
    with ExitStack() as held:
        by_main(lambda: held.enter_context(locked(folder, option)))
        yield
