"""HumanML3D as its scripts leave it, or with GMD's absolute features: 14,616 captioned motions and as many mirrored.

Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions From Text". What is needed is what the scripts of
its public repository (EricGuo5513/HumanML3D) make; see `t2m_folder` for the files.

Joints are read from new_joint_vecs if it is there, since it is what everybody trains and is judged on; else from
GMD's new_joint_vecs_abs_3d, else from new_joints. All say the same: new_joints are the joints recovered from the
features, and GMD's features are these with the root's steps added up. Where features and new_joints of a clip disagree
by more than a centimetre, it is broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_loaders.clip import Clip, from_origin
from data_loaders.humanml3d.clip import Body, ClipFiles
from data_loaders.humanml3d.folder import survey
from data_loaders.source import Source
from motion_diffusion.body.skeleton import JOINTS

LICENCE = (
    "non-commercial research only (AMASS); trained on HumanML3D, whose texts are MIT and whose motions come from AMASS "
    "and HumanAct12"
)

UNUSABLE = frozenset(f"{mirrored}{name}" for mirrored in ("", "M") for name in ("007975", "009707", "011059"))
"""Clips that HumanML3D's own scripts leave broken for everybody: 007975 has NaNs, of the others one frame is left."""

BODY = Body(len(JOINTS), metre=1.0)


@dataclass(frozen=True)
class HumanML3DEntry:
    """A clip of the data set."""

    files: ClipFiles

    @property
    def name(self) -> str:
        return self.files.name

    def read(self) -> Clip:
        joints = from_origin(self.files.positions(BODY))
        return Clip(self.name, joints, self.files.split, self.files.captions())


def humanml3d(root: Path) -> Source:
    """All clips under a folder that its split files name, but for those that are `UNUSABLE`.

    Raises FileNotFoundError or InputError if there is no folder, or none of what makes it HumanML3D.
    """
    folder = survey(root, BODY, "HumanML3D", unusable=UNUSABLE)
    entries = [HumanML3DEntry(files) for files in folder.clips]
    return Source(entries, mirrored=True, licence=LICENCE, files=folder.files, problems=folder.problems)
