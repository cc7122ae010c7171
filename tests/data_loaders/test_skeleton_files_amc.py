"""Walks written as ASF/AMC are recovered on this body at all frame rates; CMU's trials are plausible."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data_loaders.augment import TOES
from data_loaders.load_motion import read_motion
from data_loaders.retarget import standing_foot_height, start_at_origin
from data_loaders.skeleton_files import amc_frame_rate, read_amc_joints, read_amc_motion
from data_loaders.skeleton_mapping import best_mapping
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.amc_files import AMC, ASF, BONES, write_walk


@pytest.mark.parametrize(("fps", "size"), [(120, 1.0), (30, 1.13), (60, 0.8)])
def test_walks_are_recovered(tmp_path, short, fps, size):
    path = tmp_path / "02_01.amc"
    write_walk(path, tmp_path / "02.asf", short, fps=fps, size=size)
    joints = start_at_origin(read_amc_joints(path, fps=fps))
    wanted = short[: len(joints)]
    assert len(wanted) >= 40
    wanted = wanted + (joints - wanted)[:, TOES].mean((0, 1)) * [1, 0, 1]
    np.testing.assert_allclose(joints[:, TOES], wanted[:, TOES], atol=0.005 if fps > 30 else 0.02)
    assert np.linalg.norm(joints - wanted, axis=-1).mean() < 0.03
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-4)
    assert foot_skating_ratio(torch.from_numpy(joints)) == pytest.approx(
        foot_skating_ratio(torch.from_numpy(wanted)), abs=0.05
    )


def test_read_motion_reads_amc_files(tmp_path, short):
    """At 120 frames per second, except for names of HDM05 that specify the rate."""
    write_walk(tmp_path / "7_30.amc", tmp_path / "7.asf", short, fps=120)
    write_walk(tmp_path / "HDM_ab_walk2StepsLstart_001_60.amc", tmp_path / "asf" / "HDM_ab.asf", short, fps=60)
    for name in ("7_30.amc", "HDM_ab_walk2StepsLstart_001_60.amc"):
        motion = read_motion(tmp_path / name, from_origin=True)
        assert motion.provenance == {"file": name, "retargeted": True}
        assert motion.fps == 20
        assert abs(motion.frames - len(short)) <= 1
        assert standing_foot_height(motion.joints.double().numpy()) == pytest.approx(0.015, abs=0.002)
    with pytest.raises(InputError, match=r"7_30\.amc lasts 2 s; give one of up to 1 s"):
        read_motion(tmp_path / "7_30.amc", max_seconds=1.0)


@pytest.mark.parametrize(
    ("name", "fps"),
    [("02_01", 120), ("13_60", 120), ("HDM_bd_squat1Reps_001_120", 120), ("HDM_bd_01-01_02_60", 60), ("walk_30", 120)],
)
def test_amc_frame_rate_is_read_from_name(name, fps):
    assert amc_frame_rate(Path(f"a/{name}.amc")) == fps


def test_unmapped_skeletons_are_refused(tmp_path):
    (tmp_path / "a.asf").write_text(ASF)
    (tmp_path / "a.amc").write_text(AMC)
    with pytest.raises(InputError, match=r"a\.amc: no mapping in .* fits its joints root, thigh, shin; write one"):
        read_amc_motion(tmp_path / "a.amc")


def test_lying_body_is_not_mistaken_for_another_axis(tmp_path, short):
    """The mapping specifies the vertical axis."""
    lying = short[:10, :, [0, 2, 1]] * [1, 1, -1]
    write_walk(tmp_path / "a.amc", tmp_path / "a.asf", lying, fps=20)
    assert best_mapping(list(BONES.values())) == "cmu_acclaim"
    joints = read_amc_joints(tmp_path / "a.amc", fps=20)
    assert np.ptp(joints[0, :, 1]) < 0.8


def real(name):
    return needs.data(name, f"the file {name} of CMU or HDM05")[0]


def test_real_walk_is_plausible():
    """CMU's 02_01 at 120 frames per second: forward, upright, on the floor, knees and elbows bent in the right
    direction.
    """
    joints = start_at_origin(read_amc_joints(real("02_01.amc"))).astype(np.float64)
    at = {name: joints[:, i] for i, name in enumerate(JOINTS)}
    seconds = len(joints) / 20
    assert 0.8 < np.linalg.norm(at["pelvis"][-1] - at["pelvis"][0]) / seconds < 2
    assert at["pelvis"][-1, 2] > 2  # it begins facing +z
    assert standing_foot_height(joints) == pytest.approx(0.015, abs=0.001)
    up = at["head"] - at["pelvis"]
    assert (up[:, 1] / np.linalg.norm(up, axis=-1)).min() > 0.9
    forward = np.cross(at["left_hip"] - at["right_hip"], up)
    for side in ("left", "right"):
        hip, knee, ankle = (at[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        assert ((knee - (hip + ankle) / 2) * forward).sum(-1).min() > 0
        shoulder, elbow, wrist = (at[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        assert ((elbow - (shoulder + wrist) / 2) * forward).sum(-1).mean() < 0
        assert ((at[f"{side}_foot"] - ankle) * forward).sum(-1).mean() > 0


def test_amc_trial_is_close_to_its_bvh_conversion():
    """CMU's 16_12 as ASF/AMC and as a third-party BVH file at 30 frames per second, whose skeleton differs slightly."""
    amc, bvh = (start_at_origin(read(real(name))) for name, read in CONVERSIONS.items())
    frames = min(len(amc), len(bvh))
    assert frames > 60
    assert np.linalg.norm(amc[:frames] - bvh[:frames], axis=-1).mean() < 0.08


def _bvh(path):
    from data_loaders.skeleton_files import read_bvh_joints

    return read_bvh_joints(path)


CONVERSIONS = {"16_12.amc": lambda path: read_amc_joints(path, fps=30), "16_12_1.bvh": _bvh}
