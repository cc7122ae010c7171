"""A perceptron of fixed width that learns vectors as x0, ε or v, with or without a skip from x_t to its output.

The skip is that of `motion_diffusion.network.denoiser`: y = skip(t)·x_t + gate(t)·F(x_t, t).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from motion_diffusion.diffusion.losses import Network, training_loss
from motion_diffusion.diffusion.prediction import Prediction
from motion_diffusion.diffusion.schedule import Level, Schedule, vector
from motion_diffusion.network.denoiser import NoiseLevel

WIDTH, DEPTH, LEVEL = 256, 5, 64
"""Width and layers of the perceptron, and width of its embedding of the noise level."""
RATE, BATCH = 1e-3, 128
"""Learning rate, and points in a step."""


class Perceptron(nn.Module):
    """y = F(x_t, t), or y = skip(t)·x_t + gate(t)·F(x_t, t)."""

    def __init__(self, dimension: int, *, skip: bool):
        super().__init__()
        self.level = NoiseLevel(LEVEL)
        widths = [dimension + LEVEL, *[WIDTH] * (DEPTH - 1)]
        hidden = (nn.Sequential(nn.Linear(a, b), nn.SiLU()) for a, b in pairwise(widths))
        self.layers = nn.Sequential(*hidden, nn.Linear(WIDTH, dimension))
        self.scales = nn.Linear(LEVEL + 2, 2) if skip else None

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Predict (B, D) from x (B, D) at α and σ (B,)."""
        level = self.level(alpha, sigma)
        y: Tensor = self.layers(torch.cat([x, level], dim=-1))
        if self.scales is None:
            return y
        inputs = torch.cat([nn.functional.silu(level), alpha[:, None], sigma[:, None]], dim=-1)
        skip, gate = self.scales(inputs).chunk(2, dim=-1)
        return skip * x + gate * y


def train_perceptron(
    sample: Callable[[int, torch.Generator], Tensor],
    dimension: int,
    prediction: Prediction,
    schedule: Schedule,
    *,
    skip: bool,
    steps: int,
    seed: int,
) -> Network:
    """Train a perceptron by the plain squared error of its output.

    Args:
        sample: Draws points (count, D) of the data.
        dimension: D.
        prediction: What it predicts.
        schedule: The noise schedule.
        skip: Whether it has a skip.
        steps: Training steps.
        seed: Seed of weights, data, noise and times.

    Returns:
        The network, (B, 1, D) → (B, 1, D).
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        perceptron = Perceptron(dimension, skip=skip)
    optimiser = torch.optim.Adam(perceptron.parameters(), lr=RATE)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, total_iters=steps)

    def network(x: Tensor, level: Level) -> Tensor:
        return perceptron(x[:, 0], vector(level.alpha, x), vector(level.sigma, x))[:, None]

    frames = torch.ones(BATCH, 1, dtype=torch.bool)
    for _ in range(steps):
        x0 = sample(BATCH, generator)[:, None]
        t = torch.randint(1, schedule.T + 1, (BATCH,), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss, _ = training_loss(network, x0, frames, t, eps, schedule=schedule, prediction=prediction)
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        decay.step()
    return network
