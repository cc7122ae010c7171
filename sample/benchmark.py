"""python -m sample.benchmark: measure the cost of samplers relative to the network, and of guidance to sampling."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from guidance.compose import Strength
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from motion_diffusion.body.motion import MAX_SECONDS
from motion_diffusion.diffusion.samplers import SAMPLERS
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel, Steps
from motion_diffusion.option_ranges import Range, check_ranges
from sample.benchmark_scale import cases, rows
from sample.generate import BatchSize, Settings, check_settings, generate


@dataclass(frozen=True)
class Options:
    """Time guidance methods relative to unguided sampling, and every sampler: network, noise and the rest.

    Samplers run at batch size 1, guidance at --batch. Numbers are medians of the repeats.
    With --lengths or --goals: measure the cost of long motions and of many goals instead, as a table in Markdown.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    frames: int = 120
    """Length of the motions, at 20 frames per second."""
    steps: Steps = 50
    """Denoising steps."""
    repeats: Annotated[int, Range(1, 10_000)] = 5
    """Measurements of each kind."""
    text_scale: Strength = 1.0
    """Strength of classifier-free guidance; 1 evaluates the network once per step, other values twice."""
    batch: BatchSize = 1
    """Motions guided together."""
    guidance: tuple[str, ...] = ("classifier", "imputation", "projection", "classifier+projection")
    """Guidance methods to time, with goals for the pelvis and both hands."""
    lengths: Annotated[tuple[float, ...], Range(1, MAX_SECONDS)] = ()
    """Lengths in seconds of motions to measure, each without goals and with a way-point every 5 s."""
    goals: Annotated[tuple[int, ...], Range(0, 1_000)] = ()
    """Numbers of way-points of motions to measure, each of a minute."""


@command
def main() -> None:
    """Run the command."""
    options = parse_arguments(Options, prog="python -m sample.benchmark")
    check_ranges(options)
    if options.lengths or options.goals:
        for line in rows(cases(options.model, options.steps, options.lengths, options.goals)):
            print(line, flush=True)
        return
    model = MotionModel.load(options.model)
    Range(2, model.config.max_frames).check("--frames", options.frames)
    for guidance in ("none", *options.guidance):
        check_settings(model, Settings(guidance=guidance, steps=options.steps))
    time_guidance(model, options)
    time_samplers(model, options)


def time_guidance(model: MotionModel, options: Options) -> None:
    """Time each method with the default sampler, alternating with unguided sampling under the same machine load."""
    last = options.frames - 1
    goals = GoalSet(
        goals=[
            *(Waypoint(frame=round(last * share), x=share - 0.5, z=4 * share) for share in (0.25, 0.5, 0.75, 1.0)),
            Joint(joint="left_wrist", frame=last // 3, position=(None, 1.5, None)),
            Joint(joint="right_wrist", frame=last // 2, position=(None, 1.5, None)),
        ]
    )

    def seconds(guidance: str) -> float:
        settings = Settings(guidance=guidance, steps=options.steps, text_scale=options.text_scale)
        started = time.perf_counter()
        n = options.batch
        texts, frames = ["a person walks"] * n, [options.frames] * n
        generate(model, texts, frames, goals=[goals] * n, seeds=range(n), settings=settings)
        return time.perf_counter() - started

    seconds("none")  # warms up
    for guidance in options.guidance:
        ratios = []
        for _ in range(options.repeats):
            plain = seconds("none")
            ratios.append(seconds(guidance) / plain)
        print(f"{guidance:24} {statistics.median(ratios):5.2f} times as long as without guidance ({plain:.2f} s)")


def time_samplers(model: MotionModel, options: Options) -> None:
    """Time each sampler: its network, the noise it draws, and the rest. The model's forward method is replaced."""
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
