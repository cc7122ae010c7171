"""The state of a run on disk: written so that it can be interrupted at any moment, and read only if it is whole.

`state.safetensors` has all that going on needs. It is written beside, flushed to the disk and then renamed, and the
state before it is kept as `state-before.safetensors`. A digest of the contents stands in the file: what does not match
it is not read.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError, safe_open
from torch import Tensor

from motion_diffusion.directory import part
from motion_diffusion.errors import InputError
from motion_diffusion.files import atomic, save_tensors
from motion_diffusion.processes import processes

STATE, BEFORE = "state.safetensors", "state-before.safetensors"


@dataclass(frozen=True)
class State:
    """All that going on needs, after `step` steps."""

    step: int
    config: str
    """The model's config.json; empty in states of runs that were begun by the first version of the project."""
    tensors: dict[str, Tensor]

    def digest(self) -> str:
        """Of everything in it."""
        digest = hashlib.sha256(f"{self.step}\n{self.config}\n".encode())
        for name, value in sorted(self.tensors.items()):
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.numpy().data)
        return digest.hexdigest()

    def part(self, called: str) -> dict[str, Tensor]:
        """The tensors `called`.<name>, by name."""
        return part(self.tensors, called)


def write_state(run: Path, state: State) -> None:
    """Make this the state of a run, and the one so far that before it."""
    metadata = {"step": str(state.step), "config": state.config, "digest": state.digest()}
    with atomic(run / STATE) as path:
        save_tensors(state.tensors, path, metadata)
        if (run / STATE).is_file():
            (run / STATE).replace(run / BEFORE)


def read_state(run: Path) -> State | None:
    """The last state of a run, or the one before if the last is broken, which is then said and removed; None if there
    is none. InputError if there is nothing else than broken ones."""
    broken = []
    for name in (STATE, BEFORE):
        try:
            state = _read(run / name)
        except FileNotFoundError:
            continue
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            broken.append(f"{run / name} is broken ({' '.join(str(error).split())[:100]})")
            continue
        if broken:
            print(f"{broken[0]}; going on from the state before it, step {state.step}", file=sys.stderr)
            (run / STATE).unlink()  # not to take the place of the one before
        return state
    if broken:
        raise InputError(f"{'; '.join(broken)}; nothing to go on from: give another --run, perhaps with --start {run}")
    return None


def shared_state(run: Path) -> State | None:
    """`read_state` by the main process, for all of them: everybody goes on from the same step."""
    here = processes()
    found: list[State | InputError | None] = [None]
    if here.is_main_process:
        try:
            found = [read_state(run)]
        except InputError as error:
            found = [error]
    (result,) = broadcast_object_list(found)
    if isinstance(result, InputError):
        raise result
    return result


def _read(path: Path) -> State:
    if not path.is_file():
        raise FileNotFoundError(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    state = State(int(metadata["step"]), metadata.get("config", ""), tensors)
    if metadata.get("digest") != (state.digest() if state.config else None):
        raise ValueError("its contents are not those that were written")
    return state
