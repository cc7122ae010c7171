"""When things happen: a goal's time as a stretch of seconds, moved to another one; and how long a plan lasts."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from guidance.goals.base import SHORTEST, Moment, Span
from guidance.goals.goal_set import Goal
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import PathGoal
from guidance.goals.relations import Contact, Loop
from motion_diffusion.body.skeleton import FPS, frame_of
from visualize.studio.document import Document


def span(goal: Goal, seconds: float) -> tuple[float, float] | None:
    """The first and the last second of a goal in a motion of so many; None for one that has no time of its own."""
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


def within(goal: Goal, start: float, end: float, seconds: float) -> Goal | None:
    """What a goal in a motion of so many seconds wants from second `start` to second `end`, frames both; None: nothing.

    An obstacle stays all the time. So does a joint that is to stay where it is, for that is where it was before.
    """
    if isinstance(goal, Loop):
        return goal if frame_of(end) >= frame_of(seconds) else None
    if isinstance(goal, Obstacle):
        return goal
    when = span(goal, seconds)
    frames = range(0) if when is None else range(frame_of(when[0]), frame_of(when[1]) + 1)
    inside = range(max(frames.start, frame_of(start)), min(frames.stop, frame_of(end) + 1))
    if not inside:
        return None
    if inside == frames or (isinstance(goal, Contact) and goal.position is None):
        return goal
    first, last = inside[0] / FPS, inside[-1] / FPS
    if isinstance(goal, PathGoal):
        return _cut(goal, first, last)
    if isinstance(goal, Pose) and goal.motion is not None:
        poses = goal.motion[inside.start - frames.start : inside.stop - frames.start]
        at = {"frame": inside.start, "time": None, "start": None, "end": None}
        return goal.model_copy(update={**at, "motion": poses})
    return goal.model_copy(update={"start": first, "end": last})


def _cut(path: PathGoal, first: float, last: float) -> PathGoal | None:
    """A path from one second to another, straight from corner to corner or from frame to frame; None for a dot."""
    if last - first < SHORTEST:
        return None
    between = path.schedule()[0] if path.curve == "line" else np.arange(frame_of(first), frame_of(last)) / FPS
    between = between[(between > first + SHORTEST) & (between < last - SHORTEST)]
    times = [first, *between[np.diff(between, prepend=first) >= SHORTEST].tolist(), last]
    points = [(float(x), float(z)) for x, z in path.places(np.array(times) * FPS)]
    return path.model_copy(update={"points": points, "times": times, "start": None, "end": None, "curve": "line"})


def lasting(plan: Document, part: int, seconds: float) -> Document:
    """The plan with a part that lasts so long. Goals that last to the end of the motion last to its new end."""
    said = plan.parts[part].model_copy(update={"seconds": round(seconds * FPS) / FPS})
    longer = plan.changed("parts", (*plan.parts[:part], said, *plan.parts[part + 1 :]))
    goals = []
    for goal in plan.goals:
        when = None if isinstance(goal, Obstacle) else span(goal, plan.seconds)
        if when is not None and abs(when[1] - plan.seconds) < 0.5 / FPS:
            goal = timed(goal, min(when[0], longer.seconds), longer.seconds, longer.seconds)
        goals.append(goal)
    return longer.changed("goals", tuple(goals))


def text_at(plan: Document, second: float) -> str:
    """What the plan says at a second; before and after it, the words of its first and its last part."""
    ends = accumulate(part.seconds for part in plan.parts)
    said = (part.text for part, end in zip(plan.parts, ends, strict=True) if second - plan.begin < end)
    return next(said, plan.parts[-1].text)


def saying(plan: Document, part: int, text: str) -> Document:
    """The plan with other words for a part."""
    said = plan.parts[part].model_copy(update={"text": text})
    return plan.changed("parts", (*plan.parts[:part], said, *plan.parts[part + 1 :]))
