"""Motions of BVH and ASF/AMC files on this project's body.

`read_bvh_joints` and `read_amc_joints` return joints, `read_bvh_motion` and `read_amc_motion` a `Motion`. Positions of
the file's joints are resampled, turned so that y is up, checked for wrong units, axes and mappings, retargeted
(`retarget.retarget`) and aligned to the floor. A skeleton with this body's bone lengths is not retargeted, only scaled.
"""

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
from data_loaders.skeleton_mapping import Axis, Floor, SkeletonMapping, best_mapping, shipped_mappings
from motion_diffusion.body.motion import Motion, check_metres
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import relative_to_parents
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS, OFFSETS, PARENTS
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

DEFAULT_AMC_FPS = 120.0
"""Frames per second of the CMU and HDM05 recordings. AMC files do not specify their frame rate."""

LEG_LENGTHS = (0.4, 1.4)
"""Range of plausible leg lengths, hip to ankle, in metres."""

BONE_TOLERANCE = 2e-3
"""Maximum difference in metres between bones that count as equally long."""

_UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.3048, 0.056444)
"""Common units of length in metres: metric ones, inch, foot, and the unit of the CMU database."""
_OWN_LEG_LENGTH = 0.82
"""Leg length of this body in metres."""
_HDM05 = re.compile(r"HDM_.*_([0-9]{2,3})", re.IGNORECASE)


class SkeletonMotion(Protocol):
    """Motion of any skeleton as stored in a file; implemented by `Bvh` and `Amc`."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the joints."""
        ...

    @property
    def frame_time(self) -> float:
        """Seconds per frame."""
        ...

    def world(self, joints: Sequence[int] | None = None) -> Array:
        """Global positions (F, J, 3) of all joints, or of those with the given indices."""
        ...


def read_bvh_joints(
    path: Path,
    mapping: SkeletonMapping | None = None,
    *,
    scale: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
    max_seconds: float | None = None,
) -> Array:
    """Read a BVH file as joints (F, 22, 3) of this body in metres, at 20 frames per second, y up, in the file's
    position.

    Args:
        path: The file.
        mapping: Correspondence of joints; by default the shipped mapping that fits.
        scale: Metres per unit of the file, used only to refuse implausible leg lengths. The result does not depend on
            it.
        up: Vertical axis of the file; by default that of the mapping, else y.
        floor: Position of the floor; by default that of the mapping, else under the feet (at height 0 for a skeleton
            with this body's bone lengths).
        max_seconds: Maximum duration.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With the file's name, if it is damaged or cannot be mapped.
    """
    bvh = read_bvh(path, scale=scale or 1.0, max_seconds=max_seconds)
    return to_body(path, bvh, mapping, scale=scale, up=up, floor=floor)[0]


def read_bvh_motion(
    path: Path, mapping: SkeletonMapping | None = None, *, up: Axis | None = None, max_seconds: float | None = None
) -> Motion:
    """Read a BVH file as a motion at 20 frames per second.

    Files of this project's own skeleton keep their rotations exactly. For other skeletons the provenance contains
    `{"retargeted": true}`. Arguments and errors are those of `read_bvh_joints`.
    """
    bvh = read_bvh(path, scale=1.0, max_seconds=max_seconds)
    if mapping is None and up in (None, "y") and (rig := _own_rig(bvh)) is not None:
        return Motion.of(rig, provenance={"file": path.name})
    joints, own = to_body(path, bvh, mapping, up=up)
    return to_motion(path, joints, retargeted=not own)


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
    """Read an AMC file as joints (F, 22, 3) of this body in metres, at 20 frames per second, y up, in the file's
    position.

    Args:
        path: The motion file.
        mapping: Correspondence of bones' ends and joints; by default the shipped mapping that fits.
        asf: The skeleton file; by default the result of `formats.amc.find_asf`.
        fps: Frames per second of the file; by default `amc_frame_rate`.
        up: Vertical axis of the file; by default that of the mapping, else y.
        floor: Position of the floor; by default that of the mapping, else under the feet.
        max_seconds: Maximum duration.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With the file's name, if it is damaged or cannot be mapped.
    """
    amc = read_amc(path, asf, fps=fps or amc_frame_rate(path), max_seconds=max_seconds)
    return to_body(path, amc, mapping, up=up, floor=floor)[0]


def read_amc_motion(
    path: Path, mapping: SkeletonMapping | None = None, *, up: Axis | None = None, max_seconds: float | None = None
) -> Motion:
    """Read an AMC file as a motion at 20 frames per second.

    The provenance contains `{"retargeted": true}` unless the skeleton has this body's bone lengths. Arguments and
    errors are those of `read_amc_joints`.
    """
    joints, own = to_body(path, read_amc(path, fps=amc_frame_rate(path), max_seconds=max_seconds), mapping, up=up)
    return to_motion(path, joints, retargeted=not own)


def amc_frame_rate(path: Path) -> float:
    """Frames per second of an AMC file according to its name.

    Names of HDM05 end with the frame rate, such as `HDM_bd_squat1Reps_001_120`; other files have `DEFAULT_AMC_FPS`.
    """
    match = _HDM05.fullmatch(path.stem)
    return float(match[1]) if match else DEFAULT_AMC_FPS


def to_body(
    path: Path,
    motion: SkeletonMotion,
    mapping: SkeletonMapping | None = None,
    *,
    scale: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
) -> tuple[Array, bool]:
    """Convert the motion of any skeleton to this body.

    Args:
        path: File of the motion, for error messages.
        motion: The motion as stored in the file.
        mapping: Correspondence of joints; by default the shipped mapping that fits.
        scale: Metres per unit of the file, used only to refuse implausible leg lengths. The result does not depend on
            it.
        up: Vertical axis of the file; by default that of the mapping, else y.
        floor: Position of the floor; by default that of the mapping, else under the feet (at height 0 for a skeleton
            with this body's bone lengths).

    Returns:
        Joints (F, 22, 3) in metres at 20 frames per second, y up, in the file's position; and whether the skeleton has
        this body's bone lengths, so that it was not retargeted.

    Raises:
        InputError: With the file's name, if the mapping does not fit or unit, axis or sides are implausible.
    """
    try:
        mapping = mapping or shipped_mappings()[best_mapping(motion.names)]
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


def to_motion(path: Path, joints: Array, **provenance: bool) -> Motion:
    """Convert joints (F, 22, 3) read from a file to a `Motion`.

    Raises:
        InputError: With the file's name, if the joints are not in metres.
    """
    placed = torch.from_numpy(joints).float()
    try:
        check_metres(placed)
        return Motion(placed, provenance={"file": path.name, **provenance})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _own_rig(bvh: Bvh) -> Rig | None:
    """Rotations and root of a BVH file with this project's skeleton in any unit of length; None for other skeletons."""
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


def _own_body(source: Mapping[str, Array]) -> Array | None:
    """Joints (F, 22, 3) in metres of a skeleton with this body's bone lengths in any unit; None for other skeletons."""
    if any(name not in source for name in JOINTS):
        return None
    joints = np.stack([source[name] for name in JOINTS], axis=1)
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    wanted = BONE_LENGTHS[1:].numpy()
    metres = wanted.sum() / lengths[0].sum()
    return metres * joints if np.abs(metres * lengths - wanted).max() < BONE_TOLERANCE else None


def _check_legs(source: Mapping[str, Array], scale: float | None) -> None:
    """Refuse legs without length, and a unit of length that makes them implausible; suggest the unit."""
    bones = [
        np.linalg.norm(source[f"{side}_{a}"] - source[f"{side}_{b}"], axis=-1).mean()
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    legs = float(sum(bones)) / 2
    if legs < 1e-9:
        raise InputError("hips, knees and ankles are in one place; give a mapping that fits")
    if scale and not LEG_LENGTHS[0] <= legs <= LEG_LENGTHS[1]:
        wanted = _OWN_LEG_LENGTH / legs * scale
        unit = min(_UNITS, key=lambda unit: abs(np.log(unit / wanted)))
        fit = unit if abs(np.log(unit / wanted)) < 0.25 else float(f"{wanted:.2g}")
        raise InputError(f"its legs are {legs:.3g} m long; give --scale {fit:g}")


def _upright(source: Mapping[str, Array], up: Axis, *, check: bool) -> dict[str, Array]:
    """Permute the axes so that y is up. With `check`, refuse a body that stands along another axis."""
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
