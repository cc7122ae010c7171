"""From strokes and clicks to goals, and from goals to the handles by which they are moved.

The floor is y = 0; a place is (x, z) in metres. Nothing here knows the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guidance.goals.base import Position
from guidance.goals.goal_set import Goal
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact
from motion_diffusion.body.skeleton import FPS, JOINTS

Array = NDArray[np.float64]
Place = tuple[float, float]

MAX_DISTANCE = 50.0
"""Metres from the middle of the floor, at most."""
DETAIL = 0.04
"""Metres by which a simplified stroke may be off."""
DOT = 0.05
"""Metres that a stroke is long at least."""
NEAR = 0.35
"""Metres from where the body is within which a stroke begins there."""
PACE = 1.3
"""m/s at which somebody walks to where a stroke begins."""
FEW = 24
"""Points of a path that can be taken hold of one by one; a path of more moves as a whole."""


def on_floor(origin: Sequence[float], direction: Sequence[float], height: float = 0.0) -> Place | None:
    """Where a ray meets the plane at a height; None if it does not, or too far away."""
    o, d = np.asarray(origin, dtype=float), np.asarray(direction, dtype=float)
    if not (np.isfinite(o).all() and np.isfinite(d).all()) or abs(d[1]) < 1e-9:
        return None
    far = (height - o[1]) / d[1]
    x, _, z = o + far * d
    return (float(x), float(z)) if far > 0 and math.hypot(x, z) <= MAX_DISTANCE else None


def simplified(points: Sequence[Place], detail: float = DETAIL) -> list[Place]:
    """The fewest of these points, with the first and the last, from whose line none is farther than `detail` metres
    (Ramer 1972; Douglas & Peucker 1973)."""
    line = np.asarray(points, dtype=float)
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    stretches = [(0, len(line) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        away = _from_segment(line[first + 1 : last], line[first], line[last])
        worst = int(away.argmax())
        if away[worst] > detail:
            middle = first + 1 + worst
            keep[middle] = True
            stretches += [(first, middle), (middle, last)]
    return [(float(x), float(z)) for x, z in line[keep]]


def _from_segment(points: Array, start: Array, end: Array) -> Array:
    """(n,) distances of points (n, 2) from the segment between two points."""
    along = end - start
    share = ((points - start) @ along) / max(float(along @ along), 1e-12)
    return np.linalg.norm(points - start - np.clip(share, 0, 1)[:, None] * along, axis=-1)


def length_of(points: Sequence[Place]) -> float:
    """Metres of a polyline."""
    return float(np.linalg.norm(np.diff(np.asarray(points, dtype=float), axis=0), axis=-1).sum())


def stroke(
    points: Sequence[Place],
    seconds: float,
    *,
    begin: float = 0.0,
    at: Place = (0.0, 0.0),
    face_along: bool = False,
) -> PathGoal | None:
    """The path goal of a stroke on the floor, at an even pace to second `seconds`; None for a mere dot.

    The motion begins at second `begin`, `at` a place. A stroke that begins near there begins there, and then; another
    one when somebody who walks has come to its first point, and in the first half.
    """
    line = simplified(points) if len(points) > 1 else list(points)
    if not line or length_of(line) < DOT:
        return None
    away = math.dist(line[0], at)
    start = begin
    if away <= NEAR:
        line = [at, *line[1:]]
    else:
        start = _tick(begin + min(away / PACE, (seconds - begin) / 2))
    line = [_rounded(point) for point in line]
    smooth = len(line) > 2
    return PathGoal(points=line, start=start, end=seconds, curve="spline" if smooth else "line", face_along=face_along)


def waypoint(place: Place, time: float) -> Waypoint:
    """The pelvis above a place at a time."""
    return Waypoint(time=_tick(time), x=round(place[0], 3), z=round(place[1], 3))


def circle(place: Place, edge: Place) -> Obstacle:
    """A circle to stay out of, from its middle to a place on its edge."""
    radius = max(math.dist(place, edge), 0.1)
    return Obstacle(shape="circle", center=_rounded(place), radius=round(radius, 3))


def box(corner: Place, opposite: Place) -> Obstacle:
    """A box to stay out of, between two opposite corners."""
    middle = ((corner[0] + opposite[0]) / 2, (corner[1] + opposite[1]) / 2)
    size = tuple(round(max(abs(a - b), 0.1), 3) for a, b in zip(corner, opposite, strict=True))
    return Obstacle(shape="box", center=_rounded(middle), size=(size[0], size[1]))


def heading(place: Place, towards: Place, time: float) -> Heading:
    """The body to face from one place towards another at a time."""
    degrees = math.degrees(math.atan2(towards[0] - place[0], towards[1] - place[1]))
    return Heading(time=_tick(time), degrees=round(degrees, 1))


def key_frame(joint: str, position: Sequence[float], time: float) -> Joint:
    """A joint at a position at a time."""
    x, y, z = (round(float(axis), 3) for axis in position)
    return Joint(joint=joint, time=_tick(time), position=(x, y, z))


def held(goal: Joint, axes: tuple[bool, bool, bool], position: Sequence[float]) -> Joint:
    """A key frame that holds these axes and leaves the others free; what it did not hold comes from a position."""
    kept = [
        (round(float(position[k]), 3) if goal.position[k] is None else goal.position[k]) if axes[k] else None
        for k in range(3)
    ]
    return goal.model_copy(update={"position": (kept[0], kept[1], kept[2])})


@dataclass(frozen=True)
class Handle:
    """A spot (x, y, z), in metres, by which a goal is moved: by its number among the goal's, on the floor or freely."""

    number: int
    position: tuple[float, float, float]
    free: bool = False
    """Whether it moves up and down too."""


def handles(goal: Goal, standing: Array) -> list[Handle]:
    """The handles of a goal. standing: (22, 3), where the body is meanwhile, for axes that the goal leaves free."""
    if isinstance(goal, Waypoint):
        return [Handle(0, (goal.x, 0.0, goal.z))]
    if isinstance(goal, PathGoal) and len(goal.points) <= FEW:
        return [Handle(k, (x, 0.0, z)) for k, (x, z) in enumerate(goal.points)]
    if isinstance(goal, PathGoal):
        x, z = goal.points[0]
        return [Handle(0, (x, 0.0, z))]
    if isinstance(goal, Obstacle):
        x, z = goal.center or (goal.centers or [(0.0, 0.0)])[0]
        return [Handle(0, (x, 0.0, z))]
    if isinstance(goal, Joint):
        return [Handle(0, filled(goal.position, standing[JOINTS.index(goal.joint)]), free=True)]
    if isinstance(goal, Contact) and goal.position is not None:
        x, _, z = filled(goal.position, standing[JOINTS.index(goal.joint)])
        return [Handle(0, (x, 0.0, z))]
    return []


def filled(position: Position, otherwise: Array) -> tuple[float, float, float]:
    """A position, its free axes filled in."""
    x, y, z = (float(b if a is None else a) for a, b in zip(position, otherwise, strict=True))
    return x, y, z


def moved(goal: Goal, number: int, to: tuple[float, float, float]) -> Goal:
    """The goal with that handle moved to a spot (x, y, z). Axes that the goal leaves free stay so."""
    x, y, z = (round(min(max(float(axis), -MAX_DISTANCE), MAX_DISTANCE), 3) for axis in to)
    if isinstance(goal, Waypoint):
        return goal.model_copy(update={"x": x, "z": z})
    if isinstance(goal, PathGoal):
        shifted = _shifted(goal.points, number, (x, z), whole=len(goal.points) > FEW)
        return goal.model_copy(update={"points": shifted})
    if isinstance(goal, Obstacle) and goal.centers is not None:
        return goal.model_copy(update={"centers": _shifted(goal.centers, 0, (x, z), whole=True)})
    if isinstance(goal, Obstacle):
        return goal.model_copy(update={"center": (x, z)})
    if isinstance(goal, Joint | Contact) and goal.position is not None:
        axes = (x, y if isinstance(goal, Joint) else goal.position[1], z)
        kept = tuple(None if old is None else new for old, new in zip(goal.position, axes, strict=True))
        return goal.model_copy(update={"position": kept})
    return goal


def _shifted(points: Sequence[Place], number: int, to: Place, *, whole: bool) -> list[Place]:
    """Points with one of them, or all by as much, moved."""
    x, z = to[0] - points[number][0], to[1] - points[number][1]
    return [_rounded((a + x, b + z)) if whole or k == number else (a, b) for k, (a, b) in enumerate(points)]


def _rounded(place: Place) -> Place:
    return round(place[0], 3), round(place[1], 3)


def _tick(time: float) -> float:
    """The second of the nearest frame."""
    return round(time * FPS) / FPS
