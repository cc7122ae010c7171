from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from motion_diffusion.body.heading import Convention, heading, to_origin, turn
from motion_diffusion.body.rotations import about_y
from motion_diffusion.body.skeleton import forward_kinematics


def standing(facing: float, frames: int = 3) -> Tensor:
    """The rest pose turned by `facing` from +z towards +x."""
    rotation = about_y(torch.tensor(facing, dtype=torch.float64)).expand(frames, 22, 3, 3)
    return forward_kinematics(rotation, torch.zeros(frames, 3, dtype=torch.float64))


@pytest.mark.parametrize("facing", [0.0, 0.4, math.pi / 2, 3.0, -3.0, -1.2])
@pytest.mark.parametrize("smooth", [True, False])
def test_heading_rotates_the_body_to_z(facing: float, smooth: bool) -> None:
    angle = heading(standing(facing), smooth=smooth)
    torch.testing.assert_close(angle, torch.full((3,), -facing, dtype=torch.float64))


@pytest.mark.parametrize("convention", ["body", "humanml3d"])
@pytest.mark.parametrize("frames", [1, 2, 50, 200])
def test_heading_smoothing_matches_scipy(
    make_motion: Callable[..., Tensor], convention: Convention, frames: int
) -> None:
    joints = make_motion(frames, 2)
    raw = heading(joints, smooth=False, convention=convention)
    hips, shoulders = joints[..., 2, :] - joints[..., 1, :], joints[..., 17, :] - joints[..., 16, :]
    across = shoulders + hips if convention == "body" else shoulders - hips
    across = across / across.norm(dim=-1, keepdim=True)
    forward = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand_as(across), across)
    torch.testing.assert_close(raw, -torch.atan2(forward[..., 0], forward[..., 2]))
    filtered = torch.from_numpy(gaussian_filter1d(forward.numpy(), 20, axis=-2, mode="nearest"))
    expected = -torch.atan2(filtered[..., 0], filtered[..., 2])
    torch.testing.assert_close(heading(joints, convention=convention), expected)


def test_to_origin_moves_the_first_frame_to_the_origin(make_motion: Callable[..., Tensor]) -> None:
    joints = make_motion(30, 2, 2)
    moved = to_origin(joints)
    torch.testing.assert_close(moved[..., 0, 0, [0, 2]], torch.zeros(2, 2, 2, dtype=torch.float64))
    first = heading(moved[..., :1, :, :], smooth=False)
    torch.testing.assert_close(first, torch.zeros_like(first), atol=1e-12, rtol=0)
    torch.testing.assert_close(moved[..., 1], joints[..., 1])
    for before, after in ((joints[..., 7, :, :], moved[..., 7, :, :]), (joints[..., 0, :], moved[..., 0, :])):
        torch.testing.assert_close(torch.cdist(after, after), torch.cdist(before, before))
    torch.testing.assert_close(to_origin(moved), moved)


def test_to_origin_is_invariant(make_motion: Callable[..., Tensor]) -> None:
    joints = make_motion(20)
    elsewhere = turn(joints, torch.full((20,), 2.2, dtype=torch.float64)) + torch.tensor([5.0, 0.0, -3.0])
    torch.testing.assert_close(to_origin(elsewhere), to_origin(joints))


def test_turn_matches_about_y() -> None:
    z = torch.tensor([[[0.0, 0.5, 1.0]]], dtype=torch.float64)
    quarter = torch.tensor([math.pi / 2], dtype=torch.float64)
    torch.testing.assert_close(turn(z, quarter), torch.tensor([[[1.0, 0.5, 0.0]]], dtype=torch.float64))
    g = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 6, 5, 3, generator=g, dtype=torch.float64)
    angles = torch.randn(4, 6, generator=g, dtype=torch.float64)
    torch.testing.assert_close(turn(vectors, angles), vectors @ about_y(angles).mT)
