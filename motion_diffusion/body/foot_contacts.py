"""Foot contacts: intervals of a motion in which a toe, and the ankle above it, stay in one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_diffusion.body.skeleton import ANKLES, BONE_LENGTHS, FPS, TOES

Trajectory = NDArray[np.float64]
"""(F, 3): trajectory of a joint, metres. NumPy, since for so few numbers its operations cost a fifth of PyTorch's."""


@dataclass(frozen=True)
class ContactLimits:
    """Thresholds for the contact of a foot joint. Heights are above the level of a motion's lowest toes or ankles.

    A contact begins and ends with a low and slow step from frame to frame, and no step within it is high or fast:
    sliding between two slow steps counts as contact.
    """

    low: float
    """m"""
    high: float
    """m"""
    slow: float
    """m/s"""
    level: float
    """m/s of vertical speed, for slow steps"""
    fast: float
    """m/s"""
    spread: float
    """m from the contact's position: a contact that drifts further than this is split."""


TOE = ContactLimits(low=0.06, high=0.09, slow=0.2, level=0.08, fast=0.9, spread=0.12)
ANKLE = ContactLimits(low=0.02, high=0.03, slow=0.2, level=0.08, fast=0.3, spread=0.015)
"""For the motion of an ankle relative to its toe during the toe's contact."""
LEVEL = 0.05
"""Share of frames whose lowest toe (ankle) is below the reference level."""
SHORTEST = 3
"""Minimum frames of a contact."""
GAP = 3
"""Frames removed on either side of the fastest step when a contact is split."""
STILL = 0.1
"""m/s: the position of a contact is a mean in which frames with this speed have half the weight."""
AROUND = 100
"""Frames before and after a part of a motion in which its contacts may begin and end."""
DEEP = 0.3
"""m below 0: a motion whose feet are deeper than this is taken to have its floor at their level."""


@dataclass(frozen=True)
class FootContact:
    """A foot joint that stays at a position (3,) in metres, from frame start up to, not including, end."""

    joint: int
    start: int
    end: int
    place: Tensor


def feet_level(joints: Tensor) -> float:
    """Height in metres of the feet of a motion (F, 22, 3): the higher of the two toes' lower quartiles over time.

    A single foot below the floor, as with a bone that is too long, does not lower it.
    """
    return joints[:, TOES, 1].quantile(0.25, dim=0).max().item()


def floor_height(joints: Tensor) -> float:
    """Height in metres of the floor of a motion (F, 22, 3): 0, or `feet_level` if that is `DEEP` or more below 0."""
    level = feet_level(joints)
    return 0.0 if level > -DEEP else level


def detect_contacts(joints: Tensor, floor: float | None = None, *, within: slice | None = None) -> list[FootContact]:
    """Find contacts of toes, and of ankles above toes in contact.

    Args:
        joints: (F, 22, 3) metres.
        floor: height of the floor in metres; by default `floor_height`. Contacts of toes below it are lifted onto it,
            and joints below it do not lower the reference level of heights.
        within: the part of the motion whose contacts are to be found; the reference level is that of the whole.

    Returns:
        Contacts of the left foot, then of the right foot.
    """
    if floor is None:
        floor = floor_height(joints)
    trajectories = joints.detach().double().numpy()
    lowest_ankle, lowest_toe = (
        float(np.quantile(trajectories[:, pair, 1].clip(min=floor).min(1), LEVEL)) for pair in (ANKLES, TOES)
    )
    begin = 0 if within is None else max(within.start - AROUND, 0)
    trajectories = trajectories[begin : None if within is None else within.stop + AROUND]
    contacts = []
    for ankle, toe in zip(ANKLES, TOES, strict=True):
        for start, end in _intervals(trajectories[:, toe], lowest_toe, TOE):
            path = trajectories[start:end, toe]
            place = _mean_position(path, _speed(path))
            lifted = max(floor - place[1], 0.0)
            place[1] += lifted
            contacts.append(FootContact(toe, begin + start, begin + end, torch.from_numpy(place)))
            trajectory = trajectories[start:end, ankle] - path + place
            for first, last in _intervals(trajectory, lowest_ankle + lifted, ANKLE):
                held = trajectory[first:last]
                bone = _mean_position(held, _speed(held)) - place
                above = place + BONE_LENGTHS[toe].item() * bone / max(np.linalg.norm(bone), 1e-12)
                frames = (begin + start + first, begin + start + last)
                contacts.append(FootContact(ankle, *frames, torch.from_numpy(above)))
    return contacts


def _intervals(trajectory: Trajectory, lowest: float, limits: ContactLimits) -> Iterator[tuple[int, int]]:
    """Intervals of frames [start, end) in which a joint is in contact."""
    y, speed = trajectory[:, 1], _speed(trajectory)
    height = np.maximum(y[1:], y[:-1]) - lowest
    certain = (height < limits.low) & (speed < limits.slow) & (np.abs(np.diff(y)) * FPS < limits.level)
    possible = np.zeros(len(speed) + 2, dtype=np.int8)
    possible[1:-1] = (height < limits.high) & (speed < limits.fast)
    edges = np.diff(possible)
    for start, end in zip((edges > 0).nonzero()[0].tolist(), (edges < 0).nonzero()[0].tolist(), strict=True):
        yield from _refined(trajectory, speed, certain, start, end + 1, limits.spread)


def _refined(
    trajectory: Trajectory,
    speed: NDArray[np.float64],
    certain: NDArray[np.bool_],
    start: int,
    end: int,
    spread: float,
) -> Iterator[tuple[int, int]]:
    """The interval from its first certain step to its last; if it drifts too far, the parts before and after its
    fastest step.
    """
    steps = certain[start : max(end - 1, start)].nonzero()[0]
    if not len(steps) or steps[-1] + 2 - steps[0] < SHORTEST:
        return
    start, end = start + int(steps[0]), start + int(steps[-1]) + 2
    away = trajectory[start:end] - _mean_position(trajectory[start:end], speed[start : end - 1])
    if np.square(away).sum(1).max() <= spread**2:
        yield start, end
        return
    fastest = start + int(speed[start : end - 1].argmax())
    yield from _refined(trajectory, speed, certain, start, max(fastest + 1 - GAP, start), spread)
    yield from _refined(trajectory, speed, certain, min(fastest + 1 + GAP, end), end, spread)


def _speed(trajectory: Trajectory) -> NDArray[np.float64]:
    """(F - 1,) m/s from frame to frame."""
    steps = trajectory[1:] - trajectory[:-1]
    speed: NDArray[np.float64] = np.sqrt(np.square(steps).sum(1)) * FPS
    return speed


def _mean_position(trajectory: Trajectory, speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Position of a contact: a mean over frames, weighted by slowness; speed: (F - 1,) from frame to frame."""
    slower = np.empty(len(trajectory))
    slower[0], slower[1:-1], slower[-1] = speed[0], np.minimum(speed[:-1], speed[1:]), speed[-1]
    weight = 1 / (1 + np.square(slower / STILL))
    place: NDArray[np.float64] = weight @ trajectory / weight.sum()
    return place
