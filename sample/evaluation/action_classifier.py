"""python -m sample.evaluate --actions: which actions of its data a model can generate, as a classifier recognises them.

The classifier is trained on the training clips and their mirror images, since models are too. It predicts the actions
of motions that the model generates from captions and lengths of clips, a few for each action, and of real clips of the
test split, which show how reliable it is.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from data_loaders.augment import mirror
from data_loaders.captions.templates import mirror_words
from data_loaders.types import Clip
from motion_diffusion.atomic_io import atomic, check_place
from motion_diffusion.body.features import LAYOUT, encode
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.trials import (
    MIN_FRAMES,
    EvaluationOptions,
    Trial,
    draw_trials,
    generate_trials,
    of_split,
    with_key_frames,
)

RECOGNISED = 0.7
"""Minimum share of an action's motions that must be recognised for the action to count."""

_GROUPS = ("root", "positions", "velocities")


class _Network(nn.Module):
    """Three strided convolutions over time, mean and maximum pooling: (B, F, D) and lengths (B,) → (B, classes)."""

    def __init__(self, features: int, classes: int, width: int = 128):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(features if i == 0 else width, width, kernel_size=5, stride=2, padding=2) for i in range(3)
        )
        self.out = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h = x.transpose(1, 2)
        for layer in self.layers:
            h = F.dropout(F.gelu(layer(h)), 0.1, self.training)
            lengths = (lengths + 1) // 2
            exists = torch.arange(h.shape[-1]) < lengths[:, None]
            h = h * exists[:, None]
        mean = h.sum(-1) / lengths[:, None]
        maximum = h.masked_fill(~exists[:, None], -torch.inf).amax(-1)
        return self.out(torch.cat([mean, maximum], dim=-1))


@dataclass(frozen=True)
class ActionClassifier:
    """Predicts the action of a motion. `train` creates one."""

    actions: tuple[str, ...]
    """Names of the classes."""
    network: _Network
    mean: Tensor
    """(D,) mean of the features."""
    std: Tensor
    """(D,) standard deviation of the features."""

    @staticmethod
    def train(
        clips: Sequence[Tensor], labels: Sequence[str], *, frames: int, steps: int = 1500, seed: int = 0
    ) -> ActionClassifier:
        """Train a classifier.

        Args:
            clips: Clips (F, 22, 3) in metres; batches contain all actions equally often.
            labels: The action of each clip.
            frames: Clips are cut at random to at most this length.
            steps: Training steps.
            seed: Seed of weights, batches and cuts.
        """
        actions = tuple(sorted(set(labels)))
        generator = torch.Generator().manual_seed(seed)
        of_action = [[i for i, label in enumerate(labels) if label == action] for action in actions]
        features = [_features(clip) for clip in clips]
        statistics = torch.cat(features)
        mean, std = statistics.mean(0), statistics.std(0).clamp_min(1e-3)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = _Network(len(mean), len(actions))
            optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
            classifier = ActionClassifier(actions, network, mean, std)
            for _ in tqdm(range(steps), desc="training the action classifier", disable=None):
                which = torch.randint(len(actions), (48,), generator=generator).tolist()
                batch = [_cut(features[_one(of_action[k], generator)], frames, generator) for k in which]
                loss = F.cross_entropy(classifier._logits(batch), torch.tensor(which), label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        network.eval()
        return classifier

    @torch.no_grad()
    def predict(self, motions: Sequence[Tensor]) -> list[str]:
        """Predict the action of each motion (F, 22, 3)."""
        best = self._logits([_features(motion) for motion in motions]).argmax(-1)
        return [self.actions[i] for i in best.tolist()]

    def _logits(self, features: Sequence[Tensor]) -> Tensor:
        """(B, classes) for B motions' features (F, D)."""
        lengths = torch.tensor([len(each) for each in features])
        return self.network(pad_sequence([(each - self.mean) / self.std for each in features], True), lengths)


def train_action_classifier(
    clips: Sequence[Clip], *, longest: int, steps: int, mirrored: bool = False
) -> ActionClassifier:
    """Train a classifier on the training clips among some clips, deterministically.

    Args:
        clips: Clips with an action.
        longest: Longest motion in frames; longer clips are cut at random.
        steps: Training steps.
        mirrored: Whether to train on mirror images, too, as far as clips have the action that these show: "run-left"
            for "run-right".

    Raises:
        InputError: No training clip has `MIN_FRAMES` frames.
    """
    train = [clip for clip in of_split(clips, "train") if len(clip.joints) >= MIN_FRAMES]
    if not train:
        raise InputError(
            f"no training clip has {MIN_FRAMES} frames or more to train the action classifier on; check --data-root"
        )
    examples = [(clip.joints, clip.action) for clip in train]
    if mirrored:
        images = [(mirror(clip.joints.astype(np.float64)), mirror_words(clip.action)) for clip in train]
        known = {clip.action for clip in train}
        examples += [(joints.astype(np.float32), action) for joints, action in images if action in known]
    motions, actions = zip(*examples, strict=True)
    return ActionClassifier.train(
        [torch.from_numpy(np.array(each)) for each in motions], actions, frames=longest, steps=steps
    )


def _features(motion: Tensor) -> Tensor:
    """Features (F, D), without the root's position on the floor, of a motion (F, 22, 3) turned to start facing +z."""
    features = encode(to_origin(motion), groups=_GROUPS)
    return torch.cat([features[:, :1], features[:, 3:67], features[:, LAYOUT["velocities"]] * 10], dim=-1)


def _one(options: Sequence[int], generator: torch.Generator) -> int:
    return options[int(torch.randint(len(options), (), generator=generator))]


def _cut(features: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """A random section with at most `frames` frames of features (F, D), turned to start facing +z."""
    start = int(torch.randint(max(len(features) - frames, 0) + 1, (), generator=generator))
    section = features[start : start + frames].clone()
    section[:, 0] -= features[start, 0] - features[0, 0]
    return section


@dataclass(frozen=True)
class ActionOptions(EvaluationOptions):
    """List which actions of its data a model can generate; writes table.csv to --out.

    For every action some motions are generated from captions of it, and a classifier trained on the training clips and
    their mirror images predicts their actions. With --key-frames, key frames of the pelvis from a clip are goals, too.
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
    classifier = train_action_classifier(clips, longest=longest, steps=options.judge_steps, mirrored=True)
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
        result += with_key_frames(trials, lambda _: options.key_frames)
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
