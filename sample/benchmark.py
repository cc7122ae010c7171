"""python -m sample.benchmark: what a sampler costs beside its network, at batch 1."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from motion_diffusion.errors import command
from motion_diffusion.model import MotionModel
from motion_diffusion.samplers import SAMPLERS


@dataclass(frozen=True)
class Options:
    """Time every sampler: seconds in the network, and the rest, as a share of it (median of the repeats)."""

    model: str = "x0-small"
    frames: int = 120
    steps: int = 50
    repeats: int = 5
    text_scale: float = 1.0
    """1 asks the network once a step, anything else twice."""


@command
def main() -> None:
    """The command."""
    options = tyro.cli(Options, prog="python -m sample.benchmark")
    model = MotionModel.load(options.model)
    parameters = sum(p.numel() for p in model.denoiser.parameters()) / 1e6
    inside = 0.0
    denoiser: Any = model.denoiser
    forward = denoiser.forward

    def timed(*args: torch.Tensor) -> torch.Tensor:
        nonlocal inside
        started = time.perf_counter()
        y = forward(*args)
        inside += time.perf_counter() - started
        return y

    denoiser.forward = timed
    frames = torch.ones(1, options.frames, dtype=torch.bool)
    denoise = model.denoise_fn(["a person walks"], frames, text_scale=options.text_scale)
    shape, times = (1, options.frames, model.config.denoiser.features), model.schedule.times(options.steps)
    print(f"{model.name}, {parameters:.1f} M parameters, {options.frames} frames, {options.steps} steps, batch 1")
    for name, sampler in SAMPLERS.items():
        shares, networks = [], []
        for repeat in range(options.repeats + 1):
            inside, started = 0.0, time.perf_counter()
            with torch.no_grad():
                sampler(denoise, torch.randn(shape), model.schedule, times, noise=lambda: torch.randn(shape))
            total = time.perf_counter() - started
            if repeat > 0:  # the first run warms up
                networks.append(inside)
                shares.append((total - inside) / inside)
        milliseconds, share = 1000 * statistics.median(networks) / options.steps, 100 * statistics.median(shares)
        print(f"{name:12} {milliseconds:7.2f} ms a step in the network, {share:5.2f} % beside it")


if __name__ == "__main__":
    main()
