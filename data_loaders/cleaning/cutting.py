"""Takes of motion capture cut into clips: T-poses off both ends, then pieces of 2 to 10 s that end at quiet moments.

Cuts minimise the sum of a cost per cut, by dynamic programming: with f(e) the least cost of pieces that end at frame e,

    f(e) = min over s of f(s) + c(s),   MIN_FRAMES ≤ e − s ≤ MAX_FRAMES,   f(0) = 0,

and c(s) the cost of a cut at frame s: a constant, how fast the body moves relative to its pelvis, whether both feet
stand, and whether the body is upright. Where event times are given, cuts elsewhere cost much more.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_loaders.augment import TOES
from data_loaders.cleaning.defects import runs
from motion_diffusion.body.skeleton import FPS, JOINTS

Array = NDArray[np.float64]

MIN_TAKE_FRAMES, MIN_PIECE_FRAMES, MAX_PIECE_FRAMES = 20, 40, 200
"""Of a take that stays whole, 1 s; of a piece of a longer one, 2 to 10 s."""

MAX_POSE_START = 40
"""Frames from either end within which a T-pose is one to be trimmed; then, from the new end, again."""
T_ANGLE = 35.0
"""Degrees that an upper arm or forearm of a T-pose is off the line through the shoulders."""
A_ANGLE = 65.0
"""Degrees that it hangs below that line in an A-pose; arms of people who stand hang by 70 to 85."""
LEG_ANGLE = 35.0
"""Degrees that a thigh or shank of a T- or A-pose is off the vertical."""
MIN_T_POSE_FRAMES, MIN_A_POSE_FRAMES = 8, 10
"""Frames that a T-pose or an A-pose is held, at least; a T-pose of a single frame counts as the first or last one."""
MAX_HELD_SPEED = 0.2
"""m/s, the mean over joints relative to the pelvis, up to which a pose is held."""
MAX_TRANSITION = 30
"""Frames of the way out of a T-pose, at most."""
MIN_LOWERING_SPEED = 1.0
"""Degrees per frame by which arms go down on that way, at least."""

CUT_COST = 0.5
"""Of any cut, so that there are few."""
MOVING_COST = 4.0
"""Of a cut, times the mean speed (m/s) of joints relative to the pelvis: 0.04 m/s standing, 0.6 walking."""
STEPPING_COST, LEANING_COST = 1.0, 1.0
"""Of a cut where a foot does not stand; of one where the back is more than 45° off the vertical."""
OFF_EVENT_COST = 100.0
"""Of a cut that is at no event, where there are events."""

_STANDS = 0.25  # m/s, a toe that stands
_NAMES = {name: index for index, name in enumerate(JOINTS)}


def trim_t_poses(joints: NDArray[np.floating]) -> tuple[int, int]:
    """Frames [start, end) of a take (F, 22, 3) without the T- and A-poses held at its ends, and the way out of them.

    Trimming what was trimmed changes nothing. start = end if nothing is left.
    """
    body: Array = joints.astype(np.float64)
    start, end = 0, len(body)
    while start < end:
        first = _pose_end(body[start:end])
        last = _pose_end(body[start + first : end][::-1])
        if not (first or last):
            break
        start, end = start + first, end - last
    return start, end


def split_take(joints: NDArray[np.floating], events: Collection[int] = ()) -> list[tuple[int, int]]:
    """Pieces [start, end) of a take (F, 22, 3), one after the other without a gap.

    A take of 1 to 10 s is one piece, a longer one is cut into some of 2 to 10 s, a shorter one has none. events: frames
    at which something ends or begins; cuts are there if the lengths allow it, and at quiet moments between them where
    they do not.
    """
    frames = len(joints)
    if frames < MIN_TAKE_FRAMES:
        return []
    if frames <= MAX_PIECE_FRAMES:
        return [(0, frames)]
    cost = cut_cost(joints)
    if events:
        elsewhere = np.ones(frames, dtype=bool)
        elsewhere[[event for event in events if 0 <= event < frames]] = False
        cost = np.where(elsewhere, cost + OFF_EVENT_COST, CUT_COST)
    least = np.full(frames + 1, np.inf)
    before = np.zeros(frames + 1, dtype=int)
    least[0], cost[0] = 0.0, 0.0
    for end in range(MIN_PIECE_FRAMES, frames + 1):
        first = max(end - MAX_PIECE_FRAMES, 0)
        reached = least[first : end - MIN_PIECE_FRAMES + 1] + cost[first : end - MIN_PIECE_FRAMES + 1]
        before[end] = first + int(reached.argmin())
        least[end] = reached.min()
    ends = [frames]
    while ends[-1] > 0:
        ends.append(int(before[ends[-1]]))
    return list(zip(ends[:0:-1], ends[-2::-1], strict=True))


def cut_cost(joints: NDArray[np.floating]) -> Array:
    """(F,) cost of a cut before each frame of a take (F, 22, 3): the lower, the quieter."""
    body: Array = joints.astype(np.float64)
    toes = np.linalg.norm(np.diff(body[:, TOES], axis=0), axis=-1).max(axis=1) * FPS
    low = np.ptp(body[:, TOES, 1], axis=1) < 0.1
    back = body[:, _NAMES["neck"]] - body[:, 0]
    upright = back[:, 1] > np.sqrt(0.5) * np.linalg.norm(back, axis=-1)
    stands = (np.concatenate([toes[:1], toes]) < _STANDS) & low
    cost: Array = CUT_COST + MOVING_COST * relative_speed(body) + STEPPING_COST * ~stands + LEANING_COST * ~upright
    return cost


def relative_speed(joints: Array) -> Array:
    """(F,) m/s: mean speed of the joints relative to the pelvis since the frame before; for frame 0 that of frame 1."""
    relative = joints - joints[:, :1]
    steps = np.linalg.norm(np.diff(relative, axis=0), axis=-1).mean(axis=1) * FPS
    return np.concatenate([steps[:1], steps]) if len(steps) else np.zeros(len(joints))


def arm_angles(joints: Array) -> tuple[Array, Array]:
    """Degrees, of the arm segment that is farthest off: from the line through the shoulders; below or before it.

    The first, (F,), is 0 in a T-pose and 90 for arms that hang. The second, (F,), is how far the segments are out of
    the plane of the body, 0 for arms at the sides.
    """
    left = _unit((joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]) * [1, 0, 1])
    ahead = np.cross(left, np.array([0.0, 1.0, 0.0]))
    off, out = [], []
    for side, sign in (("left", 1), ("right", -1)):
        places = [joints[:, _NAMES[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist")]
        for upper, lower in pairwise(places):
            bone = _unit(lower - upper)
            off.append(_degrees(sign * (bone * left).sum(-1)))
            out.append(np.abs(90 - _degrees((bone * ahead).sum(-1))))
    return np.max(off, axis=0), np.max(out, axis=0)


def _pose_end(joints: Array) -> int:
    """Frames from the beginning to the end of the way out of the T-pose that is within the first seconds; 0 if none."""
    head = joints[: MAX_POSE_START + MAX_TRANSITION]
    if not len(head):
        return 0
    off, out = arm_angles(head)
    segments = ((1, 4), (4, 7), (2, 5), (5, 8))
    legs = np.max([_degrees(_unit(head[:, a] - head[:, b])[:, 1]) for a, b in segments], axis=0)
    still = (relative_speed(head) < MAX_HELD_SPEED) & (legs < LEG_ANGLE)
    end = max(
        (
            end
            for start, end in runs(still & (off < T_ANGLE))
            if end - start >= MIN_T_POSE_FRAMES and start < MAX_POSE_START
        ),
        default=1 if off[0] < T_ANGLE and legs[0] < LEG_ANGLE else 0,
    )
    if not end:
        a_pose = still & (off < A_ANGLE) & (out < T_ANGLE)
        end = next((end for start, end in runs(a_pose) if start == 0 and end >= MIN_A_POSE_FRAMES), 0)
    if not end:
        return 0
    way = off[end - 1 : end + MAX_TRANSITION]
    slow = np.flatnonzero((np.diff(way) < MIN_LOWERING_SPEED) & (way[:-1] > T_ANGLE))
    down = slow[way[slow] > A_ANGLE]
    return min(end + int((*down, *slow, 0)[0]), len(joints))


def _degrees(cosine: Array) -> Array:
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
