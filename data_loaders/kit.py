"""KIT-ML as HumanML3D's authors distribute it: 3,911 captioned motions and as many mirrored, on this project's body.

Plappert, Mandery, Asfour 2016, "The KIT Motion-Language Dataset"; get it from the page of the public repository
EricGuo5513/HumanML3D. Its 251 features are HumanML3D's, for 21 joints at 12.5 frames a second (see `t2m_folder` for
the files). What is done about them:

- They are the image of the person in a mirror: the positions that Guo et al. took over have y and z exchanged, so that
  a left hand, called left in the captions, lies on the right. x is turned round here.
- Bones are thousandths of the height of the person, but the root's path is in millimetres of the room (which is why
  feet slide in these files). The height is not in the files; it is found by what makes the feet stand.
- Bones then take this body's lengths, and so do the ways of the feet; see `retarget`. What is lost is the shape of
  the person, and the middle joints of the feet. There are no collar bones in the data; here they are rigid with the
  chest.
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
"""The 21 joints by the names of this body's that they stand for. In the Master Motor Map, whose body it is, they are
root, BP, BT, BLN, BUN, LS, LE, LW, RS, RE, RW, LH, LK, LA, LMrot, LF, RH, RK, RA, RMrot, RF."""

_LAYOUT = FeatureLayout(len(KIT_JOINTS), metre=1000.0)
_HEIGHTS = np.arange(1.4, 2.11, 0.01)
"""Metres that people may be tall."""
_USUAL = 1.75


@dataclass(frozen=True)
class KitEntry:
    """A clip of the data set."""

    files: ClipFiles

    @property
    def name(self) -> str:
        return self.files.name

    def read(self) -> Clip:
        return Clip(self.name, kit_to_body(self.files.positions(_LAYOUT)), self.files.split, self.files.captions())


def kit(root: Path) -> Source:
    """All clips under a folder that its split files name.

    Raises FileNotFoundError or InputError if there is no folder, or none of what makes it KIT-ML.
    """
    folder = scan_folder(root, _LAYOUT, "KIT-ML")
    entries = [KitEntry(files) for files in folder.clips]
    return Source(entries, mirrored=True, licence=LICENCE, files=folder.files, problems=folder.problems)


def kit_to_body(positions: Array) -> NDArray[np.float32]:
    """Positions (F, 21, 3) as the data set's files have them → joints of a `Clip`. The lowest joint is on the floor."""
    positions = positions * [-1.0, 1.0, 1.0]
    root = positions[:, :1]
    positions = positions - root + root / person_height(positions)
    positions[..., 1] -= positions[..., 1].min()
    positions = resample(positions, KIT_FPS)
    body = retarget({name: positions[:, i] for i, name in enumerate(KIT_JOINTS) if name})
    return start_at_origin(body)


def person_height(positions: Array) -> float:
    """How many metres tall the person is: with the root's path divided by it, the slower foot moves least.

    positions: (F, 21, 3). Where little moves, or the feet do not stand, it is 1.75 or what is near.
    """
    root = positions[:, 0]
    feet = positions[:, [KIT_JOINTS.index("left_foot"), KIT_JOINTS.index("right_foot")]] - root[:, None]
    ways = np.diff(root, axis=0)[:, None] / _HEIGHTS[:, None, None, None] + np.diff(feet, axis=0)
    sliding = np.linalg.norm(ways, axis=-1).min(axis=-1).sum(axis=-1)  # of the slower foot, (heights,)
    return float(_HEIGHTS[np.argmin(sliding + np.abs(1 / _HEIGHTS - 1 / _USUAL) * len(positions))])
