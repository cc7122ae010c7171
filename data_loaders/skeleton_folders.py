"""A folder of BVH files of any skeleton, with captions, on this project's body."""

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
from data_loaders.retarget import start_at_origin
from data_loaders.skeleton_files import read_amc_joints, read_bvh_joints
from data_loaders.skeleton_mapping import MAPPINGS, Axis, Floor, SkeletonMapping, best_mapping, load_mapping, shipped
from data_loaders.types import MAX_FPS, MIN_FPS, Clip, Source, Split, files_by_name, split_of
from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class BvhFolder:
    """BVH files of any skeleton, with captions."""

    data_root: Path
    """Folder with the .bvh files; those in its subfolders count too."""
    captions: Path | None = None
    """CSV file with the columns file,text and, as wanted, start,end (seconds),split,action,style; several lines a file
    are several captions. Without it, NAME.txt beside NAME.bvh has its captions, one a line."""
    mapping: Path | None = None
    """JSON file that says which joints stand for this body's; by default that of assets/mappings which fits."""
    scale: float = 0.01
    """Metres in one unit of the files."""
    up: Axis | None = None
    """Which axis of the files points up; by default what the mapping says, or y."""
    floor: Floor | None = None
    """Where the floor is: under the feet that stand lowest, clip by clip, or at height 0 of the file; by default what
    the mapping says, or feet."""
    licence: str = "BVH files, licence not stated"
    """Whose data it is and its licence, in one line; stands in the models that are trained on it."""

    def source(self) -> Source:
        """All clips under the folder; says which mapping is used. A clip is called by its path without the ending.

        Without captions, motions can be looked at, but no model can be trained on them. Raises FileNotFoundError or
        InputError if there is no folder, no BVH file in it, or something wrong with the options' files.
        """
        named = files_by_name(self.data_root, "bvh", "the BVH files")
        if not 0 < self.scale < np.inf:
            raise InputError(f"--scale {self.scale:g}: give the metres in one unit of the files, 0.01 for centimetres")
        mapping, paths = load_mapping(self.mapping) if self.mapping else None, list(named.values())
        annotations, files, problems = self._captions(named)
        entries = [
            BvhEntry(path, name, annotations.get(name, Annotation()), mapping, self.scale, self.up, self.floor)
            for name, path in named.items()
        ]
        if annotations or self.captions:
            where = f"in {self.captions or 'a .txt file beside it'}"
            clips = [(entry.path, entry.annotation, entry.split) for entry in entries]
            problems += missing_annotations(clips, str(self.captions or self.data_root), where)
        self._tell(paths[0])
        given = [path for path in (self.captions, self.mapping) if path]
        return Source(entries, mirrored=False, licence=self.licence, files=[*paths, *files, *given], problems=problems)

    def _captions(self, named: Mapping[str, Path]) -> tuple[dict[str, Annotation], list[Path], list[str]]:
        """What is said about each clip, the text files that it comes from, and what is wrong with it."""
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

    def _tell(self, path: Path) -> None:
        """Say which joints are taken, if none were annotations; a file that cannot be read says so itself later."""
        if not self.mapping:
            try:
                name = best_mapping(read_bvh(path).names)
            except InputError:
                return
            print(f"joints of {path.name}: as in {MAPPINGS.parent.name}/{MAPPINGS.name}/{name}.json", file=sys.stderr)


@dataclass(frozen=True)
class BvhEntry:
    """A file of the folder."""

    path: Path
    name: str
    annotation: Annotation
    mapping: SkeletonMapping | None
    scale: float
    up: Axis | None
    floor: Floor | None

    @property
    def split(self) -> Split:
        """The part that it belongs to."""
        return self.annotation.split or split_of(self.name)

    def read(self) -> Clip:
        joints = read_bvh_joints(self.path, self.mapping, scale=self.scale, up=self.up, floor=self.floor)
        annotation = self.annotation
        annotation.check(self.path, len(joints))
        return Clip(
            self.name, start_at_origin(joints), self.split, annotation.captions, annotation.action, annotation.style
        )


@dataclass(frozen=True)
class AmcEntry:
    """A file of the folder."""

    path: Path
    name: str
    annotation: Annotation
    split: Split
    """The part that it belongs to."""
    fps: float | None
    """Frames per second; None for those that its name says, see `amc_clip.frame_rate`."""
    floor: Floor | None

    def read(self) -> Clip:
        joints = read_amc_joints(self.path, shipped()["cmu_acclaim"], fps=self.fps, floor=self.floor)
        annotation = self.annotation
        annotation.check(self.path, len(joints))
        return Clip(
            self.name, start_at_origin(joints), self.split, annotation.captions, annotation.action, annotation.style
        )


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
    """A data set of AMC files, each one clip.

    Args:
        root: its folder.
        named: its files, see `source.files_by_name`.
        annotations: captions and labels by the name of the clip.
        splits: the part that each clip belongs to, by its name.
        captions: CSV file whose rows take the place of `annotations`, for the clips and columns that it has.
        fps: frames per second of all files; None for those that their names say.
        floor: where the floor is; by default under the feet.
        licence: in one line.
        files: what else the clips come from.

    Raises:
        FileNotFoundError: if there is no captions file.
        InputError: for a captions file that is no table, and for frames per second that cannot be.
    """
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"--fps {fps:g}: give the frames per second of the files, {MIN_FPS:g} to {MAX_FPS:g}")
    table, problems = read_caption_table(captions, named.keys()) if captions else ({}, [])
    entries, skeletons = [], set[Path]()
    for name, path in named.items():
        clip = annotations.get(name, Annotation()).updated(table.get(name, Annotation()))
        entries.append(AmcEntry(path, name, clip, clip.split or splits[name], fps, floor))
        with suppress(InputError):  # which reading the clip says
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
