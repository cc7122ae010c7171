"""Records of a training: means of the losses between log entries, metrics.jsonl, trackers, and pictures of samples."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import is_tensorboard_available, is_wandb_available
from torch import Tensor

from guidance.analysis.style import SMALL, label, line, panels, styles_in_order
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from visualize.plots.registry import save
from visualize.plots.results import read_metrics, training
from visualize.stills import draw_strip

METRICS = "metrics.jsonl"
PROJECT = "motion-diffusion"
"""Project name in trackers."""
QUARTERS = 4
PROMPTS = ("a person walks forward", "a person walks in a curve to the left", "a person runs")
"""Prompts of the pictures."""
_INSTALLED = {"tensorboard": is_tensorboard_available, "wandb": is_wandb_available}


class BatchLosses(NamedTuple):
    """Losses of B examples at their diffusion times."""

    loss: Tensor
    """(B,) loss."""
    x0_error: Tensor
    """(B,) squared error of x̂0."""
    t: Tensor
    """(B,) diffusion times."""
    importance: Tensor
    """(B,) weight of each example in the mean."""
    words: int
    """Number of word vectors of the longest text."""


class LossMeter:
    """Means of losses, over all t and by quarter of t, and the share of padding, since they were last taken.

    Sums are kept in float64.
    """

    def __init__(self, T: int, device: torch.device):
        self.T = T
        self.sums = torch.zeros(3, QUARTERS, dtype=torch.float64, device=device)
        """(3, 4): sum of losses, sum of errors of x̂0 and number of examples, by quarter of t."""
        self.frames = torch.zeros(2, dtype=torch.float64, device=device)
        """(2,): number of padded frames and of all frames."""

    def add(self, losses: BatchLosses, *, padding: int, frames: int) -> None:
        """Add the losses of a batch with `frames` frames, of which `padding` are padding."""
        quarter = (((losses.t - 1) * QUARTERS) // self.T).to(self.sums.device)
        values = torch.stack([losses.loss.detach(), losses.x0_error, torch.ones_like(losses.x0_error)])
        self.sums.index_add_(1, quarter, values.double())
        self.frames += torch.tensor([padding, frames], dtype=torch.float64, device=self.frames.device)

    def collect(self, accelerator: Accelerator) -> None:
        """Sum over all processes into the main one. All processes must call this at the same step."""
        for sums in (self.sums, self.frames):
            total = accelerator.reduce(sums, reduction="sum")
            sums.copy_(total if accelerator.is_main_process else torch.zeros_like(total))

    def take(self) -> dict[str, float]:
        """Return the means by name and reset them. Quarters of t without an example are left out."""
        (loss, error, count), (padded, frames) = self.sums.tolist(), self.frames.tolist()
        self.sums.zero_()
        self.frames.zero_()
        result = {"padding": padded / max(frames, 1), "mean_loss": sum(loss) / max(sum(count), 1)}
        for q in range(QUARTERS):
            if count[q]:
                result[f"loss_q{q + 1}"] = loss[q] / count[q]
                result[f"x0_error_q{q + 1}"] = error[q] / count[q]
        return result

    def tensors(self) -> dict[str, Tensor]:
        """The sums, for a checkpoint."""
        return {"sums": self.sums, "frames": self.frames}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Load the sums of a checkpoint; those that an older checkpoint lacks stay 0."""
        for name, value in self.tensors().items():
            if name in tensors:
                value.copy_(tensors[name])


def append(run: Path, step: int, values: Mapping[str, float]) -> None:
    """Append a line to metrics.jsonl, with values rounded to 6 digits."""
    line = {"step": step} | {name: round(value, 6) for name, value in values.items()}
    with (run / METRICS).open("a") as file:
        file.write(json.dumps(line) + "\n")


def flush(run: Path) -> None:
    """Flush metrics.jsonl to the disk."""
    if (run / METRICS).is_file():
        with (run / METRICS).open("rb") as file:
            os.fsync(file.fileno())


def keep_until(run: Path, step: int) -> None:
    """Remove the lines after a step, and a line that was not written completely."""
    path = run / METRICS
    if path.is_file():
        lines = path.read_text(errors="replace").splitlines()
        with atomic(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in lines if 0 <= _step(line) <= step))


def _step(line: str) -> int:
    """The step of a line; -1 for an incomplete one."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError if a tracker is not installed."""
    for name in names:
        if not _INSTALLED[name]():
            raise InputError(
                f"--log-with {name}: {name} is not installed; install the extra 'tracking': "
                "pip install 'motion-diffusion[tracking]'"
            )


def tracker_settings(run: Path, step: int, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings with which trackers continue the same run after a step. options: shown on the page of the run."""
    identity = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
    about = {"id": identity, "name": run.name, "dir": str(run), "resume": "allow", "config": dict(options)}
    return {"tensorboard": {"purge_step": step + 1}, "wandb": about}


@dataclass(frozen=True)
class SamplePictures:
    """Draws `pictures/<step>-<n>.png` (`<step>.png` for models of the root) and `loss.png` into the run directory."""

    run: Path
    """Run directory."""
    steps: int = 50
    """Denoising steps."""

    def __call__(self, model: MotionModel, step: int) -> None:
        """Sample and draw, with the same noise at every step so that pictures can be compared.

        Args:
            model: The model with averaged weights.
            step: Training step, for the file names.
        """
        frames = model.config.max_frames
        steps = min(self.steps, model.config.T)
        x = model.sample(PROMPTS, [frames] * len(PROMPTS), seeds=range(len(PROMPTS)), steps=steps)
        joints = model.representation.decode(x)
        if model.representation.whole_body:
            for number, (motion, text) in enumerate(zip(joints, PROMPTS, strict=True), 1):
                draw_strip(Motion(motion, text=text), self.run / "pictures" / f"{step:06d}-{number}.png")
        else:
            draw_paths(joints[:, :, 0], self.run / "pictures" / f"{step:06d}.png")
        of_model = {"prediction": model.config.prediction}
        rows = [{**row, **of_model} for row in read_metrics(self.run / METRICS, self.run.resolve().name)]
        save(training(rows), self.run, "loss", ("png",))


def draw_paths(paths: Tensor, path: Path) -> None:
    """Draw root paths (B, F, 3), one for each of PROMPTS, from above: forward is up and left is left."""
    figure, (axes,) = panels(1, 1, size=(6, 6), title="")
    for root, (text, look) in zip(paths, styles_in_order(PROMPTS).items(), strict=True):
        line(axes, root[:, 0].tolist(), root[:, 2].tolist(), look, text)
    label(axes, title="", x="x, m", y="z, m")
    axes.set_aspect("equal")
    axes.invert_xaxis()
    figure.legend(loc="outside lower center", frameon=False, fontsize=SMALL, handlelength=4)
    save(figure, path.parent, path.stem, ("png",))
