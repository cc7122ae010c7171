"""python -m sample.evaluate --actions: which of the actions in its data a model can do, as a classifier sees it.

The classifier (see `judge`) learns the actions from the training clips. It names motions that the model makes of the
sentences and lengths of clips, some for each action, and real clips of the test split, which say how far it can be
trusted.
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
from sample.evaluation.action_classifier import ActionClassifier
from sample.evaluation.trials import MIN_FRAMES, Setup, Trial, draw, make, of_split, train_action_classifier

KNOWN = 0.7
"""Share of an action's motions, at least, in which it is recognised if the model can do it."""


@dataclass(frozen=True)
class ActionOptions(Setup):
    """Which of the actions in its data a model can do: a table, and table.csv in --out.

    For every action some motions are made of sentences about it, and a classifier that learned from the training clips
    says what it sees. With --key-frames, so many key frames of the pelvis out of a clip are goals, too.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    motions: Annotated[int, Range(1, 1000)] = 8
    """Of each action."""
    key_frames: Annotated[int, Range(0, 1000)] = 0
    """Frames at which the pelvis has to be where it is in a clip; 0 for no goals."""
    judge_steps: Annotated[int, Range(1, 1_000_000)] = 4000
    """Training steps of the classifier."""
    out: Path = Path("out/actions")
    """Folder for the table."""


@dataclass(frozen=True)
class ActionRow:
    """Shares of motions whose action is recognised."""

    action: str
    model: float
    real: float | None
    """Of clips of the test split; None where there are none."""
    taken_for: str
    """What else the model's motions are taken for most often; empty if nothing."""


def action_table(options: ActionOptions) -> str:
    """Make the motions and write the table. Returns what it says."""
    check_ranges(options)
    check_place(options.out / "table.csv")
    clips = [clip for clip in options.clips() if clip.action]
    model = MotionModel.load(options.model)
    longest = model.config.max_frames
    judge = train_action_classifier(clips, longest=longest, steps=options.judge_steps)
    tasks = _tasks(clips, judge.actions, options, longest)
    if not tasks:
        raise InputError(f"no action has a clip of {MIN_FRAMES} frames or more; check --data-root")
    settings = options.settings if options.key_frames else replace(options.settings, guidance="none")
    made = make(model, tasks, settings, batch=options.batch, seed=options.seed, progress=True)
    real = [clip for clip in of_split(clips, "test") if len(clip.joints) >= MIN_FRAMES]
    rows = _rows([task.action for task in tasks], judge.name(made.motions), _accuracies(judge, real, longest))
    with atomic(options.out / "table.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["action", "recognised in the model's motions", "in real test clips", "taken for"])
        writer.writerows([row.action, row.model, "" if row.real is None else row.real, row.taken_for] for row in rows)
    return _told(model.name, rows, options)


def _tasks(clips: Sequence[Clip], actions: Sequence[str], options: ActionOptions, longest: int) -> list[Trial]:
    """So many of each action, of its test clips if there are some, else of any."""
    result = []
    for action in actions:
        some = [clip for clip in clips if clip.action == action and len(clip.joints) >= MIN_FRAMES]
        tasks = draw(of_split(some, "test") or some, num=options.motions, seed=options.seed, longest=longest)
        result += [task.giving(options.key_frames) for task in tasks]
    return result


def _accuracies(judge: ActionClassifier, clips: Sequence[Clip], longest: int) -> dict[str, float]:
    """Share of an action's clips that are recognised."""
    named = judge.name([torch.from_numpy(clip.joints[:longest].copy()) for clip in clips])
    right: dict[str, list[bool]] = {}
    for clip, name in zip(clips, named, strict=True):
        right.setdefault(clip.action, []).append(name == clip.action)
    return {action: sum(values) / len(values) for action, values in right.items()}


def _rows(asked: Sequence[str], named: Sequence[str], real: dict[str, float]) -> list[ActionRow]:
    """One an action, the best first."""
    rows = []
    for action in dict.fromkeys(asked):
        names = [name for wanted, name in zip(asked, named, strict=True) if wanted == action]
        others = [name for name in names if name != action]
        often = max(dict.fromkeys(others), key=others.count, default="")
        rows.append(ActionRow(action, names.count(action) / len(names), real.get(action), often))
    return sorted(rows, key=lambda row: (-row.model, row.action))


def _told(name: str, rows: Sequence[ActionRow], options: ActionOptions) -> str:
    """The table in words."""
    lines = ["action                      model   real  taken for"]
    for row in rows:
        real = "" if row.real is None else f"{row.real:.2f}"
        lines.append(f"{row.action:26} {row.model:6.2f} {real:>6}  {row.taken_for}")
    good, true = [row for row in rows if row.model >= KNOWN], [row.real for row in rows if row.real is not None]
    given = f" with {options.key_frames} key frames of the pelvis" if options.key_frames else ""
    lines.append(f"{name}: {len(good)} of {len(rows)} actions are recognised in {KNOWN:.0%} of motions or more{given}.")
    lines.append(f"Real clips: {sum(share >= KNOWN for share in true)} of the {len(true)} actions with test clips are.")
    return "\n".join(lines)
