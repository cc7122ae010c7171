"""Base classes of goals: validated fields, the time at which a goal applies, and the methods of every goal."""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from torch import Tensor

from guidance.goals.observation import Observation
from motion_diffusion.body.motion import MAX_SECONDS
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of

# Strict: JSON's true, "1" and 1.0 are not frames, and true and "1" are not metres.
_FINITE = {"strict": True, "allow_inf_nan": False}
Seconds = Annotated[float, Field(ge=0, le=5e7, **_FINITE)]
Duration = Annotated[float, Field(gt=0, le=MAX_SECONDS, **_FINITE)]
Frame = Annotated[int, Field(ge=0, le=10**9, strict=True)]
MAX_COORDINATE = 1000.0
"""Maximum distance in metres from the origin along any axis."""
Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE, **_FINITE)]
Length = Annotated[float, Field(ge=0, le=100, **_FINITE)]
Size = Annotated[float, Field(gt=0, le=100, **_FINITE)]
Degrees = Annotated[float, Field(ge=-360, le=360, **_FINITE)]
Weight = Annotated[float, Field(gt=0, le=1e6, **_FINITE)]
Place = tuple[Coordinate, Coordinate]
"""x and z on the floor, metres."""
Position = tuple[Coordinate | None, Coordinate | None, Coordinate | None]
"""x, y and z in metres; null leaves an axis free."""


def _has_a_length(numbers: tuple[float, ...]) -> tuple[float, ...]:
    if not math.hypot(*numbers) > 1e-6:
        raise ValueError("has no direction: all its numbers are 0; give one that has, such as [0, 0, 1]")
    return numbers


def _is_a_rotation(numbers: tuple[float, ...]) -> tuple[float, ...]:
    if abs(length := math.hypot(*numbers)) > 0 and abs(length - 1) < 1e-2:
        return numbers
    raise ValueError(f"has a length of {length:.3g}; a quaternion [w, x, y, z] that is a rotation has 1")


_Number = Annotated[float, Field(**_FINITE)]
Direction = Annotated[tuple[_Number, _Number, _Number], AfterValidator(_has_a_length)]
"""x, y and z of any length but 0."""
Quaternion = Annotated[tuple[_Number, _Number, _Number, _Number], AfterValidator(_is_a_rotation)]
"""w, x, y and z."""


def _known_joint(name: str) -> str:
    if name not in JOINTS:
        raise ValueError(f"unknown joint {name[:40]!r}; choose from {', '.join(JOINTS)}")
    return name


JointName = Annotated[str, AfterValidator(_known_joint), WithJsonSchema({"type": "string", "enum": list(JOINTS)})]

SHORTEST = 1e-3
"""Minimum seconds between two `times`."""


def _kind_is_needed(schema: dict[str, Any]) -> None:
    """In Python the class determines the kind; in a file the field is required."""
    schema["required"] = ["kind", *schema.get("required", [])]


class GoalBase(BaseModel):
    """Fields and methods that all goals have."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_extra=_kind_is_needed
    )

    tolerance: Length = 0.05
    """Distance in metres within which the goal counts as met."""
    weight: Weight = 1.0
    """Weight relative to other goals."""

    @property
    @abstractmethod
    def last_time(self) -> float:
        """The last second at which the goal applies."""

    @property
    def is_motion_dependent(self) -> bool:
        """Whether the target depends on the motion, so that `target_for` returns more than `observe`."""
        return False

    @property
    def when(self) -> str:
        """The time at which the goal applies, as text."""
        return f"{self.last_time:.2f} s"

    def given(self, frames: int) -> tuple[range, Tensor]:
        """The target for any motion of F frames, as far as it does not depend on the motion.

        Returns:
            The n frames at which it applies, those beyond the end left out; and its values (n or 1, 22, 3) in metres,
            NaN where it leaves joints free.
        """
        return range(0), nothing(0)

    def observe(self, frames: int) -> Observation:
        """`given` as an observation of all frames, (F, 22, 3)."""
        observation = Observation.empty(frames)
        observation.write(*self.given(frames))
        return observation

    def target_for(self, joints: Tensor) -> Observation:
        """The target for this motion (F, 22, 3): the nearest positions that meet the goal, masked where it applies."""
        return like(self.observe(len(joints)), joints)

    def most_violated(self, joints: Tensor) -> Observation:
        """The most violated part of the goal. Projection imposes it first, since that often satisfies the rest."""
        return self.target_for(joints)

    def compared(self, joints: Tensor) -> tuple[Observation, Tensor]:
        """The target for this motion (F, 22, 3), and the motion's joints, both at the frames at which the goal applies
        alone if it does not depend on the motion.
        """
        if self.is_motion_dependent:
            return self.target_for(joints), joints
        rows, values = self.given(len(joints))
        target = Observation.empty(len(rows))
        target.write(range(len(rows)), values)
        return like(target, joints), joints[rows.start : rows.stop]

    def misses(self, joints: Tensor, world: Tensor | None = None) -> Tensor:
        """Distances in metres of a motion from the goal, one for each entry.

        Args:
            joints: (F, 22, 3) metres.
            world: (F, 22, 3, 3) orientations of the joints, if known.

        Returns:
            (N,) distances.
        """
        target, motion = self.compared(joints)
        return target.errors(motion)

    def is_met(self, worst: float) -> bool:
        """Whether the goal is met, given the largest of its `misses`."""
        return worst <= self.tolerance

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        """One-line "target: achieved" report for goals that have no single target position; see `misses` for the
        arguments.
        """
        return ""


class Moment(GoalBase):
    """A goal at one moment, given as `time` in seconds or as `frame`."""

    time: Seconds | None = None
    """Time in seconds."""
    frame: Frame | None = None
    """Time in frames, 20 per second; instead of `time`."""

    @model_validator(mode="after")
    def _one_moment(self) -> Moment:
        if (self.time is None) == (self.frame is None):
            raise ValueError("give either 'time' (seconds) or 'frame', not both")
        return self

    @property
    def at_frame(self) -> int:
        """The frame at which the goal applies."""
        return self.frame if self.frame is not None else frame_of(self.time or 0.0)

    @property
    def last_time(self) -> float:
        return self.at_frame / FPS


class Span(GoalBase):
    """A goal at one moment (`time` or `frame`), or throughout an interval from `start` to `end` in seconds."""

    time: Seconds | None = None
    """Time in seconds."""
    frame: Frame | None = None
    """Time in frames, 20 per second; instead of `time`."""
    start: Seconds | None = None
    """First second of an interval …"""
    end: Seconds | None = None
    """… and its last; instead of `time`."""

    @model_validator(mode="after")
    def _one_span(self) -> Span:
        interval = self.start is not None or self.end is not None
        if [self.time is not None, self.frame is not None, interval].count(True) != 1:
            raise ValueError("give one of 'time' (seconds), 'frame', or 'start' and 'end' (seconds)")
        if interval:
            check_interval(self.start, self.end)
        return self

    @property
    def is_interval(self) -> bool:
        """Whether the goal was given by `start` and `end`."""
        return self.end is not None

    @property
    def first(self) -> int:
        """The first frame."""
        return self.frame if self.frame is not None else frame_of(self.time or self.start or 0.0)

    @property
    def last(self) -> int:
        """The last frame."""
        return self.first if self.end is None else frame_of(self.end)

    @property
    def last_time(self) -> float:
        return self.last / FPS

    @property
    def when(self) -> str:
        return during(self.first / FPS, self.last_time)

    def within(self, frames: int) -> range:
        """The goal's frames within a motion of so many frames."""
        return range(self.first, min(self.last + 1, frames))


def check_interval(start: float | None, end: float | None) -> None:
    """Raise ValueError unless both times are given and ordered."""
    if start is None or end is None:
        raise ValueError("give both 'start' and 'end' (seconds)")
    if end < start:
        raise ValueError("'end' must not be earlier than 'start'")


def check_times(times: list[float], points: int) -> None:
    """Raise ValueError unless there is a time for each point and times increase."""
    if len(times) != points:
        raise ValueError(f"{points} points need as many 'times', got {len(times)}")
    if any(b - a < SHORTEST for a, b in pairwise(times)):
        raise ValueError(f"'times' must increase, by {SHORTEST:g} s at least")


def during(start: float, end: float) -> str:
    """An interval in seconds as text."""
    return f"{end:.2f} s" if start >= end else f"{start:.2f}–{end:.2f} s"


def nothing(rows: int) -> Tensor:
    """(rows, 22, 3) of NaN, to be filled in for `GoalBase.given`."""
    return torch.full((rows, len(JOINTS), 3), torch.nan, dtype=torch.float64)


def free_as_nan(position: Position) -> list[float]:
    """A position with NaN for free axes."""
    return [torch.nan if axis is None else axis for axis in position]


def like(observation: Observation, joints: Tensor) -> Observation:
    """The observation with the device and dtype of a motion."""
    return Observation(
        observation.values.to(joints), observation.mask.to(joints.device), observation.weights.to(joints)
    )


def asking(joints: Tensor, values: Tensor, mask: Tensor) -> Observation:
    """An observation of values (F, 22, 3), of any dtype, for a motion (F, 22, 3)."""
    values = torch.where(mask, values.to(joints), torch.zeros_like(joints))
    return Observation(values, mask, torch.ones_like(joints[..., 0]))
