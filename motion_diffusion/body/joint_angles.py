"""The joint angles of the body: which joints are hinges and which ball joints, their limits, and derivatives of
positions.

A pose is given by `UNKNOWNS` numbers per frame: three angles for each ball joint that has children, about the axes of
its parent's frame; one angle for each hinge; and the translation of the root, in this order.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import rotation_vectors, turned
from motion_diffusion.body.skeleton import DESCENDANTS, JOINTS, OFFSETS, PARENTS

MAX_TURN = 1.0
"""Radians: maximum rotation of a joint in one step, beyond which the linearisation is wrong."""
HINGES = {"left_knee": (1.0, 0.0, 0.0), "right_knee": (1.0, 0.0, 0.0),
          "left_elbow": (0.0, -1.0, 0.0), "right_elbow": (0.0, 1.0, 0.0)}  # fmt: skip
"""Axes of the hinge joints, in their parent's frame; they bend by positive angles."""
RANGES = {
    "hip": ((-130, 40), (-70, 50), (-40, 60)),
    "spine1": ((-40, 25), (-25, 25), (-25, 25)),
    "spine2": ((-20, 40), (-25, 25), (-25, 25)),
    "spine3": ((-30, 55), (-50, 50), (-35, 35)),
    "ankle": ((-45, 75), (-70, 50), (-50, 30)),
    "neck": ((-75, 40), (-60, 60), (-40, 40)),
    "collar": ((-75, 75), (-60, 45), (-75, 35)),
    "shoulder": ((-110, 110), (-125, 90), (-110, 110)),
}
"""Range of ball joints in degrees about x, y and z (components of the rotation vector from the rest pose); of pairs,
the left one.

Measured on 7,900 frames of motions of Bandai-Namco, CMU and SNU fitted to this body: the interval between the 0.1 %
quantiles of both sides together, widened by 15 to 50°.
"""
CHILDREN = [[j for j, parent in enumerate(PARENTS) if parent == joint] for joint in range(len(JOINTS))]
HINGE_AXES = {JOINTS.index(name): torch.tensor(axis, dtype=torch.float64) for name, axis in HINGES.items()}
HINGE_AXIS_ROWS = torch.stack(list(HINGE_AXES.values()))
BALL_JOINTS = [joint for joint in range(len(JOINTS)) if CHILDREN[joint] and joint not in HINGE_AXES]
_EYE = torch.eye(3, dtype=torch.float64)
ROTATED_JOINTS = torch.tensor([joint for joint in BALL_JOINTS for _ in range(3)] + list(HINGE_AXES))
"""(angles,) the joint that each angle rotates."""
_ANGLE_AXES = torch.cat([_EYE.repeat(len(BALL_JOINTS), 1), HINGE_AXIS_ROWS])
"""(angles, 3) the axis of each angle in the frame of the joint's parent."""
UNKNOWNS = len(ROTATED_JOINTS) + 3
"""Unknowns per frame."""
_PARENTS = torch.tensor([max(parent, 0) for parent in PARENTS])
_MOVES = DESCENDANTS[ROTATED_JOINTS].mT[:, None].float()
"""(22, 1, angles): 1 where an angle moves a joint."""


def _straight(joint: int, axis: Tensor) -> float:
    """The angle at which a hinge is straight: knees and elbows are slightly bent in the rest pose."""
    upper, lower = OFFSETS[joint], OFFSETS[CHILDREN[joint][0]]
    return -math.atan2(torch.linalg.cross(upper, lower) @ axis, upper @ lower - (upper @ axis) * (lower @ axis))


HINGE_LIMITS = {joint: _straight(joint, axis) for joint, axis in HINGE_AXES.items()}
"""Smallest angle of each hinge by joint index, radians."""
MAX_BEND = math.radians(160)
"""Largest angle of a hinge, radians."""
LEAST_BEND = torch.tensor(list(HINGE_LIMITS.values()), dtype=torch.float64)
_MOST = torch.full_like(LEAST_BEND, MAX_BEND)


def joint_range(joint: int) -> Tensor:
    """(3, 2) range of a ball joint in radians; of right joints, that of the left one mirrored."""
    name = JOINTS[joint].removeprefix("left_").removeprefix("right_")
    result = torch.tensor(RANGES[name], dtype=torch.float64).deg2rad()
    if JOINTS[joint].startswith("right_"):
        result[1:] = -result[1:].flip(1)
    return result


_LOWEST, _HIGHEST = torch.cat([joint_range(joint) for joint in BALL_JOINTS[1:]]).unbind(1)


class FittedBody(Rig):
    """A motion of the body with its joint angles."""

    @cached_property
    def angles(self) -> Tensor:
        """See `joint_angles`."""
        return joint_angles(self.rotations)


def joint_angles(rotations: Tensor) -> Tensor:
    """(F, angles − 3) radians: rotation vectors of the ball joints except the pelvis, then the angles of the hinges."""
    balls = rotation_vectors(rotations[:, BALL_JOINTS[1:]]).flatten(1)
    return torch.cat([balls, _angle(rotations[:, list(HINGE_AXES)], HINGE_AXIS_ROWS)], dim=1)


def beyond_range(angles: Tensor) -> Tensor:
    """(F, 3 · balls) radians by which ball joints exceed their ranges, signed."""
    turns = angles[:, : -len(HINGE_AXES)]
    return turns - turns.clamp(_LOWEST, _HIGHEST)


def pull_back(vectors: Tensor, pull: Tensor) -> Tensor:
    """Convert a gradient with respect to a rotation vector into one with respect to a small rotation.

    Args:
        vectors: (..., 3) rotation vectors v.
        pull: (..., 3) gradient with respect to v.

    Returns:
        (..., 3) gradient with respect to ω in exp(ω)·exp(v), from log(exp ω · exp v) = v + (1 − [v]/2 + c [v]²) ω to
        first order, c = (1 − θ/2 · cot θ/2) / θ².
    """
    half = (vectors.norm(dim=-1, keepdim=True) / 2).clamp_min(1e-4)
    c = (1 - half / half.tan()) / (4 * half.square())
    once = torch.linalg.cross(vectors, pull)
    return pull + once / 2 + c * torch.linalg.cross(vectors, once)


def apply_step(body: FittedBody, step: Tensor) -> FittedBody:
    """A body after a step (F, n). Steps are shortened in frames in which a joint would rotate by more than `MAX_TURN`;
    hinges stop at their limits.
    """
    step = step / (step[:, :-3].abs().amax(1, keepdim=True) / MAX_TURN).clamp_min(1.0)
    balls = slice(0, -len(HINGE_AXES) - 3)
    turns = torch.zeros(len(step), len(JOINTS), 3, dtype=torch.float64)
    turns.index_add_(1, ROTATED_JOINTS[: -len(HINGE_AXES)], step[:, balls, None] * _ANGLE_AXES[: -len(HINGE_AXES)])
    rotations = turned(turns) @ body.rotations
    hinges = list(HINGE_AXES)
    angles = body.angles[:, -len(hinges) :] + step[:, -len(hinges) - 3 : -3]
    rotations[:, hinges] = turned(torch.minimum(torch.maximum(angles, LEAST_BEND), _MOST)[..., None] * HINGE_AXIS_ROWS)
    return replace(body, rotations=rotations, root=body.root + step[:, -3:])


def jacobian(body: Rig) -> Tensor:
    """(F, 66, n) float32: derivatives of the joints' coordinates with respect to the unknowns.

    A rotation about the axis a in the world moves a descendant at offset r from the rotated joint by a × r.
    """
    axes, joints = world_axes(body.world).float(), (body.joints - body.root[:, None]).float()
    x, y, z = joints.unbind(-1)
    none = torch.zeros_like(x)
    crossed = torch.stack([none, z, -y, -z, none, x, y, -x, none], dim=-1).view(len(joints), -1, 3)  # a → a × p
    own = torch.linalg.cross(axes, joints[:, ROTATED_JOINTS].mT, dim=1)
    turns = ((crossed @ axes).unflatten(1, (len(JOINTS), 3)) - own[:, None]).mul_(_MOVES)
    moves = torch.eye(3).expand(*joints.shape[:2], 3, 3)
    return torch.cat([turns, moves], dim=-1).flatten(1, 2)


def world_axes(world: Tensor) -> Tensor:
    """(F, 3, angles): axes of the angles in the world."""
    frames = torch.cat([_EYE.expand(len(world), 1, 3, 3), world[:, _PARENTS[1:]]], dim=1)
    return (frames[:, ROTATED_JOINTS] @ _ANGLE_AXES[..., None])[..., 0].mT


def _angle(rotation: Tensor, axis: Tensor) -> Tensor:
    """(...) angles in radians, in (−π, π], of rotations (..., 3, 3) about axes (..., 3)."""
    across = (rotation - rotation.mT).flatten(-2)[..., [7, 2, 3]]
    return torch.atan2((across * axis).sum(-1), rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)
