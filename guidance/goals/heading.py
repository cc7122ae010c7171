"""Goals of heading: the body faces a direction, expressed by positions of hips and shoulders; also for paths."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from guidance.goals.base import Degrees, Span, asking
from guidance.goals.observation import Observation
from motion_diffusion.body.heading import facing_angle, turn

TURNED = (1, 2, 16, 17)
"""Hips and shoulders: the joints that determine the heading."""


class Heading(Span):
    """Face a direction at a time, or from `start` to `end`."""

    kind: Literal["heading"] = "heading"
    degrees: Degrees
    """Direction that the body faces: 0 is +z, ahead at the start; 90 is +x, to the left of that; -90 to the right."""

    @property
    def is_motion_dependent(self) -> bool:
        return True

    def target_for(self, joints: Tensor) -> Observation:
        rows = self.within(len(joints))
        return facing(joints, rows, torch.full((len(rows),), math.radians(self.degrees), dtype=torch.float64))

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        rows = self.within(len(joints))
        faced = facing_angle(joints[rows.start : rows.stop])
        worst = faced[wrapped(faced - math.radians(self.degrees)).abs().argmax()]
        return f"face {self.degrees:g}°: {math.degrees(worst.item()):.0f}°"


def facing(joints: Tensor, rows: range, angles: Tensor, places: Tensor | None = None) -> Observation:
    """Targets of hips and shoulders, rotated about the pelvis so that a motion faces given angles.

    Args:
        joints: (F, 22, 3) metres.
        rows: n frames.
        angles: (n,) radians, 0 for +z, π/2 for +x.
        places: (n, 2) targets of the pelvis' x and z at these frames; hips and shoulders move with it.
    """
    values = joints.double().clone()
    mask = torch.zeros_like(joints, dtype=torch.bool)
    at = slice(rows.start, rows.stop)
    now = values[at]
    around = now[:, TURNED, :] - now[:, :1]
    turned = turn(around, angles.to(now.device) - facing_angle(now)) + now[:, :1]
    if places is not None:
        shift = places.to(now) - now[:, 0, [0, 2]]
        turned[..., [0, 2]] += shift[:, None]
        values[at, 0, 0], values[at, 0, 2] = places.to(now).unbind(-1)
        mask[at, 0, 0] = mask[at, 0, 2] = True
    for index, joint in enumerate(TURNED):
        values[at, joint] = turned[:, index]
        mask[at, joint, 0] = mask[at, joint, 2] = True
    return asking(joints, values, mask)


def wrapped(angle: Tensor) -> Tensor:
    """Angles in radians, wrapped to [-π, π]."""
    return torch.atan2(angle.sin(), angle.cos())
