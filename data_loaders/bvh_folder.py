"""A folder of BVH files of any skeleton, with captions, on this project's body."""

from __future__ import annotations

import sys
from collections.abc import Mapping as Named
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_loaders.bvh_clip import read_bvh_joints
from data_loaders.caption_table import Told, lacking, read_table, read_text
from data_loaders.clip import Clip, Split, from_origin, split_of
from data_loaders.formats.bvh import read_bvh
from data_loaders.skeleton_mapping import MAPPINGS, Axis, Floor, Mapping, fitting, load_mapping
from data_loaders.source import Source, files_by_name
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
        told, files, problems = self._captions(named)
        entries = [
            BvhEntry(path, name, told.get(name, Told()), mapping, self.scale, self.up, self.floor)
            for name, path in named.items()
        ]
        if told or self.captions:
            where = f"in {self.captions or 'a .txt file beside it'}"
            clips = [(entry.path, entry.told, entry.split) for entry in entries]
            problems += lacking(clips, str(self.captions or self.data_root), where)
        self._tell(paths[0])
        given = [path for path in (self.captions, self.mapping) if path]
        return Source(entries, mirrored=False, licence=self.licence, files=[*paths, *files, *given], problems=problems)

    def _captions(self, named: Named[str, Path]) -> tuple[dict[str, Told], list[Path], list[str]]:
        """What is said about each clip, the text files that it comes from, and what is wrong with it."""
        if self.captions:
            told, problems = read_table(self.captions, named.keys())
            return told, [], problems
        told, problems = {}, []
        texts = {name: path.with_suffix(".txt") for name, path in named.items()}
        texts = {name: path for name, path in texts.items() if path.is_file()}
        for name, path in texts.items():
            try:
                told[name] = read_text(path)
            except InputError as error:
                problems.append(str(error))
        return told, list(texts.values()), problems

    def _tell(self, path: Path) -> None:
        """Say which joints are taken, if none were told; a file that cannot be read says so itself later."""
        if not self.mapping:
            try:
                name = fitting(read_bvh(path).names)
            except InputError:
                return
            print(f"joints of {path.name}: as in {MAPPINGS.parent.name}/{MAPPINGS.name}/{name}.json", file=sys.stderr)


@dataclass(frozen=True)
class BvhEntry:
    """A file of the folder."""

    path: Path
    name: str
    told: Told
    mapping: Mapping | None
    scale: float
    up: Axis | None
    floor: Floor | None

    @property
    def split(self) -> Split:
        """The part that it belongs to."""
        return self.told.split or split_of(self.name)

    def read(self) -> Clip:
        joints = read_bvh_joints(self.path, self.mapping, scale=self.scale, up=self.up, floor=self.floor)
        self.told.check(self.path, len(joints))
        told = self.told
        return Clip(self.name, from_origin(joints), self.split, told.captions, told.action, told.style)
