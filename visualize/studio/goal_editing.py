"""Goals in the studio: description, time span, restriction to an interval, and properties that widgets can set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from guidance.goals.base import SHORTEST, Moment, Span
from guidance.goals.goal_set import Goal
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.orientations import Orientation
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal
from guidance.goals.relations import Contact, Loop, Relation
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of

FloorPoint = tuple[float, float]
"""x and z in metres."""


def describe_goal(goal: Goal) -> str:
    """Short description of a goal."""
    if isinstance(goal, PathGoal):
        metres = polyline_length(goal.schedule()[1].tolist())
        first, last = (goal.times[0], goal.times[-1]) if goal.times else (goal.start or 0.0, goal.end or 0.0)
        return f"path of {metres:.1f} m, {metres / max(last - first, 1e-6):.1f} m/s"
    if isinstance(goal, Obstacle):
        return f"{goal.shape} obstacle"
    if isinstance(goal, Joint):
        return f"{_readable(goal.joint)} at {', '.join('–' if a is None else f'{a:.2f}' for a in goal.position)}"
    if isinstance(goal, Heading):
        return f"face {goal.degrees:.0f}°"
    if isinstance(goal, Orientation):
        return f"{_readable(goal.joint)} {'orientation' if goal.facing is None else 'direction'}"
    if isinstance(goal, Contact):
        return f"{_readable(goal.joint)} locked"
    if isinstance(goal, Relation):
        return f"{_readable(goal.joints[0])} and {_readable(goal.joints[1])} {100 * goal.distance:.0f} cm apart"
    if isinstance(goal, Pose):
        return "pose" if goal.frames == 1 else f"poses, {goal.frames} frames"
    return "way-point" if goal.kind == "waypoint" else "loop"


def goal_label(number: int, goal: Goal) -> str:
    """A goal with its number, counted from 1."""
    return f"{number}  {describe_goal(goal)}"


def _readable(joint: str) -> str:
    return joint.replace("_", " ")


def polyline_length(points: Sequence[FloorPoint]) -> float:
    """Length in metres."""
    return float(np.linalg.norm(np.diff(np.asarray(points, dtype=float), axis=0), axis=-1).sum())


def time_span(goal: Goal, seconds: float) -> tuple[float, float] | None:
    """First and last second of a goal in a motion of `seconds` seconds; None for a goal without a time of its own."""
    if isinstance(goal, Loop):
        return None
    if isinstance(goal, Obstacle):
        return goal.start or 0.0, seconds if goal.end is None else goal.end
    if isinstance(goal, PathGoal):
        return (goal.times[0] if goal.times is not None else goal.start or 0.0), goal.last_time
    if isinstance(goal, Contact):
        return goal.start, goal.end
    if isinstance(goal, Span):
        return goal.first / FPS, goal.last_time
    return goal.last_time, goal.last_time


def is_moment(goal: Goal) -> bool:
    """Whether a goal holds at one moment only, or has a fixed duration."""
    return isinstance(goal, Moment) or (isinstance(goal, Pose) and goal.motion is not None)


def with_time(goal: Goal, start: float, end: float, seconds: float) -> Goal:
    """A copy of a goal with another time span.

    Args:
        goal: to change.
        start: new start, seconds; the moment of goals that have one.
        end: new end, seconds. Paths keep an even pace.
        seconds: time of the motion's last frame, to which both are limited.
    """
    start, end = (frame_of(min(max(second, 0.0), seconds)) / FPS for second in (start, end))
    if isinstance(goal, Loop):
        return goal
    if isinstance(goal, Obstacle):
        always = {"start": start if start > 0 else None, "end": end if end < seconds - 0.5 / FPS else None}
        return goal.model_copy(update=always)
    if isinstance(goal, PathGoal):
        end = max(end, start + 1 / FPS)
        if goal.times is None:
            return goal.model_copy(update={"start": start, "end": end})
        first, last = goal.times[0], goal.times[-1]
        share = [(time - first) / max(last - first, SHORTEST) for time in goal.times]
        return goal.model_copy(update={"times": [round(start + (end - start) * part, 4) for part in share]})
    if isinstance(goal, Contact):
        return goal.model_copy(update={"start": start, "end": end})
    if is_moment(goal) or start == end:
        cleared = {"frame": None} | ({"start": None, "end": None} if isinstance(goal, Span) else {})
        return goal.model_copy(update={**cleared, "time": start})
    return goal.model_copy(update={"time": None, "frame": None, "start": start, "end": end})


def restrict_to(goal: Goal, start: float, end: float, seconds: float) -> Goal | None:
    """Restrict a goal to the frames from second `start` to second `end`, both included.

    Obstacles are kept unchanged, and so are contacts without a position, which refer to where the joint was before.

    Args:
        goal: to restrict.
        start: seconds.
        end: seconds.
        seconds: time of the motion's last frame.

    Returns:
        The restricted goal; None if nothing is left of it.
    """
    if isinstance(goal, Loop):
        return goal if frame_of(end) >= frame_of(seconds) else None
    if isinstance(goal, Obstacle):
        return goal
    when = time_span(goal, seconds)
    frames = range(0) if when is None else range(frame_of(when[0]), frame_of(when[1]) + 1)
    inside = range(max(frames.start, frame_of(start)), min(frames.stop, frame_of(end) + 1))
    if not inside:
        return None
    if inside == frames or (isinstance(goal, Contact) and goal.position is None):
        return goal
    first, last = inside[0] / FPS, inside[-1] / FPS
    if isinstance(goal, PathGoal):
        return _cut_path(goal, first, last)
    if isinstance(goal, Pose) and goal.motion is not None:
        poses = goal.motion[inside.start - frames.start : inside.stop - frames.start]
        at = {"frame": inside.start, "time": None, "start": None, "end": None}
        return goal.model_copy(update={**at, "motion": poses})
    return goal.model_copy(update={"start": first, "end": last})


def _cut_path(path: PathGoal, first: float, last: float) -> PathGoal | None:
    """Restrict a path to an interval; None for a single point."""
    if last - first < SHORTEST:
        return None
    between = path.schedule()[0] if path.curve == "line" else np.arange(frame_of(first), frame_of(last)) / FPS
    between = between[(between > first + SHORTEST) & (between < last - SHORTEST)]
    times = [first, *between[np.diff(between, prepend=first) >= SHORTEST].tolist(), last]
    points = [(float(x), float(z)) for x, z in path.places(np.array(times) * FPS)]
    return path.model_copy(update={"points": points, "times": times, "start": None, "end": None, "curve": "line"})


def constrain_axes(goal: Joint, axes: tuple[bool, bool, bool], position: Sequence[float]) -> Joint:
    """A key frame that constrains the given axes; those that were free take the value of `position`."""
    kept = [
        (round(float(position[k]), 3) if goal.position[k] is None else goal.position[k]) if axes[k] else None
        for k in range(3)
    ]
    return goal.model_copy(update={"position": (kept[0], kept[1], kept[2])})


JointsAt = Callable[[float], Tensor]
"""Function from a time in seconds to the joints (22, 3) at that time."""


@dataclass(frozen=True, eq=False)
class Field:
    """A property of goals and its widget.

    Attributes:
        label: of the widget.
        widget: creates the widget from viser's GUI and the label.
        applies: whether a goal has the property.
        read: returns its value.
        write: returns the goal with another value. Raises ValidationError for an invalid one.
    """

    label: str
    widget: Callable[[Any, str], Any]
    applies: Callable[[Any], bool]
    read: Callable[[Any], Any]
    write: Callable[[Any, Any, JointsAt], Goal]


def _by_name(name: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any, JointsAt], Goal]]:
    """Read and write a field of the goal."""

    def write(goal: Any, value: Any, joints_at: JointsAt) -> Goal:
        return with_value(goal, name, value)

    return (lambda goal: getattr(goal, name)), write


def _two_words(name: str, yes: str, no: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any, JointsAt], Goal]]:
    """Read and write a field of two values as a checkbox."""

    def write(goal: Any, value: Any, joints_at: JointsAt) -> Goal:
        return with_value(goal, name, yes if value else no)

    return (lambda goal: getattr(goal, name) == yes), write


def _axis_held(axis: int) -> tuple[Callable[[Any], Any], Callable[[Any, Any, JointsAt], Goal]]:
    """Read and write whether a key frame constrains an axis; at least one remains constrained."""

    def write(goal: Joint, value: bool, joints_at: JointsAt) -> Goal:
        now = [place is not None for place in goal.position]
        now[axis] = value
        there = joints_at(goal.last_time)[JOINTS.index(goal.joint)].tolist()
        return constrain_axes(goal, (now[0], now[1], now[2]), there) if any(now) else goal

    return (lambda goal: goal.position[axis] is not None), write


def with_value(goal: Any, name: str, value: Any) -> Goal:
    """A copy of a goal with another value of a field. Raises ValidationError for an invalid one."""
    other: Goal = type(goal).model_validate({**dict(goal), name: value})
    return other


def _slider(least: float, most: float, step: float) -> Callable[[Any, str], Any]:
    return lambda gui, label: gui.add_slider(label, least, most, step, max(least, 0.0))


def _size(gui: Any, label: str) -> Any:
    return gui.add_vector2(label, (0.8, 0.8), min=(0.1, 0.1), max=(10.0, 10.0), step=0.05)


def _checkbox(gui: Any, label: str) -> Any:
    return gui.add_checkbox(label, False)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda goal: isinstance(goal, kinds)


FIELDS = (
    Field("Radius, m", _slider(0.1, 5.0, 0.05), lambda g: getattr(g, "radius", None) is not None, *_by_name("radius")),
    Field("Size, m", _size, lambda g: getattr(g, "size", None) is not None, *_by_name("size")),
    Field(
        "Rotation, °", _slider(-180.0, 180.0, 5.0),
        lambda g: isinstance(g, Heading) or getattr(g, "size", None) is not None, *_by_name("degrees"),
    ),
    Field("Clearance, m", _slider(0.0, 1.0, 0.05), _is(Obstacle), *_by_name("margin")),
    Field("For the whole body", _checkbox, _is(Obstacle), *_two_words("body", "whole", "root")),
    Field("Smooth curve", _checkbox, _is(PathGoal), *_two_words("curve", "spline", "line")),
    Field("Orient along path", _checkbox, _is(PathGoal), *_by_name("face_along")),
    Field("Lock X", _checkbox, _is(Joint), *_axis_held(0)),
    Field("Lock height", _checkbox, _is(Joint), *_axis_held(1)),
    Field("Lock Z", _checkbox, _is(Joint), *_axis_held(2)),
    Field("Distance, m", _slider(0.0, 1.5, 0.05), _is(Relation), *_by_name("distance")),
    Field("In place", _checkbox, _is(Loop), *_by_name("in_place")),
)  # fmt: skip
"""All properties that widgets can set."""
