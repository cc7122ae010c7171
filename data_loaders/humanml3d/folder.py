"""Folders as HumanML3D's scripts leave them, KIT-ML's too: what is there, what is missing, and what does not fit.

    new_joint_vecs/NAME.npy   features, frame by frame        Mean.npy, Std.npy            their statistics
    new_joints/NAME.npy       joints                          texts/NAME.txt               captions
    train.txt, val.txt, test.txt                              the names of each part

GMD adds new_joint_vecs_abs_3d, with Mean_abs_3d.npy and Std_abs_3d.npy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from data_loaders.clip import Split
from data_loaders.formats.npy import read_npy
from data_loaders.humanml3d.clip import Body, ClipFiles, Kind
from motion_diffusion.errors import InputError

SAMPLED = 32
"""Clips that the statistics are compared with."""


@dataclass(frozen=True)
class Folder:
    """What a folder holds."""

    clips: Sequence[ClipFiles]
    """Those with a motion, captions and a place in a split, by name."""
    files: Sequence[Path]
    """What they are read from."""
    problems: Sequence[str]


def survey(root: Path, body: Body, title: str, *, unusable: Collection[str] = ()) -> Folder:
    """Look what a folder holds; of the motions only a few are read.

    title: what the data set is called. unusable: names that are left out and not missed. Clips that are in no split
    file are left out too, as everywhere in the field. Raises FileNotFoundError if there is no folder, InputError if it
    has no motions or no texts.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {root}; give --data-root the folder of {title}, with new_joint_vecs, texts and train.txt"
        )
    there = {kind: _names(root / kind, ".npy", unusable) for kind in get_args(Kind)}
    kind = next((kind for kind, names in there.items() if names), None)
    if kind is None:
        raise InputError(
            f"{root} has no motions in {', '.join(there)}; give --data-root the folder that {title}'s scripts make"
        )
    texts = _names(root / "texts", ".txt", unusable)
    if not texts:
        raise InputError(f"{root} has no captions in texts; unpack {title}'s texts.zip there")

    problems: list[str] = []
    splits = _splits(root, there[kind], kind, unusable, problems)
    split_names = splits.keys()
    problems += [
        f"{root / kind / name}.npy has no captions; put {name}.txt into texts, or take {name} out of its split file"
        for name in sorted((split_names & there[kind]) - texts)
    ]
    problems += [
        f"{root / 'texts' / name}.txt has no motion; put {name}.npy into {kind}, or remove the captions"
        for name in sorted(texts - there[kind] - split_names)
    ]
    clips = [
        ClipFiles(root, name, splits[name], kind, compared=kind != "new_joints" and name in there["new_joints"])
        for name in sorted(split_names & there[kind] & texts)
    ]
    if kind != "new_joints":
        problems += _statistics(root, body, clips)
    lists = [path for split in get_args(Split) if (path := _list(root, split)).is_file()]
    return Folder(clips, [*lists, *(path for clip in clips for path in clip.paths)], problems)


def _names(folder: Path, suffix: str, unusable: Collection[str]) -> set[str]:
    """Of the files with an ending, without it; hidden ones (macOS packs such with others) do not count."""
    if not folder.is_dir():
        return set()
    return {path.stem for path in folder.glob(f"[!.]*{suffix}")} - set(unusable)


def _list(root: Path, split: Split) -> Path:
    return root / f"{split}.txt"


def _splits(
    root: Path, there: Collection[str], kind: Kind, unusable: Collection[str], problems: list[str]
) -> Mapping[str, Split]:
    """Which part each name belongs to; adds what is wrong to the problems."""
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
        if not any(name in there for name in names):
            what = f"none of its {len(names)} names has a motion in {kind}" if names else "it is empty"
            problems.append(f"{path}: {what}; the {split} part needs at least one clip")
            names = []
        for name in names:
            if splits.setdefault(name, split) != split:
                problems.append(f"{path}: {name} is in {splits[name]}.txt too; take it out of one of them")
            elif name not in there:
                problems.append(f"{path}: {name} has no motion in {kind}; make it, or take the name out")
    return splits


def _statistics(root: Path, body: Body, clips: Sequence[ClipFiles]) -> list[str]:
    """What is wrong with the mean and std that lie beside the features, if they do (here nothing is read by them).

    The root's x and z tell representations apart: steps a frame are centimetres, places on the floor metres, and what
    the field's evaluators call mean and std are 5 or 25 times smaller where they want weight.
    """
    absolute = bool(clips) and clips[0].kind == "new_joint_vecs_abs_3d"
    problems, statistics = [], []
    for name in ("Mean", "Std"):
        path = root / f"{name}{'_abs_3d' if absolute else ''}.npy"
        try:
            if path.is_file():
                statistics.append(
                    (path, read_npy(path, (body.features,), "copy it from the same place as the features"))
                )
        except InputError as error:
            problems.append(str(error))
    remedy = f"copy those of {clips[0].kind}" if clips else ""
    own = _own_std(body, clips)
    for path, values in statistics:
        size = float(np.abs(values[1:3]).max())
        if not absolute and size > 0.15 * body.metre:
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


def _own_std(body: Body, clips: Sequence[ClipFiles]) -> float:
    """Of the root's x and z in some of the clips; what cannot be read is left to those who read all."""
    values = []
    for clip in clips[:: max(len(clips) // SAMPLED, 1)]:
        try:
            values.append(read_npy(clip.motion, (None, body.features), "")[:, 1:3])
        except (InputError, OSError):
            continue
    return float(np.concatenate(values).std(axis=0).mean()) if values else 0.0
