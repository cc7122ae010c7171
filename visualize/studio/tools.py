"""What a click or a stroke on the floor does to a plan, by the tool in hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from guidance.goals.goal_set import Goal
from guidance.goals.positions import PathGoal
from motion_diffusion.body.skeleton import JOINTS
from visualize.studio import drawing
from visualize.studio.document import Document
from visualize.studio.drawing import Place

Tool = Literal["Look", "Path", "Way-point", "Circle", "Box", "Key frame", "Facing"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
HINTS: dict[Tool, str] = {
    "Look": "Drag to look around, click a goal to take hold of it.",
    "Path": "Drag along the floor, or click from point to point.",
    "Way-point": "Click where the body should be at the time below.",
    "Circle": "Drag from the middle to the edge of a place to stay out of.",
    "Box": "Drag from corner to corner of a place to stay out of.",
    "Key frame": "Click where the joint should be at the time below, then move it by its arrows.",
    "Facing": "Drag the way the body should face at the time below.",
}
USUAL_SIZE = 0.4
"""Metres from the middle to the edge of an obstacle that is set down by a click."""


@dataclass(frozen=True)
class Hand:
    """The tool that is held, and when and how it is used."""

    tool: Tool = "Look"
    time: float = 0.0
    """The second on the time line."""
    joint: str = "right_wrist"
    face_along: bool = False
    growing: int | None = None
    """The number of the path that clicks make longer."""


def clicked(plan: Document, hand: Hand, place: Place, standing: Tensor) -> tuple[Document, int | None]:
    """The plan after a click on the floor, and which goal is in hand now. standing: (22, 3), the body at that time."""
    if hand.tool == "Path":
        return _longer(plan, hand, place, standing)
    return drawn(plan, hand, [place], standing)


def drawn(plan: Document, hand: Hand, points: Sequence[Place], standing: Tensor) -> tuple[Document, int | None]:
    """The plan after a stroke on the floor, one point or more, and which goal is in hand now."""
    goal = _goal(plan, hand, points, standing)
    return (plan, None) if goal is None else (plan.with_goal(goal), len(plan.goals))


def _goal(plan: Document, hand: Hand, points: Sequence[Place], standing: Tensor) -> Goal | None:
    first, last = points[0], points[-1]
    dot = drawing.length_of([first, last]) < drawing.DOT
    time = min(max(hand.time, plan.begin), plan.seconds)
    if hand.tool == "Path":
        at = _place(standing)
        return drawing.stroke(points, plan.seconds, begin=plan.begin, at=at, face_along=hand.face_along)
    if hand.tool == "Way-point":
        return drawing.waypoint(last, time)
    if hand.tool == "Circle":
        return drawing.circle(first, (first[0] + USUAL_SIZE, first[1]) if dot else last)
    if hand.tool == "Box":
        corners = [(first[0] + side, first[1] + side) for side in (-USUAL_SIZE, USUAL_SIZE)]
        return drawing.box(*corners) if dot else drawing.box(first, last)
    if hand.tool == "Key frame":
        height = float(standing[JOINTS.index(hand.joint), 1])
        return drawing.key_frame(hand.joint, (last[0], height, last[1]), time)
    if hand.tool == "Facing":
        return drawing.heading(_place(standing) if dot else first, last, time)
    return None


def _longer(plan: Document, hand: Hand, place: Place, standing: Tensor) -> tuple[Document, int | None]:
    """The path in hand up to a place; or a path from where the body begins."""
    if hand.growing is not None and hand.growing < len(plan.goals):
        goal = plan.goals[hand.growing]
        if isinstance(goal, PathGoal) and goal.times is None:
            if drawing.length_of([goal.points[-1], place]) < drawing.DOT:
                return plan, hand.growing
            longer = {"points": [*goal.points, (round(place[0], 3), round(place[1], 3))], "curve": "spline"}
            return plan.with_goal(goal.model_copy(update=longer), hand.growing), hand.growing
    return drawn(plan, hand, [_place(standing), place], standing)


def _place(standing: Tensor) -> Place:
    return float(standing[0, 0]), float(standing[0, 2])
