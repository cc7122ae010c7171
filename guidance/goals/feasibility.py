"""Feasibility of goals: warnings about goals that exceed a person's size or speed, before any sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from guidance.goals.goal_set import Goal, GoalSet
from guidance.goals.observation import Observation
from guidance.goals.poses import Pose
from guidance.goals.relations import Relation
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS, PARENTS

RUN = 8.0
"""m/s of the pelvis: good runners over a hundred metres; sprinters reach 12."""
SWING = 15.0
"""m/s of any other joint: a throwing hand reaches 20, a waving one 5."""
TURN = 720.0
"""degrees/s about the vertical: two turns per second, as dancers do."""
HIGHEST = 1.8
"""m of the pelvis: standing it is 0.95 m high, and the best jumps raise it by 0.8 m."""
LOWEST = -0.2
"""m of any joint: the floor is at 0; goals from captured motion may be slightly lower."""
STRETCH = 0.05
"""Relative deviation from this body's bone lengths up to which goals are accepted; the body bends to compensate."""


@dataclass
class _Report:
    """The worst line for each kind of problem and the goals concerned."""

    worst: dict[tuple[str, tuple[int, ...]], tuple[float, str]] = field(default_factory=dict)

    def add(self, sort: str, goals: tuple[int, ...], badness: float, line: str) -> None:
        numbers = tuple(sorted({number for number in goals if number > 0}))
        if badness > self.worst.get((sort, numbers), (-math.inf, ""))[0]:
            named = "the start" if not numbers else f"goal{'s' * (len(numbers) > 1)} " + " and ".join(map(str, numbers))
            self.worst[sort, numbers] = badness, f"{named}: {line}"

    def lines(self) -> list[str]:
        return [line for _, line in self.worst.values()]


def feasibility(goals: GoalSet, frames: int) -> list[str]:
    """Check what a person cannot do of these goals.

    Motions begin at (0, 0) facing +z, which counts as goal 0 unless a goal specifies otherwise. The check uses the part
    of the targets that does not depend on the motion.

    Args:
        goals: the goals.
        frames: length of the motion.

    Returns:
        Warnings, one line each; empty if nothing is wrong.

    Raises:
        InputError: for goals beyond the end.
    """
    observation = goals.observe(frames)
    owner = torch.zeros(frames, len(JOINTS), dtype=torch.long)
    for number, goal in enumerate(goals.goals, 1):
        rows, values = goal.given(frames)
        owner[rows.start : rows.stop][(~values.isnan()).any(-1).expand(len(rows), -1)] = number
    if not observation.mask[0, 0].any():
        observation.mask[0, 0, 0] = observation.mask[0, 0, 2] = True
    report = _Report()
    _speeds(report, observation, owner)
    _heights(report, observation, owner)
    _reaches(report, observation, owner)
    _bones(report, observation, owner)
    _obstacles(report, goals, observation, owner)
    _turns(report, goals, frames)
    _relations(report, goals)
    for number, goal in enumerate(goals.goals, 1):
        if isinstance(goal, Pose) and goal.retargeted:
            line = "the file is of another body; its poses are put on this one by the directions of the bones"
            report.add("body", (number,), 0.0, line)
    return report.lines()


def reach(a: int, b: int = 0) -> float:
    """Maximum distance in metres between two joints: the sum of the bones between them."""
    ways = []
    for joint in (a, b):
        way = set()
        while joint > 0:
            way.add(joint)
            joint = PARENTS[joint]
        ways.append(way)
    return float(BONE_LENGTHS[sorted(ways[0] ^ ways[1])].sum())


_REACH = torch.tensor([[reach(a, b) for b in range(len(JOINTS))] for a in range(len(JOINTS))])


def _name(joint: int) -> str:
    return JOINTS[joint].replace("_", " ")


def _apart(a: Tensor, b: Tensor, axes: Tensor) -> float:
    """Distance in metres between two positions (3,) along some axes."""
    return (a - b)[axes].norm().item()


def _speeds(report: _Report, observed: Observation, owner: Tensor) -> None:
    for joint in observed.mask.any(-1).any(0).nonzero()[:, 0].tolist():
        limit, who = (RUN, "people run at") if joint == 0 else (SWING, f"a {_name(joint)} moves at")
        for a, b in pairwise(observed.mask[:, joint].any(-1).nonzero()[:, 0].tolist()):
            way = _apart(
                observed.values[a, joint], observed.values[b, joint], observed.mask[a, joint] & observed.mask[b, joint]
            )
            speed = way * FPS / (b - a)
            if speed > limit:
                between = f"between {a / FPS:.4g} s and {b / FPS:.4g} s"
                goals = (int(owner[a, joint]), int(owner[b, joint]))
                report.add("speed", goals, speed, f"{speed:.1f} m/s {between}; {who} up to {limit:g} m/s")


def _heights(report: _Report, observed: Observation, owner: Tensor) -> None:
    for frame, joint in observed.mask[..., 1].nonzero().tolist():
        height, highest = observed.values[frame, joint, 1].item(), HIGHEST + reach(joint)
        goals = (int(owner[frame, joint]),)
        if height < LOWEST:
            report.add("low", goals, -height, f"{_name(joint)} {-height:.2f} m below the floor")
        elif height > highest:
            line = f"{_name(joint)} {height:.2f} m above the floor; it gets up to {highest:.1f} m, so "
            line += f"{height - highest:.1f} m are left"
            report.add("high", goals, height, line)


def _reaches(report: _Report, observed: Observation, owner: Tensor) -> None:
    """Check for all pairs of joints given in a frame that the bones between them are long enough."""
    for frame in (observed.mask.any(-1).sum(1) > 1).nonzero()[:, 0].tolist():
        given = observed.mask[frame].any(-1).nonzero()[:, 0]
        axes = observed.mask[frame, given]
        both = (axes[:, None] & axes).to(observed.values)
        away = ((observed.values[frame, given][:, None] - observed.values[frame, given]) * both).norm(dim=-1)
        for i, j in (away > _REACH[given][:, given] * (1 + STRETCH)).triu(1).nonzero().tolist():
            a, b, far = int(given[i]), int(given[j]), away[i, j].item()
            if PARENTS[b] == a and both[i, j].all():
                continue  # a bone; see _bones
            most, goals = reach(a, b), (int(owner[frame, a]), int(owner[frame, b]))
            line = f"{_name(b)} {far:.1f} m from the {_name(a)} at {frame / FPS:.4g} s; it reaches {most:.1f} m"
            report.add("reach", goals, far / most, f"{line}, so {far - most:.1f} m are left")


def _bones(report: _Report, observed: Observation, owner: Tensor) -> None:
    whole = observed.mask.all(-1)
    for joint in range(1, len(JOINTS)):
        parent, length = PARENTS[joint], float(BONE_LENGTHS[joint])
        for frame in (whole[:, joint] & whole[:, parent]).nonzero()[:, 0].tolist():
            away = (observed.values[frame, joint] - observed.values[frame, parent]).norm().item()
            off = abs(away / length - 1)
            if off > STRETCH:
                goals = (int(owner[frame, parent]), int(owner[frame, joint]))
                line = f"{_name(joint)} {away:.2f} m from the {_name(parent)} at {frame / FPS:.4g} s; that bone is "
                report.add("bone", goals, off, f"{line}{length:.2f} m long")


def _obstacles(report: _Report, goals: GoalSet, observed: Observation, owner: Tensor) -> None:
    placed = (observed.mask[:, 0, 0] & observed.mask[:, 0, 2]).nonzero()[:, 0]
    for number, goal in enumerate(goals.goals, 1):
        if goal.kind != "obstacle":
            continue
        distance = goal.distance(observed.values[placed, 0][:, [0, 2]], placed)
        for frame, depth in zip(placed.tolist(), (-distance).tolist(), strict=True):
            if depth > 0:
                other = int(owner[frame, 0])
                name = f"goal {other} ({goals.goals[other - 1].kind})" if other else "the start (0, 0)"
                line = f"{name} lies {depth:.2f} m inside this obstacle at {frame / FPS:.4g} s"
                report.add(f"inside {other}", (number,), depth, line)


def _turns(report: _Report, goals: GoalSet, frames: int) -> None:
    wanted = [(0, 0.0, 0)]
    for number, goal in enumerate(goals.goals, 1):
        wanted += [(frame, degrees, number) for frame, degrees in _headings(goal, frames)]
    if any(frame == 0 and number for frame, _, number in wanted):
        wanted = wanted[1:]
    for (a, one, first), (b, other, second) in pairwise(sorted(wanted, key=lambda entry: entry[0])):
        turned = abs((other - one + 180) % 360 - 180)
        if a == b and turned > 1:
            line = f"the body shall face {one:.0f}° and {other:.0f}° at {a / FPS:.4g} s"
            report.add("face", (first, second), turned, line)
        elif a < b and turned * FPS / (b - a) > TURN:
            speed = turned * FPS / (b - a)
            line = f"{speed:.0f}°/s between {a / FPS:.4g} s and {b / FPS:.4g} s; people turn at up to {TURN:g}°/s"
            report.add("turn", (first, second), speed, line)


def _headings(goal: Goal, frames: int) -> list[tuple[int, float]]:
    """Directions in degrees that a goal wants the body to face: (frame, degrees) in order."""
    if goal.kind == "heading":
        return [(frame, goal.degrees) for frame in goal.within(frames)]
    if goal.kind == "path" and goal.face_along:
        return list(zip(goal.within(frames), goal.directions(frames).rad2deg().tolist(), strict=True))
    return []


def _relations(report: _Report, goals: GoalSet) -> None:
    asked: dict[tuple[int, int], list[tuple[int, Relation]]] = {}
    for number, goal in enumerate(goals.goals, 1):
        if goal.kind == "relation":
            a, b = goal.pair()
            before = asked.setdefault((min(a, b), max(a, b)), [])
            for other, one in before:
                gap = max(goal.first - one.last, one.first - goal.last, 1) / FPS
                change = abs(goal.distance - one.distance)
                if change / gap > SWING:
                    apart = f"{one.distance:g} m and {goal.distance:g} m apart within {gap:.4g} s"
                    report.add("at once", (other, number), change, f"{_name(a)} and {_name(b)} {apart}")
            before.append((number, goal))
            if goal.distance > reach(a, b):
                line = (
                    f"{_name(a)} and {_name(b)} {goal.distance:.1f} m apart; they get up to {reach(a, b):.1f} m apart"
                )
                report.add("apart", (number,), goal.distance, line)
