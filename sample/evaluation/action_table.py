"""python -m sample.evaluate --actions: which actions of its data a model can generate, as a classifier recognises them.

The classifier (see `action_classifier`) is trained on the training clips. It predicts the actions of motions that the
model generates from captions and lengths of clips, a few for each action, and of real clips of the test split, which
show how reliable it is.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch

from data_loaders.types import Clip
from motion_diffusion.atomic_io import atomic, check_place
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.action_classifier import ActionClassifier, train_action_classifier
from sample.evaluation.trials import MIN_FRAMES, EvaluationOptions, Trial, draw_trials, generate_trials, of_split

RECOGNISED = 0.7
"""Minimum share of an action's motions that must be recognised for the action to count."""


@dataclass(frozen=True)
class ActionOptions(EvaluationOptions):
    """List which actions of its data a model can generate; writes table.csv to --out.

    For every action some motions are generated from captions of it, and a classifier trained on the training clips
    predicts their actions. With --key-frames, key frames of the pelvis from a clip are goals, too.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    motions: Annotated[int, Range(1, 1000)] = 8
    """Motions of each action."""
    key_frames: Annotated[int, Range(0, 1000)] = 0
    """Number of frames at which the pelvis is given as in a clip; 0 for no goals."""
    judge_steps: Annotated[int, Range(1, 1_000_000)] = 4000
    """Training steps of the classifier."""
    out: Path = Path("out/actions")
    """Folder for the table."""


@dataclass(frozen=True)
class ActionRow:
    """How often an action is recognised."""

    action: str
    model: float
    """Share of the model's motions."""
    real: float | None
    """Share of clips of the test split; None if it has none."""
    taken_for: str
    """The wrong action most often predicted for the model's motions; empty if none."""


@dataclass(frozen=True)
class ActionTable:
    """A row for each action, the most often recognised first."""

    model: str
    """Name of the model."""
    rows: Sequence[ActionRow]
    key_frames: int
    """Number of key frames given."""

    def as_text(self) -> str:
        """Format the table, with the number of recognised actions."""
        lines = ["action                      model   real  taken for"]
        for row in self.rows:
            share = "" if row.real is None else f"{row.real:.2f}"
            lines.append(f"{row.action:26} {row.model:6.2f} {share:>6}  {row.taken_for}")
        good = sum(row.model >= RECOGNISED for row in self.rows)
        real = [row.real for row in self.rows if row.real is not None]
        given = f" with {self.key_frames} key frames of the pelvis" if self.key_frames else ""
        motions = f"recognised in {RECOGNISED:.0%} of motions or more{given}"
        lines.append(f"{self.model}: {good} of {len(self.rows)} actions are {motions}.")
        good = sum(share >= RECOGNISED for share in real)
        lines.append(f"Real clips: {good} of the {len(real)} actions with test clips are.")
        return "\n".join(lines)


def action_table(options: ActionOptions) -> ActionTable:
    """Generate and classify the motions, and write table.csv to options.out.

    Raises:
        InputError: An option is out of range, or no action has a clip that is long enough.
    """
    check_ranges(options)
    options.check_actions()
    check_place(options.out / "table.csv")
    clips = [clip for clip in options.clips() if clip.action]
    model = MotionModel.load(options.model)
    longest = model.config.max_frames
    classifier = train_action_classifier(clips, longest=longest, steps=options.judge_steps)
    trials = _trials(clips, classifier.actions, options, longest)
    if not trials:
        raise InputError(f"no action has a clip of {MIN_FRAMES} frames or more; check --data-root")
    settings = options.settings if options.key_frames else replace(options.settings, guidance="none")
    generated = generate_trials(model, trials, settings, batch=options.batch, seed=options.seed, progress=True)
    test = [clip for clip in of_split(clips, "test") if len(clip.joints) >= MIN_FRAMES]
    real = _accuracies(classifier, test, longest)
    rows = _rows([trial.action for trial in trials], classifier.predict(generated.motions), real)
    with atomic(options.out / "table.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["action", "recognised in the model's motions", "in real test clips", "taken for"])
        writer.writerows([row.action, row.model, "" if row.real is None else row.real, row.taken_for] for row in rows)
    return ActionTable(model.name, rows, options.key_frames)


def _trials(clips: Sequence[Clip], actions: Sequence[str], options: ActionOptions, longest: int) -> list[Trial]:
    """Trials for each action, from its test clips if it has any, else from all its clips."""
    result = []
    for action in actions:
        some = [clip for clip in clips if clip.action == action and len(clip.joints) >= MIN_FRAMES]
        test = of_split(some, "test") or some
        trials = draw_trials(test, num=options.motions, seed=options.seed, longest=longest)
        result += [trial.with_key_frames(options.key_frames) for trial in trials]
    return result


def _accuracies(classifier: ActionClassifier, clips: Sequence[Clip], longest: int) -> dict[str, float]:
    """Share of each action's clips that are recognised."""
    predicted = classifier.predict([torch.from_numpy(clip.joints[:longest].copy()) for clip in clips])
    right: dict[str, list[bool]] = {}
    for clip, action in zip(clips, predicted, strict=True):
        right.setdefault(clip.action, []).append(action == clip.action)
    return {action: sum(values) / len(values) for action, values in right.items()}


def _rows(requested: Sequence[str], predicted: Sequence[str], real: dict[str, float]) -> list[ActionRow]:
    """A row for each requested action, from the requested and the predicted action of each motion."""
    rows = []
    for action in dict.fromkeys(requested):
        names = [name for wanted, name in zip(requested, predicted, strict=True) if wanted == action]
        others = [name for name in names if name != action]
        often = max(dict.fromkeys(others), key=others.count, default="")
        rows.append(ActionRow(action, names.count(action) / len(names), real.get(action), often))
    return sorted(rows, key=lambda row: (-row.model, row.action))
