"""The state of a run on disk: written so that it can be interrupted at any moment, and read only if it is whole.

`state.safetensors` has all that going on needs. It is written beside, flushed to the disk and then renamed, and the
state before it is kept as `state-before.safetensors`. A digest of the contents stands in the file: what does not match
it is not read.
"""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from motion_diffusion.atomic_io import atomic, save_tensors
from motion_diffusion.errors import InputError
from motion_diffusion.pretrained import part

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
    """Make this the state of a run, and the one so far that before it.

    Raises InputError if a number in it is not finite, and keeps the states that there are.
    """
    for name, value in state.tensors.items():
        if not value.isfinite().all():
            raise InputError(f"{name} is not finite after step {state.step}, and was not saved; {resume_advice(run)}")
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


def check_steps_left(run: Path, state: State, steps: int) -> None:
    """Raises InputError for a run whose state is beyond the requested number of steps."""
    if state.step > steps:
        raise InputError(f"{run} has taken {state.step} steps; give --steps {state.step} or more, or another --run")


def check_finite(run: Path, step: int, loss: float, gradient_norm: float) -> None:
    """InputError if the loss or the gradient of a step is not finite, before anything is learned from it."""
    if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
        raise InputError(
            f"step {step} has a loss of {loss:g} and a gradient of norm {gradient_norm:g}, and was not taken; "
            f"{resume_advice(run)}"
        )


def resume_advice(run: Path) -> str:
    """What to do about a training that diverged."""
    if (run / STATE).is_file():
        return (
            "the same command with a lower --learning-rate continues from the last state that was saved; if that "
            "diverges too, give another --run"
        )
    return "give the same command with a lower --learning-rate; nothing was saved yet"


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
