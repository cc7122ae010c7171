"""New motions from real ones: mirrored, bent, faster and slower, stitched. Joints are (F, 22, 3) in metres, 20 fps.

All keep the bones' lengths and leave standing feet standing, as far as the floor is concerned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import BONE_LENGTHS, FEET, MIRRORED, PARENTS

Array = NDArray[np.float64]

TOES = FEET[1::2]
_LENGTHS = BONE_LENGTHS.numpy()


def smoothstep(x: Array) -> Array:
    """Cubic ease 3x² − 2x³ of x clipped to [0, 1]."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def facing(joints: NDArray[np.floating]) -> Array:
    """(F,) where the body faces: the angle from +z towards +x in radians, from hips and shoulders."""
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    return np.arctan2(-across[:, 2], across[:, 0])


def mirror(joints: Array) -> Array:
    """Left and right swapped, about the plane x = 0."""
    return joints[:, list(MIRRORED)] * np.array([-1.0, 1.0, 1.0])


def with_bone_lengths(joints: Array, lengths: Array = _LENGTHS) -> Array:
    """The same pelvis and directions of bones, with other lengths (22,), those of this body by default."""
    result = joints.copy()
    for joint, parent in enumerate(PARENTS[1:], 1):
        bone = joints[:, joint] - joints[:, parent]
        result[:, joint] = result[:, parent] + bone * (lengths[joint] / np.linalg.norm(bone, axis=-1, keepdims=True))
    return result


def random_crop(joints: NDArray[np.floating], frames: int, rng: Generator) -> Array:
    """At most `frames` frames from anywhere in a motion, float64."""
    start = int(rng.integers(max(len(joints) - frames, 0) + 1))
    return joints[start : start + frames].astype(np.float64)


def support_point(joints: Array) -> Array:
    """(F - 1, 3) the point that rests on the floor from each frame to the next: the toes, the stiller one first."""
    toes = joints[:, TOES]
    step = np.linalg.norm(np.diff(toes, axis=0), axis=-1)
    height = (toes[:-1, :, 1] + toes[1:, :, 1]) / 2
    stillness = np.exp(-(step / 0.012 + (height - height.min(axis=0)) / 0.01))
    weight = (stillness + 1e-9) / (stillness + 1e-9).sum(axis=1, keepdims=True)
    return (weight[..., None] * (toes[:-1] + toes[1:]) / 2).sum(axis=1)


def bend(joints: Array, turn: Array) -> Array:
    """Turn the way: from each frame to the next, the rest of the motion turns by turn (F - 1,) radians (left positive).

    Each turn is about the point that stands on the floor, so a standing foot swivels on its toes and stays.
    """
    pivot = support_point(joints)[:, [0, 2]]
    angle = np.concatenate([[0.0], np.cumsum(turn)])
    shift = np.zeros((len(joints), 2))
    shift[1:] = np.cumsum(_rotate(pivot, angle[:-1]) - _rotate(pivot, angle[1:]), axis=0)
    result = joints.copy()
    result[..., [0, 2]] = _rotate(joints[..., [0, 2]], angle[:, None]) + shift[:, None]
    return result


def _rotate(xz: Array, angle: Array) -> Array:
    """(..., 2) x and z turned by angles, from +z towards +x."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([xz[..., 0] * cos + xz[..., 1] * sin, xz[..., 1] * cos - xz[..., 0] * sin], axis=-1)


def at_times(joints: Array, times: Array) -> Array:
    """The motion at times (N,) in frames, between frames by linear interpolation with the bones' lengths restored."""
    index = np.minimum(times.astype(int), len(joints) - 2)
    share = (times - index)[:, None, None]
    return with_bone_lengths((1 - share) * joints[index] + share * joints[index + 1])


def change_pace(joints: Array, pace: Array) -> Array:
    """Play it faster or slower: pace (N,) is how many frames of the motion pass in each new one, about 0.8 to 1.25.

    The result ends where the motion or the paces do.
    """
    times = np.concatenate([[0.0], np.cumsum(pace)])
    return at_times(joints, times[times <= len(joints) - 1])


OVERLAP = 8
"""Frames over which one motion fades into the next."""


class SeamCandidates(NamedTuple):
    """Frames of a motion at which it may be left or entered, and its poses and speeds there (N, 132)."""

    frames: NDArray[np.intp]
    poses: Array


class Seam(NamedTuple):
    """Where one motion goes over into another: the first frames of the overlap in both, and how much they differ there,
    the root of summed squares over the joints, metres and fifths of a metre a frame."""

    end: int
    start: int
    gap: float


def exit_candidates(joints: Array, overlap: int = OVERLAP) -> SeamCandidates:
    """Where a motion of more than overlap + 2 frames may be left: in its last second."""
    frames = np.arange(max(1, len(joints) - overlap - 20), len(joints) - overlap)
    middle = overlap // 2
    return SeamCandidates(frames, _seam_features(joints[frames[0] + middle :])[frames - frames[0]])


def entry_candidates(joints: Array, overlap: int = OVERLAP) -> SeamCandidates:
    """Where it may be entered: in its first second."""
    frames = np.arange(1, max(2, min(21, len(joints) - overlap)))
    middle = overlap // 2
    return SeamCandidates(frames, _seam_features(joints[: frames[-1] + middle + 1])[frames + middle - 1])


def find_seam(out: SeamCandidates, into: SeamCandidates) -> Seam:
    """Where poses and speeds are most alike."""
    distance = np.linalg.norm(out.poses[:, None] - into.poses[None], axis=-1)
    row, column = np.unravel_index(int(distance.argmin()), distance.shape)
    return Seam(int(out.frames[row]), int(into.frames[column]), float(distance.min()))


def stitch(a: Array, b: Array, *, overlap: int = OVERLAP) -> Array:
    """One motion that begins as a and goes over into b, where their poses and speeds are most alike.

    The way from a's last second into b's first second is searched; b is turned and moved to go on from there, and over
    `overlap` frames one fades into the other. Both need more frames than overlap.
    """
    overlap = min(overlap, len(a) - 2, len(b) - 2)
    end, start, _ = find_seam(exit_candidates(a, overlap), entry_candidates(b, overlap))
    middle = overlap // 2
    turn = facing(a[end + middle : end + middle + 1]) - facing(b[start + middle : start + middle + 1])
    b = b[start:].copy()
    b[..., [0, 2]] = _rotate(b[..., [0, 2]], turn[:, None])
    foot = int(np.linalg.norm(np.diff(a[end + middle : end + middle + 2, TOES], axis=0), axis=-1)[0].argmin())
    anchor = TOES[foot]
    b[..., [0, 2]] += a[end + middle, anchor, [0, 2]] - b[middle, anchor, [0, 2]]
    share = (np.arange(1, overlap + 1) / (overlap + 1))[:, None, None]
    share = smoothstep(share)
    between = with_bone_lengths((1 - share) * a[end : end + overlap] + share * b[:overlap])
    return np.concatenate([a[:end], between, b[overlap:]])


def _seam_features(joints: Array) -> Array:
    """(F, 132) the body's shape and its motion to the next frame, seen from its own heading."""
    angle = facing(joints)
    body = joints - joints[:, :1] * np.array([1.0, 0.0, 1.0])
    steps = np.diff(joints, axis=0, append=joints[-1:])
    seen = [values.copy() for values in (body, steps)]
    for values in seen:
        values[..., [0, 2]] = _rotate(values[..., [0, 2]], -angle[:, None])
    return np.concatenate([seen[0].reshape(len(joints), -1), 5.0 * seen[1].reshape(len(joints), -1)], axis=-1)
