"""python -m train.benchmark: measure the training throughput of a preset and where the time is spent.

It trains on procedural walks as long as the preset's longest motion, so no data set is needed.
"""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch.profiler import profile
from tqdm.auto import tqdm

from data_loaders.datasets import load_examples
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.option_ranges import check_ranges
from train.config import PRESETS, Count, Options, PresetName, Threads, Workers
from train.model_factory import build_model
from train.trainer import Trainer

WARM_UP = 3
"""Steps before the measurement."""


@dataclass(frozen=True)
class Benchmark:
    """Measure how fast a preset trains: examples per second, and the share of the matrix-multiplication rate."""

    preset: PresetName = "v-masks"
    steps: Count = 20
    """Steps to measure, after a few for warming up."""
    batch_size: Count | None = None
    """Examples in a step; by default the preset's."""
    accumulate: Count = 1
    """Micro-batches in a step."""
    workers: Workers = 0
    """Worker processes that prepare examples."""
    mixed_precision: Literal["no", "bf16"] | None = None
    compile: bool = False
    threads: Threads = 0
    """CPU threads; 0 for all."""
    profile: bool = False
    """List the operations that take longest, over further steps."""


def options_of(benchmark: Benchmark) -> Options:
    """Options of the preset, on procedural data and for as many steps as needed."""
    preset = PRESETS[benchmark.preset].options
    training = dataclasses.replace(
        preset.training,
        steps=WARM_UP + 2 * benchmark.steps,
        batch_size=benchmark.batch_size or preset.training.batch_size,
        accumulate=benchmark.accumulate,
        workers=benchmark.workers,
        mixed_precision=benchmark.mixed_precision,
        compile=benchmark.compile,
    )
    return dataclasses.replace(preset, data="procedural", training=training)


@command
def main() -> None:
    """Run the command."""
    benchmark = parse_arguments(Benchmark, prog="python -m train.benchmark")
    check_ranges(benchmark)
    options = options_of(benchmark)
    options.check()
    if benchmark.threads:
        torch.set_num_threads(benchmark.threads)
    data = load_examples("procedural", None, frames=options.max_frames)
    model = build_model(options, data, description="").train().requires_grad_(True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, data.train, data.held_out, Path(folder), options.training)
    batches = iter(trainer.batches())

    def step() -> float:
        """Take a training step. Returns the seconds it waited for its examples."""
        started = time.perf_counter()
        parts = next(batches)
        waited = time.perf_counter() - started
        trainer.update(parts, watch)
        trainer.step += 1
        return waited

    watch = trainer.stopwatch()
    steps = tqdm(range(WARM_UP + benchmark.steps), desc="training", disable=None)
    waits = []
    for number in steps:
        if number == WARM_UP:
            trainer.meter.take()
            watch.take()
        waits.append(step())
    padding, work = trainer.meter.take()["padding"], watch.work / benchmark.steps
    rate, share = watch.take()
    waiting = sum(waits[WARM_UP:]) * rate / (benchmark.steps * options.training.batch_size)
    size = sum(parameter.numel() for parameter in model.denoiser.parameters())
    print(
        f"{benchmark.preset}: {size / 1e6:.1f} M parameters, batches of {options.training.batch_size}, on "
        f"{trainer.device} with {torch.get_num_threads()} threads\n"
        f"{rate:.1f} samples/s, {work / 1e9:.0f} GFLOP a step: {share:.0%} of the {watch.rate / 1e9:,.0f} GFLOP/s at "
        f"which matrices are multiplied here\n"
        f"padding: {padding:.0%} of the frames; waiting for examples: {waiting:.0%} of the time"
    )
    if benchmark.profile:
        with profile() as measured:
            for _ in range(benchmark.steps):
                step()
        print(measured.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=45))


if __name__ == "__main__":
    main()
