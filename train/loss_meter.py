"""Means since the last time they were taken: losses, over all t and by quarter of it, and the share of padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

QUARTERS = 4


class Losses(NamedTuple):
    """Of some examples, each (B,): loss and squared error of x0 at times t, and what each counts for in the mean."""

    loss: Tensor
    x0_error: Tensor
    t: Tensor
    importance: Tensor
    words: int
    """Of the longest text, in word vectors."""


class Meter:
    """Sums, in float64, over the examples of all processes."""

    def __init__(self, T: int, device: torch.device):
        self.T = T
        self.sums = torch.zeros(3, QUARTERS, dtype=torch.float64, device=device)
        """Losses, errors of x0 and their number, by quarter of t."""
        self.frames = torch.zeros(2, dtype=torch.float64, device=device)
        """Those that were padded, and all."""

    def add(self, losses: Losses, *, padding: int, frames: int) -> None:
        """Take in a batch of so many frames, some of them padding."""
        quarter = (((losses.t - 1) * QUARTERS) // self.T).to(self.sums.device)
        values = torch.stack([losses.loss.detach(), losses.x0_error, torch.ones_like(losses.x0_error)])
        self.sums.index_add_(1, quarter, values.double())
        self.frames += torch.tensor([padding, frames], dtype=torch.float64, device=self.frames.device)

    def collect(self, accelerator: Accelerator) -> None:
        """Bring the sums of all processes together, in the main one. All must call it at the same step."""
        for sums in (self.sums, self.frames):
            total = accelerator.reduce(sums, reduction="sum")
            sums.copy_(total if accelerator.is_main_process else torch.zeros_like(total))

    def take(self) -> dict[str, float]:
        """The means so far; those that follow begin anew. Quarters without an example are left out."""
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
        """The sums, for a checkpoint; put back by `restore`."""
        return {"sums": self.sums, "frames": self.frames}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a checkpoint, which may have none."""
        for name, value in self.tensors().items():
            if name in tensors:
                value.copy_(tensors[name])
