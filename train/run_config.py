"""training.json: the options of a run, kept beside it; it is continued only with the options it was started with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError
from train.config import Options

TRAINING = "training.json"

_ELSEWHERE = ("preset", "run", "data_root", "threads")
"""Matters of the machine and of how the options were given; not written."""
_FREE = {f"training.{name}" for name in ("steps", "workers", "accumulate", "compile", "log_with", "learning_rate")}
"""May change on the way: so that a finished run can be continued, on another machine too, and one that diverged."""


def described(options: Options, *, processes: int) -> dict[str, Any]:
    """Options as they are written. The batch is that of a step, over all processes: so many may as well be one."""
    tree = dataclasses.asdict(options)
    for name in _ELSEWHERE:
        del tree[name]
    tree["training"]["batch_size"] *= processes
    return json.loads(json.dumps(tree))


def check_options(run: Path, new: dict[str, Any]) -> None:
    """InputError that names what differs from the options in training.json, if that is there.

    One that an older version of the project wrote may lack some, which then have their defaults.
    """
    path = run / TRAINING
    if not path.is_file():
        return
    try:
        old = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); mend it, or give another --run") from None
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
    """With the defaults of what is missing, and with one rate of the averages as a list of one."""
    defaults = described(Options(), processes=1)
    result = defaults | tree
    for group in ("network", "training"):
        result[group] = defaults[group] | tree.get(group, {})
    if isinstance(rate := result["training"]["ema"], float):
        result["training"]["ema"] = [rate]
    return result


def _flat(tree: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(tree, dict):
        return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{name}".strip(".")).items()}
    return {prefix: json.dumps(tree)}
