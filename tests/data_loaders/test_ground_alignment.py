"""The floor is where feet stand."""

import numpy as np
import pytest

from data_loaders.retarget import align_to_floor, standing_foot_height
from motion_diffusion.body.skeleton import BALL_HEIGHT, JOINTS

TOES = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]


def test_the_floor_is_found_in_spite_of_steps_and_outliers(walks):
    """Standing feet count: neither a frame that fell through the floor, nor a second half on a box of half a metre."""
    for walk in walks[:10]:
        joints = walk.double().numpy().copy()
        assert standing_foot_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.002)
        joints[len(joints) // 2 :, :, 1] += 0.5
        joints[3, :, 1] -= 0.4
        assert standing_foot_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.005)


def test_feet_that_swing_below_are_not_on_the_floor(walks):
    """On the edge of a bench, one foot stands while the other kicks below it."""
    joints = walks[0].double().numpy().copy()
    joints[:, TOES[0], 1] += 0.25 * np.sin(2 * np.pi * np.arange(len(joints)) / 5) - 0.3
    assert standing_foot_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.002)


def test_bodies_are_put_on_the_floor(walks):
    joints = walks[0].double().numpy()
    np.testing.assert_allclose(align_to_floor(joints - [0, 0.7, 0]), joints, atol=0.002)
