"""HumanML3D made from AMASS in one command, equivalent to its authors' notebooks.

Its index.csv specifies which frames of which recording are a clip; each clip also exists as a mirrored copy, whose name
begins with M. For identical results, the notebooks' approximations are reproduced, which `amass` avoids:

- every int(fps / 20)-th frame is kept, so that 250 frames per second become 20.8;
- the first seconds of some laboratories' recordings are skipped before frames are counted;
- a body is male where the file says so as text, else female (also for bytes and "neutral"), with ten shape parameters;
- bones get the lengths of the first frame of clip 000021;
- the lowest joint of a clip is on the floor.

References:
    Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions From Text" (EricGuo5513/HumanML3D).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from data_loaders.amass import read_recording
from data_loaders.augment import mirror
from data_loaders.body_model import load_body_model, smplx_lbs
from data_loaders.humanml3d.clip_files import read_captions
from data_loaders.humanml3d.dataset import LICENCE, UNUSABLE_CLIPS
from data_loaders.retarget import bone_lengths, start_at_origin, uniform_skeleton
from data_loaders.types import Clip, Source, Split
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy

Array = NDArray[np.float64]

REFERENCE = "000021"
"""Clip whose first frame defines the bone lengths."""

SKIPPED = {
    "Eyes_Japan_Dataset": 3.0,
    "MPI_HDM05": 3.0,
    "TotalCapture": 1.0,
    "MPI_Limits": 1.0,
    "Transitions_mocap": 0.5,
}
"""Seconds skipped at the beginning of a laboratory's recordings."""

RENAMED = {
    "BioMotionLab_NTroje": "BMLrub",
    "DFaust_67": "DFaust",
    "MPI_HDM05": "HDM05",
    "MPI_Limits": "PosePrior",
    "MPI_mosh": "MoSh",
    "SSM_synced": "SSM",
    "TCD_handMocap": "TCDHands",
    "Transitions_mocap": "Transitions",
}
"""Current names of folders that AMASS has renamed."""

HUMANACT12 = "humanact12"
"""Joints outside AMASS that HumanML3D's repository contains, already cut."""

CLONE = "clone EricGuo5513/HumanML3D"
_MAX_BETAS = 10


@dataclass(frozen=True)
class HumanML3DFromAmass:
    """HumanML3D, made from AMASS as its authors' three notebooks do."""

    data_root: Path
    """Folder with AMASS's SMPL+H G data: ACCAD, BioMotionLab_NTroje, BMLhandball …"""
    body_models: Path
    """Folder with body models of your own: smplh/male/model.npz and smplh/female/model.npz."""
    repository: Path
    """Clone of EricGuo5513/HumanML3D, with HumanML3D/texts.zip and pose_data/humanact12.zip unpacked in place."""

    def source(self) -> Source:
        """List all clips of index.csv and their mirrored copies, except `UNUSABLE_CLIPS`.

        Raises:
            FileNotFoundError: If a folder or file that all clips need is missing.
            InputError: If one of them is invalid, or the library smplx is missing.
        """
        for folder, of in ((self.data_root, "AMASS's SMPL+H G data"), (self.repository, f"a clone: {CLONE}")):
            if not folder.is_dir():
                raise FileNotFoundError(f"no folder {folder}; give that of {of}")
        smplx_lbs()
        models = [load_body_model(self.body_models, "smplh", gender).path for gender in ("male", "female")]
        index = self.repository / "index.csv"
        rows = read_index(index)
        splits, problems = read_splits(self.repository / "HumanML3D", {row.name for row in rows})
        texts = self.repository / "HumanML3D" / "texts"
        captioned = {path.stem for path in texts.glob("*.txt")}
        if not captioned:
            raise InputError(f"{texts} has no captions; unpack HumanML3D/texts.zip of the repository there")
        named = {f"{m}{row.name}" for row in rows for m in ("", "M")}
        problems += [
            f"{texts / name}.txt has no clip in {index}; remove it"
            for name in sorted(captioned - named - UNUSABLE_CLIPS)
        ]
        absent = Counter(row.laboratory for row in rows if not self._folder(row).is_dir())
        problems += [
            f"{self.data_root} has no folder {laboratory}, with {count} clips; {_remedy(laboratory)}"
            for laboratory, count in sorted(absent.items())
        ]
        lengths = self._lengths(rows)
        entries = [
            CutEntry(name, self._path(row), row, splits[name], texts / f"{name}.txt", self.body_models, lengths)
            for row in rows
            if row.laboratory not in absent
            for name in (row.name, f"M{row.name}")
            if name in splits
        ]
        files = {index, *models, *(path for entry in entries for path in (entry.path, entry.texts) if path.is_file())}
        return Source(entries, mirrored=True, licence=LICENCE, files=sorted(files), problems=problems)

    def _folder(self, row: IndexRow) -> Path:
        """Folder of a laboratory's recordings."""
        if row.laboratory == HUMANACT12:
            unpacked = self.repository / "pose_data" / HUMANACT12
            return unpacked / HUMANACT12 if (unpacked / HUMANACT12).is_dir() else unpacked
        folder = self.data_root / row.laboratory
        return folder if folder.is_dir() else self.data_root / RENAMED.get(row.laboratory, row.laboratory)

    def _path(self, row: IndexRow) -> Path:
        if row.laboratory == HUMANACT12:
            return self._folder(row) / row.recording.name
        return self._folder(row).joinpath(*row.recording.parts[1:]).with_suffix(".npz")

    def _lengths(self, rows: Sequence[IndexRow]) -> tuple[float, ...]:
        """Bone lengths of the reference clip."""
        row = next((row for row in rows if row.name == REFERENCE), None)
        if row is None:
            raise InputError(f"{self.repository / 'index.csv'} has no clip {REFERENCE}, whose bones all get; {CLONE}")
        try:
            joints = _joints(self._path(row), self.body_models)
        except FileNotFoundError as error:
            raise InputError(f"{error}; of it is clip {REFERENCE}, whose bones all get") from None
        return tuple(bone_lengths(clip_frames(joints, row)[0]).tolist())


@dataclass(frozen=True)
class CutEntry:
    """Clip or its mirrored copy."""

    name: str
    path: Path
    row: IndexRow
    split: Split
    texts: Path
    body_models: Path
    lengths: tuple[float, ...]

    def read(self) -> Clip:
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.name}: no file {self.path}; {_remedy(self.row.laboratory)}")
        joints = clip_frames(_joints(self.path, self.body_models), self.row)
        if len(joints) < 2:
            raise InputError(f"{self.path} ends before clip {self.name}, which begins at frame {self.row.start}")
        joints = uniform_skeleton(joints if self.name == self.row.name else mirror(joints), np.array(self.lengths))
        joints[..., 1] -= joints[..., 1].min()
        return Clip(self.name, start_at_origin(joints), self.split, read_captions(self.texts))


def clip_frames(joints: Array, row: IndexRow) -> Array:
    """Frames of a clip within the joints (F, 22, 3) of its recording at about 20 frames per second."""
    if row.laboratory == HUMANACT12:
        return joints
    return joints[int(SKIPPED.get(row.laboratory, 0.0) * FPS) :][row.start : row.end]


@lru_cache(maxsize=2)
def _joints(path: Path, body_models: Path) -> Array:
    """Joints (F, 22, 3) of a recording, y up, at about 20 frames per second."""
    if path.suffix == ".npy":
        return read_npy(path, (None, None, 3), "unpack pose_data/humanact12.zip of HumanML3D's repository again")[
            :, : len(JOINTS)
        ]
    recording = read_recording(path)
    if recording.kind != "smplh":
        raise InputError(f"{path} is of SMPL-X bodies; HumanML3D is made from AMASS's SMPL+H G data, get that")
    step = int(recording.fps / FPS)
    if step < 1:
        raise InputError(f"{path} has {recording.fps:g} frames a second; HumanML3D needs {FPS:g} or more")
    male = recording.gender == "male" and not recording.gender_is_bytes
    model = load_body_model(body_models, "smplh", "male" if male else "female")
    kept = replace(
        recording, pose=recording.pose[::step], trans=recording.trans[::step], betas=recording.betas[:_MAX_BETAS]
    )
    return kept.joints(model)


def _remedy(laboratory: str) -> str:
    """How to obtain the recordings of a laboratory."""
    if laboratory == HUMANACT12:
        return "unpack pose_data/humanact12.zip of HumanML3D's repository"
    today = f" (now called {RENAMED[laboratory]})" if laboratory in RENAMED else ""
    return f"download {laboratory}{today}, SMPL+H G, from amass.is.tue.mpg.de"


@dataclass(frozen=True)
class IndexRow:
    """Line of index.csv: a clip and its place in a recording."""

    name: str
    recording: PurePosixPath
    """Path in AMASS with the suffix .npy of the notebooks' output: KIT/3/kick_high_left02_poses.npy."""
    start: int
    end: int

    @property
    def laboratory(self) -> str:
        """Folder of AMASS that contains the recording."""
        return self.recording.parts[0]


def read_index(path: Path) -> list[IndexRow]:
    """Read index.csv.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With the line, if the file is malformed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {CLONE} and give its folder")
    rows: dict[str, IndexRow] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for line in reader:
                source = PurePosixPath(line["source_path"])
                recording = source.relative_to("pose_data")
                start, end = int(line["start_frame"]), int(line["end_frame"])
                name = PurePosixPath(line["new_name"]).stem
                if len(recording.parts) < 2 or ".." in recording.parts or name in rows:
                    raise ValueError
                rows[name] = IndexRow(name, recording, start, end)
        except (KeyError, TypeError, ValueError, csv.Error):
            where = f"{path}: line {reader.line_num}"
            columns = "source_path,start_frame,end_frame,new_name"
            raise InputError(f"{where} is not {columns} of a clip of its own; {CLONE} again") from None
    if not rows:
        raise InputError(f"{path} has no clip; {CLONE} again")
    return list(rows.values())


def read_splits(folder: Path, names: set[str]) -> tuple[dict[str, Split], list[str]]:
    """Read the splits.

    Args:
        folder: Folder with train.txt, val.txt and test.txt.
        names: Names of all clips without mirrored copies.

    Returns:
        Split by clip name, and inconsistencies.

    Raises:
        FileNotFoundError: If a list is missing.
        InputError: If a list is empty.
    """
    splits: dict[str, Split] = {}
    problems = []
    for split in get_args(Split):
        path = folder / f"{split}.txt"
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; {CLONE} again")
        listed = path.read_text(encoding="utf-8").split()
        if not listed:
            raise InputError(f"{path} is empty; {CLONE} again")
        for name in listed:
            if name.removeprefix("M") not in names:
                problems.append(f"{path}: {name} is not in index.csv; take it out")
            elif splits.setdefault(name, split) != split:
                problems.append(f"{path}: {name} is in {splits[name]}.txt too; take it out of one of them")
    problems += [
        f"clip {name} is in none of {folder}'s split files; write it into one"
        for row in sorted(names)
        for name in (row, f"M{row}")
        if name not in splits and name not in UNUSABLE_CLIPS
    ]
    return {name: split for name, split in splits.items() if name not in UNUSABLE_CLIPS}, problems
