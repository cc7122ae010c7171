from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import roma
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from motion_diffusion.body.rotations import (
    BONE_AXES,
    about_y,
    bone_rotations,
    from_6d,
    in_the_world,
    orientations,
    relative_to_parents,
    shortest_arc,
    to_6d,
)
from motion_diffusion.body.skeleton import CHAINS, OFFSETS, PARENTS, forward_kinematics


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def assert_rotations(matrices: Tensor, tolerance: float) -> None:
    identity = torch.eye(3, dtype=matrices.dtype).expand_as(matrices)
    assert (matrices @ matrices.mT - identity).abs().max() < tolerance
    assert (torch.linalg.det(matrices) - 1).abs().max() < tolerance


def test_shortest_arc_rotates_about_the_normal() -> None:
    a, b = normalize(random(50, 3), dim=-1), normalize(random(50, 3, seed=1), dim=-1)
    arc = shortest_arc(a, b)
    assert_rotations(arc, 1e-12)
    torch.testing.assert_close((arc @ a[..., None])[..., 0], b)
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))
    torch.testing.assert_close(arc, roma.rotvec_to_rotmat(angle[:, None] * normalize(torch.linalg.cross(a, b), dim=-1)))


@pytest.mark.parametrize("away", [0.0, 1e-8, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2])
def test_shortest_arc_stays_a_rotation_near_opposite_directions(away: float) -> None:
    """A raised arm is opposite to HumanML3D's axis for it: float32 has to survive that."""
    a = normalize(random(200, 3, dtype=torch.float32), dim=-1)
    aside = normalize(torch.linalg.cross(a, random(200, 3, seed=1, dtype=torch.float32)), dim=-1)
    b = normalize(aside * math.sin(away) - a * math.cos(away), dim=-1).requires_grad_()
    arc = shortest_arc(a, b)
    assert_rotations(arc.detach(), 1e-5)
    assert ((arc @ a[..., None])[..., 0] - b).norm(dim=-1).max() < 1e-3
    (gradient,) = torch.autograd.grad(arc.square().sum(), b)
    assert gradient.isfinite().all()


def test_about_y_matches_scipy() -> None:
    angles = torch.linspace(-7, 7, 30, dtype=torch.float64)
    expected = torch.from_numpy(Rotation.from_euler("y", angles[:, None].numpy()).as_matrix())
    torch.testing.assert_close(about_y(angles), expected)


def test_six_dimensional_round_trip() -> None:
    rotations = torch.from_numpy(Rotation.random(40, rng=0).as_matrix())
    numbers = to_6d(rotations)
    torch.testing.assert_close(numbers, torch.cat([rotations[..., 0], rotations[..., 1]], dim=-1))
    torch.testing.assert_close(from_6d(numbers), rotations)


def test_from_6d_gives_a_rotation_at_any_scale() -> None:
    numbers = random(5, 40, 6)
    assert_rotations(from_6d(numbers), 1e-9)
    torch.testing.assert_close(from_6d(3 * numbers), from_6d(numbers))


def test_chained_bone_rotations_give_bone_directions(make_motion: Callable[..., Tensor]) -> None:
    joints, turn = make_motion(7, 2), about_y(random(2, 7))
    local = bone_rotations(joints, turn)
    assert_rotations(local, 1e-10)
    for chain in CHAINS:
        world = turn
        for before, joint in pairwise(chain):
            world = world @ local[..., joint - 1, :, :]
            bone = normalize(joints[..., joint, :] - joints[..., before, :], dim=-1)
            torch.testing.assert_close(world @ BONE_AXES[joint - 1], bone)


def test_orientations_reproduce_the_joints(make_motion: Callable[..., Tensor]) -> None:
    joints = make_motion(20, 3)
    world = orientations(joints)
    assert_rotations(world, 1e-9)
    torch.testing.assert_close(forward_kinematics(world, joints[..., 0, :]), joints, atol=1e-9, rtol=0)


def test_rest_pose_has_identity_orientations() -> None:
    identity = torch.eye(3, dtype=torch.float64).expand(22, 3, 3)
    rest = forward_kinematics(identity, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(orientations(rest), identity, atol=1e-9, rtol=0)


@pytest.mark.parametrize("joint", [0, 9])
def test_procrustes_matches_scipy(joint: int) -> None:
    joints = random(22, 3)  # no body at all: the best fit, not an exact one
    children = [child for child, parent in enumerate(PARENTS) if parent == joint]
    best, _ = Rotation.align_vectors((joints[children] - joints[joint]).numpy(), OFFSETS[children].numpy())
    torch.testing.assert_close(orientations(joints)[joint], torch.from_numpy(best.as_matrix()))


def test_orientations_are_equivariant(make_motion: Callable[..., Tensor]) -> None:
    joints, turn = make_motion(5), torch.from_numpy(Rotation.random(rng=1).as_matrix())
    torch.testing.assert_close(orientations(joints @ turn.T), turn @ orientations(joints))


def test_relative_to_parents_round_trip() -> None:
    world = torch.from_numpy(Rotation.random(44, rng=0).as_matrix()).view(2, 22, 3, 3)
    relative = relative_to_parents(world)
    torch.testing.assert_close(in_the_world(relative), world)
    for joint in range(1, 22):
        torch.testing.assert_close(world[:, PARENTS[joint]] @ relative[:, joint], world[:, joint])
    torch.testing.assert_close(relative[:, 0], world[:, 0])
