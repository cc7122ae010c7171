"""What of a goal can be set by numbers and ticks: which goals have it, how it is read, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from guidance.goals.goal_set import Goal
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint, PathGoal
from guidance.goals.relations import Loop, Relation
from motion_diffusion.body.skeleton import JOINTS
from visualize.studio.drawing import held

Standing = Callable[[float], Tensor]
"""(22, 3): where the body is at a second."""


@dataclass(frozen=True, eq=False)
class Field:
    """Something of a goal, and the widget that shows it."""

    label: str
    widget: Callable[[Any, str], Any]
    """Makes it, from viser's gui and the label."""
    applies: Callable[[Any], bool]
    read: Callable[[Any], Any]
    write: Callable[[Any, Any, Standing], Goal]
    """The goal with another value. ValidationError if it cannot have that."""


def _plain(name: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any, Standing], Goal]]:
    """How a goal's own field is read and written."""

    def write(goal: Any, value: Any, standing: Standing) -> Goal:
        return changed(goal, name, value)

    return (lambda goal: getattr(goal, name)), write


def _either(name: str, yes: str, no: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any, Standing], Goal]]:
    """How a field of two words is read and written as a tick."""

    def write(goal: Any, value: Any, standing: Standing) -> Goal:
        return changed(goal, name, yes if value else no)

    return (lambda goal: getattr(goal, name) == yes), write


def _axis(axis: int) -> tuple[Callable[[Any], Any], Callable[[Any, Any, Standing], Goal]]:
    """How it is read and written whether a key frame holds an axis; one is held always."""

    def write(goal: Joint, value: bool, standing: Standing) -> Goal:
        now = [place is not None for place in goal.position]
        now[axis] = value
        there = standing(goal.last_time)[JOINTS.index(goal.joint)].tolist()
        return held(goal, (now[0], now[1], now[2]), there) if any(now) else goal

    return (lambda goal: goal.position[axis] is not None), write


def changed(goal: Any, name: str, value: Any) -> Goal:
    """A goal with another value of a field, checked. ValidationError if it cannot have that."""
    other: Goal = type(goal).model_validate({**dict(goal), name: value})
    return other


def _slider(least: float, most: float, step: float) -> Callable[[Any, str], Any]:
    return lambda gui, label: gui.add_slider(label, least, most, step, max(least, 0.0))


def _size(gui: Any, label: str) -> Any:
    return gui.add_vector2(label, (0.8, 0.8), min=(0.1, 0.1), max=(10.0, 10.0), step=0.05)


def _tick(gui: Any, label: str) -> Any:
    return gui.add_checkbox(label, False)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda goal: isinstance(goal, kinds)


FIELDS = (
    Field("Radius, m", _slider(0.1, 5.0, 0.05), lambda g: getattr(g, "radius", None) is not None, *_plain("radius")),
    Field("Size, m", _size, lambda g: getattr(g, "size", None) is not None, *_plain("size")),
    Field(
        "Turned, °", _slider(-180.0, 180.0, 5.0),
        lambda g: isinstance(g, Heading) or getattr(g, "size", None) is not None, *_plain("degrees"),
    ),
    Field("Margin, m", _slider(0.0, 1.0, 0.05), _is(Obstacle), *_plain("margin")),
    Field("Whole body", _tick, _is(Obstacle), *_either("body", "whole", "root")),
    Field("Smooth curve", _tick, _is(PathGoal), *_either("curve", "spline", "line")),
    Field("Face along it", _tick, _is(PathGoal), *_plain("face_along")),
    Field("Hold sideways", _tick, _is(Joint), *_axis(0)),
    Field("Hold height", _tick, _is(Joint), *_axis(1)),
    Field("Hold ahead", _tick, _is(Joint), *_axis(2)),
    Field("Apart, m", _slider(0.0, 1.5, 0.05), _is(Relation), *_plain("distance")),
    Field("In place", _tick, _is(Loop), *_plain("in_place")),
)  # fmt: skip
"""All that can be set."""
