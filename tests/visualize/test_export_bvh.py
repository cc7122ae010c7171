"""BVH read back by our reader and by pybvh; Euler angles."""

import numpy as np
import pybvh
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from data_loaders.formats.bvh import read_bvh
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import JOINTS, OFFSETS
from tests.rigs import tumbled
from visualize.export.formats import END_SITES, euler_angles, export, to_bvh


def ours(path, scale):
    file = read_bvh(path, scale=scale)
    return file.world([file.names.index(joint) for joint in JOINTS]), 1 / file.frame_time


def pybvhs(path, scale):
    file = pybvh.read_bvh_file(path)
    return scale * file.joint_positions()[:, [file.joint_names.index(joint) for joint in JOINTS]], file.fps


@pytest.mark.parametrize("read", [ours, pybvhs])
@pytest.mark.parametrize(("unit", "metres"), [("m", 1.0), ("cm", 0.01)])
@pytest.mark.parametrize("fps", [None, 30.0, 60.0])
def test_bvh_joints_round_trip(tmp_path, read, unit, metres, fps):
    motion, rig = tumbled()
    export(motion, tmp_path / "a.bvh", unit=unit, fps=fps)
    joints, rate = read(tmp_path / "a.bvh", metres)
    wanted = rig.at(fps) if fps else rig
    np.testing.assert_allclose(joints, wanted.joints, atol=1e-5)
    assert rate == pytest.approx(fps or 20, rel=1e-6)


def test_bvh_of_a_real_motion_round_trips(tmp_path, walks):
    export(Motion(walks[0]), tmp_path / "a.bvh")
    np.testing.assert_allclose(ours(tmp_path / "a.bvh", 1.0)[0], walks[0], atol=1e-3)


def test_pybvh_reads_an_upright_t_pose(tmp_path):
    motion, rig = tumbled()
    export(motion, tmp_path / "a.bvh", t_pose=True)
    file = pybvh.read_bvh_file(tmp_path / "a.bvh")
    assert (file.rest_up, file.rest_forward) == ("+y", "+z")
    np.testing.assert_allclose(file.joint_angles[0], 0, atol=1e-9)
    np.testing.assert_allclose(file.joint_positions()[1:], pybvh_order(rig.joints.numpy(), file), atol=1e-5)
    np.testing.assert_allclose(file.joint_positions()[0, :, 1].min(), 0.015, atol=1e-5)


def pybvh_order(joints, file):
    return joints[:, [JOINTS.index(name) for name in file.joint_names]]


def test_rest_pose_and_end_sites(tmp_path):
    motion, _ = tumbled()
    export(motion, tmp_path / "a.bvh", unit="cm")
    file = read_bvh(tmp_path / "a.bvh")
    for name, offset in zip(file.names, file.offsets, strict=True):
        wanted = END_SITES[name.removesuffix("_end")] if name.endswith("_end") else OFFSETS[JOINTS.index(name)]
        np.testing.assert_allclose(offset, wanted, atol=1e-8)
    assert {name.removesuffix("_end") for name in file.names if name.endswith("_end")} == END_SITES.keys()


def test_euler_angles_reproduce_the_rotations():
    """Including gimbal lock, with the middle angle at 90 degrees."""
    turns = Rotation.random(200, rng=np.random.default_rng(0)).as_matrix().reshape(10, 20, 3, 3)
    turns[3] = Rotation.from_euler("ZXY", [[30, 90, 50]] * 20, degrees=True).as_matrix()
    turns[4] = Rotation.from_euler("ZXY", [[30, -90, 50]] * 20, degrees=True).as_matrix()
    again = Rotation.from_euler("ZXY", euler_angles(torch.from_numpy(turns)).reshape(-1, 3), degrees=True)
    np.testing.assert_allclose(again.as_matrix().reshape(turns.shape), turns, atol=1e-7)


def test_euler_angles_are_continuous():
    """Three full turns, with a leg swinging past 90 degrees."""
    time = torch.linspace(0, 1, 90, dtype=torch.float64)
    zero = torch.zeros_like(time)
    yaw = roma.rotvec_to_rotmat(torch.stack([zero, 6 * torch.pi * time, zero], dim=-1))
    swing = roma.euler_to_rotmat("ZXY", [zero + 0.3, -2.1 * torch.sin(torch.pi * time), zero + 0.2])
    angles = euler_angles(torch.stack([yaw, swing], dim=1))
    assert np.abs(np.diff(angles, axis=0)).max() < 13
    assert angles[-1, 0, 2] == pytest.approx(1080)
    assert angles[:, 1, 1].min() == pytest.approx(-np.degrees(2.1), abs=0.1)


def test_rest_pose_has_zero_channels():
    rig = Rig(torch.eye(3, dtype=torch.float64).expand(2, 22, 3, 3), torch.zeros(2, 3, dtype=torch.float64), 20.0)
    frames = to_bvh(rig).splitlines()[-2:]
    assert all(set(map(float, frame.split())) == {0.0} for frame in frames)
    assert not any("-" in frame for frame in frames)
