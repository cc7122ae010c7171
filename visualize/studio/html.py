"""HTML of the page: texts, tables and the time line. All user input is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from guidance.goals.goal_set import Goal, Residual
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.orientations import Orientation
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal
from guidance.goals.relations import Contact, Relation
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.prompts import Known, in_words
from visualize.drawing import style
from visualize.studio.generation import PlanReport, Take
from visualize.studio.goal_editing import time_span
from visualize.studio.plan import Plan
from visualize.studio.tools import polyline_length

GOOD, BAD, FAINT = "#00704f", "#b3402a", style.MIDDLE
"""Text colours with a contrast of at least 4.5 to 1 on white (WCAG 2)."""
EMPTY_PLAN_HINT = (
    "<b>Nothing is drawn yet.</b> Press Path and drag along the floor, or leave it to the words; then press Generate."
)
"""Hint for a plan without goals."""


def block(content: str, *, top: float = 0.0) -> str:
    """Content in the size of the page's labels, with margins; `top` is the upper one in em."""
    return (
        f'<div style="font-size:0.82em;line-height:1.45;margin:{top}em 0.75em 0.55em;color:{style.INK}">{content}</div>'
    )


def note(text: str, hue: str = FAINT) -> str:
    """A line of text."""
    return block(f'<span style="color:{hue}">{escape(text)}</span>')


def describe_goal(goal: Goal) -> str:
    """Short description of a goal."""
    if isinstance(goal, PathGoal):
        metres = polyline_length(goal.schedule()[1].tolist())
        first, last = (goal.times[0], goal.times[-1]) if goal.times else (goal.start or 0.0, goal.end or 0.0)
        return f"path of {metres:.1f} m, {metres / max(last - first, 1e-6):.1f} m/s"
    if isinstance(goal, Obstacle):
        return f"{goal.shape} to stay out of"
    if isinstance(goal, Joint):
        return f"{_readable(goal.joint)} at {', '.join('–' if a is None else f'{a:.2f}' for a in goal.position)}"
    if isinstance(goal, Heading):
        return f"face {goal.degrees:.0f}°"
    if isinstance(goal, Orientation):
        return f"{_readable(goal.joint)} {'turned' if goal.facing is None else 'faces'} as it is said"
    if isinstance(goal, Contact):
        return f"{_readable(goal.joint)} stays"
    if isinstance(goal, Relation):
        return f"{_readable(goal.joints[0])} and {_readable(goal.joints[1])} {100 * goal.distance:.0f} cm apart"
    if isinstance(goal, Pose):
        return "pose" if goal.frames == 1 else f"poses, {goal.frames} frames"
    return "way-point" if goal.kind == "waypoint" else "end as it began"


def goal_label(number: int, goal: Goal) -> str:
    """A goal with its number, counted from 1."""
    return f"{number}  {describe_goal(goal)}"


def _readable(joint: str) -> str:
    return joint.replace("_", " ")


def plan_report(found: PlanReport, plan: Plan) -> str:
    """Feasibility of a plan."""
    if found.error:
        return block(f'<b style="color:{BAD}">Cannot be made.</b> {escape(capitalise(found.error))}')
    parts = [("Not learned.", found.unlearned), ("Hard for a person.", found.warnings)]
    warnings = "".join(_headed(title, lines) for title, lines in parts if lines)
    if warnings:
        return warnings
    return note("A person can do this.", GOOD) if plan.goals else block(EMPTY_PLAN_HINT)


def _headed(title: str, lines: Sequence[str]) -> str:
    """Warnings under a title."""
    return block(
        f'<b style="color:{BAD}">{title}</b>' + "".join(f"<div>{escape(capitalise(line))}</div>" for line in lines)
    )


def known_actions_table(known: Known | None) -> str:
    """Table of what a model was trained on: actions, minutes, examples and styles."""
    if known is None:
        return note("This model does not say what it was trained on.")
    rows = [_cells("", ["minutes"], head=True)]
    for action in known.actions:
        styles = f"<br><small>{escape(in_words(action.styles))}</small>" if action.styles else ""
        example = f'<br><span style="color:{FAINT}">{escape(action.example)}</span>'
        rows.append(_cells(f"{escape(action.name)}{example}{styles}", [f"{60 * action.hours:.1f}"]))
    return block(f'<table style="width:100%;border-collapse:collapse">{"".join(rows)}</table>', top=0.3)


def capitalise(line: str) -> str:
    """Capitalise the first letter."""
    return line[:1].upper() + line[1:]


def residual_table(takes: Sequence[Take], chosen: Take | None) -> str:
    """Table of the error at every goal, one column per take; all takes have the same order of goals."""
    if not takes:
        return note("Takes appear here, with how far each is from every goal.")
    every = [take.residuals for take in takes]
    rows = [_cells("", [_head(take, take is chosen) for take in takes], head=True)]
    for index in range(max(map(len, every))):
        goal = next(took[index].goal for took in every if index < len(took))
        cells = [_residual_cell(took[index]) if index < len(took) else "" for took in every]
        rows.append(_cells(escape(goal_label(index + 1, goal)), cells))
    if len(rows) == 1:
        rows.append(_cells("no goals", ["" for _ in takes]))
    if any(take.fit for take in takes):
        rows.append(_cells("fits its words", [take.fit or "" for take in takes]))
    return block(f'<table style="width:100%;border-collapse:collapse">{"".join(rows)}</table>', top=0.3)


def _head(take: Take, chosen: bool) -> str:
    model = escape(take.plan.model)
    return f'<span style="color:{GOOD if chosen else style.INK}">{take.name}</span><br><small>{model}</small>'


def _residual_cell(residual: Residual) -> str:
    hue, sign = (GOOD, "✓") if residual.met else (BAD, "✗")
    return f'<span style="color:{hue}">{100 * residual.error:.1f} cm {sign}</span>'


def _cells(first: str, cells: Sequence[str], *, head: bool = False) -> str:
    rule = f"border-bottom:1px solid {style.TILE};padding:0.25em 0.3em 0.25em 0"
    weight = "font-weight:600;" if head else ""
    row = "".join(f'<td style="{rule};text-align:right;{weight}white-space:nowrap">{cell}</td>' for cell in cells)
    return f'<tr><td style="{rule}">{first}</td>{row}</tr>'


def time_line(plan: Plan, selected: int | None) -> str:
    """Prompt parts and goal intervals over time, as an SVG as wide as its panel."""
    width, left, row = 540.0, 4.0, min(11.0, 90.0 / max(len(plan.goals), 1))
    whole = max(plan.seconds, 1 / FPS)

    def at(second: float) -> float:
        return left + (width - 2 * left) * min(max(second / whole, 0.0), 1.0)

    shapes, y = [], 6.0
    if plan.start > 0:
        shapes.append(f'<rect x="{at(0)}" y="0" width="{at(plan.start) - at(0)}" height="100%" fill="{style.TILE}"/>')
    second = plan.start
    for part in plan.parts:
        end = min(second + part.seconds, whole)
        shapes.append(
            f'<rect x="{at(second) + 1:.1f}" y="{y}" width="{max(at(end) - at(second) - 2, 1):.1f}" height="15" rx="3" '
            f'fill="{style.SHADOW}"/><text x="{at(second) + 8:.1f}" y="{y + 11}" font-size="10" fill="{style.INK}">'
            f"{escape(part.text[: max(int((end - second) / whole * 95), 3)])}</text>"
        )
        second = end
    y += 20
    for index, goal in enumerate(plan.goals):
        when = time_span(goal, whole) or (whole, whole)
        hue = style.OBSTACLE if isinstance(goal, Obstacle) else style.GOAL
        strong = 1.0 if index == selected else 0.65
        start, end, middle = at(when[0]) - 3, at(when[1]) + 3, y + row / 2
        shapes.append(
            f'<line x1="{left}" x2="{width - left}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="{style.TILE}"/>'
            f'<rect x="{start:.1f}" y="{y + row / 5:.1f}" width="{end - start:.1f}" height="{0.6 * row:.1f}" rx="3" '
            f'fill="{hue}" fill-opacity="{strong}"/>'
        )
        y += row
    for tick in range(int(whole) + 1):
        shapes.append(
            f'<text x="{at(tick):.1f}" y="{y + 10}" font-size="8.5" text-anchor="{"middle" if tick else "start"}" '
            f'fill="{FAINT}">{tick} s</text>'
        )
    y += 13
    return (
        f'<div style="margin:0.2em 0.75em 0.4em"><svg viewBox="0 0 {width:g} {y:g}" width="100%" '
        f'style="display:block" font-family="inherit">{"".join(shapes)}</svg></div>'
    )
