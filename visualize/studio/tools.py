"""Drawing tools: from clicks and strokes on the floor to goals, and from goals to handles that move them.

The floor is y = 0; a floor point is (x, z) in metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from guidance.goals.base import Position
from guidance.goals.goal_set import Goal
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of
from visualize.studio.goal_editing import FloorPoint, polyline_length
from visualize.studio.plan import Plan

Tool = Literal["Move", "Path", "Way-point", "Circle", "Box", "Key frame", "Facing"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
TOOL_HINTS: dict[Tool, str] = {
    "Move": "Click a goal to select it, drag its ball to move it; drag elsewhere to turn the camera.",
    "Path": "Drag along the floor, or click from point to point.",
    "Way-point": "Click where the body should be at the current time.",
    "Circle": "Drag from the centre to the edge of an obstacle.",
    "Box": "Drag from corner to corner of an obstacle.",
    "Key frame": "Click where the joint should be at the current time, then drag its arrows.",
    "Facing": "Drag the way the body should face at the current time.",
}
DEFAULT_SIZE = 0.4
"""Half the size in metres of an obstacle placed by a click."""
Array = NDArray[np.float64]
MAX_DISTANCE = 50.0
"""Maximum distance in metres from the origin."""
STROKE_TOLERANCE = 0.04
"""Maximum error in metres of a simplified stroke."""
MIN_STROKE = 0.05
"""Minimum length in metres of a stroke."""
SNAP_DISTANCE = 0.35
"""Strokes that begin within this distance in metres of the body start at the body."""
WALKING_SPEED = 1.3
"""Speed in m/s of the approach to a stroke that begins farther away."""
MAX_HANDLES = 24
"""Maximum number of points of a path with a handle each; a longer path moves as a whole."""


@dataclass(frozen=True)
class ToolState:
    """The selected tool and its options."""

    tool: Tool = "Move"
    time: float = 0.0
    """Time at which goals are placed, seconds."""
    joint: str = "right_wrist"
    face_along: bool = False
    extending: int | None = None
    """Index of the path that further clicks extend."""


def apply_click(plan: Plan, state: ToolState, place: FloorPoint, joints: Tensor) -> tuple[Plan, int | None]:
    """Apply the tool to a click on the floor.

    Args:
        plan: to change.
        state: the tool.
        place: of the click.
        joints: (22, 3) body at the tool's time.

    Returns:
        The new plan and the index of the goal to select.
    """
    if state.tool == "Path":
        return _extend_path(plan, state, place, joints)
    return apply_stroke(plan, state, [place], joints)


def apply_stroke(plan: Plan, state: ToolState, points: Sequence[FloorPoint], joints: Tensor) -> tuple[Plan, int | None]:
    """Apply the tool to a stroke of one or more floor points; see `apply_click`."""
    goal = _goal(plan, state, points, joints)
    return (plan, None) if goal is None else (plan.with_goal(goal), len(plan.goals))


def _goal(plan: Plan, state: ToolState, points: Sequence[FloorPoint], joints: Tensor) -> Goal | None:
    first, last = points[0], points[-1]
    dot = polyline_length([first, last]) < MIN_STROKE
    time = min(max(state.time, plan.start), plan.seconds)
    if state.tool == "Path":
        at = _place(joints)
        return path_from_stroke(points, plan.seconds, begin=plan.start, at=at, face_along=state.face_along)
    if state.tool == "Way-point":
        return waypoint_at(last, time)
    if state.tool == "Circle":
        return circle_obstacle(first, (first[0] + DEFAULT_SIZE, first[1]) if dot else last)
    if state.tool == "Box":
        corners = [(first[0] + side, first[1] + side) for side in (-DEFAULT_SIZE, DEFAULT_SIZE)]
        return box_obstacle(*corners) if dot else box_obstacle(first, last)
    if state.tool == "Key frame":
        height = float(joints[JOINTS.index(state.joint), 1])
        return key_frame(state.joint, (last[0], height, last[1]), time)
    if state.tool == "Facing":
        return heading_towards(_place(joints) if dot else first, last, time)
    return None


def _extend_path(plan: Plan, state: ToolState, place: FloorPoint, joints: Tensor) -> tuple[Plan, int | None]:
    """Extend the current path, or start one at the body."""
    if state.extending is not None and state.extending < len(plan.goals):
        goal = plan.goals[state.extending]
        if isinstance(goal, PathGoal) and goal.times is None:
            if polyline_length([goal.points[-1], place]) < MIN_STROKE:
                return plan, state.extending
            longer = {"points": [*goal.points, (round(place[0], 3), round(place[1], 3))], "curve": "spline"}
            return plan.with_goal(goal.model_copy(update=longer), state.extending), state.extending
    return apply_stroke(plan, state, [_place(joints), place], joints)


def _place(joints: Tensor) -> FloorPoint:
    return float(joints[0, 0]), float(joints[0, 2])


def intersect_floor(origin: Sequence[float], direction: Sequence[float], height: float = 0.0) -> FloorPoint | None:
    """Intersection of a ray with the plane at a height; None if there is none within `MAX_DISTANCE`."""
    o, d = np.asarray(origin, dtype=float), np.asarray(direction, dtype=float)
    if not (np.isfinite(o).all() and np.isfinite(d).all()) or abs(d[1]) < 1e-9:
        return None
    far = (height - o[1]) / d[1]
    x, _, z = o + far * d
    return (float(x), float(z)) if far > 0 and math.hypot(x, z) <= MAX_DISTANCE else None


def simplify(points: Sequence[FloorPoint], detail: float = STROKE_TOLERANCE) -> list[FloorPoint]:
    """Simplify a polyline to a tolerance in metres, keeping both ends (Ramer 1972; Douglas & Peucker 1973)."""
    line = np.asarray(points, dtype=float)
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    stretches = [(0, len(line) - 1)]
    while stretches:
        first, last = stretches.pop()
        if last - first < 2:
            continue
        away = _distances_from_segment(line[first + 1 : last], line[first], line[last])
        worst = int(away.argmax())
        if away[worst] > detail:
            middle = first + 1 + worst
            keep[middle] = True
            stretches += [(first, middle), (middle, last)]
    return [(float(x), float(z)) for x, z in line[keep]]


def _distances_from_segment(points: Array, start: Array, end: Array) -> Array:
    """Distances (n,) of points (n, 2) from the segment between two points."""
    along = end - start
    share = ((points - start) @ along) / max(float(along @ along), 1e-12)
    return np.linalg.norm(points - start - np.clip(share, 0, 1)[:, None] * along, axis=-1)


def path_from_stroke(
    points: Sequence[FloorPoint],
    seconds: float,
    *,
    begin: float = 0.0,
    at: FloorPoint = (0.0, 0.0),
    face_along: bool = False,
) -> PathGoal | None:
    """Path goal along a stroke at an even pace.

    A stroke that begins near the body starts there at second `begin`; any other starts when a walker arrives, at the
    latest in the middle of the time.

    Args:
        points: of the stroke.
        seconds: end of the path.
        begin: start of the motion, seconds.
        at: position of the body at that time.
        face_along: whether the body faces along the path.

    Returns:
        The goal; None for a stroke shorter than `MIN_STROKE`.
    """
    line = simplify(points) if len(points) > 1 else list(points)
    if not line or polyline_length(line) < MIN_STROKE:
        return None
    away = math.dist(line[0], at)
    start = begin
    if away <= SNAP_DISTANCE:
        line = [at, *line[1:]]
    else:
        start = _round_time(begin + min(away / WALKING_SPEED, (seconds - begin) / 2))
    line = [_round_point(point) for point in line]
    smooth = len(line) > 2
    return PathGoal(points=line, start=start, end=seconds, curve="spline" if smooth else "line", face_along=face_along)


def waypoint_at(place: FloorPoint, time: float) -> Waypoint:
    """Way-point at a floor point and a time."""
    return Waypoint(time=_round_time(time), x=round(place[0], 3), z=round(place[1], 3))


def circle_obstacle(place: FloorPoint, edge: FloorPoint) -> Obstacle:
    """Circular obstacle with a given centre and a point on its edge."""
    radius = max(math.dist(place, edge), 0.1)
    return Obstacle(shape="circle", center=_round_point(place), radius=round(radius, 3))


def box_obstacle(corner: FloorPoint, opposite: FloorPoint) -> Obstacle:
    """Box obstacle between two opposite corners."""
    middle = ((corner[0] + opposite[0]) / 2, (corner[1] + opposite[1]) / 2)
    size = tuple(round(max(abs(a - b), 0.1), 3) for a, b in zip(corner, opposite, strict=True))
    return Obstacle(shape="box", center=_round_point(middle), size=(size[0], size[1]))


def heading_towards(place: FloorPoint, towards: FloorPoint, time: float) -> Heading:
    """Heading from one floor point towards another at a time."""
    degrees = math.degrees(math.atan2(towards[0] - place[0], towards[1] - place[1]))
    return Heading(time=_round_time(time), degrees=round(degrees, 1))


def key_frame(joint: str, position: Sequence[float], time: float) -> Joint:
    """Target position of a joint at a time."""
    x, y, z = (round(float(axis), 3) for axis in position)
    return Joint(joint=joint, time=_round_time(time), position=(x, y, z))


@dataclass(frozen=True)
class Handle:
    """A point by which a goal is moved.

    Attributes:
        number: among the goal's handles.
        position: x, y, z in metres.
        free: whether it moves vertically too.
    """

    number: int
    position: tuple[float, float, float]
    free: bool = False


def handles(goal: Goal, joints: Array) -> list[Handle]:
    """Handles of a goal; `joints` (22, 3) fills in its free axes."""
    if isinstance(goal, Waypoint):
        return [Handle(0, (goal.x, 0.0, goal.z))]
    if isinstance(goal, PathGoal) and len(goal.points) <= MAX_HANDLES:
        return [Handle(k, (x, 0.0, z)) for k, (x, z) in enumerate(goal.points)]
    if isinstance(goal, PathGoal):
        x, z = goal.points[0]
        return [Handle(0, (x, 0.0, z))]
    if isinstance(goal, Obstacle):
        x, z = goal.center or (goal.centers or [(0.0, 0.0)])[0]
        return [Handle(0, (x, 0.0, z))]
    if isinstance(goal, Joint):
        return [Handle(0, fill_free_axes(goal.position, joints[JOINTS.index(goal.joint)]), free=True)]
    if isinstance(goal, Contact) and goal.position is not None:
        x, _, z = fill_free_axes(goal.position, joints[JOINTS.index(goal.joint)])
        return [Handle(0, (x, 0.0, z))]
    return []


def fill_free_axes(position: Position, otherwise: Array) -> tuple[float, float, float]:
    """Replace the free axes of a position by those of another one."""
    x, y, z = (float(b if a is None else a) for a, b in zip(position, otherwise, strict=True))
    return x, y, z


def move_handle(goal: Goal, number: int, to: tuple[float, float, float]) -> Goal:
    """A copy of a goal with a handle moved to a point (x, y, z). Free axes remain free."""
    x, y, z = (round(min(max(float(axis), -MAX_DISTANCE), MAX_DISTANCE), 3) for axis in to)
    if isinstance(goal, Waypoint):
        return goal.model_copy(update={"x": x, "z": z})
    if isinstance(goal, PathGoal):
        shifted = _shifted(goal.points, number, (x, z), whole=len(goal.points) > MAX_HANDLES)
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


def _shifted(points: Sequence[FloorPoint], number: int, to: FloorPoint, *, whole: bool) -> list[FloorPoint]:
    """Move one point, or all points by the same offset."""
    x, z = to[0] - points[number][0], to[1] - points[number][1]
    return [_round_point((a + x, b + z)) if whole or k == number else (a, b) for k, (a, b) in enumerate(points)]


def _round_point(place: FloorPoint) -> FloorPoint:
    return round(place[0], 3), round(place[1], 3)


def _round_time(time: float) -> float:
    """Time of the nearest frame."""
    return frame_of(time) / FPS
