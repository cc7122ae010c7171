"""A folder of BVH files of any skeleton, with captions, on this project's body."""

from __future__ import annotations

import sys
from collections.abc import Mapping as Named
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.bvh import read_bvh
from data_loaders.caption_table import Told, read_table, read_text
from data_loaders.clip import Clip, Split, split_of
from data_loaders.mapping import MAPPINGS, Axis, Mapping, fitting, load_mapping, shipped
from data_loaders.resampling import resampled
from data_loaders.retarget import retarget
from data_loaders.source import Source
from motion_diffusion.errors import InputError
from motion_diffusion.heading import to_origin
from motion_diffusion.skeleton import FPS, JOINTS

Array = NDArray[np.float64]

BALL_HEIGHT = 0.015
"""Metres from the floor to the balls of this body's feet when they stand, as in `gait`."""

LEGS = (0.4, 1.4)
"""Lengths from hip to ankle in metres that are taken for a person's."""

_UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.3048, 0.056444)  # metric, inches, feet, and those of the CMU database
_AVERAGE = 0.82  # metres, this body's legs
_TOES = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]
_STILL = 0.25  # metres a second, of feet that stand


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
    floor: Literal["feet", "file"] = "feet"
    """Where the floor is: under the feet that stand lowest, clip by clip, or at height 0 of the file."""
    licence: str = "BVH files, licence not stated"
    """Whose data it is and its licence, in one line; stands in the models that are trained on it."""

    def source(self) -> Source:
        """All clips under the folder; says which mapping is used. A clip is called by its path without the ending.

        Without captions, motions can be looked at, but no model can be trained on them. Raises FileNotFoundError or
        InputError if there is no folder, no BVH file in it, or something wrong with the options' files.
        """
        root = self.data_root
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}; give --data-root the folder of the BVH files")
        found = (path for path in root.rglob("*.[bB][vV][hH]") if path.name[0] != "." and path.is_file())
        paths = sorted(found)
        if not paths:
            raise InputError(f"{root} has no .bvh files; give --data-root the folder of the BVH files")
        if not 0 < self.scale < np.inf:
            raise InputError(f"--scale {self.scale:g}: give the metres in one unit of the files, 0.01 for centimetres")
        mapping = load_mapping(self.mapping) if self.mapping else None
        named = {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}
        if len(named) < len(paths):
            twice = next(path for path in paths if path not in named.values())
            raise InputError(f"{twice} differs from another file in nothing but its ending; rename one")
        told, files, problems = self._captions(named)
        entries = [
            BvhEntry(path, name, told.get(name, Told()), mapping, self.scale, self.up, self.floor)
            for name, path in named.items()
        ]
        if told or self.captions:
            problems += self._lacking(entries)
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

    def _lacking(self, entries: list[BvhEntry]) -> list[str]:
        """Clips without captions, and parts without clips, where there are captions at all."""
        where = self.captions or "a .txt file beside it"
        lines = [f"{entry.path}: no caption in {where}; write one" for entry in entries if not entry.told.captions]
        parts = [entry.split for entry in entries if entry.told.captions]
        for split in get_args(Split):
            if split not in parts:
                lines.append(
                    f"{self.captions or self.data_root}: no clip with captions is in the part {split}; "
                    "say in a column split of --captions which clips are train, val and test"
                )
        return lines

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
    floor: Literal["feet", "file"]

    @property
    def split(self) -> Split:
        """The part that it belongs to."""
        return self.told.split or split_of(self.name)

    def read(self) -> Clip:
        joints = read_clip(self.path, self.mapping, scale=self.scale, up=self.up, floor=self.floor)
        seconds = len(joints) / FPS
        for caption in self.told.captions:
            if caption.start >= seconds or caption.end > seconds + 0.5:
                part = f"{caption.start:g} to {caption.end:g} s" if caption.end else f"{caption.start:g} s and on"
                raise InputError(
                    f"{self.path}: a caption is about {part}, but it lasts {seconds:g} s; give seconds as start and end"
                )
        return Clip(self.name, joints, self.split, self.told.captions, self.told.action, self.told.style)


def read_clip(
    path: Path,
    mapping: Mapping | None = None,
    *,
    scale: float = 0.01,
    up: Axis | None = None,
    floor: Literal["feet", "file"] = "feet",
) -> NDArray[np.float32]:
    """A BVH file as joints (F, 22, 3) of this body at 20 frames a second, as a `Clip` has them.

    mapping: by default the shipped one that fits. Raises FileNotFoundError, or InputError that names the file.
    """
    bvh = read_bvh(path, scale=scale)
    try:
        mapping = mapping or shipped()[fitting(bvh.names)]
        found = mapping.indices(bvh.names)
        positions = resampled(bvh.world()[0][:, list(found.values())], 1 / bvh.frame_time)
        source = dict(zip(found, positions.transpose(1, 0, 2), strict=True))
        _check_legs(source, scale)
        given = up or mapping.up
        source = _upright(source, given or "y", check=given is None)
        _check_sides(source)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    joints = retarget(source)
    if floor == "feet":
        joints[..., 1] += BALL_HEIGHT - standing_height(joints)
    return to_origin(torch.from_numpy(joints)).numpy().astype(np.float32)


def standing_height(joints: Array) -> float:
    """Height of the balls of the feet (F, 22, 3) where they stand lowest, 20 frames a second.

    Robust: a tenth of the times that they stand still is lower; a tenth of all times, if they hardly ever do.
    """
    toes = joints[:, _TOES]
    speeds = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * FPS
    still = ((toes[1:] + toes[:-1]) / 2)[speeds < _STILL][:, 1]
    return float(np.quantile(still if len(still) >= 5 else toes[..., 1], 0.1))


def _check_legs(source: Named[str, Array], scale: float) -> None:
    """Refuse a unit that cannot be right, and say which could."""
    bones = [
        np.linalg.norm(source[f"{side}_{a}"] - source[f"{side}_{b}"], axis=-1).mean()
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    legs = float(sum(bones)) / 2
    if legs < 1e-9:
        raise InputError("hips, knees and ankles are in one place; give a --mapping that fits")
    if not LEGS[0] <= legs <= LEGS[1]:
        wanted = _AVERAGE / legs * scale
        unit = min(_UNITS, key=lambda unit: abs(np.log(unit / wanted)))
        fit = unit if abs(np.log(unit / wanted)) < 0.25 else float(f"{wanted:.2g}")
        raise InputError(f"its legs are {legs:.3g} m long; give --scale {fit:g}")


def _upright(source: Named[str, Array], up: Axis, *, check: bool) -> dict[str, Array]:
    """Axes turned so that y is up. check: refuse a body that stands along another axis of the file."""
    if check:
        body = source["head"] - (source["left_ankle"] + source["right_ankle"]) / 2
        along = (body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-12)).mean(axis=0)
        axis = "xyz"[int(np.abs(along).argmax())]
        if axis != up and along.max() > 0.8:
            raise InputError(f"it stands along {axis}; give --up {axis}, or --up {up} if it does lie")
        if along["xyz".index(up)] < -0.8:
            raise InputError(f"its head is below its feet; give --up {up} if it does stand on its hands")
    place = "xyz".index(up)
    order = [(place + 2) % 3, place, (place + 1) % 3]
    return {name: positions[:, order] for name, positions in source.items()}


def _check_sides(source: Named[str, Array]) -> None:
    """Refuse a body whose feet point backwards."""
    hips, shoulders = (source[f"left_{name}"] - source[f"right_{name}"] for name in ("hip", "shoulder"))
    back = source["neck"] - (source["left_hip"] + source["right_hip"]) / 2
    forward = np.cross(hips + shoulders, back)
    feet = source["left_foot"] - source["left_ankle"] + source["right_foot"] - source["right_ankle"]
    ahead = (feet * forward).sum(axis=-1) / np.maximum(
        np.linalg.norm(feet, axis=-1) * np.linalg.norm(forward, axis=-1), 1e-12
    )
    if ahead.mean() < -0.3:
        raise InputError("its feet point backwards; left and right are swapped in the mapping or in the file")
