"""Evaluation of a model by a protocol: `evaluate` measures all units of work and summarises their figures.

The figures of a unit are written to a file as soon as they are measured, so that an interrupted evaluation continues
where it was stopped and several processes can share the units.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.types import Clip
from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic, check_place, read_json
from motion_diffusion.distributed import by_main, locked_by_main, processes
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.embedding_metrics import (
    diversity,
    frechet_distance,
    matching_score,
    mean_and_interval,
    multimodality,
    r_precision,
)
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.evaluators import Evaluator, load_evaluator
from sample.evaluation.metrics import control_metrics, mean_motion_metrics, trajectory_diversity
from sample.evaluation.protocols import OTHER, PROTOCOLS, REAL, REPEATS, Condition, Protocol, Unit, units_of
from sample.evaluation.study_rows import key_of
from sample.evaluation.trials import (
    MIN_FRAMES,
    EvaluationOptions,
    Generated,
    MotionCount,
    Trial,
    draw_trials,
    generate_trials,
    of_split,
)
from sample.generate import START, check

VERSION = 2
"""Version of the measurements; part of the name of every unit's file."""

POOL = 32
"""Motions among which a text must find its own, for R-precision."""

REFERENCE = 512
"""Minimum number of real motions that FID compares with; if the test split has fewer clips, they are cut repeatedly."""

PAIRS = 300
"""Pairs of motions for diversity, or as many as there are motions."""


@dataclass(frozen=True)
class ProtocolOptions(EvaluationOptions):
    """Measure a model: how well it follows texts, how similar to real motions it is, and how well it meets key frames.

    Each replication draws other test clips and key frames; figures are means over replications with 95 % intervals.
    Measured figures are kept in --out, so the same command continues an interrupted evaluation, and
    `accelerate launch -m sample.evaluate …` distributes replications over processes.

    With --study: a table and a figure that compare several models, guidance methods, densities of key frames and
    joints, see `--study --help`. With --actions: which actions of its data a model can generate.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    protocol: Literal["quick", "text", "gmd", "omnicontrol"] = "quick"
    """Protocol: a table within ten minutes on two cores, or one of the field's."""
    evaluator: str = "bandai"
    """Embeds motions and texts: an embedding model (shipped name or directory), or a folder with T2M's weights."""
    count_padding: bool = False
    """With T2M: reproduce the defect of older evaluations, which count a caption's padding as words."""
    motions: MotionCount = None
    """Motions in a replication; by default the protocol's."""
    replications: Annotated[int | None, Range(1, 1000)] = None
    """Repetitions with other clips, key frames and seeds; by default the protocol's."""
    multimodality: Annotated[int | None, Range(0, 10_000)] = None
    """Prompts with 30 motions each, for multimodality; by default the protocol's, 0 for none."""
    out: Path = Path("out/evaluation")
    """Folder for the results."""

    def resolved(self) -> Protocol:
        """The protocol with the numbers of these options.

        Raises:
            InputError: A number is out of range.
        """
        check_ranges(self)
        usual = PROTOCOLS[self.protocol]
        prompts = usual.prompts if self.multimodality is None else self.multimodality
        result = Protocol(usual.conditions, self.motions or usual.num, self.replications or usual.replications, prompts)
        if result.num < POOL:
            raise InputError(f"--motions {result.num}: R-precision needs {POOL} motions or more")
        return result


@dataclass(frozen=True)
class EvaluationRunner:
    """Measures the units of an evaluation, which share a model, an evaluator and the clips."""

    options: EvaluationOptions
    protocol: Protocol
    model: MotionModel
    evaluator: Evaluator

    @cached_property
    def clips(self) -> dict[str, list[Clip]]:
        """Clips by group."""
        clips = self.options.clips()
        return {REAL: of_split(clips, "test"), OTHER: of_split(clips, "train")}

    def trials(self, group: str, *, num: int, seed: int) -> list[Trial]:
        """Draw `num` clips of a group as trials, cut at random positions."""
        longest = self.model.config.max_frames
        return draw_trials(self.clips[group], num=num, seed=seed, longest=longest, anywhere=True)

    @cached_property
    def reference(self) -> Tensor:
        """Embeddings (N, D) of the real motions that FID compares with; N is `REFERENCE` or the number of clips."""
        trials = self.trials(REAL, num=max(REFERENCE, len(self.clips[REAL])), seed=self.options.seed + 10**6)
        return self.evaluator.embed_motions([trial.joints for trial in trials])

    def motion_count(self, unit: Unit) -> int:
        """Number of motions to generate for a unit."""
        if unit.condition is None:
            return 0
        return REPEATS * self.protocol.prompts if unit.several else self.protocol.num

    def measure(self, unit: Unit, on_batch: Callable[[int], object] = lambda made: None) -> dict[str, float]:
        """Generate the motions of a unit and measure them.

        Args:
            unit: The unit of work.
            on_batch: Called with the number of motions after each batch.

        Returns:
            Figures by name.
        """
        if unit.several:
            return self._measure_repeats(unit, on_batch)
        num = self.protocol.num
        seed = self.options.seed + unit.replication
        trials = self.trials(OTHER if unit.group == OTHER else REAL, num=num, seed=seed)
        motions, timed = [trial.joints for trial in trials], {}
        errors: list[Tensor] = []
        if unit.condition is not None:
            trials = [conditioned(trial, unit.condition) for trial in trials]
            generated = self._generate(trials, unit.condition, num * unit.replication, on_batch)
            motions, timed = generated.motions, {"seconds a motion": sum(generated.seconds) / num}
            if unit.condition.count(1):
                errors = [trial.errors(motion) for trial, motion in zip(trials, motions, strict=True)]
        embedded = self._embedding_metrics(motions, trials, seed)
        return embedded | control_metrics(errors) | mean_motion_metrics(motions) | timed

    def _generate(
        self, trials: Sequence[Trial], condition: Condition, first: int, on_batch: Callable[[int], object]
    ) -> Generated:
        """Generate the motions of trials; their seeds are `first` and those after it, relative to the options' seed."""
        options = self.options
        settings = options.settings if condition.guided else replace(options.settings, guidance="none")
        seed = options.seed + first
        return generate_trials(self.model, trials, settings, batch=options.batch, seed=seed, on_batch=on_batch)

    def _embedding_metrics(self, motions: Sequence[Tensor], trials: Sequence[Trial], seed: int) -> dict[str, float]:
        texts = self.evaluator.embed_texts([trial.caption for trial in trials])
        embedded = self.evaluator.embed_motions(motions)
        captions = [trial.text for trial in trials] if self.evaluator.equal_texts_match else None
        precision = r_precision(texts, embedded, pool=POOL, captions=captions)
        generator = torch.Generator().manual_seed(seed)
        return {
            "FID": frechet_distance(self.reference, embedded),
            **{f"R-precision top-{k}": share for k, share in enumerate(precision, 1)},
            "matching score": matching_score(texts, embedded),
            "diversity": diversity(embedded, generator=generator, pairs=min(PAIRS, len(embedded))),
        }

    def _measure_repeats(self, unit: Unit, on_batch: Callable[[int], object]) -> dict[str, float]:
        """Measure the variety of `REPEATS` motions for each of a few prompts."""
        assert unit.condition is not None
        trials = self.trials(REAL, num=self.protocol.prompts, seed=self.options.seed)
        repeated = [conditioned(trial, unit.condition) for trial in trials for _ in range(REPEATS)]
        first = self.protocol.num * self.protocol.replications
        motions = self._generate(repeated, unit.condition, first, on_batch).motions
        embedded = self.evaluator.embed_motions(motions).unflatten(0, (-1, REPEATS))
        starts = range(0, len(motions), REPEATS)
        paths = [torch.stack([motion[:, 0, [0, 2]] for motion in motions[i : i + REPEATS]]) for i in starts]
        return {
            "multimodality": multimodality(embedded, generator=torch.Generator().manual_seed(0)),
            "trajectory diversity, m": trajectory_diversity(paths),
        }


def conditioned(trial: Trial, condition: Condition) -> Trial:
    """A trial with the key frames of a condition."""
    return trial.with_key_frames(condition.count(len(trial.joints)), condition.joints, height=condition.height)


@dataclass(frozen=True)
class UnitResult:
    """Content of a unit's file."""

    unit: dict[str, Any]
    figures: dict[str, float]


@dataclass(frozen=True)
class UnitFiles:
    """Files with the figures of measured units, named by a hash of everything that determines them."""

    runner: EvaluationRunner
    folder: Path

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the figures of all units."""
        runner, options = self.runner, self.runner.options
        clips = {clip.name: len(clip.joints) for clip in runner.clips[REAL]}
        return {
            "version": VERSION, "weights": runner.model.digest, "evaluator": runner.evaluator.name,
            "data": key_of(clips), "num": runner.protocol.num, "prompts": runner.protocol.prompts,
            "seed": options.seed, "batch": options.batch, "settings": dataclasses.asdict(options.settings),
        }  # fmt: skip

    def path(self, unit: Unit) -> Path:
        """The file of a unit."""
        return self.folder / "units" / f"{key_of(self.identity | {'unit': dataclasses.asdict(unit)})}.json"

    def write(self, unit: Unit, figures: dict[str, float]) -> None:
        """Write the figures of a unit."""
        result = UnitResult(dataclasses.asdict(unit), figures)
        with atomic(self.path(unit)) as path:
            path.write_text(json.dumps(dataclasses.asdict(result), indent=2) + "\n")

    def read(self, unit: Unit) -> dict[str, float] | None:
        """Read the figures of a unit; None if it was not measured yet.

        Raises:
            InputError: The file is damaged.
        """
        path = self.path(unit)
        if not path.is_file():
            return None
        return read_json(path, UnitResult, "remove this file, and the same command measures it again").figures


Figure = tuple[float, float]
"""Mean over replications, and half the width of its 95 % interval."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    title: str
    """Model, protocol, evaluator and number of motions, in one line."""
    figures: Mapping[str, Mapping[str, Figure]]
    """Figures by group (real clips, training clips, and those of the conditions) and name."""

    def as_markdown(self) -> str:
        """Format the title and a table with a row for each figure and a column for each group."""
        names = list(dict.fromkeys(name for column in self.figures.values() for name in column))
        widths = [max(len(name) for name in names), *(max(len(group), 15) for group in self.figures)]
        rows = [["", *self.figures], ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]]
        for name in names:
            cells = [f"{c[name][0]:.3f} ± {c[name][1]:.3f}" if name in c else "" for c in self.figures.values()]
            rows.append([name, *cells])
        aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
        return "\n".join([self.title, "", *(f"| {' | '.join(row)} |" for row in aligned)])


def summarise(files: UnitFiles, units: Sequence[Unit]) -> dict[str, dict[str, Figure]]:
    """Summarise the figures of measured units by group and name.

    The conditions of a group are averaged within each replication.
    """
    groups: dict[str, dict[str, dict[int, list[float]]]] = {}
    for unit in units:
        for name, value in (files.read(unit) or {}).items():
            groups.setdefault(unit.group, {}).setdefault(name, {}).setdefault(unit.replication, []).append(value)
    return {
        group: {
            name: mean_and_interval([sum(values) / len(values) for values in by_replication.values()])
            for name, by_replication in of_group.items()
        }
        for group, of_group in groups.items()
    }


def evaluate(options: ProtocolOptions) -> Evaluation | None:
    """Evaluate a model by a protocol.

    Measures the units of this process's share that have no file in options.out yet. When all processes have finished,
    the first one writes table.md and figures.json there.

    Returns:
        The figures, in the first process; None in others.

    Raises:
        FileNotFoundError: The model or the evaluator does not exist.
        InputError: An option is out of range, the model cannot be evaluated, or a unit's file is damaged.
    """
    protocol = options.resolved()
    check_place(options.out / "table.md")
    with locked_by_main(options.out, "--out"):
        return _evaluate(options, protocol)


def _evaluate(options: ProtocolOptions, protocol: Protocol) -> Evaluation | None:
    model = MotionModel.load(options.model)
    check(model, ["a person walks"], [MIN_FRAMES], [GoalSet(goals=[START])], options.settings)
    evaluator = load_evaluator(options.evaluator, count_padding=options.count_padding)
    state = processes()
    runner = EvaluationRunner(options, protocol, model.to(state.device), evaluator)
    files, units = UnitFiles(runner, options.out), list(units_of(protocol))
    missing = by_main(lambda: [unit for unit in units if files.read(unit) is None])
    share = missing[state.process_index :: state.num_processes]
    total = sum(map(runner.motion_count, share))
    with tqdm(total=total, desc="sampling", unit="motion", disable=None if state.is_main_process else True) as bar:
        for unit in share:
            files.write(unit, runner.measure(unit, bar.update))
    state.wait_for_everyone()
    if not state.is_main_process:
        return None
    title = f"{model.name}, {options.protocol}, evaluator {evaluator.name}, {protocol.num} motions a replication"
    evaluation = Evaluation(title, summarise(files, units))
    with atomic(options.out / "table.md") as path:
        path.write_text(evaluation.as_markdown() + "\n")
    about = {"protocol": options.protocol, "memory, GB": peak_memory(), "figures": evaluation.figures}
    with atomic(options.out / "figures.json") as path:
        path.write_text(json.dumps(files.identity | about, indent=2, default=str) + "\n")
    return evaluation


def peak_memory() -> float | None:
    """Peak memory of this process in GiB; None on Windows, whose Python lacks the module `resource`."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
