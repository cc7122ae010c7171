"""Augmentation of motions: mirroring, bending of paths, changes of pace, and stitching.

Joints are (F, 22, 3) in metres, y up, at 20 frames per second. All operations keep bone lengths and leave planted feet
in place horizontally.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, MIRRORED, PARENTS, TOES

Array = NDArray[np.float64]
STILL = 0.3
"""Speed in m/s below which a joint is at rest."""

_LENGTHS = BONE_LENGTHS.numpy()


def smoothstep(x: Array) -> Array:
    """Cubic ease 3x² − 2x³ of x clipped to [0, 1]."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def facing(joints: NDArray[np.floating]) -> Array:
    """Direction (F,) that the body faces: the angle from +z towards +x in radians, from the line across hips and
    shoulders.

    This is the NumPy counterpart of `motion_diffusion.body.heading.heading` without smoothing and with opposite sign.
    """
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    return np.arctan2(-across[:, 2], across[:, 0])


def mirror(joints: Array) -> Array:
    """Mirror a motion about the plane x = 0, exchanging left and right."""
    return joints[:, list(MIRRORED)] * np.array([-1.0, 1.0, 1.0])


def with_bone_lengths(joints: Array, lengths: Array = _LENGTHS) -> Array:
    """Change bone lengths while keeping the pelvis and the directions of all bones.

    Args:
        joints: (F, 22, 3).
        lengths: (22,) length of the bone that ends in each joint; this body's by default.
    """
    result = joints.copy()
    for joint, parent in enumerate(PARENTS[1:], 1):
        bone = joints[:, joint] - joints[:, parent]
        result[:, joint] = result[:, parent] + bone * (lengths[joint] / np.linalg.norm(bone, axis=-1, keepdims=True))
    return result


def random_crop(joints: NDArray[np.floating], frames: int, rng: Generator) -> Array:
    """Random part of a motion of at most `frames` frames, as float64."""
    start = int(rng.integers(max(len(joints) - frames, 0) + 1))
    return joints[start : start + frames].astype(np.float64)


def still_frames(joints: NDArray[np.floating]) -> int:
    """Number of frames at the beginning of a motion (F, 22, 3) from which the body does not move; 0 if it never does.

    It does not move while no joint is faster than `STILL` m/s.
    """
    speeds = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * FPS
    return int((speeds > STILL).any(axis=1).argmax())


def support_point(joints: Array) -> Array:
    """Point (F - 1, 3) that rests on the floor from each frame to the next: a mean of the toes, weighted by their
    stillness.
    """
    toes = joints[:, TOES]
    step = np.linalg.norm(np.diff(toes, axis=0), axis=-1)
    height = (toes[:-1, :, 1] + toes[1:, :, 1]) / 2
    stillness = np.exp(-(step / 0.012 + (height - height.min(axis=0)) / 0.01))
    weight = (stillness + 1e-9) / (stillness + 1e-9).sum(axis=1, keepdims=True)
    return (weight[..., None] * (toes[:-1] + toes[1:]) / 2).sum(axis=1)


def bend(joints: Array, turn: Array) -> Array:
    """Bend the path of a motion: after each frame, rotate the rest about the supporting point.

    A planted foot swivels on its toes and stays in place.

    Args:
        joints: (F, 22, 3).
        turn: (F - 1,) angles in radians, positive to the left.
    """
    pivot = support_point(joints)[:, [0, 2]]
    angle = np.concatenate([[0.0], np.cumsum(turn)])
    shift = np.zeros((len(joints), 2))
    shift[1:] = np.cumsum(_rotate(pivot, angle[:-1]) - _rotate(pivot, angle[1:]), axis=0)
    result = joints.copy()
    result[..., [0, 2]] = _rotate(joints[..., [0, 2]], angle[:, None]) + shift[:, None]
    return result


def _rotate(xz: Array, angle: Array) -> Array:
    """Rotate horizontal vectors (..., 2), x and z, by angles in radians from +z towards +x."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([xz[..., 0] * cos + xz[..., 1] * sin, xz[..., 1] * cos - xz[..., 0] * sin], axis=-1)


def at_times(joints: Array, times: Array) -> Array:
    """Sample a motion by linear interpolation, restoring bone lengths.

    Args:
        joints: (F, 22, 3).
        times: (N,) times in frames.
    """
    index = np.minimum(times.astype(int), len(joints) - 2)
    share = (times - index)[:, None, None]
    return with_bone_lengths((1 - share) * joints[index] + share * joints[index + 1])


def change_pace(joints: Array, pace: Array) -> Array:
    """Change the speed of a motion over time.

    Args:
        joints: (F, 22, 3).
        pace: (N,) frames of the motion per new frame, about 0.8 to 1.25.

    Returns:
        A motion that ends with `joints` or with `pace`, whichever comes first.
    """
    times = np.concatenate([[0.0], np.cumsum(pace)])
    return at_times(joints, times[times <= len(joints) - 1])


OVERLAP = 8
"""Frames over which stitched motions are blended."""


class SeamCandidates(NamedTuple):
    """Frames at which a motion may be left or entered, and its pose features (N, 132) there."""

    frames: NDArray[np.intp]
    poses: Array


class Seam(NamedTuple):
    """Transition between two motions.

    Attributes:
        end: First frame of the overlap in the first motion.
        start: First frame of the overlap in the second motion.
        gap: Distance of pose features at the middle of the overlap: the root of summed squares over joints of positions
            in metres and velocities in fifths of a metre per frame.
    """

    end: int
    start: int
    gap: float


def exit_candidates(joints: Array, overlap: int = OVERLAP) -> SeamCandidates:
    """Frames in the last second at which a motion of more than overlap + 2 frames may be left."""
    frames = np.arange(max(1, len(joints) - overlap - 20), len(joints) - overlap)
    middle = overlap // 2
    return SeamCandidates(frames, _seam_features(joints[frames[0] + middle :])[frames - frames[0]])


def entry_candidates(joints: Array, overlap: int = OVERLAP) -> SeamCandidates:
    """Frames in the first second at which a motion may be entered."""
    frames = np.arange(1, max(2, min(21, len(joints) - overlap)))
    middle = overlap // 2
    return SeamCandidates(frames, _seam_features(joints[: frames[-1] + middle + 1])[frames + middle - 1])


def find_seam(out: SeamCandidates, into: SeamCandidates) -> Seam:
    """Transition with the smallest distance of pose features."""
    distance = np.linalg.norm(out.poses[:, None] - into.poses[None], axis=-1)
    row, column = np.unravel_index(int(distance.argmin()), distance.shape)
    return Seam(int(out.frames[row]), int(into.frames[column]), float(distance.min()))


def stitch(a: Array, b: Array, *, overlap: int = OVERLAP) -> Array:
    """Concatenate two motions at the transition with the smallest distance of poses and velocities.

    The transition is searched between the last second of a and the first second of b. b is turned and moved to continue
    a with the slower foot in place, and the motions are blended over `overlap` frames. Both need more frames than that.
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
    """Pose and step to the next frame in the body's own heading (F, 132); steps are weighted by 5."""
    angle = facing(joints)
    body = joints - joints[:, :1] * np.array([1.0, 0.0, 1.0])
    steps = np.diff(joints, axis=0, append=joints[-1:])
    seen = [values.copy() for values in (body, steps)]
    for values in seen:
        values[..., [0, 2]] = _rotate(values[..., [0, 2]], -angle[:, None])
    return np.concatenate([seen[0].reshape(len(joints), -1), 5.0 * seen[1].reshape(len(joints), -1)], axis=-1)
