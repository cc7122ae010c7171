"""Goals as something to draw: places where a joint should be, and lines on the floor that should be walked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guidance.goals import Goals, Path_


@dataclass(frozen=True)
class Mark:
    """At `time` seconds `joint` (its index) should be at `position`: x, y, z in metres, NaN where any will do."""

    time: float
    joint: int
    position: tuple[float, float, float]

    def where(self, joints: NDArray, fps: float) -> NDArray:
        """(3,) the position, its free axes filled in from where a motion (frames, 22, 3) has the joint at that time."""
        return np.where(np.isnan(self.position), joints[frame(self.time, fps, len(joints)), self.joint], self.position)

    def miss(self, joints: NDArray, fps: float) -> float:
        """Distance in metres of a motion (frames, 22, 3) from the mark, along the axes that are not free."""
        off = joints[frame(self.time, fps, len(joints)), self.joint] - np.array(self.position)
        return float(np.linalg.norm(np.nan_to_num(off)))

    @property
    def on_floor(self) -> bool:
        """Whether it asks for a place above the floor and leaves the height free."""
        return bool((np.isnan(self.position) == (False, True, False)).all())


@dataclass(frozen=True)
class Line:
    """The pelvis should be above `points` ((x, z), metres) at `times` (seconds), and move evenly in between."""

    times: tuple[float, ...]
    points: tuple[tuple[float, float], ...]

    def at(self, time: float | NDArray) -> NDArray:
        """(..., 2) the wanted place at `time` seconds, held before the first time and after the last."""
        return np.stack([np.interp(time, self.times, axis) for axis in np.array(self.points, dtype=float).T], axis=-1)

    def miss(self, joints: NDArray, fps: float) -> float:
        """Distance in metres between wanted and walked, averaged over the frames of the line."""
        frames = np.arange(frame(self.times[0], fps, len(joints)), frame(self.times[-1], fps, len(joints)) + 1)
        off = joints[frames][:, 0, [0, 2]] - self.at(frames / fps)
        return float(np.linalg.norm(off, axis=-1).mean())


def frame(time: float, fps: float, frames: int) -> int:
    """Index of the frame nearest to `time` seconds in a motion of so many frames."""
    return int(np.clip(round(time * fps), 0, frames - 1))


def marks_of(goals: Goals, *, fps: float) -> list[Mark | Line]:
    """What to draw for goals: a path as a line, every other goal as a mark for each joint at each frame it names."""
    drawn: list[Mark | Line] = []
    for goal in goals.goals:
        if isinstance(goal, Path_):
            times, points = goal.schedule()
            drawn.append(Line(tuple(times.tolist()), tuple((x, z) for x, z in points.tolist())))
            continue
        for index, joint, position in goal.targets():
            x, y, z = (np.nan if axis is None else axis for axis in position)
            drawn.append(Mark(index / fps, joint, (x, y, z)))
    return drawn
