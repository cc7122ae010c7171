"""AdamW with gradient clipping and a learning-rate schedule, and exponential moving averages of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from motion_diffusion.network.weight_average import update_average
from train.checkpoint import check_finite
from train.config import TrainingOptions

M = TypeVar("M", bound=nn.Module)


def learning_rate_factor(options: TrainingOptions, step: int) -> float:
    """Factor of the learning rate at `step`, counted from 0: linear warm-up, constant, linear or cosine decay to 0."""
    rise = min(1.0, (step + 1) / max(options.warmup, 1))
    left = min(1.0, (options.steps - step) / max(options.cooldown * options.steps, 1))
    fall = left if options.decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))
    return min(rise, fall)


class Optimizer:
    """AdamW for the parameters of a module; vectors (biases, modulations) have no weight decay.

    Its state in a checkpoint is first.<name> and second.<name>, the moments of each parameter.
    """

    def __init__(
        self,
        module: nn.Module,
        options: TrainingOptions,
        *,
        step: int = 0,
        tensors: Mapping[str, Tensor] | None = None,
    ):
        """Create the optimizer for the next training step.

        Args:
            module: Its parameters are optimized in place.
            options: Learning rate, its schedule, weight decay and the norm at which gradients are clipped.
            step: Number of steps already taken.
            tensors: State of a checkpoint written after `step` steps; None for a new training.
        """
        self.module, self.options = module, options
        decayed = [p for p in module.parameters() if p.ndim >= 2]
        vectors = [p for p in module.parameters() if p.ndim < 2]
        rate = options.learning_rate
        groups = [
            {"params": decayed, "weight_decay": options.weight_decay, "initial_lr": rate},
            {"params": vectors, "weight_decay": 0.0, "initial_lr": rate},
        ]
        self.adamw = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)
        if tensors is not None:
            self._restore(tensors, step)
        self.schedule = LambdaLR(self.adamw, partial(learning_rate_factor, options), last_epoch=step - 1)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def update(self, loss: Tensor, run: Path) -> Tensor:
        """Clip the gradients that the parameters have, take a step and clear them.

        Args:
            loss: Scalar loss of the step; only checked.
            run: Run directory; appears in the error message.

        Returns:
            Norm of the gradient before clipping.

        Raises:
            InputError: The loss or the gradient is not finite; no parameter has changed.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.options.clip_norm)
        check_finite(run, self.schedule.last_epoch + 1, loss.item(), norm.item())
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        self.schedule.step()
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """First and second moments of every parameter, for a checkpoint."""
        result = {}
        for name, value in self.module.named_parameters():
            result[f"first.{name}"] = self.adamw.state[value]["exp_avg"]
            result[f"second.{name}"] = self.adamw.state[value]["exp_avg_sq"]
        return result

    def _restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        for name, value in self.module.named_parameters():
            self.adamw.state[value] = {
                "step": torch.tensor(float(step), device=value.device),
                "exp_avg": tensors[f"first.{name}"].to(value.device),
                "exp_avg_sq": tensors[f"second.{name}"].to(value.device),
            }


def average_gradients(module: nn.Module, accelerator: Accelerator) -> None:
    """Replace the gradients by their mean over all processes, in one reduction."""
    if accelerator.num_processes > 1:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        mean = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean")
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


class WeightAverages(Generic[M]):
    """Exponential moving averages of a module's parameters, one for each rate.

    After n updates the average moves by m ← r·m + (1 − r)·w with r = min(rate, n/(n + 9)), so that the initial weights
    are soon forgotten. In a checkpoint an average is ema.<name> (the first rate) or ema-<rate>.<name>.
    """

    def __init__(self, module: M, rates: Sequence[float]):
        self.rates = tuple(rates)
        self._averaged = {rate: AveragedModel(module, multi_avg_fn=partial(update_average, rate)) for rate in rates}
        for averaged in self._averaged.values():
            averaged.module.eval()
            averaged.n_averaged.fill_(1)  # the initial weights are averaged too, not replaced

    def update(self, module: M) -> None:
        """Include the current parameters of the module."""
        for averaged in self._averaged.values():
            averaged.update_parameters(module)

    def module(self, rate: float | None = None) -> M:
        """The module with the averages of a rate (default: the first) as its parameters, in evaluation mode."""
        return cast(M, self._averaged[self.rates[0] if rate is None else rate].module)

    def name(self, rate: float) -> str:
        """Return "ema" for the first rate, "ema-0.9999" for others."""
        return "ema" if rate == self.rates[0] else f"ema-{rate}"

    def tensors(self) -> dict[str, Tensor]:
        """All averages, for a checkpoint."""
        return {
            f"{self.name(rate)}.{name}": value
            for rate in self.rates
            for name, value in self.module(rate).named_parameters()
        }

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], *, step: int) -> None:
        """Load the averages of a checkpoint written after `step` updates."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])
        for averaged in self._averaged.values():
            averaged.n_averaged.fill_(step + 1)
