"""Goals: where the body should be, and when. One JSON format for every way of giving them.

    {"version": 1, "goals": [
        {"kind": "waypoint", "time": 2.0, "x": 0.0, "z": 2.0},
        {"kind": "path", "points": [[0, 0], [0, 2], [1, 3]], "start": 0.0, "end": 5.0},
        {"kind": "joint", "joint": "right_wrist", "time": 3.0, "position": [null, 1.6, null]}]}

Metres, y up; the motion begins at (0, 0) facing +z, with left at +x. Times are seconds, or frames where the field is
called `frame`. Every goal may have a `tolerance` in metres (within it, it counts as met) and a `weight`.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor

from guidance.observation import Observation
from motion_diffusion.errors import InputError
from motion_diffusion.skeleton import FPS, JOINTS

Seconds = Annotated[FiniteFloat, Field(ge=0)]
Coordinate = Annotated[FiniteFloat, Field(ge=-100, le=100)]


class GoalBase(BaseModel):
    """What all goals have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Annotated[FiniteFloat, Field(ge=0)] = 0.05
    weight: Annotated[FiniteFloat, Field(gt=0)] = 1.0

    @property
    @abstractmethod
    def last_time(self) -> float:
        """The last second that the goal speaks of."""

    @abstractmethod
    def targets(self) -> list[tuple[int, int, tuple[float | None, float | None, float | None]]]:
        """What the goal observes: (frame, joint, position with None for axes left free)."""

    def observe(self, frames: int) -> Observation:
        """The goal as numbers over a motion of so many frames."""
        observation = Observation.empty(frames)
        for frame, joint, position in self.targets():
            for axis, value in enumerate(position):
                if value is not None:
                    observation.values[frame, joint, axis] = value
                    observation.mask[frame, joint, axis] = True
        return observation


class Timed(GoalBase):
    """A goal at one moment, given as `time` in seconds or as `frame`."""

    time: Seconds | None = None
    frame: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_moment(self) -> Timed:
        if (self.time is None) == (self.frame is None):
            raise ValueError("give either 'time' (seconds) or 'frame', not both")
        return self

    @property
    def at_frame(self) -> int:
        return self.frame if self.frame is not None else round((self.time or 0.0) * FPS)

    @property
    def last_time(self) -> float:
        return self.at_frame / FPS


class Waypoint(Timed):
    """Be above (x, z) on the floor at a time: a goal of the pelvis."""

    kind: Literal["waypoint"] = "waypoint"
    x: Coordinate
    z: Coordinate

    def targets(self) -> list[tuple[int, int, tuple[float | None, float | None, float | None]]]:
        return [(self.at_frame, 0, (self.x, None, self.z))]


class Joint(Timed):
    """Have a joint at a position at a time; null leaves an axis free."""

    kind: Literal["joint"] = "joint"
    joint: str
    position: tuple[Coordinate | None, Coordinate | None, Coordinate | None]

    @model_validator(mode="after")
    def _known(self) -> Joint:
        if self.joint not in JOINTS:
            raise ValueError(f"unknown joint {self.joint!r}; choose from {', '.join(JOINTS)}")
        if all(axis is None for axis in self.position):
            raise ValueError("'position' leaves every axis free; give at least one number")
        return self

    def targets(self) -> list[tuple[int, int, tuple[float | None, float | None, float | None]]]:
        return [(self.at_frame, JOINTS.index(self.joint), self.position)]


class Path_(GoalBase):
    """Walk along a line of points on the floor, from second `start` to second `end`.

    With `times`, one for each point, the pelvis is above each point at its time and moves evenly in between; without,
    it moves along the whole line at an even pace.
    """

    kind: Literal["path"] = "path"
    points: Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=2)]
    times: list[Seconds] | None = None
    start: Seconds | None = None
    end: Seconds | None = None

    @model_validator(mode="after")
    def _when(self) -> Path_:
        if self.times is not None:
            if self.start is not None or self.end is not None:
                raise ValueError("give either 'times' or 'start' and 'end', not both")
            if len(self.times) != len(self.points):
                raise ValueError(f"{len(self.points)} points need as many 'times', got {len(self.times)}")
            if any(b <= a for a, b in zip(self.times, self.times[1:], strict=False)):
                raise ValueError("'times' must increase")
        elif self.end is None:
            raise ValueError("give 'end' (the second at which the last point is reached) or 'times'")
        elif self.end <= (self.start or 0.0):
            raise ValueError("'end' must be later than 'start'")
        return self

    def schedule(self) -> tuple[Tensor, Tensor]:
        """Times in seconds (P,) and points (P, 2) of the line."""
        points = torch.tensor(self.points, dtype=torch.float64)
        if self.times is not None:
            return torch.tensor(self.times, dtype=torch.float64), points
        length = torch.cat([torch.zeros(1), (points[1:] - points[:-1]).norm(dim=-1).cumsum(0)])
        start, end = self.start or 0.0, self.end or 0.0
        share = length / length[-1] if length[-1] > 0 else torch.linspace(0, 1, len(points))
        return start + (end - start) * share, points

    @property
    def last_time(self) -> float:
        return float(self.schedule()[0][-1])

    def targets(self) -> list[tuple[int, int, tuple[float | None, float | None, float | None]]]:
        times, points = self.schedule()
        first, last = round(float(times[0]) * FPS), round(float(times[-1]) * FPS)
        result: list[tuple[int, int, tuple[float | None, float | None, float | None]]] = []
        for frame in range(first, last + 1):
            now = min(max(frame / FPS, float(times[0])), float(times[-1]))
            after = min(max(int(torch.searchsorted(times, now)), 1), len(times) - 1)
            gap = float(times[after] - times[after - 1])
            share = (now - float(times[after - 1])) / gap if gap > 0 else 1.0
            x, z = (points[after - 1] + share * (points[after] - points[after - 1])).tolist()
            result.append((frame, 0, (x, None, z)))
        return result


Goal = Annotated[Waypoint | Path_ | Joint, Field(discriminator="kind")]
KINDS = ("waypoint", "path", "joint")


class Goals(BaseModel):
    """A list of goals, as it stands in a goal file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    goals: list[Goal] = []

    def check(self, frames: int) -> None:
        """InputError if a goal speaks of a time beyond a motion of so many frames."""
        for number, goal in enumerate(self.goals, 1):
            if round(goal.last_time * FPS) >= frames:
                raise InputError(
                    f"goal {number} ({goal.kind}): its time {goal.last_time:g} s is beyond the motion; its last frame "
                    f"is at {(frames - 1) / FPS:g} s; make the motion longer (--seconds) or the time earlier"
                )

    def observe(self, frames: int) -> Observation:
        """All goals together as numbers over a motion of so many frames; later goals win where they meet."""
        self.check(frames)
        observation = Observation.empty(frames)
        for goal in self.goals:
            observation = observation.updated(goal.observe(frames), weight=goal.weight)
        return observation

    def residuals(self, joints: Tensor) -> list[Residual]:
        """How well a motion (F, 22, 3) meets each goal."""
        return [Residual.of(goal, joints) for goal in self.goals]


class Residual(BaseModel):
    """One goal and what became of it. `error` is the mean distance over the goal's frames, in metres."""

    goal: Goal
    wanted: tuple[float | None, float | None, float | None]
    """The goal's last position."""
    reached: tuple[float, float, float]
    error: float
    worst: float
    met: bool

    @staticmethod
    def of(goal: Waypoint | Path_ | Joint, joints: Tensor) -> Residual:
        observation = goal.observe(len(joints))
        error = observation.errors(joints)
        frame, joint, wanted = goal.targets()[-1]
        x, y, z = joints[frame, joint].tolist()
        return Residual(
            goal=goal,
            wanted=wanted,
            reached=(x, y, z),
            error=error.mean().item(),
            worst=error.max().item(),
            met=error.max().item() <= goal.tolerance,
        )


def load_goals(path: str | Path) -> Goals:
    """Read a goal file. InputError names the file, the goal and the field, and says what to do."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no goal file {path}; give the path of a JSON file like assets/goals/zigzag.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON: {error}; check commas, quotes and brackets there") from None
    try:
        return Goals.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    """The first complaint in words: which goal, which field, what is wrong, and what would be right."""
    first = error.errors()[0]
    place: Sequence[int | str] = first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        message = f"unknown or missing 'kind'; choose from {', '.join(KINDS)}"
    if first["type"] == "extra_forbidden":
        message = "unknown field; take it out or correct its name"
    words = []
    if len(place) >= 2 and place[0] == "goals":
        words.append(f"goal {int(place[1]) + 1}" + (f" ({place[2]})" if len(place) > 2 else ""))
        place = place[3:]
    if place:
        words.append("field " + ".".join(str(part) for part in place))
    return ": ".join([*words, message])
