from __future__ import annotations

from itertools import pairwise

import pytest
import roma
import torch
from torch import Tensor

from motion_diffusion.body.rotations import in_the_world
from motion_diffusion.body.skeleton import (
    BONE_LENGTHS,
    CHAINS,
    FEET,
    JOINTS,
    MIRRORED,
    OFFSETS,
    PARENTS,
    forward_kinematics,
)


def random_rotations(*shape: int, seed: int = 0) -> Tensor:
    quaternions = torch.randn(*shape, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rotations: Tensor = roma.unitquat_to_rotmat(quaternions / quaternions.norm(dim=-1, keepdim=True))
    return rotations


def test_parents_come_before_their_children() -> None:
    assert PARENTS[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(PARENTS) if joint)


def test_chains_follow_the_parents_and_reach_every_joint() -> None:
    assert {joint for chain in CHAINS for joint in chain} == set(range(22))
    assert all(PARENTS[after] == before for chain in CHAINS for before, after in pairwise(chain))


def test_mirroring_preserves_the_tree() -> None:
    assert all(MIRRORED[MIRRORED[joint]] == joint for joint in range(22))
    for joint in range(1, 22):
        parent = PARENTS[MIRRORED[joint]]
        assert parent == MIRRORED[PARENTS[joint]]
    assert {JOINTS[j].replace("left", "right") for j in FEET[:2]} == {JOINTS[j] for j in FEET[2:]}


def test_the_rest_pose_is_symmetric_with_left_at_positive_x() -> None:
    flipped = OFFSETS[list(MIRRORED)] * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    sides = [joint for joint in range(22) if MIRRORED[joint] != joint]
    torch.testing.assert_close(flipped[sides], OFFSETS[sides])
    rest = forward_kinematics(torch.eye(3, dtype=torch.float64).expand(22, 3, 3), torch.zeros(3, dtype=torch.float64))
    assert all((rest[j, 0] > 0.04) == JOINTS[j].startswith("left") for j in sides)
    assert rest[15, 1] > rest[12, 1] > rest[0, 1] > rest[7, 1] > rest[10, 1]  # head above neck … above toes
    assert rest[10, 2] > rest[7, 2]  # toes point forward


def test_bone_lengths_match_the_published_body(published_clip: tuple[Tensor, Tensor]) -> None:
    joints, _ = published_clip
    lengths = (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)
    assert (lengths - BONE_LENGTHS[1:]).abs().max() < 0.005  # its left and right differ by a few millimetres


def test_forward_kinematics_keeps_bone_lengths_and_root() -> None:
    root = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).expand(4, 5, 3)
    joints = forward_kinematics(random_rotations(4, 5, 22), root)
    assert joints.shape == (4, 5, 22, 3)
    torch.testing.assert_close(joints[..., 0, :], root)
    lengths = (joints[..., 1:, :] - joints[..., PARENTS[1:], :]).norm(dim=-1)
    torch.testing.assert_close(lengths, BONE_LENGTHS[1:].expand_as(lengths))


def test_forward_kinematics_matches_smplx() -> None:
    lbs = pytest.importorskip("smplx.lbs")
    pose = random_rotations(6, 22)
    rest = forward_kinematics(torch.eye(3, dtype=torch.float64).expand(22, 3, 3), torch.zeros(3, dtype=torch.float64))
    expected, _ = lbs.batch_rigid_transform(pose, rest.expand(6, 22, 3), torch.tensor(PARENTS), dtype=torch.float64)
    torch.testing.assert_close(forward_kinematics(in_the_world(pose), torch.zeros(6, 3).double()), expected)
