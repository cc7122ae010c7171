"""AMASS: motion capture of many laboratories as SMPL-H and SMPL-X bodies, in .npz files.

Mahmood et al. 2019, "AMASS: Archive of Motion Capture as Surface Shapes", amass.is.tue.mpg.de. Each file is one clip,
whole; loaders cut it. HumanML3D is cut from these files in a way of its own, see `humanml3d_from_amass`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.amass_recording import read_recording
from data_loaders.body_model import load_body_model, model_files, smplx_lbs
from data_loaders.caption_table import Told, read_table
from data_loaders.clip import Clip, from_origin, split_of
from data_loaders.ground_alignment import on_the_floor
from data_loaders.resampling import resampled
from data_loaders.source import Source
from data_loaders.uniform_skeleton import uniform_skeleton
from motion_diffusion.body.skeleton import BONE_LENGTHS
from motion_diffusion.errors import InputError

LICENCE = "AMASS's licence, for non-commercial scientific research; trained on AMASS (Mahmood et al. 2019)"

_SUBJECT = re.compile(r"^shape\.npz$|_stagei\.npz$")
"""Files of AMASS about a person, not a recording."""


@dataclass(frozen=True)
class Amass:
    """AMASS, each recording as one clip; HumanML3D can be made from it too, see humanml3d-from-amass."""

    data_root: Path
    """Folder with AMASS's .npz files (SMPL-H or SMPL-X), in any subfolders."""
    body_models: Path
    """Folder with body models of your own: smplh/male/model.npz, smplx/SMPLX_NEUTRAL.npz …"""
    captions: Path | None = None
    """CSV file with the columns file,text and, as wanted, start,end (seconds),split,action,style; file is the path in
    --data-root without .npz. AMASS has no captions of its own, and clips without any can be looked at, not learned."""

    def source(self) -> Source:
        """All recordings under the folder. A clip is called by its path without the ending.

        Raises FileNotFoundError or InputError if there is no folder, no recording in it, no body models, no library
        smplx, or a captions file that is none.
        """
        root = self.data_root
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}; give --data-root the folder of AMASS's recordings")
        paths = sorted(path for path in root.rglob("*.npz") if not _SUBJECT.search(path.name))
        if not paths:
            raise InputError(f"{root} has no recordings (.npz); unpack AMASS's archives there")
        smplx_lbs()
        models = model_files(self.body_models)
        named = {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}
        told, problems = read_table(self.captions, named.keys()) if self.captions else ({}, [])
        entries = [AmassEntry(path, name, self.body_models, told.get(name, Told())) for name, path in named.items()]
        files = [*paths, *models, *([self.captions] if self.captions else [])]
        return Source(entries, mirrored=False, licence=LICENCE, files=files, problems=problems)


@dataclass(frozen=True)
class AmassEntry:
    """A recording as one clip."""

    path: Path
    name: str
    body_models: Path
    told: Told

    def read(self) -> Clip:
        joints, told = read_amass_joints(self.path, self.body_models), self.told
        told.check(self.path, len(joints))
        split = told.split or split_of(self.name)
        return Clip(self.name, from_origin(joints), split, told.captions, told.action, told.style)


def read_amass_joints(path: Path, body_models: Path, *, longest: float | None = None) -> NDArray[np.float64]:
    """A recording as joints (F, 22, 3) of this body at 20 frames a second, y up, on the floor, where the file has them.

    body_models: the folder with them, see `body_model.places`. longest: seconds that it may last. Raises
    FileNotFoundError, or InputError that names the file, or says which body model to get.
    """
    recording = read_recording(path, longest=longest)
    model = load_body_model(body_models, recording.kind, recording.gender)
    joints = resampled(recording.joints(model), recording.fps)
    return on_the_floor(uniform_skeleton(joints, BONE_LENGTHS.numpy()))
