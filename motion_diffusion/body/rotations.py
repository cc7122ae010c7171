"""Rotations of bones and joints: 6-D representation, HumanML3D's bone rotations, SMPL's joint orientations."""

from __future__ import annotations

import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from motion_diffusion.body.skeleton import CHAINS, JOINTS, OFFSETS, PARENTS

_AXES = {
    "+x": (1.0, 0.0, 0.0), "-x": (-1.0, 0.0, 0.0), "+y": (0.0, 1.0, 0.0), "-y": (0.0, -1.0, 0.0), "+z": (0.0, 0.0, 1.0),
}  # fmt: skip
_BONE_AXES = (
    "+x", "-x", "+y", "-y", "-y", "+y", "-y", "-y", "+y", "+z", "+z",
    "+y", "+x", "-x", "+z", "-y", "-y", "-y", "-y", "-y", "-y",
)  # fmt: skip
BONE_AXES = torch.tensor([_AXES[name] for name in _BONE_AXES], dtype=torch.float64)
"""(21, 3) float64: HumanML3D's axis of the bone that ends in each joint but the root; arms hang down."""

_BEFORE = {joint: chain[i] if i else 0 for chain in CHAINS for i, joint in enumerate(chain[1:])}
_CHAIN_PARENTS = [_BEFORE[joint] for joint in range(1, len(JOINTS))]
"""The joint that each bone's rotation is relative to. The first bone of every chain, arms included, takes the
root's.
"""

_CHILDREN = [[j for j, parent in enumerate(PARENTS) if parent == joint] for joint in range(len(JOINTS))]


def shortest_arc(a: Tensor, b: Tensor) -> Tensor:
    """The smallest rotation that takes one direction to another.

    With h the direction halfway from a to b, it is half a turn about a followed by half a turn about h: (2hhᵀ - I)(2aaᵀ
    - I) = I + 4(h·a)haᵀ - 2hhᵀ - 2aaᵀ, a rotation to rounding for any unit a and h. For opposite directions, h is some
    direction perpendicular to a.

    Args:
        a: (..., 3) unit vectors.
        b: (..., 3) unit vectors.

    Returns:
        (..., 3, 3).
    """
    halfway = a + b
    opposite = halfway.square().sum(-1, keepdim=True) < torch.finfo(a.dtype).eps
    if opposite.any():
        least = torch.nn.functional.one_hot(a.abs().argmin(-1), 3).to(a)
        halfway = torch.where(opposite, torch.linalg.cross(a, least), halfway)
    h = normalize(halfway, dim=-1)
    columns, identity = 4 * (h * a).sum(-1, keepdim=True) * h - 2 * a, torch.eye(3, dtype=a.dtype, device=a.device)
    return identity + columns[..., :, None] * a[..., None, :] - 2 * h[..., :, None] * h[..., None, :]


def about_y(angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about the vertical by angles (...) in radians; positive angles take +z towards
    +x.
    """
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.unflatten(torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1), -1, (3, 3))


def to_6d(rotations: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 6): the first two columns, concatenated (Zhou et al. 2019)."""
    return rotations[..., :2].transpose(-1, -2).flatten(-2)


def from_6d(numbers: Tensor) -> Tensor:
    """(..., 6) → rotations (..., 3, 3) by Gram–Schmidt; the inverse of `to_6d` on rotations."""
    rotations: Tensor = roma.special_gramschmidt(torch.unflatten(numbers, -1, (2, 3)).mT, epsilon=1e-8)
    return rotations


def from_quaternion(quaternions: Tensor) -> Tensor:
    """Quaternions (..., 4) in the order w, x, y, z, of any length → rotations (..., 3, 3)."""
    rotations: Tensor = roma.unitquat_to_rotmat(normalize(quaternions, dim=-1).roll(-1, -1))
    return rotations


def to_quaternion(rotation: Tensor) -> tuple[float, float, float, float]:
    """The quaternion w, x, y, z of one rotation (3, 3)."""
    w, x, y, z = roma.rotmat_to_unitquat(rotation).roll(1, -1).tolist()
    return w, x, y, z


def rotation_vectors(rotations: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 3): the axis times the angle in radians."""
    vectors: Tensor = roma.rotmat_to_rotvec(rotations)
    return vectors


def turned(vectors: Tensor) -> Tensor:
    """The inverse of `rotation_vectors`: (..., 3) → (..., 3, 3)."""
    rotations: Tensor = roma.rotvec_to_rotmat(vectors)
    return rotations


def bone_rotations(joints: Tensor, turn: Tensor) -> Tensor:
    """HumanML3D's rotations of the 21 bones, each relative to the bone before it in its chain.

    A bone's rotation in the world is the shortest arc from its axis in `BONE_AXES` to its direction. These are not
    rotated to the heading first, so that, unlike all other features, those of a pose depend on the direction it faces.

    Args:
        joints: (..., 22, 3) metres.
        turn: (..., 3, 3) rotation that takes the heading to +z, where all chains begin.

    Returns:
        (..., 21, 3, 3).
    """
    bones = joints[..., 1:, :] - joints[..., PARENTS[1:], :]
    world = shortest_arc(BONE_AXES.to(joints), normalize(bones, dim=-1))
    before = torch.cat([turn[..., None, :, :], world], dim=-3)[..., _CHAIN_PARENTS, :, :]
    return before.transpose(-1, -2) @ world


def orientations(joints: Tensor) -> Tensor:
    """Orientations of the joints in the world (SMPL's convention) from positions alone.

    A joint with several children (pelvis, spine3) gets the rotation that brings the children's rest offsets nearest to
    their positions (orthogonal Procrustes). A joint with one child gets the smallest rotation from its parent's
    orientation that aligns the bone, so that nothing twists about its own axis. Joints without children keep their
    parent's. `skeleton.forward_kinematics` of the result returns the joints if they have this body's bone lengths and
    its rigid pelvis and shoulder girdle.

    Args:
        joints: (..., 22, 3) metres.

    Returns:
        (..., 22, 3, 3).
    """
    offsets = OFFSETS.to(joints)
    world: list[Tensor] = []
    for joint, children in enumerate(_CHILDREN):
        parent = PARENTS[joint]
        bones = joints[..., children, :] - joints[..., joint : joint + 1, :]
        if len(children) > 1:
            world.append(roma.special_procrustes(bones.transpose(-1, -2) @ offsets[children]))
        elif children:
            rest = (world[parent] @ offsets[children[0]][:, None])[..., 0]
            world.append(shortest_arc(normalize(rest, dim=-1), normalize(bones[..., 0, :], dim=-1)) @ world[parent])
        else:
            world.append(world[parent])
    return torch.stack(world, dim=-3)


def relative_to_parents(world: Tensor) -> Tensor:
    """Orientations in the world (..., 22, 3, 3) → relative to each joint's parent, as SMPL's pose; the root is
    unchanged.
    """
    relative = world[..., PARENTS[1:], :, :].transpose(-1, -2) @ world[..., 1:, :, :]
    return torch.cat([world[..., :1, :, :], relative], dim=-3)


def in_the_world(relative: Tensor) -> Tensor:
    """The inverse of `relative_to_parents`: (..., 22, 3, 3) → (..., 22, 3, 3)."""
    world = [relative[..., 0, :, :]]
    for joint in range(1, len(JOINTS)):
        world.append(world[PARENTS[joint]] @ relative[..., joint, :, :])
    return torch.stack(world, dim=-3)
