"""Folders of BVH or AMC files as data sets.

`BvhFolder` is the data set of BVH files of any skeleton; `amc_source` is shared by the AMC data sets CMU and HDM05.
Files are converted to this body by `skeleton_files`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_loaders.captions.tables import Annotation, missing_annotations, read_caption_file, read_caption_table
from data_loaders.formats.amc import find_asf
from data_loaders.formats.bvh import read_bvh
from data_loaders.skeleton_files import read_amc_joints, read_bvh_joints
from data_loaders.skeleton_mapping import (
    MAPPINGS,
    Axis,
    Floor,
    SkeletonMapping,
    best_mapping,
    load_mapping,
    shipped_mappings,
)
from data_loaders.types import MAX_FPS, MIN_FPS, Clip, Source, Split, files_by_name, split_of
from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class SkeletonFolder:
    """Options of data sets whose files have skeletons of their own."""

    data_root: Path
    captions: Path | None = None
    """CSV file with the columns file,text and optionally start,end (seconds),split,action,style; a file with several
    captions has several lines. It replaces the captions, labels and splits that clips have without it."""
    floor: Floor | None = None
    """Position of the floor: below the lowest standing feet of each clip, or at height 0 of the file; by default that
    of the mapping of joints, or feet."""


@dataclass(frozen=True)
class BvhFolder(SkeletonFolder):
    """BVH files of any skeleton, with captions."""

    data_root: Path
    """Folder with the .bvh files, which may be in subfolders. Without --captions, captions are read from NAME.txt
    beside NAME.bvh, one per line."""
    mapping: Path | None = None
    """JSON file that maps the joints of the files to those of this body; by default the one of assets/mappings that
    fits."""
    scale: float = 0.01
    """Metres per unit of the files."""
    up: Axis | None = None
    """Vertical axis of the files; by default that of the mapping, or y."""
    licence: str = "BVH files, licence not stated"
    """Origin and licence of the data in one line; recorded in models trained on it."""

    def source(self) -> Source:
        """List all clips of the folder and print the mapping that is used. A clip's name is its path without suffix.

        Clips without captions can be displayed, but not used for training.

        Raises:
            FileNotFoundError: If there is no such folder, captions file or mapping file.
            InputError: If there is no BVH file, or an option's value or file is invalid.
        """
        named = files_by_name(self.data_root, "bvh", "the BVH files")
        if not 0 < self.scale < np.inf:
            raise InputError(f"--scale {self.scale:g}: give the metres in one unit of the files, 0.01 for centimetres")
        mapping, paths = load_mapping(self.mapping) if self.mapping else None, list(named.values())
        annotations, files, problems = self._annotations(named)
        entries = [
            BvhEntry(path, name, annotations.get(name, Annotation()), mapping, self.scale, self.up, self.floor)
            for name, path in named.items()
        ]
        if annotations or self.captions:
            where = f"in {self.captions or 'a .txt file beside it'}"
            clips = [(entry.path, entry.annotation, entry.split) for entry in entries]
            problems += missing_annotations(clips, str(self.captions or self.data_root), where)
        self._report_mapping(paths[0])
        given = [path for path in (self.captions, self.mapping) if path]
        return Source(entries, mirrored=False, licence=self.licence, files=[*paths, *files, *given], problems=problems)

    def _annotations(self, named: Mapping[str, Path]) -> tuple[dict[str, Annotation], list[Path], list[str]]:
        """Annotations by clip name, the text files that they were read from, and problems, one line each."""
        if self.captions:
            annotations, problems = read_caption_table(self.captions, named.keys())
            return annotations, [], problems
        annotations, problems = {}, []
        texts = {name: path.with_suffix(".txt") for name, path in named.items()}
        texts = {name: path for name, path in texts.items() if path.is_file()}
        for name, path in texts.items():
            try:
                annotations[name] = read_caption_file(path)
            except InputError as error:
                problems.append(str(error))
        return annotations, list(texts.values()), problems

    def _report_mapping(self, path: Path) -> None:
        """Print the automatically selected mapping. Unreadable files are reported when they are read."""
        if not self.mapping:
            try:
                name = best_mapping(read_bvh(path).names)
            except InputError:
                return
            print(f"joints of {path.name}: as in {MAPPINGS.parent.name}/{MAPPINGS.name}/{name}.json", file=sys.stderr)


@dataclass(frozen=True)
class BvhEntry:
    """File of a `BvhFolder`."""

    path: Path
    name: str
    annotation: Annotation
    mapping: SkeletonMapping | None
    scale: float
    up: Axis | None
    floor: Floor | None

    @property
    def split(self) -> Split:
        """Part of the data set that the clip belongs to."""
        return self.annotation.split or split_of(self.name)

    def read(self) -> Clip:
        joints = read_bvh_joints(self.path, self.mapping, scale=self.scale, up=self.up, floor=self.floor)
        return self.annotation.clip(self.path, self.name, joints, self.split)


@dataclass(frozen=True)
class AmcEntry:
    """File of a folder of AMC files."""

    path: Path
    name: str
    annotation: Annotation
    split: Split
    fps: float | None
    """Frames per second; None for the rate given by the file's name, see `skeleton_files.amc_frame_rate`."""
    floor: Floor | None

    def read(self) -> Clip:
        joints = read_amc_joints(self.path, shipped_mappings()["cmu_acclaim"], fps=self.fps, floor=self.floor)
        return self.annotation.clip(self.path, self.name, joints, self.split)


def amc_source(
    root: Path,
    named: Mapping[str, Path],
    annotations: Mapping[str, Annotation],
    splits: Mapping[str, Split],
    *,
    captions: Path | None,
    fps: float | None,
    floor: Floor | None,
    licence: str,
    files: list[Path],
) -> Source:
    """Describe a data set of AMC files, one clip per file.

    Args:
        root: Folder of the data set.
        named: Its files by clip name, see `types.files_by_name`.
        annotations: Captions and labels by clip name.
        splits: Part of the data set by clip name.
        captions: CSV file that overrides `annotations` for the clips and columns that it contains.
        fps: Frames per second of all files; None for the rates given by their names.
        floor: Position of the floor; by default under the feet.
        licence: Name and licence of the data set in one line.
        files: Further files that the clips depend on.

    Raises:
        FileNotFoundError: If there is no captions file.
        InputError: If the captions file is no table, or the frame rate is out of range.
    """
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"--fps {fps:g}: give the frames per second of the files, {MIN_FPS:g} to {MAX_FPS:g}")
    table, problems = read_caption_table(captions, named.keys()) if captions else ({}, [])
    entries, skeletons = [], set[Path]()
    for name, path in named.items():
        clip = annotations.get(name, Annotation()).updated(table.get(name, Annotation()))
        entries.append(AmcEntry(path, name, clip, clip.split or splits[name], fps, floor))
        with suppress(InputError):  # reported when the clip is read
            skeletons.add(find_asf(path))
    if annotations or captions:
        clips = [(entry.path, entry.annotation, entry.split) for entry in entries]
        problems += missing_annotations(clips, str(captions or root), "in any index or --captions")
    given = [captions] if captions else []
    return Source(
        entries,
        mirrored=False,
        licence=licence,
        files=[*named.values(), *sorted(skeletons), *files, *given],
        problems=problems,
    )
