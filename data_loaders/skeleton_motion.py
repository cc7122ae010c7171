"""The motion of any skeleton on this project's body. One that is this very body is taken as it is."""

from __future__ import annotations

from collections.abc import Mapping as Named
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.ground_alignment import on_the_floor
from data_loaders.resampling import resampled
from data_loaders.retarget import retarget
from data_loaders.skeleton_mapping import Axis, Floor, Mapping, fitting, shipped
from motion_diffusion.body.motion import Motion, check_metres
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

LEGS = (0.4, 1.4)
"""Lengths from hip to ankle in metres that are taken for a person's."""

SAME = 2e-3
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


def motion_of(path: Path, joints: Array, **provenance: bool) -> Motion:
    """Joints (F, 22, 3) that a file has, as a motion. InputError, with its name, if they are in other units."""
    placed = torch.from_numpy(joints).float()
    try:
        check_metres(placed)
        return Motion(placed, provenance={"file": path.name, **provenance})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def on_this_body(
    path: Path,
    motion: SkeletonMotion,
    mapping: Mapping | None = None,
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
        mapping = mapping or shipped()[fitting(motion.names)]
        found = mapping.indices(motion.names)
        positions = resampled(motion.world(list(found.values())), 1 / motion.frame_time)
        source = dict(zip(found, positions.transpose(1, 0, 2), strict=True))
        _check_legs(source, scale)
        given = up or mapping.up
        source = _upright(source, given or "y", check=given is None)
        _check_sides(source)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    ours = _of_this_body(source)
    floor = floor or mapping.floor or ("feet" if ours is None else "file")
    joints = retarget(source) if ours is None else ours
    return (on_the_floor(joints) if floor == "feet" else joints), ours is not None


def _of_this_body(source: Named[str, Array]) -> Array | None:
    """Joints (F, 22, 3) in metres of a skeleton whose bones are all as long as this body's, times some unit."""
    if any(name not in source for name in JOINTS):
        return None
    joints = np.stack([source[name] for name in JOINTS], axis=1)
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    wanted = BONE_LENGTHS[1:].numpy()
    metres = wanted.sum() / lengths[0].sum()
    return metres * joints if np.abs(metres * lengths - wanted).max() < SAME else None


def _check_legs(source: Named[str, Array], scale: float | None) -> None:
    """Refuse legs that have no length, and a unit that cannot be right; say which could."""
    bones = [
        np.linalg.norm(source[f"{side}_{a}"] - source[f"{side}_{b}"], axis=-1).mean()
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    legs = float(sum(bones)) / 2
    if legs < 1e-9:
        raise InputError("hips, knees and ankles are in one place; give a mapping that fits")
    if scale and not LEGS[0] <= legs <= LEGS[1]:
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
            raise InputError(f"it stands along {axis}; set up to {axis}, or to {up} if it does lie")
        if along["xyz".index(up)] < -0.8:
            raise InputError(f"its head is below its feet; set up to {up} if it does stand on its hands")
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
