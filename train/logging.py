"""The numbers of a run: a line of JSON for every time they are taken, in metrics.jsonl, and perhaps elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import is_tensorboard_available, is_wandb_available

from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError

METRICS = "metrics.jsonl"
PROJECT = "motion-diffusion"
"""Under which trackers file a run."""
_INSTALLED = {"tensorboard": is_tensorboard_available, "wandb": is_wandb_available}


def append(run: Path, step: int, values: Mapping[str, float]) -> None:
    """Add a line."""
    line = {"step": step} | {name: round(value, 6) for name, value in values.items()}
    with (run / METRICS).open("a") as file:
        file.write(json.dumps(line) + "\n")


def flush(run: Path) -> None:
    """Let what was added reach the disk."""
    if (run / METRICS).is_file():
        with (run / METRICS).open("rb") as file:
            os.fsync(file.fileno())


def keep_until(run: Path, step: int) -> None:
    """Forget what came after a step, and a line that was not written to its end."""
    path = run / METRICS
    if path.is_file():
        lines = path.read_text(errors="replace").splitlines()
        with atomic(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines if 0 <= _step(line) <= step))


def _step(line: str) -> int:
    """-1 for a torn line."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def check_trackers(names: Sequence[str]) -> None:
    """InputError if a tracker is not installed."""
    for name in names:
        if not _INSTALLED[name]():
            raise InputError(
                f"--log-with {name}: {name} is not installed; install the extra 'tracking': "
                "pip install 'motion-diffusion[tracking]'"
            )


def tracker_settings(run: Path, step: int, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What trackers need to know to go on after a step, as the same run. options: for the page of the run."""
    identity = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
    about = {"id": identity, "name": run.name, "dir": str(run), "resume": "allow", "config": dict(options)}
    return {"tensorboard": {"purge_step": step + 1}, "wandb": about}
