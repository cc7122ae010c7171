"""Goals that relate joints or times: a foot that stays, hands at a distance, a motion that loops."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from guidance.goals.base import (
    GoalBase,
    JointName,
    Length,
    Position,
    Seconds,
    Span,
    asking,
    check_interval,
    during,
    free_as_nan,
    nothing,
)
from guidance.goals.observation import Observation
from motion_diffusion.body.heading import facing_angle, turn
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of


class Contact(GoalBase):
    """Keep a foot or a hand in one place from `start` to `end`."""

    kind: Literal["contact"] = "contact"
    joint: Literal["left_foot", "right_foot", "left_ankle", "right_ankle", "left_wrist", "right_wrist"]
    """ "foot" is the ball of the foot."""
    start: Seconds
    """First second of the interval …"""
    end: Seconds
    """… and its last."""
    position: Position | None = None
    """x, y, z in metres; where omitted or null, the mean position in the motion is used."""

    @model_validator(mode="after")
    def _when(self) -> Contact:
        check_interval(self.start, self.end)
        return self

    @property
    def last_time(self) -> float:
        return frame_of(self.end) / FPS

    @property
    def when(self) -> str:
        return during(self.start, self.end)

    @property
    def is_motion_dependent(self) -> bool:
        return True

    def within(self, frames: int) -> range:
        """The goal's frames within a motion of so many frames."""
        return range(frame_of(self.start), min(frame_of(self.end) + 1, frames))

    def given(self, frames: int) -> tuple[range, Tensor]:
        values = nothing(1)
        if self.position is not None:
            values[0, JOINTS.index(self.joint)] = torch.tensor(free_as_nan(self.position), dtype=torch.float64)
        return self.within(frames), values

    def target_for(self, joints: Tensor) -> Observation:
        rows, joint = self.within(len(joints)), JOINTS.index(self.joint)
        values, mask = joints.double().clone(), torch.zeros_like(joints, dtype=torch.bool)
        if len(rows):
            at = slice(rows.start, rows.stop)
            given = torch.tensor(free_as_nan(self.position or (None, None, None))).to(values)
            values[at, joint] = torch.where(given.isnan(), values[at, joint].mean(0), given)
            mask[at, joint] = True
        return asking(joints, values, mask)


class Relation(Span):
    """Keep two joints at a distance from each other: hands together, a hand at the head."""

    kind: Literal["relation"] = "relation"
    joints: Annotated[list[JointName], Field(min_length=2, max_length=2)]
    """The names of the two joints."""
    distance: Length
    """Metres between them; hands held together are 0.1 apart."""

    @model_validator(mode="after")
    def _known(self) -> Relation:
        if self.joints[0] == self.joints[1]:
            raise ValueError("'joints' names one joint twice; give two")
        return self

    @property
    def is_motion_dependent(self) -> bool:
        return True

    def pair(self) -> tuple[int, int]:
        """The indices of the two joints."""
        return JOINTS.index(self.joints[0]), JOINTS.index(self.joints[1])

    def target_for(self, joints: Tensor) -> Observation:
        (a, b), rows = self.pair(), self.within(len(joints))
        values, mask = joints.double().clone(), torch.zeros_like(joints, dtype=torch.bool)
        at = slice(rows.start, rows.stop)
        middle, between = (values[at, a] + values[at, b]) / 2, values[at, b] - values[at, a]
        length = between.norm(dim=-1, keepdim=True)
        across = between.new_tensor([1.0, 0.0, 0.0]).expand_as(between)
        direction = torch.where(length > 1e-9, between / length.clamp_min(1e-9), across)
        values[at, a], values[at, b] = (
            middle - direction * self.distance / 2,
            middle + direction * self.distance / 2,
        )
        mask[at, a] = mask[at, b] = True
        return asking(joints, values, mask)

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        (a, b), rows = self.pair(), self.within(len(joints))
        apart = (joints[rows.start : rows.stop, a] - joints[rows.start : rows.stop, b]).norm(dim=-1)
        worst = apart[(apart - self.distance).abs().argmax()].item()
        return f"{self.joints[0]}, {self.joints[1]} {self.distance:.2f} m apart: {worst:.2f} m"


class Loop(GoalBase):
    """End in the pose of the first frame, so that the motion can be repeated."""

    kind: Literal["loop"] = "loop"
    in_place: bool = Field(default=True, strict=True)
    """Whether the motion ends where it began; otherwise only the pose is the same, with any position and heading."""

    @property
    def last_time(self) -> float:
        return 0.0

    @property
    def when(self) -> str:
        return "end"

    @property
    def is_motion_dependent(self) -> bool:
        return True

    def target_for(self, joints: Tensor) -> Observation:
        values, mask = joints.double().clone(), torch.zeros_like(joints, dtype=torch.bool)
        first, last = values[:1], values[-1:]
        if not self.in_place:
            floor = first.new_tensor([1.0, 0.0, 1.0])
            turned = turn(first - first[:, :1] * floor, facing_angle(last) - facing_angle(first))
            first = turned + last[:, :1] * floor
        values[-1], mask[-1] = first[0], True
        return asking(joints, values, mask)

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        return "last pose as the first"
