"""What models are measured on: test clips as tasks, the motions that a model makes of them, and figures of motions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import Tensor

from data_loaders.caption_dataset import Passage, passages
from data_loaders.captions.templates import is_labelled, motion_facts, true_caption
from data_loaders.datasets import DatasetName, load_clips
from data_loaders.types import Caption, Clip, Split
from guidance.goals.goal_set import GoalSet
from guidance.goals.poses import Pose
from motion_diffusion.body.body_fit import fit_frames
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.motion_metrics import (
    bone_length_error,
    bone_length_range,
    fastest_root,
    foot_skating_ratio,
    joint_jitter,
    root_jitter,
)
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import SEED, Range, Seed
from sample.evaluation.action_classifier import ActionClassifier
from sample.generate import BatchSize, Settings, generate

MIN_FRAMES = 40
MotionCount = Annotated[int | None, Range(1, 100_000)]
"""Motions that are measured together; None for the usual number."""

BONE_RANGE = "range of a bone's length, mm"

FIGURES: dict[str, Callable[[Tensor], float]] = {
    "foot skating ratio": foot_skating_ratio,
    "root jitter, m/s3": root_jitter,
    "joint jitter, m/s3": joint_jitter,
    "bone length error, cm": lambda joints: 100 * bone_length_error(joints),
    BONE_RANGE: lambda joints: 1000 * bone_length_range(joints),
    "fastest root, m/s": fastest_root,
}
"""What is measured on a motion (F, 22, 3) by itself."""


@dataclass(frozen=True)
class Setup:
    """On what to measure, and how to sample."""

    data: DatasetName = "bandai"
    data_root: Path | None = None
    """Folder with the clips, or a store that was prepared from them."""
    batch: BatchSize = 16
    seed: Seed = 0
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)

    def clips(self) -> list[Clip]:
        """All clips of the data set. InputError without a folder."""
        if self.data == "procedural":
            raise InputError("--data procedural has no clips to judge by; give another data set")
        return list(load_clips(self.data, self.data_root).clips)


@dataclass(frozen=True)
class Trial:
    """A test clip as a task: its joints (F, 22, 3), its words, its action, and what of it is given."""

    joints: Tensor
    caption: Caption
    action: str
    key_frames: Tensor
    """(K,) frames at which joints shall be where they are in the clip."""
    given: tuple[str, ...] = ("pelvis",)
    """Those joints."""
    height: bool = False
    """Whether the pelvis shall be there in space, and not just above its place on the floor; other joints always."""

    @property
    def text(self) -> str:
        """The words."""
        return self.caption.text

    @cached_property
    def goals(self) -> GoalSet:
        """The given joints where the body has them that comes nearest to the clip: what is wanted, a body can do."""
        motion: list[list[tuple[float | None, float | None, float | None] | None]]
        motion = [[None] * len(JOINTS) for _ in self.joints]
        bodies = fit_frames(self.joints[self.key_frames], FPS).joints.tolist() if len(self.key_frames) else []
        for k, pose in zip(self.key_frames.tolist(), bodies, strict=True):
            for joint in map(JOINTS.index, self.given):
                x, y, z = pose[joint]
                motion[k][joint] = (x, y if joint or self.height else None, z)
        return GoalSet(goals=[Pose(frame=0, motion=motion)])

    def errors(self, motion: Tensor) -> Tensor:
        """Distances in metres of a motion (F, 22, 3) from what is given, one for each frame and joint."""
        return self.goals.observe(len(motion)).errors(motion)

    def giving(self, frames: int, joints: Sequence[str] = ("pelvis",), *, height: bool = False) -> Trial:
        """The same task with only the first so many of its frames given, at other joints."""
        return replace(self, key_frames=self.key_frames[:frames].sort().values, given=tuple(joints), height=height)


def draw(clips: Sequence[Clip], *, num: int, seed: int, longest: int, anywhere: bool = False) -> list[Trial]:
    """Clips in random order, cut to the model's length; the same for the same seed, and fewer are the first of many.

    All frames of each are given, in random order: `Trial.giving` makes key frames of the first ones. anywhere: whether
    longer clips are cut at random, or at their beginning. Raises InputError if there is no clip of `MIN_FRAMES`.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = passages(clips, MIN_FRAMES)
    if not parts:
        raise InputError(f"no test clip with a caption has {MIN_FRAMES} frames or more; check --data-root")
    result: list[Trial] = []
    while len(result) < num:
        for index in torch.randperm(len(parts), generator=generator).tolist():
            part = parts[index]
            start = _integer(max(part.frames - longest, 0) + 1, generator) if anywhere else 0
            joints = to_origin(torch.from_numpy(np.array(part.joints[start : start + longest])))
            order = torch.randperm(len(joints), generator=generator)
            result.append(Trial(joints, _caption(part, joints, generator), part.clip.action, order))
    return result[:num]


def _caption(part: Passage, joints: Tensor, generator: torch.Generator) -> Caption:
    """One of a passage's captions; of clips with labels, what is true of the cut itself."""
    clip = part.clip
    if is_labelled(clip.action, clip.style):
        return Caption(true_caption(clip.action, clip.style, motion_facts(joints.numpy())))
    return part.captions[_integer(len(part.captions), generator)]


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))


def of_split(clips: Sequence[Clip], split: Split) -> list[Clip]:
    """The clips of one part."""
    return [clip for clip in clips if clip.split == split]


def train_action_classifier(clips: Sequence[Clip], *, longest: int, steps: int) -> ActionClassifier:
    """A judge of actions from the training clips among these; the same every time."""
    train = [clip for clip in of_split(clips, "train") if len(clip.joints) >= MIN_FRAMES]
    if not train:
        raise InputError(f"no training clip has {MIN_FRAMES} frames or more to train the judge on; check --data-root")
    motions = [torch.from_numpy(np.array(clip.joints)) for clip in train]
    return ActionClassifier.train(motions, [clip.action for clip in train], frames=longest, steps=steps)


@dataclass(frozen=True)
class Made:
    """Motions (F, 22, 3) that a model made, and the seconds and the number of motions of each batch."""

    motions: list[Tensor]
    seconds: list[float]
    sizes: list[int]


def make(
    model: MotionModel,
    tasks: Sequence[Trial],
    settings: Settings,
    *,
    batch: int,
    seed: int,
    progress: bool = False,
    on_batch: Callable[[int], object] = lambda size: None,
) -> Made:
    """A motion for each task, the first with this seed, the next with the one after it; after the last comes 0.

    Unguided ones are told no goals, which the clean-up would hold where they happen to be met.
    """
    made = Made([], [], [])
    for start in range(0, len(tasks), batch):
        some = tasks[start : start + batch]
        goals = None if settings.guidance == "none" else [task.goals for task in some]
        started = time.perf_counter()
        motions = generate(
            model,
            [task.text for task in some],
            [len(task.joints) for task in some],
            goals=goals,
            seeds=[(seed + start + i) % (int(SEED.most) + 1) for i in range(len(some))],
            settings=settings,
            progress=progress,
        )
        made.seconds.append(time.perf_counter() - started)
        made.sizes.append(len(some))
        made.motions.extend(motion.joints for motion in motions)
        on_batch(len(some))
    return made


def figures(motions: Sequence[Tensor], tasks: Sequence[Trial], judge: ActionClassifier) -> dict[str, list[float]]:
    """What can be said of each motion by itself, a list of numbers by name."""
    result = {name: [measured(motion) for motion in motions] for name, measured in FIGURES.items()}
    named = judge.name(motions)
    return result | {"action recognised": [float(a == task.action) for a, task in zip(named, tasks, strict=True)]}
