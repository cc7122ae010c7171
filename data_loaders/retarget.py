"""Conversion of foreign motions to this project's body, frame rate, floor and origin.

`retarget` maps positions of another skeleton's joints to this body's 22 joints, and `uniform_skeleton` changes bone
lengths of a skeleton that has the same joints. `resample` converts the frame rate, `align_to_floor` finds the floor
below standing feet, and `start_at_origin` moves the first frame to the origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.augment import with_bone_lengths
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import BALL_HEIGHT, BONE_LENGTHS, FPS, JOINTS, OFFSETS, PARENTS, TOES
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

OPTIONAL_JOINTS = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar")
"""Joints that a source skeleton may lack. At least one joint between hips and neck is needed for a spine that bends."""

REQUIRED_JOINTS = tuple(name for name in JOINTS if name not in OPTIONAL_JOINTS)
"""Joints that a source skeleton must have."""

_LENGTH = dict(zip(JOINTS, BONE_LENGTHS.tolist(), strict=True))
_OFFSET = dict(zip(JOINTS, OFFSETS.numpy(), strict=True))
_SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck")
_RIGHT_LEG = [JOINTS.index("right_knee"), JOINTS.index("right_ankle")]
_STILL_SPEED = 0.25
"""Maximum speed in m/s of the ball of a standing foot."""


def retarget(source: Mapping[str, Array]) -> Array:
    """Retarget joint positions of another skeleton to this body.

    The middle of the hips and the balls of the feet follow the source, scaled by the ratio of leg lengths, so that
    planted and rolling feet keep their place; if this body's feet are longer than the source's, the balls are moved
    forward by the difference. Knees bend in the source's plane. The pelvis and the collar bones are rigid, and so are
    the shoulders if the source has no collar bones. The spine's joints are placed on the source's polyline from the
    pelvis to spine3 (or to the neck) in this body's proportions. All other bones keep the direction that they have in
    the source.

    Args:
        source: Positions (F, 3) of the source's joints by the names of the corresponding joints of this body, y up, the
            floor at y = 0, in any unit. Contains all of `REQUIRED_JOINTS` and any of `OPTIONAL_JOINTS`. The names
            spine1 to spine3 specify only the order along the spine, except that the neck is attached to spine3.

    Returns:
        Joints (F, 22, 3) in metres.

    Raises:
        InputError: If a needed joint is missing.
    """
    if missing := [name for name in REQUIRED_JOINTS if name not in source]:
        raise InputError(f"no joint for {', '.join(missing)}; say which joints of the other body these are")
    source = _scaled(source)
    back = [source[name] for name in _SPINE if name in source]

    body: dict[str, Array] = {}
    pelvis = orthonormal_frame(source["left_hip"] - source["right_hip"], back[1] - back[0])
    middle = (_OFFSET["left_hip"] + _OFFSET["right_hip"]) / 2
    body["pelvis"] = (source["left_hip"] + source["right_hip"]) / 2 - pelvis @ middle
    for side in ("left", "right"):
        hip = body[f"{side}_hip"] = body["pelvis"] + pelvis @ _OFFSET[f"{side}_hip"]
        knee, ankle, toes = (source[f"{side}_{name}"] for name in ("knee", "ankle", "foot"))
        bend = knee - (source[f"{side}_hip"] + ankle) / 2
        foot = unit(toes - ankle)
        longer = _LENGTH[f"{side}_foot"] - np.linalg.norm(toes - ankle, axis=-1).mean()
        ankle = toes + longer * unit(foot * [1, 0, 1]) - _LENGTH[f"{side}_foot"] * foot
        body[f"{side}_knee"], body[f"{side}_ankle"] = _leg(hip, ankle, bend + 0.01 * pelvis[..., 2], side)
        _extend(body, f"{side}_ankle", f"{side}_foot", foot)

    points = _spine(source, back)
    for i in range(3):
        _extend(body, _SPINE[i], _SPINE[i + 1], points[i + 1] - points[i])
    spine3, neck = points[3], source["neck"]
    _extend(body, "spine3", "neck", neck - spine3)
    _extend(body, "neck", "head", source["head"] - neck)
    collars = "left_collar" in source and "right_collar" in source
    top = "collar" if collars else "shoulder"
    chest = orthonormal_frame(source[f"left_{top}"] - source[f"right_{top}"], neck - spine3)
    for side in ("left", "right"):
        shoulder, elbow, wrist = (source[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        body[f"{side}_collar"] = body["spine3"] + chest @ _OFFSET[f"{side}_collar"]
        ahead = shoulder - source[f"{side}_collar"] if collars else chest @ _OFFSET[f"{side}_shoulder"]
        _extend(body, f"{side}_collar", f"{side}_shoulder", ahead)
        _extend(body, f"{side}_shoulder", f"{side}_elbow", elbow - shoulder)
        _extend(body, f"{side}_elbow", f"{side}_wrist", wrist - elbow)
    return np.stack([body[name] for name in JOINTS], axis=1)


def _scaled(source: Mapping[str, Array]) -> dict[str, Array]:
    """The source scaled to this body's leg length, with the middle of the hips as pelvis if it has none."""
    thigh = np.linalg.norm(source["left_knee"] - source["left_hip"], axis=-1).mean()
    shin = np.linalg.norm(source["left_ankle"] - source["left_knee"], axis=-1).mean()
    scale = (_LENGTH["left_knee"] + _LENGTH["left_ankle"]) / max(thigh + shin, 1e-12)
    scaled = {name: scale * positions for name, positions in source.items()}
    return {"pelvis": (scaled["left_hip"] + scaled["right_hip"]) / 2, **scaled}


def _extend(body: dict[str, Array], parent: str, joint: str, direction: Array) -> None:
    """Place a joint at its bone length from its parent."""
    body[joint] = body[parent] + _LENGTH[joint] * unit(direction)


def _spine(source: Mapping[str, Array], back: Sequence[Array]) -> list[Array]:
    """Positions of pelvis and spine1 to spine3 on the source's spine, at this body's proportions of arc length."""
    names = _SPINE[:4] if "spine3" in source else _SPINE
    way = back[:-1] if "spine3" in source else back
    ends = np.cumsum([0.0, *(_LENGTH[name] for name in names[1:])])
    marks = np.cumsum([0.0, *(np.linalg.norm(b - a, axis=-1).mean() for a, b in pairwise(way))])
    points = []
    for s in ends[:4] / ends[-1] * marks[-1]:
        i = int(np.clip(np.searchsorted(marks, s) - 1, 0, len(way) - 2))
        points.append(way[i] + (s - marks[i]) / max(marks[i + 1] - marks[i], 1e-12) * (way[i + 1] - way[i]))
    return points


def _leg(hip: Array, ankle: Array, bend: Array, side: str) -> tuple[Array, Array]:
    """Two-bone inverse kinematics: the knee, bent towards `bend`, and the ankle, at most as far as the leg reaches."""
    thigh, shin = _LENGTH[f"{side}_knee"], _LENGTH[f"{side}_ankle"]
    along = unit(ankle - hip)
    reach = np.clip(np.linalg.norm(ankle - hip, axis=-1, keepdims=True), abs(thigh - shin) + 1e-3, thigh + shin - 1e-4)
    forward = unit(bend - (bend * along).sum(axis=-1, keepdims=True) * along)
    return knee_position(hip, along, reach, forward, (thigh, shin)), hip + reach * along


def knee_position(hip: Array, along: Array, reach: Array, forward: Array, lengths: tuple[float, float]) -> Array:
    """Knee (F, 3) between hip and ankle by the law of cosines.

    Args:
        hip: (F, 3) metres.
        along: (F, 3) unit vectors from the hip to the ankle.
        reach: (F, 1) distance from the hip to the ankle.
        forward: (F, 3) unit vectors perpendicular to `along`, towards which the knee bends.
        lengths: Thigh and shin.
    """
    thigh, shin = lengths
    foot = (thigh**2 - shin**2 + reach**2) / (2 * reach)  # the knee projected onto hip to ankle
    height = np.sqrt(np.maximum(thigh**2 - foot**2, 0.0))
    return hip + foot * along + height * forward


def orthonormal_frame(left: Array, up: Array) -> Array:
    """Rotations (F, 3, 3) whose columns are left, up (orthogonalised to left) and forward."""
    left = unit(left)
    up = unit(up - (up * left).sum(axis=-1, keepdims=True) * left)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def unit(vectors: Array) -> Array:
    """Vectors (..., 3) divided by their lengths."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def bone_lengths(pose: Array) -> Array:
    """Lengths (22,) of the bones that end in each joint of a pose (22, 3); 0 for the root."""
    lengths: Array = np.linalg.norm(pose - pose[[0, *PARENTS[1:]]], axis=-1)
    return lengths


def uniform_skeleton(joints: Array, lengths: Array) -> Array:
    """Change the bone lengths of a motion, as HumanML3D does to obtain a uniform skeleton.

    All bones keep their direction. The pelvis' trajectory is scaled about the origin by the ratio of the lengths of the
    right leg in the first frame.

    Args:
        joints: (F, 22, 3), in the unit of `lengths`.
        lengths: (22,) new length of the bone that ends in each joint.

    References:
        Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions From Text".
    """
    scale = lengths[_RIGHT_LEG].sum() / bone_lengths(joints[0])[_RIGHT_LEG].sum()
    return with_bone_lengths(scale * joints, lengths)


def resample(values: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Resample a sequence to 20 frames per second by cubic Catmull-Rom interpolation.

    Args:
        values: (F, ...) samples.
        fps: Frames per second of the samples.

    Returns:
        Samples that begin with the first one and end with the last time that is covered.
    """
    last, ratio = len(values) - 1, fps / FPS
    place = np.arange(int(last / ratio + 1e-6) + 1) * ratio
    index = np.minimum(place.astype(int), max(last - 1, 0))
    u = (place - index).reshape(-1, *[1] * (values.ndim - 1))
    before, a, b, after = (values[np.clip(index + k, 0, last)] for k in (-1, 0, 1, 2))
    return a + 0.5 * u * (b - before + u * (2 * before - 5 * a + 4 * b - after + u * (3 * (a - b) + after - before)))


def align_to_floor(joints: Array) -> Array:
    """Shift joints (F, 22, 3) at 20 frames per second vertically so that standing feet are on the floor y = 0."""
    return joints + np.array([0.0, BALL_HEIGHT - standing_foot_height(joints), 0.0])


def standing_foot_height(joints: Array) -> float:
    """Height of the balls of standing feet in joints (F, 22, 3) at 20 frames per second.

    This is the 10 % quantile of the heights at which the balls are still, or of all heights if there are fewer than
    five such moments.
    """
    toes = joints[:, TOES]
    speeds = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * FPS
    still = ((toes[1:] + toes[:-1]) / 2)[speeds < _STILL_SPEED][:, 1]
    return float(np.quantile(still if len(still) >= 5 else toes[..., 1], 0.1))


def start_at_origin(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Move and turn joints (F, 22, 3) such that the first frame is at the origin and faces +z, as in `Clip`. Heights
    stay.
    """
    return to_origin(torch.from_numpy(joints)).numpy().astype(np.float32)
