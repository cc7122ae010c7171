"""python -m sample.benchmark: what a sampler costs beside its network, at batch 1."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from motion_diffusion.errors import command
from motion_diffusion.model import MotionModel
from motion_diffusion.samplers import SAMPLERS


@dataclass(frozen=True)
class Options:
    """Time every sampler: in the network, in drawing noise, and in all the rest (median of the repeats)."""

    model: str = "v-small"
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
    seconds = {"network": 0.0, "noise": 0.0}

    def timed(part: str, work: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def run(*args: torch.Tensor) -> torch.Tensor:
            started = time.perf_counter()
            result = work(*args)
            seconds[part] += time.perf_counter() - started
            return result

        return run

    denoiser: Any = model.denoiser
    denoiser.forward = timed("network", denoiser.forward)
    frames = torch.ones(1, options.frames, dtype=torch.bool)
    denoise = model.denoise_fn(["a person walks"], frames, text_scale=options.text_scale)
    shape, times = (1, options.frames, model.config.denoiser.features), model.schedule.times(options.steps)
    print(f"{model.name}, {parameters:.1f} M parameters, {options.frames} frames, {options.steps} steps, batch 1")
    noise = timed("noise", lambda: torch.randn(shape))
    for name, sampler in SAMPLERS.items():
        runs = []  # of which the first warms up
        for _ in range(options.repeats + 1):
            seconds |= {"network": 0.0, "noise": 0.0}
            started = time.perf_counter()
            with torch.no_grad():
                sampler(denoise, torch.randn(shape), model.schedule, times, noise=noise)
            rest = time.perf_counter() - started - sum(seconds.values())
            runs.append((seconds["network"], seconds["noise"] / seconds["network"], rest / seconds["network"]))
        network, drawing, rest = (statistics.median(column) for column in zip(*runs[1:], strict=True))
        print(
            f"{name:12} {1000 * network / options.steps:6.2f} ms a step in the network; "
            f"beside it {100 * rest:.2f} % for arithmetic, {100 * drawing:.2f} % for drawing noise"
        )


if __name__ == "__main__":
    main()
