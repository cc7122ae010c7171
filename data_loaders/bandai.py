"""The Bandai-Namco Research motion dataset: 3,076 BVH clips of 24 actions in 19 styles, on this project's body.

Kobayashi, Liao, Inoue, Yojima, Takahashi 2023, arXiv:2306.08861; CC BY-NC 4.0. Clone its public repository
(BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset) and give its folder as the data root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.bvh import read_bvh
from data_loaders.captions import motion_facts, true_caption
from data_loaders.clip import Caption, Clip, from_origin, split_of
from data_loaders.resampling import resampled
from data_loaders.retarget import retarget
from data_loaders.source import Source
from motion_diffusion.errors import InputError

LICENCE = "CC BY-NC 4.0; trained on the Bandai-Namco Research Motiondataset"

_TRUNK = {"pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head"}
_LIMBS = {
    "collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand",
    "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes",
}  # fmt: skip
_THEIRS = _TRUNK | {
    f"{side}_{ours}": f"{theirs}_{letter}"
    for side, letter in (("left", "L"), ("right", "R"))
    for ours, theirs in _LIMBS.items()
}
"""This body's joints and those of the dataset's skeleton that stand for them."""


@dataclass(frozen=True)
class BandaiEntry:
    """A file of the dataset: dataset-2_walk-turn-left_elderly_003.bvh is an action, a style and a number."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def read(self) -> Clip:
        _, action, style, _ = self.name.lower().split("_")
        joints = read_clip(self.path)
        text = true_caption(action, style, motion_facts(joints))
        return Clip(self.name, joints, split_of(self.name), (Caption(text),), action, style)


def bandai(root: Path) -> Source:
    """All clips under a folder. Raises FileNotFoundError or InputError if there is no folder, or no clip in it."""
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give --data-root the folder of the Bandai-Namco dataset")
    paths = sorted(root.rglob("dataset-*_*_*_*.bvh"), key=lambda path: path.stem)
    if not paths:
        raise InputError(
            f"{root} has no clips dataset-*_<action>_<style>_<number>.bvh; clone the repository "
            "Bandai-Namco-Research-Motiondataset of BandaiNamcoResearchInc and give its folder"
        )
    return Source([BandaiEntry(path) for path in paths], mirrored=False, licence=LICENCE, files=paths)


def read_clip(path: Path) -> NDArray[np.float32]:
    """A file of the dataset as joints (F, 22, 3) of this body at 20 frames a second, as a `Clip` has them.

    The floor is the capture's own, y = 0; the balls of standing feet are 4 to 5 cm above it.
    """
    bvh = read_bvh(path)
    if missing := [name for name in _THEIRS.values() if name not in bvh.names]:
        raise InputError(f"{path}: no joint {', '.join(missing)}; give files of the Bandai-Namco dataset")
    positions = resampled(bvh.world()[0], 1 / bvh.frame_time)
    body = retarget({ours: positions[:, bvh.names.index(theirs)] for ours, theirs in _THEIRS.items()})
    return from_origin(body)
