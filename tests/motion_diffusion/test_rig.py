"""Rigs: frames in between, the T-pose, and the closed forms of splines."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.rotations import in_the_world
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError
from tests.rigs import tumbling


def test_upsampling_keeps_existing_frames():
    rig = tumbling()
    triple = rig.at(60)
    assert (triple.fps, len(triple.root)) == (60, 3 * 39 + 1)
    np.testing.assert_allclose(triple.joints[::3], rig.joints, atol=1e-9)
    np.testing.assert_allclose(rig.at(20).joints, rig.joints, atol=1e-9)
    np.testing.assert_allclose(rig.at(10).joints, rig.joints[::2], atol=1e-9)
    assert len(rig.at(30).root) == 59  # 1.95 s, of which 1.933 s are reached
    np.testing.assert_allclose(rig.at(30).joints[::3], rig.joints[::2], atol=1e-9)


def test_doubling_twice_equals_fourfold():
    rig = tumbling()
    twice, fourfold = rig.at(40).at(80), rig.at(80)
    np.testing.assert_allclose(twice.rotations, fourfold.rotations, atol=1e-9)
    np.testing.assert_allclose(twice.root, fourfold.root, atol=1e-9)


def test_interpolated_rotation_is_halfway():
    rig = tumbling()
    middle = Rotation.from_matrix(rig.at(40).rotations[1::2].reshape(-1, 3, 3).numpy())
    before = Rotation.from_matrix(rig.rotations[:-1].reshape(-1, 3, 3).numpy())
    after = Rotation.from_matrix(rig.rotations[1:].reshape(-1, 3, 3).numpy())
    np.testing.assert_allclose((before.inv() * middle).as_rotvec(), (before.inv() * after).as_rotvec() / 2, atol=1e-8)


def test_root_interpolation_is_cubic():
    """A spline of third order draws a polynomial of third order exactly; straight lines would cut its corners."""
    way = np.polynomial.Polynomial([0.1, 2.0, -3.0, 1.5])
    still = torch.eye(3, dtype=torch.float64).expand(11, 22, 3, 3)
    root = torch.from_numpy(way(np.arange(11) / 20)[:, None] * [1.0, 0.0, 2.0])
    np.testing.assert_allclose(Rig(still, root, 20.0).at(50).root[:, 0], way(np.arange(26) / 50), atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_motions(frames):
    rig = tumbling(frames=frames)
    assert len(rig.at(60).root) == 3 * (frames - 1) + 1
    np.testing.assert_allclose(rig.at(60).joints[::3], rig.joints, atol=1e-9)


@pytest.mark.parametrize("fps", [0, -20, float("nan"), float("inf"), 1e9])
def test_invalid_frame_rates_are_refused(fps):
    with pytest.raises(InputError, match="--fps .*: give more than 0 to 1,000"):
        tumbling().at(fps)


def test_after_t_pose_prepends_the_t_pose():
    rig = tumbling()
    led = rig.after_t_pose()
    np.testing.assert_allclose(led.joints[1:], rig.joints, atol=1e-12)
    rest = led.joints[0] - rig.root[0] * torch.tensor([1.0, 0.0, 1.0])
    np.testing.assert_allclose(rest, REST.numpy() + [0.0, STANDING, 0.0], atol=1e-12)
    assert 0 < rest[:, 1].min() < 0.03  # it stands on the floor, upright, with its arms out and its left at +x
    head, left, right = (rest[JOINTS.index(name)] for name in ("head", "left_wrist", "right_wrist"))
    assert head[1] > 1.5
    assert left[0] - right[0] > 1.3
    np.testing.assert_allclose(left[1:], right[1:], atol=1e-12)
    np.testing.assert_allclose(in_the_world(led.rotations)[0], np.eye(3)[None].repeat(22, 0), atol=1e-12)
