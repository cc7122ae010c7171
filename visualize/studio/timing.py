"""When things happen: a goal's time as a stretch of seconds, moved to another one; and how long a plan lasts."""

from __future__ import annotations

from guidance.base import SHORTEST, Moment, Span
from guidance.goals import Contact, Goal, Loop, Obstacle, Path_, Pose, Segment
from motion_diffusion.skeleton import FPS
from visualize.studio.document import Document


def span(goal: Goal, seconds: float) -> tuple[float, float] | None:
    """The first and the last second of a goal in a motion of so many; None for one that has no time of its own."""
    if isinstance(goal, Loop):
        return None
    if isinstance(goal, Obstacle):
        return goal.start or 0.0, seconds if goal.end is None else goal.end
    if isinstance(goal, Path_):
        return (goal.times[0] if goal.times is not None else goal.start or 0.0), goal.last_time
    if isinstance(goal, Contact):
        return goal.start, goal.end
    if isinstance(goal, Span):
        return goal.first / FPS, goal.last_time
    return goal.last_time, goal.last_time


def is_moment(goal: Goal) -> bool:
    """Whether a goal can only be at one moment, or begins at one and lasts as long as it lasts."""
    return isinstance(goal, Moment) or (isinstance(goal, Pose) and goal.motion is not None)


def timed(goal: Goal, start: float, end: float, seconds: float) -> Goal:
    """The goal at these seconds, within a motion of so many. What has one moment takes the first; a path stays even."""
    start, end = (round(min(max(second, 0.0), seconds) * FPS) / FPS for second in (start, end))
    if isinstance(goal, Loop):
        return goal
    if isinstance(goal, Obstacle):
        always = {"start": start if start > 0 else None, "end": end if end < seconds - 0.5 / FPS else None}
        return goal.model_copy(update=always)
    if isinstance(goal, Path_):
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


def lasting(plan: Document, part: int, seconds: float) -> Document:
    """The plan with a part that lasts so long. Goals that last to the end of the motion last to its new end."""
    said = Segment(text=plan.parts[part].text, seconds=round(seconds * FPS) / FPS)
    longer = plan.changed("parts", (*plan.parts[:part], said, *plan.parts[part + 1 :]))
    goals = []
    for goal in plan.goals:
        when = None if isinstance(goal, Obstacle) else span(goal, plan.seconds)
        if when is not None and abs(when[1] - plan.seconds) < 0.5 / FPS:
            goal = timed(goal, min(when[0], longer.seconds), longer.seconds, longer.seconds)
        goals.append(goal)
    return longer.changed("goals", tuple(goals))


def saying(plan: Document, part: int, text: str) -> Document:
    """The plan with other words for a part."""
    said = Segment(text=text, seconds=plan.parts[part].seconds)
    return plan.changed("parts", (*plan.parts[:part], said, *plan.parts[part + 1 :]))
