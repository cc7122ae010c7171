"""Plans to begin with, each with one goal to drag, and hints that go away once they have been followed."""

from __future__ import annotations

from guidance.goals.goal_set import Goal
from guidance.goals.positions import Joint, PathGoal
from visualize.studio.plan import Plan, PromptPart

EXAMPLES: dict[str, tuple[str, float, Goal]] = {
    "Walk a path": (
        "a person walks",
        6.0,
        PathGoal(points=[(0.0, 0.0), (0.8, 1.2), (-0.4, 2.5), (0.5, 3.8)], start=0.0, end=5.95, curve="spline"),
    ),
    "Reach": (
        "a person raises the right hand",
        3.0,
        Joint(joint="right_wrist", time=1.5, position=(-0.35, 1.65, 0.4)),
    ),
    "Crouch": ("a person bows", 3.0, Joint(joint="pelvis", time=1.5, position=(None, 0.55, None))),
}
"""Prompt, seconds and goal of each example, by its label."""


def example_plan(plan: Plan, label: str) -> Plan:
    """The plan with prompt, duration and goal of an example; model and settings stay."""
    text, seconds, goal = EXAMPLES[label]
    parts = (PromptPart(text=text, seconds=seconds),)
    return plan.standalone().changed("parts", parts).changed("goals", (goal,))


HINTS: tuple[tuple[str, str], ...] = (
    ("try", "<b>Try an example</b>, or press Path and draw on the floor."),
    ("drag", "<b>Drag a green ball</b>, or one of its arrows. The motion follows."),
    ("prompt", "<b>Type another prompt.</b> Press a suggestion to use it."),
    (
        "keys",
        "<b>Space</b> plays and pauses, <b>Ctrl+Z</b> undoes, <b>Delete</b> deletes the selected goal, "
        "<b>Page Up</b> and <b>Page Down</b> step through the frames.",
    ),
)
"""Hints in order, by the name of what they ask for. Each is displayed until that has been done."""


def next_hint(done: frozenset[str]) -> str:
    """The first hint that has not been followed; empty after all."""
    return next((hint for name, hint in HINTS if name not in done), "")
