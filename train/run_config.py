"""training.json: the options that a run was started with, which must be the same when it is resumed."""

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
"""Options that depend on the machine or on how options were given; not written."""
_FREE = {f"training.{name}" for name in ("steps", "workers", "accumulate", "compile", "log_with", "learning_rate")}
"""Options that may change: for more steps, another machine, or a lower learning rate after a divergence."""


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
    """Add defaults for missing options, and replace a single rate of weight averages by a list."""
    defaults = options_record(Options(), processes=1)
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
