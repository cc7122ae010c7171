"""One part of an evaluation: a condition of a protocol in a replication, or clips themselves; and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from data_loaders.types import Clip
from motion_diffusion.model import MotionModel
from motion_diffusion.network.embedding_metrics import (
    diversity,
    frechet_distance,
    matching_score,
    multimodality,
    r_precision,
)
from sample.evaluation.control_metrics import (
    THRESHOLDS,
    average_error,
    location_error,
    trajectory_diversity,
    trajectory_error,
)
from sample.evaluation.evaluator import Evaluator
from sample.evaluation.protocols import REPEATS, Condition, Protocol
from sample.evaluation.trials import FIGURES, Made, Setup, Trial, draw, make, of_split

POOL = 32
"""Motions that a text is to find its own among, for R-precision."""

REFERENCE = 512
"""Real motions, at least, that FID compares with; a test split of fewer clips is cut in several places."""

PAIRS = 300
"""Pairs of motions that diversity is measured on, or as many as there are motions."""


@dataclass(frozen=True)
class Unit:
    """What is measured at once: a condition in a replication; or clips themselves, where there is no condition."""

    group: str
    replication: int
    condition: Condition | None = None
    several: bool = False
    """Whether it is about many motions of each of a few sentences."""


REAL, OTHER = "real clips", "training clips"
"""Groups of clips themselves: those of the test split, and those of the training split for comparison."""


def units_of(protocol: Protocol) -> Iterator[Unit]:
    """All that is to be measured."""
    for replication in range(protocol.replications):
        yield Unit(REAL, replication)
        yield Unit(OTHER, replication)
        for condition in protocol.conditions:
            yield Unit(condition.group, replication, condition)
    if protocol.prompts:
        for condition in protocol.conditions:
            yield Unit(condition.group, 0, condition, several=True)


@dataclass(frozen=True)
class EvaluationRunner:
    """What all units share."""

    setup: Setup
    protocol: Protocol
    model: MotionModel
    evaluator: Evaluator

    @cached_property
    def clips(self) -> dict[str, list[Clip]]:
        """Clips to be drawn from."""
        clips = self.setup.clips()
        return {REAL: of_split(clips, "test"), OTHER: of_split(clips, "train")}

    def trials(self, of: str, *, num: int, seed: int) -> list[Trial]:
        """Clips of a split as tasks, in random order."""
        longest = self.model.config.max_frames
        return draw(self.clips[of], num=num, seed=seed, longest=longest, anywhere=True)

    @cached_property
    def reference(self) -> Tensor:
        """Embeddings of the real motions that FID compares with: all test clips, or so many cuts of them."""
        trials = self.trials(REAL, num=max(REFERENCE, len(self.clips[REAL])), seed=self.setup.seed + 10**6)
        return self.evaluator.embed_motions([trial.joints for trial in trials])

    def to_make(self, unit: Unit) -> int:
        """How many motions a unit takes."""
        if unit.condition is None:
            return 0
        return REPEATS * self.protocol.prompts if unit.several else self.protocol.num

    def measure(self, unit: Unit, on_batch: Callable[[int], object] = lambda made: None) -> dict[str, float]:
        """The figures of a unit. on_batch is told of every few motions that were made."""
        if unit.several:
            return self._several(unit, on_batch)
        num = self.protocol.num
        seed = self.setup.seed + unit.replication
        tasks = self.trials(OTHER if unit.group == OTHER else REAL, num=num, seed=seed)
        motions, timed = [task.joints for task in tasks], {}
        errors: list[Tensor] = []
        if unit.condition is not None:
            tasks = [given(task, unit.condition) for task in tasks]
            made = self._made(tasks, unit.condition, num * unit.replication, on_batch)
            motions, timed = made.motions, {"seconds a motion": sum(made.seconds) / num}
            if unit.condition.count(1):
                errors = [task.errors(motion) for task, motion in zip(tasks, motions, strict=True)]
        return self._of_embeddings(motions, tasks, seed) | of_errors(errors) | of_motions(motions) | timed

    def _made(
        self, tasks: Sequence[Trial], condition: Condition, first: int, on_batch: Callable[[int], object]
    ) -> Made:
        """Motions for tasks, with seeds of their own from number `first` on."""
        setup = self.setup
        settings = setup.settings if condition.guided else replace(setup.settings, guidance="none")
        seed = setup.seed + first
        return make(self.model, tasks, settings, batch=setup.batch, seed=seed, on_batch=on_batch)

    def _of_embeddings(self, motions: Sequence[Tensor], tasks: Sequence[Trial], seed: int) -> dict[str, float]:
        texts = self.evaluator.embed_texts([task.caption for task in tasks])
        embedded = self.evaluator.embed_motions(motions)
        words = [task.text for task in tasks] if self.evaluator.same_words else None
        precision = r_precision(texts, embedded, pool=POOL, captions=words)
        generator = torch.Generator().manual_seed(seed)
        return {
            "FID": frechet_distance(self.reference, embedded),
            **{f"R-precision top-{k}": share for k, share in enumerate(precision, 1)},
            "matching score": matching_score(texts, embedded),
            "diversity": diversity(embedded, generator=generator, pairs=min(PAIRS, len(embedded))),
        }

    def _several(self, unit: Unit, on_batch: Callable[[int], object]) -> dict[str, float]:
        """Of `REPEATS` motions each of a few sentences: how unlike they are."""
        assert unit.condition is not None
        tasks = self.trials(REAL, num=self.protocol.prompts, seed=self.setup.seed)
        repeated = [given(task, unit.condition) for task in tasks for _ in range(REPEATS)]
        made = self._made(repeated, unit.condition, self.protocol.num * self.protocol.replications, on_batch)
        embedded = self.evaluator.embed_motions(made.motions).unflatten(0, (-1, REPEATS))
        paths = torch.split(torch.arange(len(repeated)), REPEATS)
        return {
            "multimodality": multimodality(embedded, generator=torch.Generator().manual_seed(0)),
            "trajectory diversity, m": trajectory_diversity(
                [torch.stack([made.motions[i][:, 0, [0, 2]] for i in chosen.tolist()]) for chosen in paths]
            ),
        }


def given(task: Trial, condition: Condition) -> Trial:
    """A task with what the condition gives of it."""
    return task.giving(condition.count(len(task.joints)), condition.joints, height=condition.height)


def of_errors(errors: Sequence[Tensor]) -> dict[str, float]:
    """Figures of distances (m) at key frames; none without key frames."""
    if not errors:
        return {}
    result = {"average error, cm": 100 * average_error(errors)}
    for metres in THRESHOLDS:
        result[f"trajectory error, {100 * metres:.0f} cm"] = trajectory_error(errors, metres)
        result[f"location error, {100 * metres:.0f} cm"] = location_error(errors, metres)
    return result


def of_motions(motions: Sequence[Tensor]) -> dict[str, float]:
    """Means of what is measured on single motions."""
    return {name: sum(map(measured, motions)) / len(motions) for name, measured in FIGURES.items()}
