"""Initial joint rotations for fitting a body to points, and the rotations of joints that no point determines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motion_diffusion.body.joint_angles import CHILDREN, HINGE_AXES, HINGE_LIMITS
from motion_diffusion.body.rotations import orientations, relative_to_parents, rotation_vectors, shortest_arc, turned
from motion_diffusion.body.skeleton import JOINTS, OFFSETS, PARENTS

_NECK, _HEAD = JOINTS.index("neck"), JOINTS.index("head")


def initial_pose(points: Tensor) -> Tensor:
    """Rotations (F, 22, 3, 3) to start a fit from, for points (F, 22, 3).

    No bone is twisted about its axis, except thighs and upper arms: there the hinge below is put perpendicular to the
    plane in which the limb bends, unless the limb bends the wrong way.
    """
    world = orientations(points)
    for joint, axis in HINGE_AXES.items():
        parent, end = PARENTS[joint], CHILDREN[joint][0]
        upper, lower = (normalize(points[:, b] - points[:, a], dim=-1) for a, b in ((parent, joint), (joint, end)))
        usual = _perpendicular(world[:, parent] @ axis, upper)
        bend = torch.linalg.cross(upper, lower) + 0.2 * usual
        right = (bend * usual).sum(-1, keepdim=True) > 0
        hinge = _perpendicular(torch.where(right, bend, usual), upper)
        twist = torch.atan2((torch.linalg.cross(usual, hinge) * upper).sum(-1), (usual * hinge).sum(-1))
        world[:, parent] = turned(twist[:, None] * upper) @ world[:, parent]
        rest, below = OFFSETS[end], world[:, parent].mT @ lower[..., None]
        angle = _signed_angle(axis, rest.expand(len(below), 3), below[..., 0]).clamp(min=HINGE_LIMITS[joint])
        world[:, joint] = world[:, parent] @ turned(angle[:, None] * axis)
        for last in CHILDREN[end]:
            foot = normalize(points[:, last] - points[:, end], dim=-1)
            ahead = normalize(world[:, joint] @ OFFSETS[last], dim=-1)
            world[:, end] = shortest_arc(ahead, foot) @ world[:, joint]
    return with_free_joints(relative_to_parents(world))


def with_free_joints(rotations: Tensor) -> Tensor:
    """Replace the rotations of joints without children, which no point determines, in rotations (F, 22, 3, 3).

    Feet and hands keep the orientation of their parents. The head rotates half as far from the chest as the neck does:
    if it tilted with the neck, it would look up wherever a neck is upright, since the neck leans forward in the rest
    pose.
    """
    rotations = rotations.clone()
    rotations[:, [joint for joint in range(len(JOINTS)) if not CHILDREN[joint]]] = torch.eye(3, dtype=torch.float64)
    rotations[:, _HEAD] = turned(rotation_vectors(rotations[:, _NECK]) / -2)
    return rotations


def _perpendicular(vector: Tensor, to: Tensor) -> Tensor:
    """Direction (F, 3) of the part of a vector that is perpendicular to a unit vector."""
    return normalize(vector - (vector * to).sum(-1, keepdim=True) * to, dim=-1)


def _signed_angle(axis: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Angles (F,) about an axis from one direction to another, both (F, 3)."""
    a, b = (vectors - (vectors @ axis)[:, None] * axis for vectors in (one, other))
    return torch.atan2(torch.linalg.cross(a, b) @ axis, (a * b).sum(-1))
