"""Files of one clip in HumanML3D's format, also used by KIT-ML: features or joints, and captions.

texts/NAME.txt contains one caption per line,

    caption#word/POS word/POS …#start#end

with the time span in seconds that it describes, both 0 for the whole clip.

References:
    Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions From Text".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.types import Caption, Split
from motion_diffusion.body.features import FEATURES, decode_positions, from_relative
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy

Array = NDArray[np.float64]

MotionKind = Literal["new_joint_vecs", "new_joint_vecs_abs_3d", "new_joints"]
"""Folders of motions: HumanML3D's features, GMD's features with an absolute root, and joints."""

REMEDY = "make the clip again, or remove it from its split file"


@dataclass(frozen=True)
class FeatureLayout:
    """Skeleton and unit of length of a data set's arrays."""

    joints: int
    metre: float
    """Units of length per metre."""

    @property
    def features(self) -> int:
        """Features per frame: 4 of the root, 3 + 6 per joint except the root, 3 per joint, and 4 contacts."""
        return 12 * self.joints - 1


@dataclass(frozen=True)
class ClipFiles:
    """Paths of a clip's files."""

    root: Path
    """Folder of the data set."""
    name: str
    split: Split
    kind: MotionKind
    """Folder that the motion is read from."""
    compared: bool
    """Whether the clip's joints in new_joints exist and are compared with the motion."""

    @property
    def motion(self) -> Path:
        """Array that the motion is read from."""
        return self.root / self.kind / f"{self.name}.npy"

    @property
    def joints(self) -> Path:
        """Array of joints."""
        return self.root / "new_joints" / f"{self.name}.npy"

    @property
    def texts(self) -> Path:
        """Captions."""
        return self.root / "texts" / f"{self.name}.txt"

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are read."""
        return (self.motion, self.texts, *((self.joints,) if self.compared else ()))

    def positions(self, layout: FeatureLayout) -> Array:
        """Read joint positions (F, J, 3) in the data set's unit.

        Raises:
            InputError: If a file is damaged or in another representation than its folder indicates, or if it differs
                from new_joints by more than a centimetre in the first or the last frame.
        """
        if self.kind == "new_joints":
            return read_npy(self.joints, (None, layout.joints, 3), REMEDY)
        features = read_npy(self.motion, (None, layout.features), REMEDY)
        relative = self.kind == "new_joint_vecs"
        if not is_root_consistent(features, layout, relative=relative):
            other = "absolute (GMD's)" if relative else "relative (HumanML3D's own)"
            raise InputError(
                f"{self.motion}: the root's first numbers and its velocities disagree, as if its root were {other}; "
                "put such files where they belong, new_joint_vecs or new_joint_vecs_abs_3d"
            )
        positions = decode_joints(features, layout, relative=relative)
        if self.compared:
            self._compare(positions, layout)
        return positions

    def _compare(self, positions: Array, layout: FeatureLayout) -> None:
        joints = read_npy(self.joints, (None, layout.joints, 3), REMEDY)
        if len(joints) != len(positions):
            raise InputError(
                f"{self.joints} has {len(joints)} frames where {self.motion} has {len(positions)}; {REMEDY}"
            )
        apart = float(np.abs(joints[[0, -1]] - positions[[0, -1]]).max()) / layout.metre
        if apart > 0.01:
            raise InputError(f"{self.joints} is {apart:.2g} m away from what {self.motion} says; {REMEDY}")

    def captions(self) -> tuple[Caption, ...]:
        """Captions, see `read_captions`."""
        return read_captions(self.texts)


def is_root_consistent(features: Array, layout: FeatureLayout, *, relative: bool) -> bool:
    """Whether the root's position and velocity in features (F, D) agree, within a centimetre per frame on average.

    Args:
        features: (F, D) features.
        layout: Skeleton and unit.
        relative: Whether the root is HumanML3D's relative one, or GMD's absolute one.
    """
    steps = features[:, 1:3] if relative else np.diff(features[:, 1:3], axis=0)
    start = 9 * layout.joints - 5
    velocities = features[: len(steps), [start, start + 2]]
    if not len(steps):
        return True
    apart = np.linalg.norm(steps, axis=-1) - np.linalg.norm(velocities, axis=-1)
    return bool(np.abs(apart).mean() <= 0.01 * layout.metre)


def decode_joints(features: Array, layout: FeatureLayout, *, relative: bool) -> Array:
    """Joint positions (F, J, 3) in the data set's unit from features (F, D) with a relative or an absolute root."""
    padded = torch.zeros(len(features), FEATURES, dtype=torch.float64)
    padded[:, : 3 * layout.joints + 1] = torch.from_numpy(features[:, : 3 * layout.joints + 1])
    return decode_positions(from_relative(padded) if relative else padded)[:, : layout.joints].numpy()


def read_captions(path: Path) -> tuple[Caption, ...]:
    """Read the captions of a clip.

    As in other loaders of this format, times that are nan are 0. Some of HumanML3D's time spans are reversed and are
    corrected; empty spans denote the whole clip. Lines with an empty caption are ignored.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With file and line, if a line is malformed or there is no caption.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; copy the data set's texts there")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8; copy it again") from None
    captions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        text, *rest = (part.strip() for part in line.rsplit("#", 3))
        try:
            words, *times = rest
            start, end = sorted(_seconds(time) for time in times)
        except ValueError:
            raise InputError(f"{path}: line {number} is not caption#words#start#end; correct it") from None
        if text:
            captions.append(Caption(text, *((start, end) if start < end else (0.0, 0.0)), tuple(words.split())))
    if not captions:
        raise InputError(f"{path} has no caption; write one, or remove the clip from its split file")
    return tuple(captions)


def _seconds(text: str) -> float:
    seconds = float(text)
    if seconds < 0 or math.isinf(seconds):
        raise ValueError(text)
    return 0.0 if math.isnan(seconds) else seconds
