"""Every figure on a motion for which it is known in closed form."""

import pytest
import torch

from motion_diffusion.metrics import fastest_root, foot_skating_ratio, key_frame_errors, root_jitter
from motion_diffusion.skeleton import FPS, JOINTS

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
def test_one_foot_slides_or_not(speed, height, ratio):
    """At 0.7 m/s the first step and the last do not count: their average over five takes in the nothing beyond."""
    assert foot_skating_ratio(sliding(speed, height)) == pytest.approx(ratio)


def test_a_single_jump_is_no_sliding():
    joints = sliding(0.0, 0.01)
    joints[20:, LEFT, 0] += 2.4 / FPS  # 2.4 m/s for one step: 0.48 m/s on average over five
    assert foot_skating_ratio(joints) == 0
    joints[20:, LEFT, 0] += 0.2 / FPS
    assert foot_skating_ratio(joints) == pytest.approx(1 / 39)


def test_either_foot_counts_once():
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


def test_key_frame_errors_ignore_heights():
    joints, target = body(), body()
    joints[5, 0] += torch.tensor([0.3, 7.0, 0.4])
    torch.testing.assert_close(
        key_frame_errors(joints, target, torch.tensor([5, 6])), torch.tensor([0.5, 0.0], dtype=torch.float64)
    )
