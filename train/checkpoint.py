"""A run on disk: the state to resume from, and the options, which must be the same when it is resumed.

`state.safetensors` holds everything that is needed to resume. It is written to a temporary file, flushed to the disk
and renamed; the previous state is kept as `state-before.safetensors`. The file contains a digest of its contents, and a
file that does not match it is not read. `training.json` holds the options that the run was started with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from motion_diffusion.atomic_io import atomic, save_tensors
from motion_diffusion.errors import InputError, parse_json
from motion_diffusion.pretrained import part
from train.config import Options

STATE, BEFORE = "state.safetensors", "state-before.safetensors"
TRAINING = "training.json"

_ELSEWHERE = ("preset", "run", "data_root", "threads")
"""Options that depend on the machine or on how options were given; not written."""
_FREE = {f"training.{name}" for name in ("steps", "workers", "accumulate", "compile", "log_with", "learning_rate")}
"""Options that may change: for more steps, another machine, or a lower learning rate after a divergence."""


@dataclass(frozen=True)
class State:
    """Everything that is needed to resume after `step` steps."""

    step: int
    config: str
    """The model's config.json; empty in states written by the first version of the project."""
    tensors: dict[str, Tensor]

    def digest(self) -> str:
        """SHA-256 of the step, the config and all tensors, in hexadecimal digits."""
        digest = hashlib.sha256(f"{self.step}\n{self.config}\n".encode())
        for name, value in sorted(self.tensors.items()):
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.numpy().data)
        return digest.hexdigest()

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors `prefix`.<name>, by name."""
        return part(self.tensors, prefix)


def write_state(run: Path, state: State) -> None:
    """Write the state of a run; the previous one becomes `state-before.safetensors`.

    Raises:
        InputError: A tensor is not finite. The states on the disk are kept.
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
    """Read the last state of a run.

    If it is damaged, it is removed with a message on stderr, and the state before it is read.

    Returns:
        The state; None if the run has none.

    Raises:
        InputError: All states are damaged.
    """
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
            print(f"{broken[0]}; resuming from the state before it, step {state.step}", file=sys.stderr)
            (run / STATE).unlink()  # else the next write would make it the state before
        return state
    if broken:
        raise InputError(f"{'; '.join(broken)}; nothing to resume from: give another --run, perhaps with --start {run}")
    return None


def state_to_resume(run: Path, kind: str) -> State | None:
    """Read the last state of a run, and refuse a directory with a model that cannot be resumed.

    Args:
        run: Run directory.
        kind: Name of what is trained, for the error message.

    Returns:
        The state; None for a new run.

    Raises:
        InputError: The directory holds a model but no state, or only damaged states.
    """
    state = read_state(run)
    if state is None and (run / "model.safetensors").is_file():
        raise InputError(f"{run} holds a {kind} but no training state; give another --run")
    return state


def check_steps_left(run: Path, state: State, steps: int) -> None:
    """Raise InputError if the state of a run is beyond the requested number of steps."""
    if state.step > steps:
        raise InputError(f"{run} has taken {state.step} steps; give --steps {state.step} or more, or another --run")


def check_finite(run: Path, step: int, loss: float, gradient_norm: float) -> None:
    """Raise InputError if the loss or the norm of the gradient is not finite. Call it before the step is applied."""
    if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
        raise InputError(
            f"step {step} has a loss of {loss:g} and a gradient of norm {gradient_norm:g}, and was not taken; "
            f"{resume_advice(run)}"
        )


def resume_advice(run: Path) -> str:
    """Advice for a training that diverged."""
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


def options_record(options: Options, *, processes: int) -> dict[str, Any]:
    """Options as written to training.json.

    Args:
        options: The options of one process.
        processes: Number of processes. The batch size in the record is the sum over all processes, so that another
            number of processes can resume the run.
    """
    tree = dataclasses.asdict(options)
    for name in _ELSEWHERE:
        del tree[name]
    tree["training"]["batch_size"] *= processes
    return json.loads(json.dumps(tree))


def check_options(run: Path, new: dict[str, Any]) -> None:
    """Compare options with training.json, if it exists. Options missing there have their defaults.

    Raises:
        InputError: Options differ (the message names them), or training.json is damaged.
    """
    path = run / TRAINING
    if not path.is_file():
        return
    try:
        old = parse_json(path.read_bytes(), "it holds the options of a training")
    except InputError as error:
        raise InputError(f"{path} {error}; or give another --run") from None
    differ = sorted(_flat(_complete(old)).items() ^ _flat(_complete(new)).items())
    names = sorted({name for name, _ in differ} - _FREE)
    if names:
        raise InputError(
            f"{run} was started with other values of {', '.join(names)}; give a new --run or the old values"
        )


def write_options(run: Path, options: dict[str, Any]) -> None:
    """Write training.json."""
    with atomic(run / TRAINING) as path:
        path.write_text(json.dumps(options, indent=2) + "\n")


def _complete(tree: dict[str, Any]) -> dict[str, Any]:
    """Add defaults for missing options, and replace a single rate of weight averages by a list."""
    defaults = options_record(Options(), processes=1)
    result = defaults | tree
    for group in ("network", "distillation", "training"):
        result[group] = defaults[group] | tree.get(group, {})
    if isinstance(rate := result["training"]["ema"], float):
        result["training"]["ema"] = [rate]
    return result


def _flat(tree: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(tree, dict):
        return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{name}".strip(".")).items()}
    return {prefix: json.dumps(tree)}
