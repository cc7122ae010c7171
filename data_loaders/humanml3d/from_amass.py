"""HumanML3D made from AMASS, as the notebooks of its authors make it: one command in their place.

Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions From Text" (EricGuo5513/HumanML3D). Its index.csv
says which frames of which recording are a clip; every clip is there a second time, mirrored, under a name that begins
with M. To get the numbers that everybody has, all is done as there, also what `amass` does better:

- every int(fps / 20)-th frame is kept, so that 250 frames a second become 20.8;
- the recordings of some laboratories lose their first seconds before frames are counted;
- a body is male where the file says so in text, else female (bytes and "neutral" too), and has ten numbers of shape;
- bones get the lengths that clip 000021 has in its first frame;
- the lowest joint of a clip is on the floor.
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
"""The clip whose first frame has the lengths of bones that all get."""

SKIPPED = {
    "Eyes_Japan_Dataset": 3.0,
    "MPI_HDM05": 3.0,
    "TotalCapture": 1.0,
    "MPI_Limits": 1.0,
    "Transitions_mocap": 0.5,
}
"""Seconds at the beginning of a laboratory's recordings that do not count."""

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
"""What AMASS calls some folders today."""

HUMANACT12 = "humanact12"
"""Not of AMASS: joints that HumanML3D's repository has itself, cut already."""

_MAX_BETAS = 10


@dataclass(frozen=True)
class HumanML3DFromAmass:
    """HumanML3D, made from AMASS as its authors' three notebooks do."""

    data_root: Path
    """Folder with AMASS's SMPL+H G data: ACCAD, BioMotionLab_NTroje, BMLhandball …"""
    body_models: Path
    """Folder with body models of your own: smplh/male/model.npz and smplh/female/model.npz."""
    repository: Path
    """Clone of EricGuo5513/HumanML3D, with HumanML3D/texts.zip and pose_data/humanact12.zip unpacked where they are."""

    def source(self) -> Source:
        """All clips of index.csv and their mirror images, but for those that are unusable in HumanML3D itself.

        Raises FileNotFoundError or InputError if what all clips need is missing or broken.
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
        told = {path.stem for path in texts.glob("*.txt")}
        if not told:
            raise InputError(f"{texts} has no captions; unpack HumanML3D/texts.zip of the repository there")
        named = {f"{m}{row.name}" for row in rows for m in ("", "M")}
        problems += [
            f"{texts / name}.txt has no clip in {index}; remove it" for name in sorted(told - named - UNUSABLE_CLIPS)
        ]
        absent = Counter(row.laboratory for row in rows if not self._folder(row).is_dir())
        problems += [
            f"{self.data_root} has no folder {laboratory}, with {count} clips; {_get(laboratory)}"
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
        """Where a laboratory's recordings are."""
        if row.laboratory == HUMANACT12:
            unpacked = self.repository / "pose_data" / HUMANACT12
            return unpacked / HUMANACT12 if (unpacked / HUMANACT12).is_dir() else unpacked
        there = self.data_root / row.laboratory
        return there if there.is_dir() else self.data_root / RENAMED.get(row.laboratory, row.laboratory)

    def _path(self, row: IndexRow) -> Path:
        if row.laboratory == HUMANACT12:
            return self._folder(row) / row.recording.name
        return self._folder(row).joinpath(*row.recording.parts[1:]).with_suffix(".npz")

    def _lengths(self, rows: Sequence[IndexRow]) -> tuple[float, ...]:
        """The reference's lengths of bones."""
        row = next((row for row in rows if row.name == REFERENCE), None)
        if row is None:
            raise InputError(f"{self.repository / 'index.csv'} has no clip {REFERENCE}, whose bones all get; {CLONE}")
        try:
            joints = _joints(self._path(row), self.body_models)
        except FileNotFoundError as error:
            raise InputError(f"{error}; of it is clip {REFERENCE}, whose bones all get") from None
        return tuple(bone_lengths(clip_frames(joints, row)[0]).tolist())


def clip_frames(joints: Array, row: IndexRow) -> Array:
    """The frames of a recording (F, 22, 3), about 20 a second, that are a clip."""
    if row.laboratory == HUMANACT12:
        return joints
    return joints[int(SKIPPED.get(row.laboratory, 0.0) * FPS) :][row.start : row.end]


@lru_cache(maxsize=2)
def _joints(path: Path, body_models: Path) -> Array:
    """Joints (F, 22, 3) of a recording, y up, at about 20 frames a second."""
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


@dataclass(frozen=True)
class CutEntry:
    """A clip, or its mirror image."""

    name: str
    path: Path
    row: IndexRow
    split: Split
    texts: Path
    body_models: Path
    lengths: tuple[float, ...]

    def read(self) -> Clip:
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.name}: no file {self.path}; {_get(self.row.laboratory)}")
        joints = clip_frames(_joints(self.path, self.body_models), self.row)
        if len(joints) < 2:
            raise InputError(f"{self.path} ends before clip {self.name}, which begins at frame {self.row.start}")
        joints = uniform_skeleton(joints if self.name == self.row.name else mirror(joints), np.array(self.lengths))
        joints[..., 1] -= joints[..., 1].min()
        return Clip(self.name, start_at_origin(joints), self.split, read_captions(self.texts))


def _get(laboratory: str) -> str:
    """Where a folder of recordings is to be had."""
    if laboratory == HUMANACT12:
        return "unpack pose_data/humanact12.zip of HumanML3D's repository"
    today = f" (now called {RENAMED[laboratory]})" if laboratory in RENAMED else ""
    return f"download {laboratory}{today}, SMPL+H G, from amass.is.tue.mpg.de"


CLONE = "clone EricGuo5513/HumanML3D"


@dataclass(frozen=True)
class IndexRow:
    """A line of index.csv: a clip and where it comes from."""

    name: str
    recording: PurePosixPath
    """In AMASS, with the ending .npy of what HumanML3D's notebooks make of it: KIT/3/kick_high_left02_poses.npy."""
    start: int
    end: int

    @property
    def laboratory(self) -> str:
        """The folder of AMASS that it is in."""
        return self.recording.parts[0]


def read_index(path: Path) -> list[IndexRow]:
    """The clips of index.csv. Raises FileNotFoundError, or InputError with the line for a file of another form."""
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
    """Which part each clip is in, and what is wrong with the lists. names: the clips there are, without mirror images.

    Raises FileNotFoundError or InputError for a list that is not there, or empty.
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
