"""The Bandai-Namco Research motion dataset: 3,076 BVH clips of 24 actions in 19 styles.

Clone its public repository (BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset) and give its folder as the data
root. Licence CC BY-NC 4.0.

References:
    Kobayashi, Liao, Inoue, Yojima, Takahashi 2023, arXiv:2306.08861.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.captions.templates import motion_facts, true_caption
from data_loaders.retarget import start_at_origin
from data_loaders.skeleton_files import read_bvh_joints
from data_loaders.skeleton_mapping import shipped_mappings
from data_loaders.types import Caption, Clip, Source, split_of
from motion_diffusion.errors import InputError

LICENCE = "CC BY-NC 4.0; trained on the Bandai-Namco Research Motiondataset"


@dataclass(frozen=True)
class BandaiEntry:
    """File of the data set. Its name consists of data set, action, style and number:
    dataset-2_walk-turn-left_elderly_003.bvh.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def read(self) -> Clip:
        _, action, style, _ = self.name.lower().split("_")
        joints = read_clip(self.path)
        text = true_caption(action, style, motion_facts(joints))
        return Clip(self.name, joints, split_of(self.name), (Caption(text),), action, style)


@dataclass(frozen=True)
class Bandai:
    """The Bandai-Namco Research Motiondataset."""

    data_root: Path
    """Clone of its repository."""

    def source(self) -> Source:
        """List all clips of the folder.

        Raises:
            FileNotFoundError: If there is no such folder.
            InputError: If it has no clip of the data set.
        """
        root = self.data_root
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
    """Read a file of the data set as joints (F, 22, 3) of a `Clip`.

    The floor is that of the recording, y = 0, where the balls of standing feet are 4 to 5 cm above it.
    """
    return start_at_origin(read_bvh_joints(path, shipped_mappings()["bandai_namco"], scale=0.01))
