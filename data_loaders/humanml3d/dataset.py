"""HumanML3D as its scripts make it, or with GMD's absolute features: 14,616 captioned motions and their mirrored
copies.

The scripts are in the public repository EricGuo5513/HumanML3D. A folder in this format, which KIT-ML also uses, has

    new_joint_vecs/NAME.npy   features, frame by frame        Mean.npy, Std.npy            their statistics
    new_joints/NAME.npy       joints                          texts/NAME.txt               captions
    train.txt, val.txt, test.txt                              names of the clips of each split

and GMD adds new_joint_vecs_abs_3d, with Mean_abs_3d.npy and Std_abs_3d.npy.

Joints are read from new_joint_vecs if it exists, since it is what models are commonly trained and evaluated on, else
from new_joint_vecs_abs_3d, else from new_joints. All are equivalent: new_joints are recovered from the features, and
GMD's features contain the cumulative sum of the root's steps. A clip whose features and new_joints differ by more than
a centimetre is broken.

References:
    Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions From Text".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from data_loaders.humanml3d.clip_files import ClipFiles, FeatureLayout, MotionKind
from data_loaders.retarget import start_at_origin
from data_loaders.types import Clip, Source, Split
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy

LICENCE = (
    "non-commercial research only (AMASS); trained on HumanML3D, whose texts are MIT and whose motions come from AMASS "
    "and HumanAct12"
)

UNUSABLE_CLIPS = frozenset(f"{mirrored}{name}" for mirrored in ("", "M") for name in ("007975", "009707", "011059"))
"""Clips that HumanML3D's own scripts produce broken: 007975 contains NaNs, and the others have a single frame."""

LAYOUT = FeatureLayout(len(JOINTS), metre=1.0)

SAMPLED_CLIPS = 32
"""Number of clips that the statistics are compared with."""


@dataclass(frozen=True)
class HumanML3D:
    """HumanML3D as its scripts leave it, or with GMD's absolute features."""

    data_root: Path
    """Folder with new_joint_vecs, texts, train.txt …"""

    def source(self) -> Source:
        """List all clips that the split files name, except `UNUSABLE_CLIPS`.

        Raises:
            FileNotFoundError: If there is no such folder.
            InputError: If it has no motions or no captions.
        """
        folder = scan_folder(self.data_root, LAYOUT, "HumanML3D", unusable=UNUSABLE_CLIPS)
        entries = [HumanML3DEntry(files) for files in folder.clips]
        return Source(entries, mirrored=True, licence=LICENCE, files=folder.files, problems=folder.problems)


@dataclass(frozen=True)
class HumanML3DEntry:
    """Clip of the data set."""

    files: ClipFiles

    @property
    def name(self) -> str:
        return self.files.name

    def read(self) -> Clip:
        joints = start_at_origin(self.files.positions(LAYOUT))
        return Clip(self.name, joints, self.files.split, self.files.captions())


@dataclass(frozen=True)
class FolderContents:
    """Contents of a folder in HumanML3D's format."""

    clips: Sequence[ClipFiles]
    """Clips with a motion, captions and a split, by name."""
    files: Sequence[Path]
    """Files that they are read from."""
    problems: Sequence[str]


def scan_folder(root: Path, layout: FeatureLayout, title: str, *, unusable: Collection[str] = ()) -> FolderContents:
    """Find the clips and the inconsistencies of a folder; only a few motions are read.

    Clips that are in no split file are ignored, as in other loaders of this format.

    Args:
        root: The folder.
        layout: Skeleton and unit of the arrays.
        title: Name of the data set for messages.
        unusable: Names of clips to ignore.

    Raises:
        FileNotFoundError: If there is no such folder.
        InputError: If it has no motions or no captions.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {root}; give --data-root the folder of {title}, with new_joint_vecs, texts and train.txt"
        )
    found = {kind: _names(root / kind, ".npy", unusable) for kind in get_args(MotionKind)}
    kind = next((kind for kind, names in found.items() if names), None)
    if kind is None:
        raise InputError(
            f"{root} has no motions in {', '.join(found)}; give --data-root the folder that {title}'s scripts make"
        )
    texts = _names(root / "texts", ".txt", unusable)
    if not texts:
        raise InputError(f"{root} has no captions in texts; unpack {title}'s texts.zip there")

    problems: list[str] = []
    splits = _splits(root, found[kind], kind, unusable, problems)
    split_names = splits.keys()
    problems += [
        f"{root / kind / name}.npy has no captions; put {name}.txt into texts, or take {name} out of its split file"
        for name in sorted((split_names & found[kind]) - texts)
    ]
    problems += [
        f"{root / 'texts' / name}.txt has no motion; put {name}.npy into {kind}, or remove the captions"
        for name in sorted(texts - found[kind] - split_names)
    ]
    clips = [
        ClipFiles(root, name, splits[name], kind, compared=kind != "new_joints" and name in found["new_joints"])
        for name in sorted(split_names & found[kind] & texts)
    ]
    if kind != "new_joints":
        problems += _statistics(root, layout, clips)
    lists = [path for split in get_args(Split) if (path := _list(root, split)).is_file()]
    return FolderContents(clips, [*lists, *(path for clip in clips for path in clip.paths)], problems)


def _names(folder: Path, suffix: str, unusable: Collection[str]) -> set[str]:
    """Names of a folder's files with a suffix; hidden files, such as those that macOS adds to archives, are ignored."""
    if not folder.is_dir():
        return set()
    return {path.stem for path in folder.glob(f"[!.]*{suffix}")} - set(unusable)


def _list(root: Path, split: Split) -> Path:
    return root / f"{split}.txt"


def _splits(
    root: Path, existing: Collection[str], kind: MotionKind, unusable: Collection[str], problems: list[str]
) -> Mapping[str, Split]:
    """Split of each name. Appends inconsistencies to `problems`."""
    splits: dict[str, Split] = {}
    for split in get_args(Split):
        path = _list(root, split)
        try:
            names = [name for name in path.read_text(encoding="utf-8").split() if name not in unusable]
        except FileNotFoundError:
            problems.append(
                f"no file {path}; copy the data set's there, or write the names of its {split} clips into it"
            )
            continue
        except UnicodeDecodeError:
            problems.append(f"{path} is not text; copy the data set's there")
            continue
        if not any(name in existing for name in names):
            what = f"none of its {len(names)} names has a motion in {kind}" if names else "it is empty"
            problems.append(f"{path}: {what}; the {split} part needs at least one clip")
            names = []
        for name in names:
            if splits.setdefault(name, split) != split:
                problems.append(f"{path}: {name} is in {splits[name]}.txt too; take it out of one of them")
            elif name not in existing:
                problems.append(f"{path}: {name} has no motion in {kind}; make it, or take the name out")
    return splits


def _statistics(root: Path, layout: FeatureLayout, clips: Sequence[ClipFiles]) -> list[str]:
    """Problems of the mean and std beside the features, if any. They are used for this check only.

    The root's x and z distinguish representations: relative steps are centimetres per frame, absolute positions metres.
    The evaluators' own statistics are 5 or 25 times smaller for weighted features.
    """
    absolute = bool(clips) and clips[0].kind == "new_joint_vecs_abs_3d"
    problems, statistics = [], []
    for name in ("Mean", "Std"):
        path = root / f"{name}{'_abs_3d' if absolute else ''}.npy"
        try:
            if path.is_file():
                statistics.append(
                    (path, read_npy(path, (layout.features,), "copy it from the same place as the features"))
                )
        except InputError as error:
            problems.append(str(error))
    remedy = f"copy those of {clips[0].kind}" if clips else ""
    own = _own_std(layout, clips)
    for path, values in statistics:
        size = float(np.abs(values[1:3]).max())
        if not absolute and size > 0.15 * layout.metre:
            problems.append(
                f"{path} is of another representation: {size:.2g} for the root's steps on the floor, which are a few "
                f"centimetres a frame; {remedy}"
            )
        elif path.name.startswith("Std") and own > 10 * size:
            problems.append(
                f"{path} is of another representation: {size:.2g} for the root's x and z, where that of the clips is "
                f"{own:.2g}; {remedy}"
            )
    return problems


def _own_std(layout: FeatureLayout, clips: Sequence[ClipFiles]) -> float:
    """Standard deviation of the root's x and z in some clips; unreadable files are reported elsewhere."""
    values = []
    for clip in clips[:: max(len(clips) // SAMPLED_CLIPS, 1)]:
        try:
            values.append(read_npy(clip.motion, (None, layout.features), "")[:, 1:3])
        except (InputError, OSError):
            continue
    return float(np.concatenate(values).std(axis=0).mean()) if values else 0.0
