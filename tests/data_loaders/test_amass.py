"""Body models agree with smplx; recordings are converted to this body; bad files are refused with one line."""

import re
import sys

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial.transform import Rotation

from data_loaders.amass import Amass, read_recording, y_up
from data_loaders.body_model import load_body_model
from data_loaders.retarget import bone_lengths, uniform_skeleton
from data_loaders.store import prepare
from motion_diffusion.body.heading import heading
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from motion_diffusion.errors import InputError
from tests.data_loaders.amass_files import body_model, pickled, recording, skin, write_model, write_recording

PARENT = list(PARENTS[1:])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder with body models: SMPL-H of both genders, and a neutral SMPL-X."""
    folder = tmp_path_factory.mktemp("body_models")
    for gender in ("male", "female"):
        write_model(folder, "smplh", gender)
    write_model(folder, "smplx", "neutral", **body_model("smplx", 20))
    return folder


@pytest.fixture
def root(tmp_path):
    """Folder with a recording and two files that are no recordings."""
    folder = tmp_path / "amass"
    write_recording(folder / "KIT" / "3" / "kick_poses.npz")
    write_recording(folder / "KIT" / "3" / "shape.npz", betas=np.zeros(16))
    write_recording(folder / "KIT" / "3" / "neutral_stagei.npz", betas=np.zeros(16))
    return folder


def only_entry(root, models):
    (entry,) = Amass(root, models).source().entries
    return entry


# ---- bodies


@pytest.mark.parametrize(("kind", "shapes", "used"), [("smplh", 16, 10), ("smplx", 400, 16), ("smplx", 20, 10)])
def test_body_model_joints_agree_with_smplx(tmp_path, kind, shapes, used):
    """smplx also poses skin, hands and face; it uses ten shape parameters of SMPL-H."""
    path = tmp_path / kind / f"{kind.upper()}_FEMALE.npz"
    path.parent.mkdir()
    np.savez(path, **body_model(kind, shapes), **skin(kind))
    choices = {"use_pca": False, "batch_size": 5, "num_betas": used, "ext": "npz"}
    theirs = smplx.create(str(tmp_path), kind, gender="female", **choices)
    rng = np.random.default_rng(0)
    pose, betas, trans = rng.normal(0, 1, (5, 66)), rng.normal(0, 2, used), rng.normal(0, 3, (5, 3))
    pose[0] = 0
    numbers = {
        "global_orient": pose[:, :3],
        "body_pose": pose[:, 3:],
        "betas": np.tile(betas, (5, 1)),
        "transl": trans,
        "left_hand_pose": rng.normal(0, 1, (5, 45)),
        "right_hand_pose": rng.normal(0, 1, (5, 45)),
    }
    with torch.no_grad():
        expected = theirs(**{name: torch.from_numpy(value).float() for name, value in numbers.items()})
    joints = load_body_model(tmp_path, kind, "female").joints(pose, betas, trans)
    np.testing.assert_allclose(joints, expected.joints[:, :22].numpy(), atol=1e-5)


def test_body_model_uses_all_shape_parameters(models):
    """Sixteen shape parameters, which smplx does not support, against scipy's rotations."""
    arrays = body_model("smplh", seed=len("male"))
    rng = np.random.default_rng(0)
    pose, betas, trans = rng.normal(0, 1, (1, 66)), rng.normal(0, 2, 16), rng.normal(0, 1, (1, 3))
    rest = arrays["J_regressor"] @ (arrays["v_template"] + arrays["shapedirs"] @ betas)
    turns, places = [Rotation.from_rotvec(pose[0, :3])], [rest[0] + trans[0]]
    for joint, parent in enumerate(PARENT, 1):
        places.append(places[parent] + turns[parent].apply(rest[joint] - rest[parent]))
        turns.append(turns[parent] * Rotation.from_rotvec(pose[0, 3 * joint : 3 * joint + 3]))
    joints = load_body_model(models, "smplh", "male").joints(pose, betas, trans)
    np.testing.assert_allclose(joints[0], places, atol=1e-6)


def test_body_model_batches_agree_with_single_frames(models):
    model = load_body_model(models, "smplh", "male")
    rng = np.random.default_rng(0)
    pose, betas, trans = rng.normal(0, 1, (4100, 66)), np.zeros(10), rng.normal(0, 1, (4100, 3))
    joints = model.joints(pose, betas, trans)
    for frame in (0, 4095, 4096, 4099):
        alone = model.joints(pose[[frame]], betas, trans[[frame]])
        np.testing.assert_allclose(joints[[frame]], alone, atol=1e-12)


def test_y_up_preserves_left_and_right():
    axes = np.eye(3)
    turned = y_up(axes)
    np.testing.assert_array_equal(turned[2], [0, 1, 0])
    assert np.linalg.det(turned) == pytest.approx(1)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"J_regressor": np.zeros((24, 6890))}, "is SMPL, with 24 joints, where SMPL-H is needed"),
        ({"J_regressor": np.zeros((55, 6890))}, "is SMPL-X, with 55 joints"),
        ({"J_regressor": np.zeros((7, 6890))}, "with 7 joints"),
        ({"J_regressor": None}, "has no J_regressor"),
        ({"v_template": np.zeros((100, 3))}, "do not fit each other"),
        ({"v_template": np.array(1.0)}, "do not fit each other"),
        ({"v_template": np.full((6890, 3), "x")}, "not all of its arrays are numbers"),
        ({"kintree_table": np.arange(52)}, "do not fit each other"),
        ({"shapedirs": np.zeros((6890, 16))}, "do not fit each other"),
        ({"shapedirs": np.full((6890, 3, 16), np.nan)}, "not all of its numbers are finite"),
        ({"kintree_table": np.zeros((2, 52), dtype=int)}, "hang on each other in another way"),
    ],
)
def test_load_body_model_refuses_other_kinds(tmp_path, broken, said):
    arrays = {name: array for name, array in (body_model() | broken).items() if array is not None}
    path = write_model(tmp_path, **arrays)
    with pytest.raises(InputError, match=said) as caught:
        load_body_model(tmp_path, "smplh", "male")
    assert str(path) in str(caught.value)
    assert "mano.is.tue.mpg.de" in str(caught.value)


def test_load_body_model_names_missing_models(tmp_path):
    with pytest.raises(InputError, match=r"no SMPL-X body model for neutral: get .*smplx/neutral/model.npz or "):
        load_body_model(tmp_path, "smplx", "neutral")
    pickle = tmp_path / "smplh" / "SMPLH_MALE.pkl"
    pickle.parent.mkdir()
    pickle.touch()
    with pytest.raises(InputError, match=f"{pickle} is a pickle.* get .* as .npz"):
        load_body_model(tmp_path, "smplh", "male")


def test_read_recording_never_unpickles(tmp_path, models):
    """Pickled members are refused if needed and ignored otherwise."""
    trace = tmp_path / "ran"
    arrays = recording("smplx", gender="neutral")
    path = write_recording(tmp_path / "a.npz", **arrays, markers_latent_vids=pickled(trace))
    assert read_recording(path).kind == "smplx"
    for name in ("poses", "gender"):
        write_recording(path, **arrays | {name: pickled(trace)})
        with pytest.raises(InputError, match=f"{path}: {name} is a pickle"):
            read_recording(path)
    write_model(tmp_path, **body_model() | {"J_regressor": pickled(trace)})
    with pytest.raises(InputError, match="J_regressor is a pickle"):
        load_body_model(tmp_path, "smplh", "male")
    assert not trace.exists()
    np.load(path, allow_pickle=True)["gender"]
    assert trace.exists()


# ---- recordings


@pytest.mark.parametrize("fps", [60.0, 100.0, 120.0, 250.0])
def test_read_amass_joints_is_independent_of_frame_rate(tmp_path, models, fps):
    """Multiples of 20 frames per second and another rate, against 200 frames per second."""
    root = tmp_path / "amass"
    write_recording(root / "a.npz", **recording(frames=int(2 * fps) + 1, fps=fps))
    write_recording(root / "b.npz", **recording(frames=401, fps=200.0))
    a, b = (entry.read().joints for entry in Amass(root, models).source().entries)
    assert a.shape == b.shape == (41, 22, 3)
    np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize(("kind", "gender"), [("smplh", "female"), ("smplx", "neutral")])
def test_amass_entry_is_recording_on_this_body(tmp_path, models, kind, gender):
    arrays = recording(kind, gender=gender)
    arrays["betas"] = arrays["betas"][:10]
    write_recording(tmp_path / "amass" / "walks" / "a.npz", **arrays)
    entry = only_entry(tmp_path / "amass", models)
    clip = entry.read()
    assert clip.name == "walks/a"
    bones = clip.joints[:, 1:] - clip.joints[:, PARENT]
    wanted = np.broadcast_to(BONE_LENGTHS[1:], bones.shape[:2])
    np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), wanted, atol=1e-5)
    np.testing.assert_allclose(clip.joints[0, 0, [0, 2]], 0, atol=1e-6)
    assert abs(float(heading(torch.from_numpy(clip.joints[:1]), smooth=False))) < 1e-5
    source = read_recording(entry.path).joints(load_body_model(models, kind, gender))[::3]
    theirs = source[:, 1:] - source[:, PARENT]
    ratio = np.linalg.norm(theirs, axis=-1) / wanted
    heights, angles = bones[..., 1], theirs[..., 1] / ratio  # the body was turned about the vertical and nothing else
    np.testing.assert_allclose(heights, angles, atol=1e-5)
    lowest = clip.joints[:, [JOINTS.index("left_foot"), JOINTS.index("right_foot")], 1].min()
    assert -0.3 < lowest < 0.015


def test_read_recording_accepts_bytes_and_flat_arrays(tmp_path):
    arrays = recording() | {"gender": np.array(b"female"), "mocap_framerate": np.array([120])}
    read = read_recording(write_recording(tmp_path / "a.npz", **arrays))
    assert (read.gender, read.gender_is_bytes, read.fps) == ("female", True, 120.0)
    poses = arrays.pop("poses")
    parts = {"root_orient": poses[:, :3], "pose_body": poses[:, 3:66], "surface_model_type": np.array("smplh")}
    again = read_recording(write_recording(tmp_path / "b.npz", **arrays, **parts))
    np.testing.assert_array_equal(again.pose, read.pose)


def without(name):
    arrays = recording()
    del arrays[name]
    return arrays


def with_nan():
    arrays = recording()
    arrays["poses"][17, 30] = np.nan
    return arrays


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (without("trans"), "has no trans; give files of AMASS"),
        (without("gender"), "has no gender"),
        (without("mocap_framerate"), "has no mocap_frame_rate"),
        (without("poses"), "has no poses and no root_orient, no pose_body"),
        (recording() | {"poses": np.zeros((120, 72))}, r"poses are of shape \(120, 72\), where SMPL-H has"),
        (recording() | {"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, r"poses are of shape \(0, 156\)"),
        (recording() | {"trans": np.zeros((119, 3))}, r"trans, float64 of shape \(119, 3\), should be numbers"),
        (recording() | {"trans": np.full((120, 3), "x")}, "trans, <U1 of shape"),
        (recording() | {"gender": np.array("f")}, "gender is 'f', not male, female or neutral"),
        (recording() | {"gender": np.array(b"\xff")}, "gender is '\ufffd', not male"),
        (recording() | {"gender": np.array(3)}, "gender is not a text"),
        (recording() | {"betas": np.zeros(2000, np.int8)}, r"betas, int8 of shape \(2000,\), should be numbers"),
        (recording() | {"mocap_framerate": np.array(0.0)}, "mocap_framerate is 0, no number of frames a second"),
        (recording() | {"mocap_framerate": np.array(np.nan)}, "mocap_framerate of frame 0 are not all finite"),
        (with_nan(), "poses of frame 17 are not all finite numbers; download it from AMASS again"),
    ],
)
def test_bad_recordings_are_refused_in_one_line(tmp_path, arrays, said):
    path = write_recording(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=said) as caught:
        read_recording(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_damaged_recordings_are_refused_in_one_line(tmp_path):
    path = write_recording(tmp_path / "a.npz")
    whole = path.read_bytes()
    for broken in (b"", b"none", whole[:3000], whole[:5000] + bytes(200) + whole[5200:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=f"^{re.escape(str(path))} .*download it from AMASS again$"):
            read_recording(path)
    with pytest.raises(FileNotFoundError, match="download it"):
        read_recording(tmp_path / "b.npz")


# ---- folders


def test_amass_captions_are_assigned(root, models, tmp_path):
    table = tmp_path / "captions.csv"
    table.write_text("file,text,split\nKIT/3/kick_poses,a person kicks,test\nKIT/4/kick_poses,another kicks,\n")
    source = Amass(root, models, table).source()
    (entry,) = source.entries
    assert len(source.problems) == 1
    assert "line 3: no clip 'KIT/4/kick_poses'" in source.problems[0]
    clip = entry.read()
    assert (clip.name, clip.split, clip.captions[0].text) == ("KIT/3/kick_poses", "test", "a person kicks")
    assert not source.mirrored
    assert root / "KIT" / "3" / "kick_poses.npz" in source.files
    assert Amass(root, models).source().entries[0].read().captions == ()
    table.write_text("file,text,start,end\nKIT/3/kick_poses,a person kicks,0,20\n")
    (entry,) = Amass(root, models, table).source().entries
    with pytest.raises(InputError, match="kick_poses.npz: a caption is about 0 to 20 s, but it lasts 2 s"):
        entry.read()


def test_prepare_lists_and_skips_broken_recordings(root, models, tmp_path):
    bad = write_recording(root / "CMU" / "bad.npz", **with_nan())
    write_recording(root / "CMU" / "neutral.npz", **recording(gender="neutral"))
    write_recording(root / "CMU" / "x.npz", **recording("smplx", gender="neutral"))
    source = Amass(root, models).source()
    with pytest.raises(InputError, match="^3 broken: ") as caught:
        prepare("amass", source, tmp_path / "store", processes=1)
    for said in (f"{bad}: poses of frame 17", "no SMPL-H body model for neutral", "x.npz: 16 numbers of shape, where"):
        assert said in str(caught.value)
    assert not (tmp_path / "store").exists()
    store = prepare("amass", source, tmp_path / "store", skip_broken=True, processes=1)
    assert [clip.name for clip in store.clips] == ["KIT/3/kick_poses"]


def test_amass_source_refuses_incomplete_folders(root, models, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="give --data-root the folder of AMASS's recordings"):
        Amass(tmp_path / "nowhere", models).source()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no recordings"):
        Amass(tmp_path / "empty", models).source()
    with pytest.raises(
        InputError, match=r"no body models in .*: get the \"extended SMPL\+H model\".*smplh/male/model.npz"
    ):
        Amass(root, tmp_path / "nowhere").source()
    with pytest.raises(FileNotFoundError, match="no captions file"):
        Amass(root, models, tmp_path / "captions.csv").source()
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(InputError, match="install the extra `body`"):
        Amass(root, models).source()


# ---- the uniform skeleton


def test_uniform_skeleton_changes_lengths_and_keeps_directions():
    rng = np.random.default_rng(0)
    joints, lengths = rng.normal(0, 1, (6, 22, 3)), rng.uniform(0.1, 0.5, 22)
    new = uniform_skeleton(joints, lengths)
    for joint, parent in enumerate(PARENT, 1):
        before, after = joints[:, joint] - joints[:, parent], new[:, joint] - new[:, parent]
        np.testing.assert_allclose(np.linalg.norm(after, axis=-1), lengths[joint])
        np.testing.assert_allclose(np.cross(before, after), 0, atol=1e-12)
        assert ((before * after).sum(-1) > 0).all()
    leg = bone_lengths(joints[0])[[5, 8]].sum()
    np.testing.assert_allclose(new[:, 0], joints[:, 0] * (lengths[5] + lengths[8]) / leg)


def test_uniform_skeleton_is_identity_for_same_lengths(walk):
    np.testing.assert_allclose(uniform_skeleton(walk, BONE_LENGTHS.numpy()), walk, atol=2e-6)
