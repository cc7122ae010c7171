"""Walks written as BVH files of other skeletons are recovered; implausible files are refused with one line."""

import numpy as np
import pytest
import torch

from data_loaders.augment import TOES
from data_loaders.retarget import standing_foot_height, start_at_origin
from data_loaders.skeleton_files import read_bvh_joints
from data_loaders.skeleton_mapping import SkeletonMapping, shipped_mappings
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.bvh_files import CAPTURE, CHARACTER, PELVIS, ROBOT, SKELETONS


@pytest.fixture
def refused(tmp_path):
    """refused(text, …): one-line error message of reading a file, which begins with the file's name."""

    def read(text, mapping=None, **options):
        path = tmp_path / "bad.bvh"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            read_bvh_joints(path, mapping, **options)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return read


@pytest.mark.parametrize("name", SKELETONS)
def test_walks_of_other_skeletons_are_recovered(tmp_path, short, name):
    skeleton, path = SKELETONS[name], tmp_path / "a.bvh"
    skeleton.write(path, short)
    joints = start_at_origin(read_bvh_joints(path, skeleton.mapping(), scale=skeleton.unit))
    wanted = short[: len(joints)]
    assert len(wanted) >= 40
    assert joints.shape == wanted.shape
    wanted = wanted + (joints - wanted)[:, TOES].mean((0, 1)) * [1, 0, 1]
    np.testing.assert_allclose(joints[:, TOES], wanted[:, TOES], atol=0.001)
    np.testing.assert_allclose(joints[:, PELVIS], wanted[:, PELVIS], atol=0.03)
    assert np.linalg.norm(joints - wanted, axis=-1).mean() < 0.03
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-4)
    np.testing.assert_array_equal(joints[0, PELVIS, [0, 2]], 0)
    assert foot_skating_ratio(torch.from_numpy(joints)) == pytest.approx(
        foot_skating_ratio(torch.from_numpy(wanted)), abs=0.02
    )


def test_floor_option_keeps_heights_of_file(tmp_path, short):
    """On request, heights are those of the file, scaled by the ratio of the legs."""
    path = tmp_path / "a.bvh"
    ROBOT.write(path, short)
    kept = read_bvh_joints(path, ROBOT.mapping(), floor="file")
    found = read_bvh_joints(path, ROBOT.mapping())
    np.testing.assert_allclose(kept - found, np.broadcast_to([0, ROBOT.height, 0], kept.shape), atol=1e-3)
    says = ROBOT.mapping().model_copy(update={"floor": "file"})
    np.testing.assert_array_equal(read_bvh_joints(path, says), kept)
    np.testing.assert_array_equal(read_bvh_joints(path, says, floor="feet"), found)


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_own_skeleton_is_not_retargeted(tmp_path, short, unit):
    """Also in the air, since its floor is at height 0, and in any unit; not if a bone is longer."""
    joints = short[:20] + [0.3, 0.4, -1.0]

    def write(joints):
        lines = ["HIERARCHY", "ROOT all", "{", "OFFSET 0 0 0"]
        for name in JOINTS:
            lines += [f"JOINT {name}", "{", "OFFSET 0 0 0", "CHANNELS 3 Xposition Yposition Zposition", "}"]
        lines += ["}", "MOTION", f"Frames: {len(joints)}", "Frame Time: 0.05"]
        lines += [" ".join(f"{number:.6f}" for number in frame.ravel() / unit) for frame in joints]
        (tmp_path / "a.bvh").write_text("\n".join(lines))
        return read_bvh_joints(tmp_path / "a.bvh")

    np.testing.assert_allclose(write(joints), joints, atol=1e-5)
    longer = joints.copy()
    longer[:, JOINTS.index("head")] += 0.1 * (longer[:, JOINTS.index("head")] - longer[:, JOINTS.index("neck")])
    assert standing_foot_height(write(longer)) == pytest.approx(0.015, abs=0.002)


def test_result_is_independent_of_unit(tmp_path, short):
    """The result has this body's size in all units."""
    path = tmp_path / "a.bvh"
    CHARACTER.write(path, short)
    joints = read_bvh_joints(path)
    for scale in (0.01, 0.0095):
        np.testing.assert_allclose(read_bvh_joints(path, scale=scale), joints, atol=1e-9)


def test_bandai_clips_stand_on_recorded_floor():
    """As specified by the shipped mapping."""
    for path in (needs.data(f"dataset-*_{kind}_*.bvh", "Bandai-Namco's clips")[0] for kind in ("walk", "bow", "run")):
        assert standing_foot_height(read_bvh_joints(path)) == pytest.approx(0.05, abs=0.01)


def test_missing_joints_are_named(refused, file):
    other = file.replace("mixamorig7:LeftToeBase", "mixamorig7:LeftToe")
    said = refused(other, shipped_mappings()["mixamo"])
    assert "no joint 'LeftToeBase' for left_foot (did you mean 'LeftToe'?); there are mixamorig7:Hips, " in said
    said = refused(file.replace("LeftShoulder", "LeftCollar"))
    assert "no mapping in" in said
    assert "fits its joints mixamorig7:Hips, " in said
    assert "nearest is mixamo.json, but there is no LeftShoulder)" in said
    more = "".join(f"JOINT x{k}\n{{\nOFFSET 1 2 3\n}}\n" for k in range(1000))
    assert len(refused(file.replace("LeftShoulder", "LeftCollar").replace("}\nMOTION", f"{more}}}\nMOTION"))) < 4000


def test_implausible_files_are_refused(refused, file, tmp_path, short):
    assert "its legs are 92.8 m long; give --scale 0.01" in refused(file, scale=1.0)
    assert "give --scale 0.01" in refused(file, scale=0.0001)
    assert "Frames" in refused(file.replace("Frames:", "Frame:"))
    swapped = file.replace("Left", "#").replace("Right", "Left").replace("#", "Right")
    assert "its feet point backwards; left and right are swapped" in refused(swapped)
    path = tmp_path / "a.bvh"
    CAPTURE.write(path, short[:3])
    mapping = SkeletonMapping(joints=CAPTURE.mapping().joints)
    assert "it stands along z; set up to z, or to y if it does lie" in refused(
        path.read_text(), mapping, scale=CAPTURE.unit
    )
    lying = read_bvh_joints(path, mapping, up="y")
    assert np.ptp(lying[0, :, 1]) < 0.8
    CHARACTER.write(path, short[:3] * [-1, -1, 1])
    assert "its head is below its feet" in refused(path.read_text())
    still = [line if "OFFSET" not in line else "OFFSET 0 0 0" for line in file.splitlines()]
    assert "hips, knees and ankles are in one place" in refused("\n".join(still))
