"""Motions of other bodies on this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.augment import with_bone_lengths
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import BALL_HEIGHT, BONE_LENGTHS, FPS, JOINTS, OFFSETS, PARENTS
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

OPTIONAL = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar")
"""Joints that the other body may lack; at least one between its hips and its neck makes a back that bends."""

NEEDED = tuple(name for name in JOINTS if name not in OPTIONAL)
"""Joints that it must have."""

_LENGTH = dict(zip(JOINTS, BONE_LENGTHS.tolist(), strict=True))

_OFFSET = dict(zip(JOINTS, OFFSETS.numpy(), strict=True))

_SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck")


def retarget(source: Mapping[str, Array]) -> Array:
    """Another body's positions (F, 3) by the names of this one's joints that they stand for → joints (F, 22, 3).

    source: y up, from the floor y = 0, in any unit; all of `NEEDED`, and what there is of `OPTIONAL`. A name from
    spine1 to spine3 says no more than the order, but spine3 is where the neck begins. Raises InputError for joints
    that are needed and missing.

    The hips' middle and the toes are the source's, scaled by the ratio of the legs (toes a little further ahead if
    this foot is longer), so that feet that stand or roll keep their place; knees bend in the source's plane. Pelvis
    and collars are rigid with this body's shape, and so are shoulders if the source has no collars; every other bone
    keeps its direction. The spine's joints lie on the source's way from pelvis to spine3, or to the neck.
    """
    if missing := [name for name in NEEDED if name not in source]:
        raise InputError(f"no joint for {', '.join(missing)}; say which joints of the other body these are")
    source = _scaled(source)
    back = [source[name] for name in _SPINE if name in source]

    body: dict[str, Array] = {}
    pelvis = _frame(source["left_hip"] - source["right_hip"], back[1] - back[0])
    middle = (_OFFSET["left_hip"] + _OFFSET["right_hip"]) / 2
    body["pelvis"] = (source["left_hip"] + source["right_hip"]) / 2 - pelvis @ middle
    for side in ("left", "right"):
        hip = body[f"{side}_hip"] = body["pelvis"] + pelvis @ _OFFSET[f"{side}_hip"]
        knee, ankle, toes = (source[f"{side}_{name}"] for name in ("knee", "ankle", "foot"))
        bend = knee - (source[f"{side}_hip"] + ankle) / 2
        foot = _unit(toes - ankle)
        longer = _LENGTH[f"{side}_foot"] - np.linalg.norm(toes - ankle, axis=-1).mean()
        ankle = toes + longer * _unit(foot * [1, 0, 1]) - _LENGTH[f"{side}_foot"] * foot
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
    chest = _frame(source[f"left_{top}"] - source[f"right_{top}"], neck - spine3)
    for side in ("left", "right"):
        shoulder, elbow, wrist = (source[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        body[f"{side}_collar"] = body["spine3"] + chest @ _OFFSET[f"{side}_collar"]
        ahead = shoulder - source[f"{side}_collar"] if collars else chest @ _OFFSET[f"{side}_shoulder"]
        _extend(body, f"{side}_collar", f"{side}_shoulder", ahead)
        _extend(body, f"{side}_shoulder", f"{side}_elbow", elbow - shoulder)
        _extend(body, f"{side}_elbow", f"{side}_wrist", wrist - elbow)
    return np.stack([body[name] for name in JOINTS], axis=1)


def _scaled(source: Mapping[str, Array]) -> dict[str, Array]:
    """To this body's legs; with a pelvis, the hips' middle if there is none."""
    thigh = np.linalg.norm(source["left_knee"] - source["left_hip"], axis=-1).mean()
    shin = np.linalg.norm(source["left_ankle"] - source["left_knee"], axis=-1).mean()
    scale = (_LENGTH["left_knee"] + _LENGTH["left_ankle"]) / max(thigh + shin, 1e-12)
    scaled = {name: scale * positions for name, positions in source.items()}
    return {"pelvis": (scaled["left_hip"] + scaled["right_hip"]) / 2, **scaled}


def _extend(body: dict[str, Array], parent: str, joint: str, direction: Array) -> None:
    """Put a joint at its bone's length from its parent."""
    body[joint] = body[parent] + _LENGTH[joint] * _unit(direction)


def _spine(source: Mapping[str, Array], back: Sequence[Array]) -> list[Array]:
    """Where pelvis, spine1, spine2 and spine3 are on the source's way along its back, by this body's proportions."""
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
    """Knee and ankle: the ankle where it is wanted or as near as the leg reaches, the knee towards `bend`."""
    thigh, shin = _LENGTH[f"{side}_knee"], _LENGTH[f"{side}_ankle"]
    along = _unit(ankle - hip)
    reach = np.clip(np.linalg.norm(ankle - hip, axis=-1, keepdims=True), abs(thigh - shin) + 1e-3, thigh + shin - 1e-4)
    forward = _unit(bend - (bend * along).sum(axis=-1, keepdims=True) * along)
    foot = (thigh**2 - shin**2 + reach**2) / (2 * reach)  # where the knee's plumb meets the line, by the law of cosines
    height = np.sqrt(np.maximum(thigh**2 - foot**2, 0.0))
    return hip + foot * along + height * forward, hip + reach * along


def _frame(left: Array, up: Array) -> Array:
    """(F, 3, 3) rotations whose columns are left, up (made square to left) and forward."""
    left = _unit(left)
    up = _unit(up - (up * left).sum(axis=-1, keepdims=True) * left)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


_LEG = [JOINTS.index("right_knee"), JOINTS.index("right_ankle")]


def bone_lengths(pose: Array) -> Array:
    """(22,) length of the bone that ends in each joint of a pose (22, 3); 0 for the root."""
    lengths: Array = np.linalg.norm(pose - pose[[0, *PARENTS[1:]]], axis=-1)
    return lengths


def uniform_skeleton(joints: Array, lengths: Array) -> Array:
    """Joints (F, 22, 3) with other lengths of bones (22,), in the same unit.

    Every bone keeps its direction; the pelvis' way is scaled, from the origin, by the ratio of the right legs in the
    first frame.
    """
    scale = lengths[_LEG].sum() / bone_lengths(joints[0])[_LEG].sum()
    return with_bone_lengths(scale * joints, lengths)


def resample(values: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Values (F, ...), fps frames a second, at 20 frames a second: cubic (Catmull-Rom) interpolation over time.

    The first frame stays; the last is the last one that the values reach.
    """
    last, ratio = len(values) - 1, fps / FPS
    place = np.arange(int(last / ratio + 1e-6) + 1) * ratio
    index = np.minimum(place.astype(int), max(last - 1, 0))
    u = (place - index).reshape(-1, *[1] * (values.ndim - 1))
    before, a, b, after = (values[np.clip(index + k, 0, last)] for k in (-1, 0, 1, 2))
    return a + 0.5 * u * (b - before + u * (2 * before - 5 * a + 4 * b - after + u * (3 * (a - b) + after - before)))


_TOES = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]

_STILL = 0.25  # metres a second, of feet that stand


def align_to_floor(joints: Array) -> Array:
    """Joints (F, 22, 3), 20 frames a second, lifted or lowered as a whole so that standing feet are on the floor."""
    return joints + np.array([0.0, BALL_HEIGHT - standing_foot_height(joints), 0.0])


def standing_foot_height(joints: Array) -> float:
    """Height of the balls of the feet (F, 22, 3) where they stand lowest, 20 frames a second.

    Robust: a tenth of the times that they stand still is lower; a tenth of all times, if they hardly ever do.
    """
    toes = joints[:, _TOES]
    speeds = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * FPS
    still = ((toes[1:] + toes[:-1]) / 2)[speeds < _STILL][:, 1]
    return float(np.quantile(still if len(still) >= 5 else toes[..., 1], 0.1))


def start_at_origin(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Joints (F, 22, 3) as a `Clip` has them: beginning at the origin and facing +z. Heights stay."""
    return to_origin(torch.from_numpy(joints)).numpy().astype(np.float32)
