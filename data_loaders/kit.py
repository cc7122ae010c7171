"""KIT-ML as HumanML3D's authors distribute it: 3,911 captioned motions and their mirrored copies.

It is linked from the page of the public repository EricGuo5513/HumanML3D. Its 251 features are those of HumanML3D for
21 joints at 12.5 frames per second (see `humanml3d.dataset` for the files). They are converted as follows:

- The files are mirrored: y and z of the original positions are exchanged, so that the hand that the captions call left
  is on the right. Hence x is negated.
- Bones are in thousandths of the person's height, but the root's trajectory is in millimetres, which is why feet slide
  in these files. The height is not recorded; it is estimated as the one that minimises sliding (`person_height`).
- Bones and trajectories of feet are then retargeted to this body, see `retarget.retarget`. The shape of the person and
  the middle joints of the feet are lost. The data has no collar bones; here they are rigid with the chest.

References:
    Plappert, Mandery, Asfour 2016, "The KIT Motion-Language Dataset".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.humanml3d.clip_files import Array, ClipFiles, FeatureLayout
from data_loaders.humanml3d.dataset import scan_folder
from data_loaders.retarget import resample, retarget, start_at_origin
from data_loaders.types import Clip, Source

LICENCE = (
    "none is given, ask the Karlsruhe Institute of Technology before other use than research; trained on the KIT "
    "Motion-Language Dataset"
)

KIT_FPS = 12.5

KIT_JOINTS = (
    "pelvis", "spine1", "spine2", "neck", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
    "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", None, "left_foot", "right_hip", "right_knee",
    "right_ankle", None, "right_foot",
)  # fmt: skip
"""Corresponding joints of this body for the 21 joints of KIT-ML, None for those without. In the Master Motor Map they
are named root, BP, BT, BLN, BUN, LS, LE, LW, RS, RE, RW, LH, LK, LA, LMrot, LF, RH, RK, RA, RMrot, RF."""

_LAYOUT = FeatureLayout(len(KIT_JOINTS), metre=1000.0)
_HEIGHTS = np.arange(1.4, 2.11, 0.01)
"""Candidates for the height of a person in metres."""
_MEAN_HEIGHT = 1.75
"""Preferred height in metres where the motion does not determine it."""


@dataclass(frozen=True)
class KitEntry:
    """Clip of the data set."""

    files: ClipFiles

    @property
    def name(self) -> str:
        return self.files.name

    def read(self) -> Clip:
        return Clip(self.name, kit_to_body(self.files.positions(_LAYOUT)), self.files.split, self.files.captions())


@dataclass(frozen=True)
class Kit:
    """KIT-ML as HumanML3D's authors distribute it."""

    data_root: Path
    """Folder with new_joint_vecs, texts, train.txt …"""

    def source(self) -> Source:
        """List all clips that the split files name.

        Raises:
            FileNotFoundError: If there is no such folder.
            InputError: If it has no motions or no captions.
        """
        folder = scan_folder(self.data_root, _LAYOUT, "KIT-ML")
        entries = [KitEntry(files) for files in folder.clips]
        return Source(entries, mirrored=True, licence=LICENCE, files=folder.files, problems=folder.problems)


def kit_to_body(positions: Array) -> NDArray[np.float32]:
    """Convert positions (F, 21, 3) of the data set to joints of a `Clip`. The lowest joint is on the floor."""
    positions = positions * [-1.0, 1.0, 1.0]
    root = positions[:, :1]
    positions = positions - root + root / person_height(positions)
    positions[..., 1] -= positions[..., 1].min()
    positions = resample(positions, KIT_FPS)
    body = retarget({name: positions[:, i] for i, name in enumerate(KIT_JOINTS) if name})
    return start_at_origin(body)


def person_height(positions: Array) -> float:
    """Estimate the person's height in metres from positions (F, 21, 3).

    Minimises the sliding of the slower foot when the root's trajectory is divided by the height, with a weak preference
    for 1.75 m, which decides where the motion does not determine the height.
    """
    root = positions[:, 0]
    feet = positions[:, [KIT_JOINTS.index("left_foot"), KIT_JOINTS.index("right_foot")]] - root[:, None]
    ways = np.diff(root, axis=0)[:, None] / _HEIGHTS[:, None, None, None] + np.diff(feet, axis=0)
    sliding = np.linalg.norm(ways, axis=-1).min(axis=-1).sum(axis=-1)  # of the slower foot, (heights,)
    return float(_HEIGHTS[np.argmin(sliding + np.abs(1 / _HEIGHTS - 1 / _MEAN_HEIGHT) * len(positions))])
