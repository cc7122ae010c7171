"""Motion files of all kinds become motions of this body with correct place, height and timing, or are refused."""

import json
import os
import tracemalloc
import warnings

import numpy as np
import pytest
import torch

from data_loaders.amass import Amass
from data_loaders.bandai import read_clip
from data_loaders.load_motion import read_motion
from data_loaders.retarget import standing_foot_height
from motion_diffusion.body.features import encode, to_relative
from motion_diffusion.body.heading import heading, to_origin, turn
from motion_diffusion.body.joint_angles import HINGE_LIMITS
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import turned
from motion_diffusion.body.skeleton import FPS, JOINTS, forward_kinematics
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.amass_files import pickled, recording, write_model, write_recording
from tests.data_loaders.bvh_files import CAPTURE, SKELETONS
from visualize.export.formats import export

BODY = forward_kinematics(torch.eye(3, dtype=torch.float64).expand(22, 3, 3), torch.zeros(3, dtype=torch.float64))
"""(22, 3) rest pose."""


@pytest.fixture
def elsewhere(short):
    """Walk from another place in another direction."""
    joints = turn(torch.from_numpy(short), torch.full((len(short),), 2.0, dtype=torch.float64))
    return joints + torch.tensor([1.5, 0.0, -2.0])


def standing(joints):
    """Horizontal position of the pelvis and heading in the first frame."""
    return [*joints[0, 0, [0, 2]].tolist(), heading(joints[:1], smooth=False).item()]


def test_own_motion_is_unchanged(elsewhere, tmp_path):
    path = tmp_path / "m.npz"
    wanted = Motion(elsewhere, text="a person walks", provenance={"seed": 3})
    wanted.save(path)
    for from_origin in (False, True):
        motion = read_motion(path, from_origin=from_origin)
        assert torch.equal(motion.joints, wanted.joints)
        assert torch.equal(motion.rotations, wanted.rotations)
        assert (motion.text, motion.provenance) == ("a person walks", {"seed": 3})


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0, 120.0])
def test_frame_rate_is_converted(tmp_path, fps):
    """An oscillation of two seconds is sampled correctly for all frame rates of the file."""

    def joints(time):
        return BODY + torch.sin(np.pi * time)[:, None, None]

    Motion(joints(torch.arange(2 * fps + 1, dtype=torch.float64) / fps), fps=fps).save(tmp_path / "m.npz")
    motion = read_motion(tmp_path / "m.npz")
    assert motion.fps == FPS
    assert motion.frames == 2 * FPS + 1
    wanted = joints(torch.arange(41, dtype=torch.float64) / FPS).float()
    torch.testing.assert_close(motion.joints, wanted, atol=0.03 if fps == 10 else 1e-3, rtol=0)


def test_own_rate_keeps_frame_rate(elsewhere, tmp_path):
    wanted = Motion(elsewhere, fps=60.0)
    wanted.save(tmp_path / "m.npz")
    motion = read_motion(tmp_path / "m.npz", own_rate=True)
    assert motion.fps == 60.0
    assert torch.equal(motion.joints, wanted.joints)
    Motion(elsewhere, fps=1e9).save(tmp_path / "m.npz")
    with pytest.raises(InputError, match=r"m.npz has 1e\+09 frames a second; 1 to 1000 can be read"):
        read_motion(tmp_path / "m.npz", own_rate=True)


@pytest.mark.parametrize("name", SKELETONS)
def test_bvh_files_of_other_skeletons(tmp_path, elsewhere, name):
    """Any unit, vertical axis and height of the floor; in place or moved to the origin."""
    skeleton, path, mapping = SKELETONS[name], tmp_path / "A.BVH", tmp_path / "mapping.json"
    skeleton.write(path, elsewhere.numpy())
    mapping.write_text(json.dumps(skeleton.mapping().model_dump(exclude_none=True)))
    chosen = None if name == "character" else mapping
    motion = read_motion(path, mapping=chosen)
    assert motion.fps == FPS
    assert motion.provenance == {"file": path.name, "retargeted": True}
    assert standing_foot_height(motion.joints.double().numpy()) == pytest.approx(0.015, abs=0.002)
    assert standing(motion.joints) == pytest.approx(standing(elsewhere), abs=0.1)
    moved = read_motion(path, mapping=chosen, from_origin=True)
    assert standing(moved.joints) == pytest.approx([0, 0, 0], abs=1e-5)
    torch.testing.assert_close(moved.joints, to_origin(motion.joints), atol=1e-5, rtol=0)
    wanted = to_origin(elsewhere)[: motion.frames].float()
    assert (moved.joints - wanted).norm(dim=-1).mean() < 0.04


@pytest.mark.parametrize("unit", ["m", "cm"])
def test_own_bvh_files_keep_rotations(tmp_path, elsewhere, unit):
    """Also those that joints do not determine: twist of a straight arm, rotation of a hand."""
    turns = Motion(elsewhere).rotations.double()
    turns[:, JOINTS.index("left_elbow")] = turned(
        torch.tensor([0.0, HINGE_LIMITS[JOINTS.index("left_elbow")], 0.0]).double()
    )
    turns[:, JOINTS.index("right_wrist")] = turned(torch.linspace(0, 1, len(turns)).double()[:, None] * torch.eye(3)[0])
    motion = Motion.of(Rig(turns, elsewhere[:, 0].double(), FPS))
    export(motion, tmp_path / "a.bvh", unit=unit)
    again = read_motion(tmp_path / "a.bvh")
    torch.testing.assert_close(again.rotations, motion.rotations, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.joints, motion.joints, atol=1e-5, rtol=0)
    export(motion, tmp_path / "b.bvh", fps=60, unit=unit)
    torch.testing.assert_close(read_motion(tmp_path / "b.bvh").joints, motion.joints, atol=1e-4, rtol=0)
    assert "retargeted" not in again.provenance


def test_too_long_motions_are_refused_before_conversion(tmp_path):
    """Values take few bytes in the file, and eight or more once converted."""
    frames = 40_000
    ours = {"version": 1, "joint_names": JOINTS, "text": "", "provenance": "{}"}
    joints, poses = np.zeros((frames, 22, 3), np.int8), np.zeros((frames, 156), np.int8)
    np.savez_compressed(tmp_path / "ours.npz", joints=joints, fps=1.0, **ours)
    np.save(tmp_path / "joints.npy", joints)
    moving = {"poses": poses, "trans": np.zeros((frames, 3), np.int8), "mocap_framerate": 20.0}
    save_member(tmp_path / "recording.npz", **moving)
    for name, seconds in {"ours.npz": 40_000, "joints.npy": 2000, "recording.npz": 2000}.items():
        tracemalloc.start()
        with pytest.raises(InputError, match=f"{name} lasts {seconds} s; give one of up to 180 s"):
            read_motion(tmp_path / name, max_seconds=180.0)
        assert tracemalloc.get_traced_memory()[1] < 2 * poses.nbytes
        tracemalloc.stop()


def test_wrong_units_are_refused(tmp_path, elsewhere):
    """Bodies of half or twice this body's size are accepted."""
    for unit, tall in {1000.0: "1.7e[+]03", 100.0: "170", 0.01: "0.017", 0.5: "", 2.0: ""}.items():
        Motion(elsewhere).save(tmp_path / "m.npz")
        with np.load(tmp_path / "m.npz") as file:
            np.savez(tmp_path / "m.npz", **dict(file) | {"joints": (unit * elsewhere).numpy()})
        np.save(tmp_path / "m.npy", (unit * elsewhere).numpy())
        for path in (tmp_path / "m.npz", tmp_path / "m.npy"):
            if tall:
                with pytest.raises(InputError, match=f"{path.name}: its body is about {tall} m tall; give joints in m"):
                    read_motion(path)
            else:
                assert read_motion(path).frames == len(elsewhere)


def test_non_finite_joints_are_refused_without_warning(tmp_path, elsewhere):
    """Without a preceding warning of NumPy."""
    Motion(elsewhere).save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        np.savez(tmp_path / "m.npz", **dict(file) | {"joints": np.full((3, 22, 3), 1e300)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="m.npz: joints of frame 0 are not all finite"):
            read_motion(tmp_path / "m.npz")


def test_up_option(tmp_path, short):
    path, mapping = tmp_path / "a.bvh", tmp_path / "mapping.json"
    CAPTURE.write(path, short)
    mapping.write_text(json.dumps({"joints": CAPTURE.mapping().joints}))
    with pytest.raises(InputError, match="a.bvh: it stands along z; set up to z, or to y if it does lie"):
        read_motion(path, mapping=mapping)
    height = np.ptp(read_motion(path, mapping=mapping, up="z").joints[0, :, 1].numpy())
    assert height == pytest.approx(np.ptp(short[0, :, 1]), abs=0.05)


def test_bandai_clip_equals_that_of_its_data_set():
    path = needs.data("dataset-*_walk_*.bvh", "Bandai-Namco's clips")[0]
    motion = read_motion(path, from_origin=True)
    wanted = Motion(torch.from_numpy(read_clip(path))).from_origin
    torch.testing.assert_close(motion.joints, wanted.joints, atol=1e-4, rtol=0)


def test_amass_recordings_are_recognised(tmp_path, monkeypatch):
    """They equal those of the data set; body models are searched for in $BODY_MODELS, which errors mention."""
    path = write_recording(tmp_path / "amass" / "a.npz")
    monkeypatch.setenv("BODY_MODELS", str(tmp_path / "models"))
    with pytest.raises(
        InputError, match=r"no SMPL-H body model for male: get .*models/smplh/male/model.npz or .*BODY_MODELS"
    ):
        read_motion(path)
    with pytest.raises(InputError, match=r"a.npz: no SMPL-H body model .*/smplh/.*, or say with --body-models or "):
        read_motion(path, body_models=tmp_path)
    write_model(tmp_path / "models")
    motion = read_motion(path)
    (entry,) = Amass(tmp_path / "amass", tmp_path / "models").source().entries
    clip = torch.from_numpy(entry.read().joints)
    wanted = Motion(clip).from_origin.joints
    torch.testing.assert_close(read_motion(path, from_origin=True).joints, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(to_origin(motion.joints), wanted, atol=1e-4, rtol=0)
    assert not torch.allclose(motion.joints, clip, atol=0.1)
    monkeypatch.delenv("BODY_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="motion-diffusion/body_models/smplh/male/model.npz"):
        read_motion(path)
    torch.testing.assert_close(read_motion(path, body_models=tmp_path / "models").joints, motion.joints)


def test_humanml3d_files(tmp_path, elsewhere):
    """Joints, relative features and absolute features, which are distinguished by their contents."""
    walk = to_origin(elsewhere)
    features = encode(walk)
    for name, array in {"joints": elsewhere, "absolute": features, "relative": to_relative(features)}.items():
        np.save(tmp_path / f"{name}.npy", array.float().numpy())
        motion = read_motion(tmp_path / f"{name}.npy", from_origin=True)
        torch.testing.assert_close(motion.joints, walk[: motion.frames].float(), atol=1e-3, rtol=0)
        assert motion.frames >= len(walk) - 1


def save_member(path, **changes):
    write_recording(path, **{**recording(), **changes})


BAD = {
    "none.bvh": (lambda path: None, "no file"),
    "m.txt": (lambda path: path.write_text("x"), "motions are read from .npz, .bvh, .amc, .npy"),
    "empty.npz": (lambda path: path.write_bytes(b""), "is no .npz file"),
    "fast.npz": (lambda path: Motion(torch.zeros(3, 22, 3), fps=1e5).save(path), "100000 frames a second"),
    "slow.npz": (lambda path: Motion(torch.zeros(3, 22, 3), fps=1e-5).save(path), "1e-05 frames a second"),
    "other.npz": (lambda path: np.savez(path, x=np.zeros(3)), "joint_names"),
    "cut.npz": (lambda path: save_member(path, poses=np.zeros((3, 156))), "trans, .* should be numbers"),
    "trap.npz": (lambda path: save_member(path, poses=pickled(path.parent / "ran")), "pickle"),
    "a.bvh": (lambda path: path.write_text("HIERARCHY\n"), "cut off"),
    "a.amc": (
        lambda path: path.write_text("1\nroot 0 0 0 0 0 0\n"),
        "no .asf file for it in .*; put its skeleton there",
    ),
    "shape.npy": (lambda path: np.save(path, np.zeros((3, 21, 3))), r"where \(frames, 22, 3\) or \(frames, 263\)"),
    "none.npy": (lambda path: np.save(path, np.zeros((0, 263))), "has shape"),
    "nan.npy": (lambda path: np.save(path, np.full((3, 22, 3), np.nan)), "frame 0 is not all finite"),
    "huge.npy": (lambda path: np.save(path, np.full((3, 22, 3), 1e300)), "joints of frame 0 are not all finite"),
    "sparse.npy": (lambda path: (path.touch(), os.truncate(path, 6 * 2**30)), "has 6144 MB, .* 1024 MB"),
    "hours.npy": (
        lambda path: np.save(path, np.zeros((72_001, 22, 3), "u1")),
        "hours.npy lasts 3600 s; give one of up",
    ),
    "scaled.npy": (lambda path: np.save(path, np.ones((9, 263)) * np.arange(263)), "velocities disagree"),
    "trap.npy": (lambda path: np.save(path, pickled(path.parent / "ran"), allow_pickle=True), "pickle"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    path, (write, said) = tmp_path / name, BAD[name]
    write(path)
    with pytest.raises((InputError, FileNotFoundError), match=said) as caught:
        read_motion(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_truncated_bvh_files_are_refused(tmp_path, file):
    path = tmp_path / "a.bvh"
    for size in range(0, len(file) - 20, 977):
        path.write_text(file[:size])
        with pytest.raises(InputError, match="a.bvh: "):
            read_motion(path)
