"""python -m sample.benchmark: what a motion costs on this machine, as a table in Markdown."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
from torch import Tensor

from data_loaders.workers import usable_cores
from guidance.compose import Strength
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from motion_diffusion.body.motion import MAX_SECONDS
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Estimate
from motion_diffusion.engine import Engine, EngineName
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel, Steps
from motion_diffusion.option_ranges import Range, check_ranges
from sample.benchmark_scale import cases, rows
from sample.generate import BatchSize, Settings, check_settings, generate
from sample.quality import Quality, QualityName

TEXT = "a person walks"
COLUMNS = (
    "quality", "goals", "s a motion", "beside a busy process", "steps", "network, ms a step",
    "guidance and sampler, ms a step", "rest, s",
)  # fmt: skip
FRESH = """
import sys
import motion_diffusion as md
md.load(sys.argv[1], engine=sys.argv[2]).generate("a person walks").save(sys.argv[3])
"""
BUSY = "while True: pass"


@dataclass(frozen=True)
class Options:
    """Time a motion of each quality, without goals and with five, alone and beside a busy process.

    The time of a step is divided into network, and guidance and sampler; the rest of a motion is what comes before and
    after sampling: reading the words, and fitting a body. Numbers are medians of the repeats.
    With --guidance, time methods relative to unguided sampling instead; with --lengths or --goals, long motions and
    many goals.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    engine: EngineName = "auto"
    """What evaluates the network: PyTorch, ONNX Runtime (extra `onnx`), or whichever is faster here."""
    frames: int = 120
    """Length of the motions, at 20 frames per second."""
    repeats: Annotated[int, Range(1, 10_000)] = 5
    """Measurements of each kind."""
    guidance: tuple[str, ...] = ()
    """Guidance methods to time, with goals for the pelvis and both hands, such as classifier imputation projection."""
    steps: Steps | None = None
    """Denoising steps for --guidance, --lengths and --goals. By default what the model recommends."""
    text_scale: Strength = 1.0
    """Strength of classifier-free guidance for --guidance; 1 evaluates the network once a step, other values twice."""
    batch: BatchSize = 1
    """Motions guided together, for --guidance."""
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
        steps = Settings(steps=options.steps).of(MotionModel.load(options.model)).steps
        for line in rows(cases(options.model, steps, options.lengths, options.goals)):
            print(line, flush=True)
        return
    model = MotionModel.load(options.model, engine=options.engine)
    Range(2, model.config.max_frames).check("--frames", options.frames)
    if options.guidance:
        for guidance in ("none", *options.guidance):
            check_settings(model, Settings(guidance=guidance, steps=options.steps))
        time_guidance(model, options)
        return
    for line in quality_rows(options):
        print(line, flush=True)


def _walk(last: int, count: int) -> list[Waypoint]:
    """Way-points on a curved walk at equal intervals, the last in frame `last`."""
    shares = [(k + 1) / count for k in range(count)]
    return [Waypoint(frame=round(last * share), x=share - 0.5, z=4 * share) for share in shares]


class TimedEngine(Engine):
    """An engine that measures its time."""

    def __init__(self, name: EngineName):
        super().__init__(name)
        self.seconds = 0.0
        self.begun: float | None = None
        """When the network was first evaluated."""

    def __call__(self, *inputs: Any) -> Tensor:
        """See `Engine`."""
        started = time.perf_counter()
        if self.begun is None:
            self.begun = started
        y = super().__call__(*inputs)
        self.seconds += time.perf_counter() - started
        return y


@dataclass(frozen=True)
class Cost:
    """What a motion took."""

    total: float
    """Seconds."""
    network: float
    """Of these in the network."""
    sampling: float
    """Of these from the first evaluation of the network to the end of the last step."""
    steps: int


def measure(model: MotionModel, engine: TimedEngine, quality: Quality, frames: int, goals: GoalSet) -> Cost:
    """Generate a motion of a quality by a model of this engine."""
    engine.seconds, engine.begun = 0.0, None
    n, ends = quality.tries, []

    def on_step(t: int, estimate: Estimate) -> None:
        ends.append(time.perf_counter())

    started = time.perf_counter()
    generate(
        model, [TEXT] * n, [frames] * n, goals=[goals] * n, seeds=range(n), settings=quality.settings, on_step=on_step
    )
    total = time.perf_counter() - started
    assert engine.begun is not None
    return Cost(total, engine.seconds, ends[-1] - engine.begun, len(ends))


@contextmanager
def busy_process() -> Iterator[None]:
    """Context in which another process uses a core."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def quality_rows(options: Options) -> Iterator[str]:
    """The machine, the table's rows, and the time of a first motion, each as soon as it is measured."""
    yield (
        f"{_processor()}, {usable_cores()} cores; {platform.system()}, Python {platform.python_version()}, PyTorch "
        f"{torch.__version__} with {torch.get_num_threads()} threads, engine {Engine(options.engine).name}; "
        f"{options.model}, {options.frames / FPS:g} s of motion\n"
    )
    yield f"| {' | '.join(COLUMNS)} |\n|---{'|--:' * (len(COLUMNS) - 1)}|"
    for name in get_args(QualityName):
        quality = Quality.of(name, options.model, Settings())
        model = MotionModel.load(quality.model)
        model.engine = engine = TimedEngine(options.engine)
        for count in (0, 5):
            goals = GoalSet(goals=list(_walk(options.frames - 1, count)))
            one = partial(measure, model, engine, quality, options.frames, goals)
            yield f"| {name} | {count or '–'} | {_cells(one, options.repeats)} |"
    yield f"\nA fresh process: {_first_motion(options):.1f} s from its start to the file of a motion of normal quality."


def _cells(one: Callable[[], Cost], repeats: int) -> str:
    one()  # warms up
    alone = [one() for _ in range(repeats)]
    with busy_process():
        beside = statistics.median(one().total for _ in range(repeats))
    total = statistics.median(cost.total for cost in alone)
    network = statistics.median(1e3 * cost.network / cost.steps for cost in alone)
    other = statistics.median(1e3 * (cost.sampling - cost.network) / cost.steps for cost in alone)
    rest = statistics.median(cost.total - cost.sampling for cost in alone)
    return f"{total:.2f} | {beside:.2f} | {alone[0].steps} | {network:.1f} | {other:.1f} | {rest:.2f}"


def _first_motion(options: Options) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        place = str(Path(folder) / "motion.npz")
        subprocess.run([sys.executable, "-c", FRESH, options.model, options.engine, place], check=True)
        return time.perf_counter() - started


def _processor() -> str:
    """Name of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def time_guidance(model: MotionModel, options: Options) -> None:
    """Time each method with the default sampler, alternating with unguided sampling under the same machine load."""
    last = options.frames - 1
    goals = GoalSet(
        goals=[
            *_walk(last, 4),
            Joint(joint="left_wrist", frame=last // 3, position=(None, 1.5, None)),
            Joint(joint="right_wrist", frame=last // 2, position=(None, 1.5, None)),
        ]
    )

    def seconds(guidance: str) -> float:
        settings = Settings(guidance=guidance, steps=options.steps, text_scale=options.text_scale)
        started = time.perf_counter()
        n = options.batch
        texts, frames = [TEXT] * n, [options.frames] * n
        generate(model, texts, frames, goals=[goals] * n, seeds=range(n), settings=settings)
        return time.perf_counter() - started

    seconds("none")  # warms up
    for guidance in options.guidance:
        ratios = []
        for _ in range(options.repeats):
            plain = seconds("none")
            ratios.append(seconds(guidance) / plain)
        print(f"{guidance:24} {statistics.median(ratios):5.2f} times as long as without guidance ({plain:.2f} s)")


if __name__ == "__main__":
    main()
