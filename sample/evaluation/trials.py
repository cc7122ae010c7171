"""Trials: test clips as tasks for a model, and the motions that it generates for them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

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
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import SEED, Range, Seed
from sample.generate import BatchSize, Settings, generate

MIN_FRAMES = 40
"""Minimum length of a clip."""
MotionCount = Annotated[int | None, Range(1, 100_000)]
"""Motions measured together; None for the default."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Data to measure on, and how to sample."""

    data: DatasetName = "mixed"
    """Data set of the clips; "procedural" needs no download."""
    data_root: Path | None = None
    """Folder with the clips of a data set that must be downloaded, or a store prepared from them."""
    batch: BatchSize = 16
    """Motions sampled together."""
    seed: Seed = 0
    """Seed of clips, key frames and initial noise."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)

    def clips(self) -> list[Clip]:
        """Load all clips of the data set.

        Raises:
            InputError: The data set has no clips, or its folder is missing.
        """
        return list(load_clips(self.data, self.data_root).clips)

    def check_actions(self) -> None:
        """Raise InputError if the clips of the data set have no actions that could be recognised."""
        if self.data == "procedural":
            raise InputError("--data procedural has no actions to recognise; give another data set")


def key_of(identity: dict[str, Any]) -> str:
    """Hash everything that determines some figures to 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Trial:
    """A test clip as a task for a model."""

    joints: Tensor
    """(F, 22, 3) in metres."""
    caption: Caption
    action: str
    """Name of the action; empty without labels."""
    order: Tensor
    """(F,) the frames in random order, of which the first become key frames."""
    key_frames: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """(K,) frames at which joints are given as goals."""
    poses: Tensor = field(default_factory=lambda: torch.zeros(0, len(JOINTS), 3))
    """(K, 22, 3) nearest poses of the body there, in metres, which a body can reach."""
    given: tuple[str, ...] = ("pelvis",)
    """Names of the given joints."""
    height: bool = False
    """Whether the pelvis is given in space, or only its position on the floor; other joints are always in space."""

    @property
    def text(self) -> str:
        """The prompt."""
        return self.caption.text

    @cached_property
    def goals(self) -> GoalSet:
        """Goals for the given joints at their positions in `poses`."""
        motion: list[list[tuple[float | None, float | None, float | None] | None]]
        motion = [[None] * len(JOINTS) for _ in self.joints]
        for k, pose in zip(self.key_frames.tolist(), self.poses.tolist(), strict=True):
            for joint in map(JOINTS.index, self.given):
                x, y, z = pose[joint]
                motion[k][joint] = (x, y if joint or self.height else None, z)
        return GoalSet(goals=[Pose(frame=0, motion=motion)])

    def errors(self, motion: Tensor) -> Tensor:
        """Distances in metres between a motion (F, 22, 3) and the goals, one for each key frame and joint."""
        return self.goals.observe(len(motion)).errors(motion)


def with_key_frames(
    trials: Sequence[Trial],
    count: Callable[[int], int],
    joints: Sequence[str] = ("pelvis",),
    *,
    height: bool = False,
) -> list[Trial]:
    """Copies of trials in which joints are given at key frames.

    Args:
        trials: Trials of any lengths.
        count: Returns the number of key frames of a motion of so many frames.
        joints: Names of the given joints.
        height: Whether the pelvis is given in space.
    """
    chosen = [trial.order[: count(len(trial.joints))].sort().values for trial in trials]
    points = torch.cat([trial.joints[frames] for trial, frames in zip(trials, chosen, strict=True)])
    poses = fit_frames(points, FPS).joints if len(points) else points
    return [
        replace(trial, key_frames=frames, poses=own, given=tuple(joints), height=height)
        for trial, frames, own in zip(trials, chosen, poses.split([len(frames) for frames in chosen]), strict=True)
    ]


def draw_trials(clips: Sequence[Clip], *, num: int, seed: int, longest: int, anywhere: bool = False) -> list[Trial]:
    """Draw clips in random order, repeatedly if there are too few; a smaller number gives the first of a larger one.

    Args:
        clips: Clips with captions.
        num: Number of trials.
        seed: Determines order, cuts, captions and key frames.
        longest: Longest motion of the model in frames; longer clips are cut.
        anywhere: Whether to cut longer clips at a random position, or at their beginning.

    Returns:
        Trials without key frames; see `with_key_frames`.

    Raises:
        InputError: No clip has `MIN_FRAMES` frames.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = passages(clips, MIN_FRAMES)
    if not parts:
        raise InputError(f"no test clip with a caption has {MIN_FRAMES} frames or more; check --data-root")
    result: list[Trial] = []
    while len(result) < num:
        for index in torch.randperm(len(parts), generator=generator).tolist():
            part = parts[index]
            cuts = max(part.frames - longest, 0) + 1
            start = int(torch.randint(cuts, (), generator=generator)) if anywhere else 0
            joints = to_origin(torch.from_numpy(np.array(part.joints[start : start + longest])))
            order = torch.randperm(len(joints), generator=generator)
            result.append(Trial(joints, _caption(part, joints, generator), part.clip.action, order))
    return result[:num]


def _caption(part: Passage, joints: Tensor, generator: torch.Generator) -> Caption:
    """A random caption of a passage; for clips with labels, the caption that is true of the cut."""
    clip = part.clip
    if is_labelled(clip.action, clip.style):
        return Caption(true_caption(clip.action, clip.style, motion_facts(joints.numpy())))
    return part.captions[int(torch.randint(len(part.captions), (), generator=generator))]


def of_split(clips: Sequence[Clip], split: Split) -> list[Clip]:
    """The clips of a split."""
    return [clip for clip in clips if clip.split == split]


@dataclass(frozen=True)
class Generated:
    """Generated motions, and the time they took."""

    motions: list[Tensor]
    """Motions (F, 22, 3)."""
    seconds: list[float]
    """Duration of each batch."""
    sizes: list[int]
    """Number of motions in each batch."""


def generate_trials(
    model: MotionModel,
    trials: Sequence[Trial],
    settings: Settings,
    *,
    batch: int,
    seed: int,
    on_batch: Callable[[int], object] = lambda made: None,
    progress: bool = False,
) -> Generated:
    """Generate a motion for each trial.

    Without guidance, goals are left out, since foot clean-up would hold those that are met by chance.

    Args:
        model: The model.
        trials: Tasks.
        settings: How to sample and to guide.
        batch: Motions sampled together.
        seed: Seed of the first motion; the next ones follow, and after the largest seed comes 0.
        on_batch: Called with the number of motions after each batch.
        progress: Whether to show progress within each batch.
    """
    generated = Generated([], [], [])
    for start in range(0, len(trials), batch):
        some = trials[start : start + batch]
        goals = None if settings.guidance == "none" else [trial.goals for trial in some]
        started = time.perf_counter()
        motions = generate(
            model,
            [trial.text for trial in some],
            [len(trial.joints) for trial in some],
            goals=goals,
            seeds=[(seed + start + i) % (int(SEED.most) + 1) for i in range(len(some))],
            settings=settings,
            progress=progress,
        )
        generated.seconds.append(time.perf_counter() - started)
        generated.sizes.append(len(some))
        generated.motions.extend(motion.joints for motion in motions)
        on_batch(len(some))
    return generated
