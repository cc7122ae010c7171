"""Export of clips to HumanML3D's file format, for other programs.

    new_joint_vecs/NAME.npy   features (F - 1, 263)           Mean.npy, Std.npy            their statistics
    new_joints/NAME.npy       joints (F - 1, 22, 3)           texts/NAME.txt               captions
    train.txt, val.txt, test.txt, train_val.txt, all.txt      names

All arrays are float32; / in names becomes _. Features refer to the next frame, so F frames yield F - 1. Joints are
those that HumanML3D's readers recover from the features.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from data_loaders.store import read_all, summarize_problems
from data_loaders.types import Clip, Entry, Source, Split
from motion_diffusion.atomic_io import LOCK, atomic, check_place, locked
from motion_diffusion.body.features import (
    FEATURES,
    SCALED_TOGETHER,
    decode_positions,
    encode,
    from_relative,
    to_relative,
)
from motion_diffusion.body.heading import heading
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy

JOURNAL = ".unfinished"
"""File in an incomplete folder: a digest of what is exported, and the clips that are complete."""

_LISTS: Mapping[str, tuple[Split, ...]] = {
    "train": ("train",),
    "val": ("val",),
    "test": ("test",),
    "train_val": ("train", "val"),
    "all": ("train", "val", "test"),
}


def humanml3d_features(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """HumanML3D's features (F - 1, 263) of joints (F, 22, 3), as computed by its own scripts.

    They differ from `to_relative(encode(...))` in a defect: where the heading crosses ±π, the sine of the half angle of
    the turn has the wrong sign, so that the decoded body turns in the wrong direction for one frame.
    """
    motion = torch.from_numpy(joints).double()
    features = to_relative(encode(motion, convention="humanml3d"))[:-1]
    angle = heading(motion, convention="humanml3d")
    angle[0] = 0
    features[angle.diff().abs() > math.pi, 0] *= -1
    return features.numpy().astype(np.float32)


def write_humanml3d(source: Source, folder: str | Path, *, skip_broken: bool = False, processes: int = 0) -> None:
    """Export a data set; an interrupted export is continued by the same call.

    Args:
        source: The clips.
        folder: Folder to write.
        skip_broken: Leave out broken clips with a message instead of raising an error.
        processes: Number of worker processes; 0 chooses by the time that reading takes.

    Raises:
        InputError: If the folder exists, was begun with other clips or options, or is being written by another process;
            if the source has problems or broken clips that are not skipped; or if no clip is left.
    """
    folder = Path(folder)
    if source.problems and not skip_broken:
        raise InputError(summarize_problems(list(source.problems)))
    entries = [_ExportEntry(entry, folder) for entry in source.entries]
    twice = [name for name, count in Counter(entry.name for entry in entries).items() if count > 1]
    if twice:
        raise InputError(f"two clips would be called {twice[0]}; rename one")
    _refuse_others(folder)
    check_place(folder / JOURNAL)
    with locked(folder, "--out"):
        _write(entries, folder, skip_broken=skip_broken, processes=processes)
    (folder / LOCK).unlink(missing_ok=True)


def _write(entries: Sequence[_ExportEntry], folder: Path, *, skip_broken: bool, processes: int) -> None:
    """Write the remaining clips, and then the statistics and splits."""
    done = _begin_or_continue(folder, entries)
    broken = []
    pending = [entry for entry in entries if entry.name not in done]
    with (folder / JOURNAL).open("a", encoding="utf-8") as journal, closing(read_all(pending, processes)) as clips:
        for clip in clips:
            if isinstance(clip, str):
                broken.append(clip)
                if skip_broken:
                    tqdm.write(f"skipped: {clip}", file=sys.stderr)
                continue
            done[clip.name] = clip.split
            journal.write(f"{clip.split} {clip.name}\n")
            journal.flush()
    if broken and not skip_broken:
        raise InputError(summarize_problems(broken))
    if not done:
        raise InputError("no clip could be read; see python -m data_loaders check")
    mean, std = _statistics(folder, list(done))
    for name, values in (("Mean", mean), ("Std", std)):
        with atomic(folder / f"{name}.npy") as path:
            np.save(path, values.astype(np.float32))
    for name, parts in _LISTS.items():
        with atomic(folder / f"{name}.txt") as path:
            names = [entry.name for entry in entries if done.get(entry.name) in parts]
            path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    (folder / JOURNAL).unlink()


def _refuse_others(folder: Path) -> None:
    """Raise InputError for an existing folder with files, unless it is an incomplete export."""
    if (folder / JOURNAL).exists() or not folder.exists():
        return
    if not folder.is_dir() or any(path.name[0] != "." for path in folder.iterdir()):
        raise InputError(f"{folder} exists; give another --out, or remove it")


def _begin_or_continue(folder: Path, entries: Sequence[_ExportEntry]) -> dict[str, Split]:
    """Splits of the clips that are already complete. Creates the journal of a new folder."""
    _refuse_others(folder)  # another process may have completed it before the lock was acquired
    digest = hashlib.sha256("\n".join(repr(entry.entry) for entry in entries).encode()).hexdigest()
    journal = folder / JOURNAL
    if not journal.exists():
        with atomic(journal) as path:
            path.write_text(f"{digest}\n", encoding="utf-8")
        return {}
    begun, *lines = journal.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
    if begun.strip() != digest:
        raise InputError(f"{folder} was begun with other clips or options; give another --out, or remove it")
    whole = [line for line in lines if line.endswith("\n")]
    with atomic(journal) as path:
        path.write_text("".join([begun, *whole]), encoding="utf-8")
    parts = (line.rstrip("\n").partition(" ") for line in whole)
    return {name: split for split, _, name in parts}  # type: ignore[misc]


@dataclass(frozen=True)
class _ExportEntry:
    """Entry whose files are written when it is read, by the process that reads it."""

    entry: Entry
    folder: Path

    @property
    def name(self) -> str:
        return self.entry.name.replace("/", "_")

    def read(self) -> Clip:
        clip = self.entry.read()
        if len(clip.joints) < 2:
            raise InputError(f"{self.name} has one frame, and features need two; leave it out")
        features = humanml3d_features(clip.joints)
        if not np.isfinite(features).all():
            frame = int((~np.isfinite(features)).any(axis=1).argmax())
            raise InputError(f"{self.name}: features of frame {frame} are not all finite; leave it out")
        joints = decode_positions(from_relative(torch.from_numpy(features).double())).numpy().astype(np.float32)
        for kind, array in (("new_joints", joints), ("new_joint_vecs", features)):
            with atomic(self.folder / kind / f"{self.name}.npy") as path:
                np.save(path, array)
        with atomic(self.folder / "texts" / f"{self.name}.txt") as path:
            path.write_text(
                "".join(
                    f"{caption.text.replace('#', ' ')}#{' '.join(caption.tokens)}#{caption.start}#{caption.end}\n"
                    for caption in clip.captions
                ),
                encoding="utf-8",
            )
        return replace(clip, name=self.name)


def _statistics(folder: Path, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std (263,) of all features; the std of features of one kind is their mean, as in HumanML3D."""
    count, total, squares = 0, np.zeros(FEATURES), np.zeros(FEATURES)
    remedy = f"remove {folder} and export again"
    for name in tqdm(names, desc="mean and std", unit="clip", disable=None):
        features = read_npy(folder / "new_joint_vecs" / f"{name}.npy", (None, FEATURES), remedy)
        count, total, squares = count + len(features), total + features.sum(axis=0), squares + (features**2).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    for kind in SCALED_TOGETHER:
        std[kind] = std[kind].mean()
    return mean, std
