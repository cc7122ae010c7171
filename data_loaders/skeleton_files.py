"""A BVH file of any skeleton on this project's body. One that has this very body is taken as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.formats.amc import read_amc
from data_loaders.formats.bvh import Bvh, read_bvh
from data_loaders.retarget import align_to_floor, resample, retarget
from data_loaders.skeleton_mapping import Axis, Floor, SkeletonMapping, best_mapping, shipped
from motion_diffusion.body.motion import Motion, check_metres
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import relative_to_parents
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS, OFFSETS, PARENTS
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]


def read_bvh_joints(
    path: Path,
    mapping: SkeletonMapping | None = None,
    *,
    scale: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
    max_seconds: float | None = None,
) -> Array:
    """A BVH file as joints (F, 22, 3) of this body at 20 frames a second, y up, where the file has them.

    mapping: by default the shipped one that fits. scale: metres in one unit, if the legs shall be refused that are no
    person's by it; joints come out the same in any unit, as large as this body. up, floor: by default what the mapping
    says, else y, and under the feet (of this very body at height 0). Raises FileNotFoundError, or InputError that names
    the file. longest: seconds that it may last.
    """
    bvh = read_bvh(path, scale=scale or 1.0, max_seconds=max_seconds)
    return to_body(path, bvh, mapping, scale=scale, up=up, floor=floor)[0]


def read_bvh_motion(
    path: Path, mapping: SkeletonMapping | None = None, *, up: Axis | None = None, max_seconds: float | None = None
) -> Motion:
    """The same as a motion, in which files of this very skeleton keep their rotations, to the last digits.

    Of another body, whose motion is put on this one, its provenance says {"retargeted": true}.
    """
    bvh = read_bvh(path, scale=1.0, max_seconds=max_seconds)
    if mapping is None and up in (None, "y") and (rig := _own_rig(bvh)) is not None:
        return Motion.of(rig, provenance={"file": path.name})
    joints, own = to_body(path, bvh, mapping, up=up)
    return to_motion(path, joints, retargeted=not own)


def _own_rig(bvh: Bvh) -> Rig | None:
    """The motion in a file of this very skeleton in any unit, as this project writes them; None of any other."""
    if any(name not in bvh.names for name in JOINTS):
        return None
    places = [bvh.names.index(name) for name in JOINTS]
    above = [bvh.parents[place] for place in places[1:]]
    bones, wanted = bvh.offsets[places[1:]], OFFSETS[1:].numpy()
    metres = (bones * wanted).sum() / max(np.square(bones).sum(), 1e-12)
    if above != [places[parent] for parent in PARENTS[1:]] or np.abs(metres * bones - wanted).max() > BONE_TOLERANCE:
        return None
    world = torch.from_numpy(bvh.orientations(places))
    root = torch.from_numpy(metres * bvh.world(places[:1])[:, 0])
    return Rig(relative_to_parents(world), root, 1 / bvh.frame_time).at(FPS)


DEFAULT_FPS = 120.0
"""Frames per second of CMU's and HDM05's recordings."""

_HDM05 = re.compile(r"HDM_.*_([0-9]{2,3})", re.IGNORECASE)


def amc_frame_rate(path: Path) -> float:
    """Frames per second by the name of a file: HDM05's say them in the end (`HDM_bd_squat1Reps_001_120`), others have
    `DEFAULT_FPS`."""
    match = _HDM05.fullmatch(path.stem)
    return float(match[1]) if match else DEFAULT_FPS


def read_amc_joints(
    path: Path,
    mapping: SkeletonMapping | None = None,
    *,
    asf: Path | None = None,
    fps: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
    max_seconds: float | None = None,
) -> NDArray[np.float64]:
    """An AMC file as joints (F, 22, 3) of this body at 20 frames a second, y up, where the file has them.

    Args:
        path: the motion.
        mapping: which bones' ends stand for this body's joints; by default the shipped one that fits.
        asf: its skeleton; by default the one that `formats.amc.find_asf` finds.
        fps: frames per second of the file; by default those of `frame_rate`.
        up: which axis points up; by default what the mapping says, else y.
        floor: where the floor is; by default what the mapping says, else under the feet.
        longest: seconds that it may last.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: that names the file.
    """
    amc = read_amc(path, asf, fps=fps or amc_frame_rate(path), max_seconds=max_seconds)
    return to_body(path, amc, mapping, up=up, floor=floor)[0]


def read_amc_motion(
    path: Path, mapping: SkeletonMapping | None = None, *, up: Axis | None = None, max_seconds: float | None = None
) -> Motion:
    """The same as a motion; its provenance says {"retargeted": true}, unless the skeleton is this very body."""
    joints, own = to_body(path, read_amc(path, fps=amc_frame_rate(path), max_seconds=max_seconds), mapping, up=up)
    return to_motion(path, joints, retargeted=not own)


LEG_LENGTHS = (0.4, 1.4)
"""Lengths from hip to ankle in metres that are taken for a person's."""

BONE_TOLERANCE = 2e-3
"""Metres by which bones of the same length may differ."""

_UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.3048, 0.056444)  # metric, inches, feet, and those of the CMU database

_AVERAGE = 0.82  # metres, this body's legs


class SkeletonMotion(Protocol):
    """A motion as its file has it, such as `Bvh` and `Amc`."""

    @property
    def names(self) -> Sequence[str]:
        """Of its joints."""
        ...

    @property
    def frame_time(self) -> float:
        """Seconds between frames."""
        ...

    def world(self, joints: Sequence[int] | None = None) -> Array:
        """Positions (F, J, 3) in the world of all joints or of those with these indices."""
        ...


def to_motion(path: Path, joints: Array, **provenance: bool) -> Motion:
    """Joints (F, 22, 3) that a file has, as a motion. InputError, with its name, if they are in other units."""
    placed = torch.from_numpy(joints).float()
    try:
        check_metres(placed)
        return Motion(placed, provenance={"file": path.name, **provenance})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def to_body(
    path: Path,
    motion: SkeletonMotion,
    mapping: SkeletonMapping | None = None,
    *,
    scale: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
) -> tuple[Array, bool]:
    """Joints (F, 22, 3) of this body at 20 frames a second, y up, where the file has them, and whether the skeleton is
    this very body.

    Args:
        path: the file of the motion, for errors.
        motion: what the file has.
        mapping: which of its joints stand for this body's; by default the shipped one that fits.
        scale: metres in one unit of the file, if legs shall be refused that are no person's by it; joints come out the
            same in any unit, as large as this body.
        up: which axis points up; by default what the mapping says, else y.
        floor: where the floor is; by default what the mapping says, else under the feet (of this very body at 0).

    Raises:
        InputError: that names the file.
    """
    try:
        mapping = mapping or shipped()[best_mapping(motion.names)]
        found = mapping.indices(motion.names)
        positions = resample(motion.world(list(found.values())), 1 / motion.frame_time)
        source = dict(zip(found, positions.transpose(1, 0, 2), strict=True))
        _check_legs(source, scale)
        given = up or mapping.up
        source = _upright(source, given or "y", check=given is None)
        _check_sides(source)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    ours = _own_body(source)
    floor = floor or mapping.floor or ("feet" if ours is None else "file")
    joints = retarget(source) if ours is None else ours
    return (align_to_floor(joints) if floor == "feet" else joints), ours is not None


def _own_body(source: Mapping[str, Array]) -> Array | None:
    """Joints (F, 22, 3) in metres of a skeleton whose bones are all as long as this body's, times some unit."""
    if any(name not in source for name in JOINTS):
        return None
    joints = np.stack([source[name] for name in JOINTS], axis=1)
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    wanted = BONE_LENGTHS[1:].numpy()
    metres = wanted.sum() / lengths[0].sum()
    return metres * joints if np.abs(metres * lengths - wanted).max() < BONE_TOLERANCE else None


def _check_legs(source: Mapping[str, Array], scale: float | None) -> None:
    """Refuse legs that have no length, and a unit that cannot be right; say which could."""
    bones = [
        np.linalg.norm(source[f"{side}_{a}"] - source[f"{side}_{b}"], axis=-1).mean()
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    legs = float(sum(bones)) / 2
    if legs < 1e-9:
        raise InputError("hips, knees and ankles are in one place; give a mapping that fits")
    if scale and not LEG_LENGTHS[0] <= legs <= LEG_LENGTHS[1]:
        wanted = _AVERAGE / legs * scale
        unit = min(_UNITS, key=lambda unit: abs(np.log(unit / wanted)))
        fit = unit if abs(np.log(unit / wanted)) < 0.25 else float(f"{wanted:.2g}")
        raise InputError(f"its legs are {legs:.3g} m long; give --scale {fit:g}")


def _upright(source: Mapping[str, Array], up: Axis, *, check: bool) -> dict[str, Array]:
    """Axes turned so that y is up. check: refuse a body that stands along another axis of the file."""
    if check:
        body = source["head"] - (source["left_ankle"] + source["right_ankle"]) / 2
        along = (body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-12)).mean(axis=0)
        axis = "xyz"[int(np.abs(along).argmax())]
        if axis != up and along.max() > 0.8:
            raise InputError(f"it stands along {axis}; set up to {axis}, or to {up} if it does lie")
        if along["xyz".index(up)] < -0.8:
            raise InputError(f"its head is below its feet; set up to {up} if it does stand on its hands")
    place = "xyz".index(up)
    order = [(place + 2) % 3, place, (place + 1) % 3]
    return {name: positions[:, order] for name, positions in source.items()}


def _check_sides(source: Mapping[str, Array]) -> None:
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
