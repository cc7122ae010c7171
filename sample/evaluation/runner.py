"""Evaluation of a model by a protocol: `evaluate` measures all units of work and summarises their figures.

    from data_loaders.datasets import load_clips
    from sample.evaluation.runner import evaluate

    evaluation = evaluate(model, load_clips("procedural", None).clips)
    evaluation.figures["unguided"]["FID"]  # mean over replications, and half the width of its 95 % interval

`python -m sample.evaluate` also writes the figures of each unit to a file, see `sample.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.types import Clip
from guidance.goals.goal_set import GoalSet
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
from sample.evaluation.evaluators import Evaluator, load_evaluator
from sample.evaluation.metrics import control_metrics, mean_motion_metrics, trajectory_diversity
from sample.evaluation.protocols import (
    OTHER,
    POOL,
    PROTOCOLS,
    REAL,
    REPEATS,
    Condition,
    Protocol,
    Unit,
    units_of,
)
from sample.evaluation.trials import (
    MIN_FRAMES,
    Generated,
    Trial,
    draw_trials,
    generate_trials,
    of_split,
    with_key_frames,
)
from sample.generate import START, Settings, check

REFERENCE = 512
"""Minimum number of real motions that FID compares with; if the test split has fewer clips, they are cut repeatedly."""

PAIRS = 300
"""Pairs of motions for diversity, or as many as there are motions."""


@dataclass(frozen=True)
class EvaluationRunner:
    """Measures the units of an evaluation, which share a model, an evaluator and the clips."""

    model: MotionModel
    clips: Mapping[str, Sequence[Clip]]
    """Real clips by group, `REAL` and `OTHER`; see `by_group`."""
    protocol: Protocol
    evaluator: Evaluator
    settings: Settings
    """How to sample and to guide."""
    batch: int
    """Motions sampled together."""
    seed: int
    """Seed of clips, key frames and initial noise."""

    def trials(self, group: str, *, num: int, seed: int) -> list[Trial]:
        """Draw `num` clips of a group as trials, cut at random positions."""
        longest = self.model.config.max_frames
        return draw_trials(self.clips[group], num=num, seed=seed, longest=longest, anywhere=True)

    @cached_property
    def reference(self) -> Tensor:
        """Embeddings (N, D) of the real motions that FID compares with; N is `REFERENCE` or the number of clips."""
        trials = self.trials(REAL, num=max(REFERENCE, len(self.clips[REAL])), seed=self.seed + 10**6)
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
        seed = self.seed + unit.replication
        trials = self.trials(OTHER if unit.group == OTHER else REAL, num=num, seed=seed)
        motions, timed = [trial.joints for trial in trials], {}
        errors: list[Tensor] = []
        if unit.condition is not None:
            trials = conditioned(trials, unit.condition)
            generated = self._generate(trials, unit.condition, num * unit.replication, on_batch)
            motions, timed = generated.motions, {"seconds a motion": sum(generated.seconds) / num}
            if unit.condition.count(1):
                errors = [trial.errors(motion) for trial, motion in zip(trials, motions, strict=True)]
        embedded = self._embedding_metrics(motions, trials, seed)
        return embedded | control_metrics(errors) | mean_motion_metrics(motions) | timed

    def _generate(
        self, trials: Sequence[Trial], condition: Condition, first: int, on_batch: Callable[[int], object]
    ) -> Generated:
        """Generate the motions of trials; their seeds are `first` and those after it, relative to `seed`."""
        settings = self.settings if condition.guided else replace(self.settings, guidance="none")
        seed = self.seed + first
        return generate_trials(self.model, trials, settings, batch=self.batch, seed=seed, on_batch=on_batch)

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
        trials = self.trials(REAL, num=self.protocol.prompts, seed=self.seed)
        repeated = [trial for trial in conditioned(trials, unit.condition) for _ in range(REPEATS)]
        first = self.protocol.num * self.protocol.replications
        motions = self._generate(repeated, unit.condition, first, on_batch).motions
        embedded = self.evaluator.embed_motions(motions).unflatten(0, (-1, REPEATS))
        starts = range(0, len(motions), REPEATS)
        paths = [torch.stack([motion[:, 0, [0, 2]] for motion in motions[i : i + REPEATS]]) for i in starts]
        return {
            "multimodality": multimodality(embedded, generator=torch.Generator().manual_seed(0)),
            "trajectory diversity, m": trajectory_diversity(paths),
        }


def by_group(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Clips of the test split and of the training split, by group."""
    return {REAL: of_split(clips, "test"), OTHER: of_split(clips, "train")}


def conditioned(trials: Sequence[Trial], condition: Condition) -> list[Trial]:
    """Trials with the key frames of a condition."""
    return with_key_frames(trials, condition.count, condition.joints, height=condition.height)


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


def summarise(measured: Iterable[tuple[Unit, Mapping[str, float]]]) -> dict[str, dict[str, Figure]]:
    """Summarise the figures of units by group and name.

    The conditions of a group are averaged within each replication.
    """
    groups: dict[str, dict[str, dict[int, list[float]]]] = {}
    for unit, figures in measured:
        for name, value in figures.items():
            groups.setdefault(unit.group, {}).setdefault(name, {}).setdefault(unit.replication, []).append(value)
    return {
        group: {
            name: mean_and_interval([sum(values) / len(values) for values in by_replication.values()])
            for name, by_replication in of_group.items()
        }
        for group, of_group in groups.items()
    }


def evaluate(
    model: MotionModel,
    clips: Sequence[Clip],
    *,
    protocol: Protocol | str = "quick",
    evaluator: Evaluator | str = "mixed",
    settings: Settings | None = None,
    batch: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on clips by a protocol.

    Args:
        model: The model.
        clips: Captioned clips of a data set, of the splits "test" and "train"; those of the test split are trials.
        protocol: A protocol, or the name of one of `PROTOCOLS`.
        evaluator: Embeds motions and texts: an evaluator, or a name for `load_evaluator`.
        settings: How to sample and to guide; by default as `python -m sample`.
        batch: Motions sampled together, 1 or more.
        seed: Seed of clips, key frames and initial noise.
        progress: Whether to show a progress bar.

    Returns:
        The figures.

    Raises:
        FileNotFoundError: The evaluator does not exist.
        InputError: The protocol is unknown or has too few motions, the model cannot be evaluated, or the clips are too
            short.
    """
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            raise InputError(f"unknown protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}")
        protocol = PROTOCOLS[protocol]
    if protocol.num < POOL:
        raise InputError(f"a protocol of {protocol.num} motions: R-precision needs {POOL} motions or more")
    settings = (settings or Settings()).of(model)
    check_model(model, settings)
    evaluator = load_evaluator(evaluator) if isinstance(evaluator, str) else evaluator
    runner = EvaluationRunner(model, by_group(clips), protocol, evaluator, settings, batch, seed)
    units = list(units_of(protocol))
    with progress_bar(runner, units, disable=not progress) as bar:
        measured = [(unit, runner.measure(unit, bar.update)) for unit in units]
    return Evaluation(title_of(runner), summarise(measured))


def check_model(model: MotionModel, settings: Settings) -> None:
    """Raise InputError if a model cannot be sampled and guided with these settings."""
    check(model, ["a person walks"], [MIN_FRAMES], [GoalSet(goals=[START])], settings)


def progress_bar(runner: EvaluationRunner, units: Sequence[Unit], *, disable: bool | None) -> tqdm:
    """A progress bar over the motions to generate for units."""
    return tqdm(total=sum(map(runner.motion_count, units)), desc="sampling", unit="motion", disable=disable)


def title_of(runner: EvaluationRunner) -> str:
    """Model, protocol, evaluator and number of motions, in one line."""
    protocol = runner.protocol
    return (
        f"{runner.model.name}, {protocol.name}, evaluator {runner.evaluator.name}, {protocol.num} motions a replication"
    )
