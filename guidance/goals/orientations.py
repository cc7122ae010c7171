"""Goals of orientation: the direction in which a joint faces, or its full rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from scipy.linalg import solveh_banded
from torch import Tensor
from torch.nn.functional import normalize

from guidance.goals.base import Direction, Quaternion, Span, asking
from guidance.goals.heading import TURNED
from guidance.goals.observation import Observation
from motion_diffusion.body.fit_energy import CONSTRAINT_WEIGHT, OrientationTargets, smoothness
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import from_quaternion, orientations, rotation_vectors, shortest_arc, turned
from motion_diffusion.body.skeleton import ANKLES, JOINTS, OFFSETS, PARENTS, TOES

Turning = Literal[
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist",
]  # fmt: skip
"""All joints but the toes."""

FINGERS = {"left_wrist": (1.0, 0.0, 0.0), "right_wrist": (-1.0, 0.0, 0.0)}
"""Direction that hands face in the T-pose: that of their fingers."""
AHEAD = (0.0, 0.0, 1.0)
"""Direction that all other joints face in the T-pose: head and pelvis look, feet point, thighs have their fronts."""
ARM = 0.1
"""Metres: lever arm that converts an angle into a distance, e.g. that of a nose or a finger-tip."""
NECK, CHEST = JOINTS.index("neck"), JOINTS.index("spine3")
FROM = {"head": (CHEST, 90.0), "left_wrist": (18, 100.0), "right_wrist": (19, 100.0)}
"""For head and hands, the joint (chest, elbow) that they rotate against and the maximum angle; beyond it, that joint
rotates.
"""
SHARED = 100.0
"""m²/rad²: weight of the neck's half of the head's rotation from the chest."""
HELD = 1e6
"""m²/rad²: weight of given rotations."""
SPREAD = 1e-3
"""Weight of rotations relative to their second differences: about 1/SPREAD^(1/4) neighbouring frames rotate as well."""
TOE_OF = {JOINTS[ankle]: toe for ankle, toe in zip(ANKLES, TOES, strict=True)}
"""The toe that a foot points at, by the name of the ankle."""


class Orientation(Span):
    """Orient a joint at a time or from `start` to `end`: the direction it faces, or its full rotation."""

    kind: Literal["orientation"] = "orientation"
    joint: Turning
    """The joint: the wrist for a hand, the ankle for a foot, the hip or the shoulder for a limb."""
    facing: Direction | None = None
    """[x, y, z]: direction in which pelvis, chest and head look, toes or fingers point, or the front of a limb faces.
    Rotation about this direction is free.
    """
    rotation: Quaternion | None = None
    """[w, x, y, z]: unit quaternion of its rotation in the world from the T-pose, which faces +z."""
    degrees: Annotated[float, Field(ge=0, le=180, strict=True)] = 5.0
    """Angle within which the goal counts as met; `tolerance` is not used."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Orientation:
        if (self.facing is None) == (self.rotation is None):
            raise ValueError("give either 'facing' (a direction) or 'rotation' (a quaternion), not both")
        return self

    @property
    def index(self) -> int:
        """Index of the joint."""
        return JOINTS.index(self.joint)

    @property
    def is_motion_dependent(self) -> bool:
        return True

    def turned(self, world: Tensor) -> Tensor:
        """(n, 3, 3) orientations in the world that meet the goal, nearest to given ones (n, 3, 3)."""
        if self.rotation is not None:
            return from_quaternion(torch.tensor(self.rotation, dtype=world.dtype)).expand_as(world)
        front = normalize(world @ world.new_tensor(FINGERS.get(self.joint, AHEAD)), dim=-1)
        return shortest_arc(front, normalize(world.new_tensor(self.facing), dim=-1).expand_as(front)) @ world

    def held(self) -> Tensor:
        """(3, 3) projection onto the rotations in the world that the goal fixes: all, or those that change the
        direction faced.
        """
        eye = torch.eye(3, dtype=torch.float64)
        if self.facing is None:
            return eye
        way = normalize(torch.tensor(self.facing, dtype=torch.float64), dim=-1)
        return eye - way[:, None] * way

    def target_for(self, joints: Tensor) -> Observation:
        """The part that joint positions can express: hips and shoulders for the pelvis, the toe for a foot; otherwise
        nothing.
        """
        rows = self.within(len(joints))
        at = slice(rows.start, rows.stop)
        values, mask = joints.double().clone(), torch.zeros_like(joints, dtype=torch.bool)
        if self.joint == "pelvis":
            now = orientations(values[at])[:, 0]
            turn = self.turned(now) @ now.mT
            parts = list(TURNED)
            values[at, parts] = (values[at, parts] - values[at, :1]) @ turn.mT + values[at, :1]
            mask[at, parts] = True
        elif self.joint in TOE_OF:
            toe = TOE_OF[self.joint]
            wanted = self.turned(orientations(values[at])[:, self.index])
            values[at, toe] = values[at, self.index] + wanted @ OFFSETS[toe].to(wanted)
            mask[at, toe] = True
        return asking(joints, values, mask)

    def off(self, world: Tensor) -> Tensor:
        """(n,) angles in radians between orientations (F, 22, 3, 3) in the world and the goal, at its n frames."""
        rows = self.within(len(world))
        now = world[rows.start : rows.stop, self.index].double()
        return rotation_vectors(self.turned(now) @ now.mT).norm(dim=-1)

    def misses(self, joints: Tensor, world: Tensor | None = None) -> Tensor:
        off = self.off(orientations(joints.double()) if world is None else world)
        return 2 * ARM * (off / 2).sin()

    def is_met(self, worst: float) -> bool:
        return worst <= 2 * ARM * math.sin(math.radians(self.degrees) / 2) + 1e-9

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        off = self.off(orientations(joints.double()) if world is None else world)
        target = f"face {list(self.facing)}" if self.facing is not None else f"be turned by {list(self.rotation or ())}"
        return f"{target}: {math.degrees(off.max().item()) if len(off) else 0.0:.1f}° off"


def turns_wanted(goals: Sequence[Orientation], body: Rig, first: int = 0) -> OrientationTargets | None:
    """Orientation targets for the joints of a body whose positions are determined by points; None without goals.

    Args:
        goals: the goals.
        body: the motion, or a part of it.
        first: frame of the motion at which the part begins.
    """
    goals = [goal for goal in goals if goal.last >= first and goal.first < first + len(body.root)]
    if not goals:
        return None
    values = body.world.clone()
    weights = torch.zeros_like(values)
    for goal in sorted(goals, key=lambda goal: goal.joint in FROM):  # joints without an alternative first
        rows = goal.within(first + len(values))
        at = slice(max(rows.start - first, 0), rows.stop - first)
        wanted = goal.turned(body.world[at, goal.index])
        if goal.joint not in FROM:
            values[at, goal.index], weights[at, goal.index] = wanted, CONSTRAINT_WEIGHT * goal.held()
            continue
        origin, farthest = FROM[goal.joint]
        base = body.world[at, origin]
        turn = rotation_vectors(base.mT @ wanted)
        over = (turn.norm(dim=-1) > math.radians(farthest))[:, None, None]
        values[at, origin] = torch.where(over, wanted @ turned(-_shortened(turn, farthest)), values[at, origin])
        weights[at, origin] = torch.where(over, CONSTRAINT_WEIGHT * torch.eye(3).double(), weights[at, origin])
        free = (weights[at, NECK] == 0).all(-1).all(-1)[:, None, None] & (goal.joint == "head")
        values[at, NECK] = torch.where(free, base @ turned(turn / 2), values[at, NECK])
        weights[at, NECK] = torch.where(free, SHARED * torch.eye(3).double(), weights[at, NECK])
    return OrientationTargets(values, weights)


def with_ends(goals: Sequence[Orientation], body: Rig, kept: Tensor | None = None) -> Rig:
    """Rotate head and hands of a body to meet goals, with smooth transitions. No position changes.

    Args:
        goals: the goals; those of other joints are ignored.
        body: the motion.
        kept: (F,) bool, frames that stay as they are.
    """
    rotations = body.rotations.clone()
    for name, (origin, farthest) in FROM.items():
        joint, mine = JOINTS.index(name), [goal for goal in goals if goal.joint == name]
        change = torch.zeros(len(rotations), 3, dtype=torch.float64)
        given = torch.zeros(len(rotations), dtype=torch.bool) if kept is None else kept.clone()
        for goal in mine:
            rows = goal.within(len(rotations))
            at = slice(rows.start, rows.stop)
            base = body.world[at, origin]
            wanted = base @ turned(_shortened(rotation_vectors(base.mT @ goal.turned(body.world[at, joint])), farthest))
            after = body.world[at, PARENTS[joint]].mT @ wanted
            change[at] = rotation_vectors(after @ rotations[at, joint].mT)
            given[at] = True
        if mine:
            if kept is not None:
                change[kept] = 0.0
            rotations[:, joint] = turned(_spread(change, given)) @ rotations[:, joint]
    return replace(body, rotations=rotations)


def _shortened(turns: Tensor, farthest: float) -> Tensor:
    """Rotation vectors (n, 3) clamped to a maximum angle in degrees."""
    return turns * (math.radians(farthest) / turns.norm(dim=-1, keepdim=True).clamp_min(1e-9)).clamp(max=1.0)


def _spread(values: Tensor, given: Tensor) -> Tensor:
    """(F, 3) equal to values where given (F,), and with minimal second differences and size elsewhere."""
    held = HELD * given.double()
    bands = smoothness(len(values), 1.0)
    bands[0] += SPREAD - 1.0 + held
    result = solveh_banded(bands.numpy(), (held[:, None] * values).numpy(), lower=True)
    return torch.where(given[:, None], values, torch.from_numpy(result))
