"""Rotations of bones and joints: 6-D numbers, HumanML3D's bone rotations, SMPL's joint orientations."""

from __future__ import annotations

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
"""(21, 3) float64: the axis that HumanML3D gives to the bone ending in each joint but the root: arms hang down."""

_BEFORE = {joint: chain[i] if i else 0 for chain in CHAINS for i, joint in enumerate(chain[1:])}
_CHAIN_PARENTS = [_BEFORE[joint] for joint in range(1, len(JOINTS))]
"""The joint whose rotation each bone's is relative to; the first bone of every chain, arms too, takes the root's."""

_CHILDREN = [[j for j, parent in enumerate(PARENTS) if parent == joint] for joint in range(len(JOINTS))]


def shortest_arc(a: Tensor, b: Tensor) -> Tensor:
    """The shortest rotation that takes direction a to direction b. a, b: (..., 3) unit vectors → (..., 3, 3).

    Half a turn about a, then half a turn about the h halfway to b: (2hhᵀ - I)(2aaᵀ - I) = I + 4(h·a)haᵀ - 2hhᵀ - 2aaᵀ,
    a rotation to rounding for any unit a and h. For opposite directions, h is some direction square to a.
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
    """Rotation by angle (...) in radians about the vertical: (..., 3, 3). Positive turns +z towards +x."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.unflatten(torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1), -1, (3, 3))


def to_6d(rotations: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 6): the first two columns, one after the other (Zhou et al. 2019)."""
    return rotations[..., :2].transpose(-1, -2).flatten(-2)


def from_6d(numbers: Tensor) -> Tensor:
    """(..., 6) → the nearest rotation by Gram-Schmidt, (..., 3, 3). Inverse of `to_6d` on rotations."""
    import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

    rotations: Tensor = roma.special_gramschmidt(torch.unflatten(numbers, -1, (2, 3)).mT, epsilon=1e-8)
    return rotations


def from_quaternion(quaternions: Tensor) -> Tensor:
    """(..., 4) w, x, y, z of any length → rotations (..., 3, 3)."""
    import roma

    rotations: Tensor = roma.unitquat_to_rotmat(normalize(quaternions, dim=-1).roll(-1, -1))
    return rotations


def to_quaternion(rotation: Tensor) -> tuple[float, float, float, float]:
    """The inverse for one rotation (3, 3)."""
    import roma

    w, x, y, z = roma.rotmat_to_unitquat(rotation).roll(1, -1).tolist()
    return w, x, y, z


def rotation_vectors(rotations: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 3): the axis, as long as the angle in radians."""
    import roma

    vectors: Tensor = roma.rotmat_to_rotvec(rotations)
    return vectors


def turned(vectors: Tensor) -> Tensor:
    """The inverse: rotations (..., 3, 3) about vectors (..., 3), by as many radians as they are long."""
    import roma

    rotations: Tensor = roma.rotvec_to_rotmat(vectors)
    return rotations


def bone_rotations(joints: Tensor, turn: Tensor) -> Tensor:
    """HumanML3D's rotations of the 21 bones, each relative to the one before it in its chain: (..., 21, 3, 3).

    joints: (..., 22, 3) metres; turn: (..., 3, 3), the rotation that takes the heading to +z, where all chains begin.
    A bone's rotation in the world is the shortest arc from its axis in `BONE_AXES` to its direction. These arcs are not
    turned to the heading first, so, unlike all other features, the numbers of one pose depend on which way it faces.
    """
    bones = joints[..., 1:, :] - joints[..., PARENTS[1:], :]
    world = shortest_arc(BONE_AXES.to(joints), normalize(bones, dim=-1))
    before = torch.cat([turn[..., None, :, :], world], dim=-3)[..., _CHAIN_PARENTS, :, :]
    return before.transpose(-1, -2) @ world


def orientations(joints: Tensor) -> Tensor:
    """Orientation of each joint in the world, SMPL's convention, from positions alone: (..., 22, 3) → (..., 22, 3, 3).

    A joint with several children (pelvis, spine3) takes the rotation that brings their offsets at rest nearest to
    where they are (orthogonal Procrustes); with one child, the least turn from its parent's orientation that points
    the bone right, so nothing twists about its own axis; an end keeps its parent's. `skeleton.forward_kinematics` of
    the result gives the joints back if they have this body's bone lengths and its rigid pelvis and shoulder girdle.
    """
    import roma

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
    """Orientations in the world (..., 22, 3, 3) → relative to each joint's parent, as SMPL's pose; the root stays."""
    relative = world[..., PARENTS[1:], :, :].transpose(-1, -2) @ world[..., 1:, :, :]
    return torch.cat([world[..., :1, :, :], relative], dim=-3)


def in_the_world(relative: Tensor) -> Tensor:
    """The inverse of `relative_to_parents`: (..., 22, 3, 3) → (..., 22, 3, 3)."""
    world = [relative[..., 0, :, :]]
    for joint in range(1, len(JOINTS)):
        world.append(world[PARENTS[joint]] @ relative[..., joint, :, :])
    return torch.stack(world, dim=-3)
