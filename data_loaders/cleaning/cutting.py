"""Cutting of takes into clips: T-poses are trimmed, then pieces of 2 to 10 s are cut at quiet moments.

The cuts minimise the sum of a cost per cut by dynamic programming: with f(e) the least cost of pieces that end at e,

    f(e) = min over s of f(s) + c(s),   MIN_PIECE_FRAMES ≤ e − s ≤ MAX_PIECE_FRAMES,   f(0) = 0,

where the cost c(s) of a cut at frame s is the sum of a constant and of terms for the speed of the body relative to its
pelvis, for feet that do not stand, and for a body that is not upright. If times of events are given, other cuts are
penalised.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_loaders.cleaning.defects import runs
from data_loaders.retarget import unit
from motion_diffusion.body.skeleton import FPS, JOINTS, TOES

Array = NDArray[np.float64]

MIN_TAKE_FRAMES, MIN_PIECE_FRAMES, MAX_PIECE_FRAMES = 20, 40, 200
"""Minimum length of a take that is not cut, 1 s; lengths of pieces of a longer one, 2 to 10 s."""

MAX_POSE_START = 40
"""Frames from either end within which a T-pose is trimmed; repeated from the new end."""
T_ANGLE = 35.0
"""Maximum angle in degrees between the arms of a T-pose and the line through the shoulders."""
A_ANGLE = 65.0
"""Maximum angle in degrees of the arms below that line in an A-pose; arms of standing people hang at 70 to 85."""
LEG_ANGLE = 35.0
"""Maximum angle in degrees between the legs and the vertical in a T- or A-pose."""
MIN_T_POSE_FRAMES, MIN_A_POSE_FRAMES = 8, 10
"""Minimum durations of a T-pose and an A-pose in frames; a single frame is enough for a T-pose at the very end."""
MAX_HELD_SPEED = 0.2
"""Maximum mean speed in m/s of joints relative to the pelvis in a held pose."""
MAX_TRANSITION = 30
"""Maximum number of frames of the transition out of a T-pose."""
MIN_LOWERING_SPEED = 1.0
"""Minimum speed in degrees per frame of lowering the arms in that transition."""

CUT_COST = 0.5
"""Constant cost of a cut, which keeps their number small."""
MOVING_COST = 4.0
"""Cost per m/s of the joints' mean speed relative to the pelvis, which is 0.04 when standing and 0.6 when walking."""
STEPPING_COST, LEANING_COST = 1.0, 1.0
"""Costs of a cut where a foot does not stand, and where the back is more than 45° off the vertical."""
OFF_EVENT_COST = 100.0
"""Cost of a cut that is not at an event, if events are given."""

_MAX_STANDING_SPEED = 0.25  # of the ball of a standing foot, in m/s
_NAMES = {name: index for index, name in enumerate(JOINTS)}


def trim_t_poses(joints: NDArray[np.floating]) -> tuple[int, int]:
    """Frames [start, end) of a take (F, 22, 3) without T- and A-poses at its ends and the transitions out of them.

    The operation is idempotent. start = end if nothing is left.
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
    """Cut a take into contiguous pieces.

    A take of 1 to 10 s is one piece, a longer one is cut into pieces of 2 to 10 s, a shorter one yields none.

    Args:
        joints: (F, 22, 3).
        events: Frames at which an action begins or ends. Cuts are placed there as far as the lengths allow, and at
            quiet moments otherwise.

    Returns:
        Frames [start, end) of each piece.
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
    """Cost (F,) of a cut before each frame of a take (F, 22, 3)."""
    body: Array = joints.astype(np.float64)
    toes = np.linalg.norm(np.diff(body[:, TOES], axis=0), axis=-1).max(axis=1) * FPS
    low = np.ptp(body[:, TOES, 1], axis=1) < 0.1
    back = body[:, _NAMES["neck"]] - body[:, 0]
    upright = back[:, 1] > np.sqrt(0.5) * np.linalg.norm(back, axis=-1)
    stands = (np.concatenate([toes[:1], toes]) < _MAX_STANDING_SPEED) & low
    cost: Array = CUT_COST + MOVING_COST * relative_speed(body) + STEPPING_COST * ~stands + LEANING_COST * ~upright
    return cost


def relative_speed(joints: Array) -> Array:
    """Mean speed (F,) in m/s of joints relative to the pelvis since the previous frame; frame 0 repeats frame 1."""
    relative = joints - joints[:, :1]
    steps = np.linalg.norm(np.diff(relative, axis=0), axis=-1).mean(axis=1) * FPS
    return np.concatenate([steps[:1], steps]) if len(steps) else np.zeros(len(joints))


def arm_angles(joints: Array) -> tuple[Array, Array]:
    """Angles in degrees of the arm segments that deviate most.

    Returns:
        Angle (F,) from the line through the shoulders, 0 in a T-pose and 90 for hanging arms; and angle (F,) out of the
        frontal plane of the body, 0 for arms at the sides.
    """
    left = unit((joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]) * [1, 0, 1])
    ahead = np.cross(left, np.array([0.0, 1.0, 0.0]))
    off, out = [], []
    for side, sign in (("left", 1), ("right", -1)):
        places = [joints[:, _NAMES[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist")]
        for upper, lower in pairwise(places):
            bone = unit(lower - upper)
            off.append(_degrees(sign * (bone * left).sum(-1)))
            out.append(np.abs(90 - _degrees((bone * ahead).sum(-1))))
    return np.max(off, axis=0), np.max(out, axis=0)


def _pose_end(joints: Array) -> int:
    """End of the T- or A-pose at the beginning of joints (F, 22, 3), including the transition out of it; 0 if none."""
    head = joints[: MAX_POSE_START + MAX_TRANSITION]
    if not len(head):
        return 0
    off, out = arm_angles(head)
    segments = ((1, 4), (4, 7), (2, 5), (5, 8))
    legs = np.max([_degrees(unit(head[:, a] - head[:, b])[:, 1]) for a, b in segments], axis=0)
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
