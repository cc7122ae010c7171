"""Every figure on a motion for which it is known in closed form."""

import pytest
import torch

from motion_diffusion.body.motion_metrics import (
    bone_length_error,
    bone_length_range,
    fastest_root,
    foot_skating_ratio,
    joint_jitter,
    root_jitter,
)
from motion_diffusion.body.skeleton import FPS, JOINTS, OFFSETS, forward_kinematics

LEFT, RIGHT = JOINTS.index("left_foot"), JOINTS.index("right_foot")


def body(frames=40):
    """A body of which every joint stays a metre above the floor."""
    joints = torch.zeros(frames, 22, 3, dtype=torch.float64)
    joints[..., 1] = 1.0
    return joints


def sliding(speed, height, frames=40):
    joints = body(frames)
    joints[:, LEFT, 0] = torch.arange(frames) * speed / FPS
    joints[:, LEFT, 1] = height
    return joints


@pytest.mark.parametrize(
    ("speed", "height", "ratio"),
    [(1.0, 0.01, 1), (1.0, 0.06, 0), (0.45, 0.01, 0), (0.0, 0.01, 0), (0.7, 0.01, 37 / 39)],
)
def test_foot_skating_depends_on_speed_and_height(speed, height, ratio):
    """At 0.7 m/s the first and the last step do not count: their average over five steps includes the zeros outside."""
    assert foot_skating_ratio(sliding(speed, height)) == pytest.approx(ratio)


def test_only_movement_along_the_floor_is_skating():
    ahead, up = sliding(0.0, 0.01), sliding(0.0, 0.01)
    ahead[:, LEFT, 2] = torch.arange(40) / FPS  # 1 m/s
    up[:, LEFT, 1] = 0.04 * (torch.arange(40) % 2)  # 0.8 m/s up and down
    assert foot_skating_ratio(ahead) == 1
    assert foot_skating_ratio(up) == 0


def test_single_step_is_not_skating():
    joints = sliding(0.0, 0.01)
    joints[20:, LEFT, 0] += 2.4 / FPS  # 2.4 m/s for one step: 0.48 m/s on average over five
    assert foot_skating_ratio(joints) == 0
    joints[20:, LEFT, 0] += 0.2 / FPS
    assert foot_skating_ratio(joints) == pytest.approx(1 / 39)


def test_both_feet_count_once():
    both = sliding(1.0, 0.01)
    both[:, RIGHT] = both[:, LEFT]
    assert foot_skating_ratio(both) == foot_skating_ratio(sliding(1.0, 0.01))


def test_fastest_root():
    joints = body()
    joints[10:, 0, 0] += 0.3
    joints[20:, 0, 1] += 0.4
    assert fastest_root(joints) == pytest.approx(0.4 * FPS)
    assert fastest_root(joints[:1]) == 0


def test_jitter_is_the_third_derivative():
    joints = body()
    time = torch.arange(40, dtype=torch.float64) / FPS
    joints[:, 0, 2] = 2.0 * time**3
    assert root_jitter(joints) == pytest.approx(12.0)
    joints[:, 0, 2] = time**2
    assert root_jitter(joints) == pytest.approx(0.0, abs=1e-8)
    assert root_jitter(joints[:3]) == 0


def test_joint_jitter_is_the_mean_over_joints():
    joints = body()
    time = torch.arange(40, dtype=torch.float64) / FPS
    joints[:, 0, 2] = 2.0 * time**3  # a jerk of 12 m/s³
    joints[:, LEFT, 0] = -(time**3)  # and one of 6
    assert joint_jitter(joints) == pytest.approx(18.0 / 22)
    assert root_jitter(joints) == pytest.approx(12.0)
    assert joint_jitter(joints[:3]) == 0


def test_bone_length_errors():
    turned = torch.linalg.qr(torch.randn(5, 22, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    joints = forward_kinematics(turned.Q, torch.zeros(5, 3, dtype=torch.float64))
    assert bone_length_error(joints) == pytest.approx(0.0, abs=1e-12)
    head = JOINTS.index("head")
    joints[0, head] += 0.05 * joints[0, head].sub(joints[0, JOINTS.index("neck")]) / OFFSETS[head].norm()
    assert bone_length_range(joints) == pytest.approx(0.05)
    assert bone_length_range(1.1 * joints[1:]) == pytest.approx(0.0, abs=1e-12)
    assert bone_length_error(joints) == pytest.approx(0.05 / (5 * 21))  # one bone is 5 cm too long in one of 5 frames
    assert bone_length_error(1.1 * joints[1:]) == pytest.approx(0.1 * OFFSETS[1:].norm(dim=-1).mean().item())
