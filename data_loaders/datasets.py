"""The data sets by name, each split into examples to train on and examples held out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from data_loaders.bandai import load_bandai, split_of
from data_loaders.example import Examples
from data_loaders.procedural import ProceduralWalks
from data_loaders.training import AugmentedClips, RealClips
from motion_diffusion.errors import InputError

DatasetName = Literal["procedural", "bandai"]

MIN_FRAMES = 40
"""Shortest clip that is trained on, two seconds."""


def load_examples(name: DatasetName, root: Path | None, *, frames: int, seed: int = 0) -> tuple[Examples, Examples]:
    """(training examples, held-out examples) of at most so many frames.

    root: where a data set lies that has to be downloaded. InputError if it needs one and has none, or has no clips.
    """
    if name not in get_args(DatasetName):
        raise InputError(f"unknown data set {name!r}; choose from {', '.join(get_args(DatasetName))}")
    if name == "procedural":
        walks = (ProceduralWalks(seed, frames, MIN_FRAMES), ProceduralWalks(seed + 1_000_003, frames, MIN_FRAMES))
        return walks
    if root is None:
        raise InputError(
            f"data set {name} needs --data-root, the folder with its clips; see the README for where to get it"
        )
    clips = load_bandai(root)
    train = [clip for clip in clips if split_of(clip.name) == "train"]
    held_out = [clip for clip in clips if split_of(clip.name) == "val"]
    return AugmentedClips(train, frames, MIN_FRAMES, seed), RealClips(held_out, frames, MIN_FRAMES)
