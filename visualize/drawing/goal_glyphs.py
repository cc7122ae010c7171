"""Goals as geometry to draw: joint targets, paths, poses, headings, relations and obstacles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from guidance.goals.goal_set import Goal, GoalSet
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.orientations import Orientation
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal
from guidance.goals.relations import Contact, Loop, Relation
from motion_diffusion.body.skeleton import FPS, JOINTS


def frame_at(time: float, fps: float, frames: int) -> int:
    """Index of the frame nearest to `time` seconds in a motion of `frames` frames."""
    return min(max(round(time * fps), 0), frames - 1)


def frame_slice(first: float, last: float, fps: float, frames: int) -> slice:
    """Slice of the frames from second `first` to second `last`, both included."""
    return slice(frame_at(first, fps, frames), frame_at(last, fps, frames) + 1)


_NOWHERE = np.zeros((0, 3))


@dataclass(frozen=True)
class JointGlyph:
    """Target position of a joint.

    Attributes:
        time: start of the target's interval, seconds.
        joint: index.
        position: x, y, z in metres; NaN for free axes.
        until: end of the interval, seconds.
        stays: whether it is a foot contact, which fixes the joint wherever it is.
    """

    time: float
    joint: int
    position: tuple[float, float, float]
    until: float = -np.inf
    stays: bool = False

    @property
    def last(self) -> float:
        """End of the interval, seconds."""
        return max(self.time, self.until)

    def _during(self, joints: NDArray, fps: float) -> NDArray:
        return joints[frame_slice(self.time, self.last, fps, len(joints)), self.joint]

    def where(self, joints: NDArray, fps: float) -> NDArray:
        """The target (3,); free axes are filled in with the mean joint position of the motion (frames, 22, 3)."""
        return np.where(np.isnan(self.position), self._during(joints, fps).mean(axis=0), self.position)

    def miss(self, joints: NDArray, fps: float) -> float:
        """Mean distance in metres of a motion (frames, 22, 3) from the target, along the constrained axes."""
        wanted = self.where(joints, fps) if self.stays else np.array(self.position)
        off = self._during(joints, fps) - wanted
        return float(np.linalg.norm(np.nan_to_num(off), axis=-1).mean())

    @property
    def on_floor(self) -> bool:
        """Whether the height alone is free."""
        return bool((np.isnan(self.position) == (False, True, False)).all())

    def visible_points(self, joints: NDArray, fps: float) -> NDArray:
        """Points (n, 3) that the picture must contain."""
        return self.where(joints, fps)[None]


@dataclass(frozen=True)
class PathGlyph:
    """Target path of the pelvis.

    Attributes:
        times: seconds.
        points: x and z in metres at these times; linear in between.
    """

    times: tuple[float, ...]
    points: tuple[tuple[float, float], ...]

    @property
    def time(self) -> float:
        """Start of the path, seconds."""
        return self.times[0]

    @property
    def last(self) -> float:
        """End of the path, seconds."""
        return self.times[-1]

    def at(self, time: float | NDArray) -> NDArray:
        """Target (..., 2) at `time` seconds, constant before the first and after the last time."""
        return np.stack([np.interp(time, self.times, axis) for axis in np.array(self.points, dtype=float).T], axis=-1)

    def miss(self, joints: NDArray, fps: float) -> float:
        """Mean distance in metres between path and pelvis over the frames of the path."""
        stretch = frame_slice(self.time, self.last, fps, len(joints))
        frames = np.arange(stretch.start, stretch.stop)
        off = joints[frames][:, 0, [0, 2]] - self.at(frames / fps)
        return float(np.linalg.norm(off, axis=-1).mean())

    def visible_points(self, joints: NDArray, fps: float) -> NDArray:
        """Points (n, 3) that the picture must contain."""
        return np.insert(np.array(self.points, dtype=float), 1, 0.0, axis=-1)


@dataclass(frozen=True)
class PoseGlyph:
    """Target pose, or one pose per frame.

    Attributes:
        time: first frame, seconds.
        joints: indices.
        positions: (frames, joints, 3) metres; NaN for free axes.
    """

    time: float
    joints: tuple[int, ...]
    positions: NDArray

    @property
    def last(self) -> float:
        """Last frame, seconds."""
        return self.time + (len(self.positions) - 1) / FPS

    def where(self, time: float, joints: NDArray, fps: float) -> NDArray:
        """The pose (joints, 3) nearest to `time`; free axes are filled in from a motion (frames, 22, 3)."""
        index = frame_at(time - self.time, FPS, len(self.positions))
        now = joints[frame_at(self.time + index / FPS, fps, len(joints)), list(self.joints)]
        wanted = self.positions[index]
        return np.where(np.isnan(wanted), now, wanted)

    def miss(self, joints: NDArray, fps: float) -> float:
        """Mean distance in metres between target and motion over frames and joints."""
        frames = [frame_at(self.time + index / FPS, fps, len(joints)) for index in range(len(self.positions))]
        off = joints[frames][:, list(self.joints)] - self.positions
        observed = ~np.isnan(self.positions).all(axis=-1)
        return float(np.linalg.norm(np.nan_to_num(off), axis=-1)[observed].mean())

    def visible_points(self, joints: NDArray, fps: float) -> NDArray:
        """Points (n, 3) that the picture must contain."""
        return self.where(self.time, joints, fps)


@dataclass(frozen=True)
class HeadingGlyph:
    """Target heading from `time` to `last` seconds: 0° is +z, 90° is +x."""

    LENGTH: ClassVar = 0.62
    """Metres on the floor from the pelvis to the arrow's tip."""

    time: float
    last: float
    degrees: float

    @property
    def ahead(self) -> NDArray:
        """Unit vector (2,), x and z."""
        return np.array([np.sin(np.radians(self.degrees)), np.cos(np.radians(self.degrees))])

    def where(self, joints: NDArray, fps: float) -> NDArray:
        """Position (2,), x and z, of the pelvis of a motion (frames, 22, 3) in the middle of the interval."""
        return joints[frame_at((self.time + self.last) / 2, fps, len(joints)), 0, [0, 2]]

    def visible_points(self, joints: NDArray, fps: float) -> NDArray:
        """Points (n, 3) that the picture must contain."""
        tip = self.where(joints, fps) + self.LENGTH * self.ahead
        return np.array([[tip[0], 0.0, tip[1]]])


@dataclass(frozen=True)
class RelationGlyph:
    """Target distance between two joints from `time` to `last` seconds."""

    time: float
    last: float
    joints: tuple[int, int]

    def visible_points(self, joints: NDArray, fps: float) -> NDArray:
        """Points (n, 3) that the picture must contain."""
        return _NOWHERE


@dataclass(frozen=True)
class ObstacleGlyph:
    """Obstacle from `time` to `last` seconds."""

    obstacle: Obstacle
    time: float
    last: float

    def outline(self, time: float) -> NDArray:
        """Boundary (n, 2), x and z, at `time` seconds."""
        (middle,) = self.obstacle.middle(torch.tensor([time * FPS])).numpy()
        if self.obstacle.size is None:
            turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
            return middle + (self.obstacle.radius or 0.0) * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        turn = np.radians(self.obstacle.degrees)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * self.obstacle.size / 2
        return middle + corners @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def moments(self, seconds: float) -> list[float]:
        """Times at which to draw it in a still of a motion of `seconds` seconds: one, or five for a moving obstacle."""
        if self.obstacle.times is None:
            return [self.time]
        first, last = (
            float(np.clip(time, self.time, max(self.time, min(self.last, seconds))))
            for time in (self.obstacle.times[0], self.obstacle.times[-1])
        )
        return np.linspace(first, last, 5).tolist()

    def visible_points(self, joints: NDArray, fps: float) -> NDArray:
        """Points (n, 3) that the picture must contain."""
        edges = [self.outline(time) for time in self.moments(len(joints) / fps)]
        return np.insert(np.concatenate(edges), 1, 0.0, axis=-1)


Glyph = JointGlyph | PathGlyph | PoseGlyph | HeadingGlyph | RelationGlyph | ObstacleGlyph


def make_glyphs(goals: GoalSet, *, seconds: float = np.inf) -> list[Glyph]:
    """Glyphs of all goals in a motion of `seconds` seconds; loops have none."""
    return [glyph for goal in goals.goals if (glyph := _make_glyph(goal, seconds)) is not None]


def _make_glyph(goal: Goal, seconds: float) -> Glyph | None:
    if isinstance(goal, PathGoal):
        times, points = goal.schedule()
        return PathGlyph(tuple(times.tolist()), tuple((x, z) for x, z in points.tolist()))
    if isinstance(goal, Joint):
        return JointGlyph(goal.first / FPS, JOINTS.index(goal.joint), _position(goal.position), goal.last_time)
    if isinstance(goal, Contact):
        free = (None, None, None)
        position = _position(goal.position or free)
        return JointGlyph(goal.start, JOINTS.index(goal.joint), position, goal.last_time, stays=True)
    if isinstance(goal, Pose):
        rows, values = goal.given(goal.last + 1)
        joints = (~values.isnan()).any(-1).any(0).nonzero()[:, 0].tolist()
        wanted = values.float().expand(len(rows), -1, -1)[:, joints]
        return PoseGlyph(goal.first / FPS, tuple(joints), wanted.numpy()) if joints else None
    if isinstance(goal, Heading):
        return HeadingGlyph(goal.first / FPS, goal.last_time, goal.degrees)
    if isinstance(goal, Orientation):
        return JointGlyph(goal.first / FPS, goal.index, (np.nan, np.nan, np.nan), goal.last_time)
    if isinstance(goal, Relation):
        return RelationGlyph(goal.first / FPS, goal.last_time, goal.pair())
    if isinstance(goal, Obstacle):
        return ObstacleGlyph(goal, goal.start or 0.0, min(seconds, np.inf if goal.end is None else goal.end))
    if isinstance(goal, Loop):
        return None
    return JointGlyph(goal.last_time, 0, (goal.x, np.nan, goal.z))


def _position(position: tuple[float | None, float | None, float | None]) -> tuple[float, float, float]:
    x, y, z = (np.nan if axis is None else axis for axis in position)
    return x, y, z


def due_weight(glyph: Glyph, time: float | None) -> float:
    """Highlight 0…1 of a glyph at a time: 1 within its interval, 0 from a quarter of a second off."""
    if time is None:
        return 0.0
    return max(0.0, 1 - max(glyph.time - time, time - glyph.last, 0.0) / 0.25)
