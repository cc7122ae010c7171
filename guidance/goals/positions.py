"""Goals of position: way-points and paths on the floor, and joints in space."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.interpolate import CubicSpline
from torch import Tensor

from guidance.goals.base import (
    SHORTEST,
    Coordinate,
    GoalBase,
    JointName,
    Moment,
    Place,
    Position,
    Seconds,
    Span,
    check_times,
    during,
    free_as_nan,
    nothing,
)
from guidance.goals.heading import facing
from guidance.goals.observation import Observation
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of

Array = NDArray[np.float64]

_APART = 1e-4  # metres: points nearer than this to their predecessor are dropped from curves
_FINE = 16  # segments of a curve between two of its points
_LOOK = 4  # frames before and after between which a path's direction is measured, to smooth corners


class Waypoint(Moment):
    """Be above (x, z) on the floor at a time: a goal of the pelvis."""

    kind: Literal["waypoint"] = "waypoint"
    x: Coordinate
    z: Coordinate

    def given(self, frames: int) -> tuple[range, Tensor]:
        values = nothing(1)
        values[0, 0, 0], values[0, 0, 2] = self.x, self.z
        return range(self.at_frame, min(self.at_frame + 1, frames)), values


class Joint(Span):
    """Have a joint at a position, at a time or from `start` to `end`."""

    kind: Literal["joint"] = "joint"
    joint: JointName
    """Name of the joint, such as "right_wrist"; any of the 22."""
    position: Position
    """x, y, z in metres, y up; null leaves an axis free."""

    @model_validator(mode="after")
    def _known(self) -> Joint:
        if all(axis is None for axis in self.position):
            raise ValueError("'position' leaves every axis free; give at least one number")
        return self

    def given(self, frames: int) -> tuple[range, Tensor]:
        values = nothing(1)
        values[0, JOINTS.index(self.joint)] = torch.tensor(free_as_nan(self.position), dtype=torch.float64)
        return self.within(frames), values


class PathGoal(GoalBase):
    """Walk along points on the floor, from second `start` to second `end`.

    With `times`, the pelvis passes each point at its time and moves at constant speed in between; otherwise it moves
    along the whole path at constant speed.
    """

    kind: Literal["path"] = "path"
    points: Annotated[list[Place], Field(min_length=2)]
    """[[x, z], ...] in metres."""
    times: list[Seconds] | None = None
    """Seconds, one for each point."""
    start: Seconds | None = None
    """Time in seconds at the first point; 0 by default."""
    end: Seconds | None = None
    """Time in seconds at the last point."""
    curve: Literal["line", "spline"] = "line"
    """Straight lines between the points, or a smooth curve through all of them."""
    face_along: bool = Field(default=False, strict=True)
    """Whether the body faces the direction of motion."""

    @model_validator(mode="after")
    def _when(self) -> PathGoal:
        if self.times is not None:
            if self.start is not None or self.end is not None:
                raise ValueError("give either 'times' or 'start' and 'end', not both")
            check_times(self.times, len(self.points))
        elif self.end is None:
            raise ValueError("give 'end' (the second at which the last point is reached) or 'times'")
        elif self.end - (self.start or 0.0) < SHORTEST:
            raise ValueError("'end' must be later than 'start'")
        return self

    def schedule(self) -> tuple[Array, Array]:
        """The path as a fine polyline, read-only: times in seconds (P,), increasing, and points (P, 2)."""
        start, end = self.start or 0.0, self.end or 0.0
        return _polyline(tuple(self.points), None if self.times is None else tuple(self.times), start, end, self.curve)

    @property
    def last_time(self) -> float:
        return frame_of(self.times[-1] if self.times is not None else self.end or 0.0) / FPS

    @property
    def when(self) -> str:
        return during(self.times[0] if self.times is not None else self.start or 0.0, self.last_time)

    def within(self, frames: int) -> range:
        """The goal's frames within a motion of so many frames."""
        first = frame_of(self.times[0] if self.times is not None else self.start or 0.0)
        return range(first, min(frame_of(self.last_time) + 1, frames))

    def places(self, frames: NDArray) -> Array:
        """(n, 2) targets of the pelvis at n frames: the first point before the start, the last one after the end."""
        times, points = self.schedule()
        return np.stack([np.interp(frames / FPS, times, axis) for axis in points.T], axis=-1)

    def directions(self, frames: int) -> Tensor:
        """(n,) direction of the path in radians at each of its frames within a motion; held where the path does not
        move.
        """
        rows = self.within(frames)
        if not len(rows):
            return torch.zeros(0, dtype=torch.float64)
        at, last = np.array(rows), max(frame_of(self.last_time), rows.start + 1)
        look = np.maximum(np.minimum(np.minimum(at - rows.start, last - at), _LOOK), 1)
        ahead = self.places(np.minimum(at + look, last)) - self.places(np.maximum(at - look, rows.start))
        moves = np.flatnonzero(np.linalg.norm(ahead, axis=-1) > 1e-6)
        if len(moves):
            before = np.searchsorted(moves, np.arange(len(at)), side="right") - 1
            ahead = ahead[moves[np.maximum(before, 0)]]
        return torch.from_numpy(np.arctan2(ahead[:, 0], ahead[:, 1]))

    @property
    def is_motion_dependent(self) -> bool:
        return self.face_along

    def given(self, frames: int) -> tuple[range, Tensor]:
        rows = self.within(frames)
        values = nothing(len(rows))
        values[:, 0, [0, 2]] = torch.from_numpy(self.places(np.array(rows)))
        return rows, values

    def target_for(self, joints: Tensor) -> Observation:
        if not self.face_along:
            return super().target_for(joints)
        rows = self.within(len(joints))
        places = torch.from_numpy(self.places(np.array(rows)))
        return facing(joints, rows, self.directions(len(joints)), places)


@lru_cache(maxsize=256)
def _polyline(
    points: tuple[Place, ...], times: tuple[float, ...] | None, start: float, end: float, curve: str
) -> tuple[Array, Array]:
    """See `PathGoal.schedule`; asked for at every step of sampling."""
    pieces = _pieces(np.array(points), curve)
    lengths = [np.linalg.norm(np.diff(piece, axis=0), axis=-1) for piece in pieces]
    if times is not None:
        ends = np.array(times)
    else:
        way = np.concatenate([[0.0], np.cumsum([length.sum() for length in lengths])])
        share = way / way[-1] if way[-1] > _APART else np.linspace(0, 1, len(points))
        ends = start + (end - start) * share
    when, where = [ends[:1]], [np.array(points[:1])]
    for piece, length, begin, after in zip(pieces, lengths, ends, ends[1:], strict=False):
        share = np.cumsum(length) / length.sum() if length.sum() > _APART else np.ones(1)
        when.append(begin + (after - begin) * share)
        where.append(piece[1:] if length.sum() > _APART else piece[-1:])
    result = np.concatenate(when), np.concatenate(where)
    for array in result:
        array.setflags(write=False)
    return result


def _pieces(points: Array, curve: str) -> list[Array]:
    """Points (n, 2) on the curve from each of `points` to the next, both included."""
    chord = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    apart = np.concatenate([[True], chord > _APART])
    if curve == "line" or apart.sum() < 3:
        return [points[i : i + 2] for i in range(len(chord))]
    along = np.concatenate([[0.0], np.cumsum(np.where(apart[1:], chord, 0.0))])
    spline = CubicSpline(along[apart], points[apart], bc_type="natural")
    return [spline(np.linspace(a, b, _FINE + 1)) for a, b in pairwise(along)]
