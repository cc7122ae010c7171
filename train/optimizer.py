"""AdamW on a denoiser's parameters, and the learning rate by step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from train.config import TrainingOptions


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Warm-up, constant, and down to zero in a line or along half a cosine: the value at `step`, counted from 0."""
    rise = min(1.0, (step + 1) / max(options.warmup, 1))
    left = min(1.0, (options.steps - step) / max(options.cooldown * options.steps, 1))
    fall = left if options.decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))
    return options.learning_rate * min(rise, fall)


def adamw(module: nn.Module, options: TrainingOptions) -> torch.optim.AdamW:
    """The optimiser; vectors (biases, modulations) have no weight decay."""
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    vectors = [p for p in module.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99), fused=True)


def moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What AdamW remembers, for a checkpoint: first.<name> and second.<name> of every parameter."""
    result = {}
    for name, value in module.named_parameters():
        result[f"first.{name}"] = optimizer.state[value]["exp_avg"]
        result[f"second.{name}"] = optimizer.state[value]["exp_avg_sq"]
    return result


def restore_moments(
    module: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], *, step: int
) -> None:
    """Go on from a checkpoint after so many steps."""
    for name, value in module.named_parameters():
        optimizer.state[value] = {
            "step": torch.tensor(float(step), device=value.device),
            "exp_avg": tensors[f"first.{name}"].to(value.device),
            "exp_avg_sq": tensors[f"second.{name}"].to(value.device),
        }


def average_gradients(module: nn.Module, accelerator: Accelerator) -> None:
    """The mean over all processes, in one message."""
    if accelerator.num_processes > 1:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        mean = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean")
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
