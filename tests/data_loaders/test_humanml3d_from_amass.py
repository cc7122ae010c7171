"""HumanML3D made from a small synthetic AMASS agrees with the published steps reimplemented in NumPy."""

import shutil

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_loaders.augment import mirror
from data_loaders.humanml3d.from_amass import HumanML3DFromAmass
from data_loaders.store import prepare
from motion_diffusion.body.skeleton import MIRRORED, PARENTS
from motion_diffusion.errors import InputError
from tests.data_loaders.amass_files import body_model, recording, write_model, write_recording

ROWS = (
    ("000021", "KIT/4/circle_poses", 0, 70, {"frames": 400, "fps": 100.0}),
    ("000003", "CMU/01/01_01_poses", 3, 40, {"frames": 900, "fps": 250.0, "gender": "female"}),
    ("000007", "Eyes_Japan_Dataset/aita/turn-03-look at-aita_poses", 10, 60, {"frames": 720, "fps": 120.0}),
    ("000009", "MPI_Limits/03099/op1_poses", 0, 500, {"frames": 150, "fps": 60.0}),
)
SKIPPED = {"Eyes_Japan_Dataset": 60, "MPI_Limits": 20}
CLIPS = [f"{m}{row[0]}" for row in ROWS for m in ("", "M")] + ["000001", "M000001"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, walk):
    """AMASS with four recordings, the clone of HumanML3D's repository with one more clip of HumanAct12, body models."""
    folder = tmp_path_factory.mktemp("made")
    for gender in ("male", "female"):
        write_model(folder / "body_models", "smplh", gender)
    lines = ["source_path,start_frame,end_frame,new_name"]
    for seed, (name, path, start, end, choices) in enumerate(ROWS):
        write_recording(folder / "amass" / f"{path}.npz", **recording(seed=seed, **choices))
        lines.append(f"./pose_data/{path}.npy,{start},{end},{name}.npy")
    lines.append("./pose_data/humanact12/humanact12/P11G01.npy,0,-1,000001.npy")
    clone = folder / "HumanML3D"
    (clone / "HumanML3D" / "texts").mkdir(parents=True)
    (clone / "index.csv").write_text("\n".join(lines))
    for split, names in (("train", CLIPS[:6]), ("val", CLIPS[6:8]), ("test", CLIPS[8:])):
        (clone / "HumanML3D" / f"{split}.txt").write_text("\n".join(names))
    for name in CLIPS:
        caption = f"a man kicks {name}.#a/DET man/NOUN kick/VERB#0.0#0.0\n"
        (clone / "HumanML3D" / "texts" / f"{name}.txt").write_text(caption)
    acts = clone / "pose_data" / "humanact12" / "humanact12"
    acts.mkdir(parents=True)
    np.save(acts / "P11G01.npy", np.concatenate([1.1 * walk + [2.0, 0.3, 1.0], walk[:, 20:]], axis=1))
    return folder


@pytest.fixture
def world(made, tmp_path):
    """Copy that tests may damage."""
    shutil.copytree(made, tmp_path / "world")
    return tmp_path / "world"


def options(folder):
    return HumanML3DFromAmass(folder / "amass", folder / "body_models", folder / "HumanML3D")


def clip(folder, name):
    (entry,) = (entry for entry in options(folder).source().entries if entry.name == name)
    return entry.read()


# ---- the published steps, once more


def posed(arrays, model, step):
    """Joints (F, 22, 3) of every step-th frame, z up, by scipy's rotations with ten shape parameters."""
    shaped = model["v_template"] + model["shapedirs"][..., :10] @ arrays["betas"][:10]
    rest = (model["J_regressor"] @ shaped)[:22]
    poses, trans = arrays["poses"][::step], arrays["trans"][::step]
    turns = [Rotation.from_rotvec(poses[:, :3])]
    places = [rest[0] + trans]
    for joint, parent in enumerate(PARENTS[1:], 1):
        places.append(places[parent] + turns[parent].apply(rest[joint] - rest[parent]))
        turns.append(turns[parent] * Rotation.from_rotvec(poses[:, 3 * joint : 3 * joint + 3]))
    return np.stack(places, axis=1)


def raw(index):
    """Clip as computed by raw_pose_processing.ipynb."""
    _, path, start, end, choices = ROWS[index]
    arrays = recording(seed=index, **choices)
    model = body_model("smplh", seed=len(choices.get("gender", "male")))
    joints = posed(arrays, model, int(choices["fps"] / 20))
    joints = joints @ np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    joints = joints[SKIPPED.get(path.split("/")[0], 0) :][start:end]
    return joints * [-1, 1, 1]


def swapped(joints):
    result = joints * [-1, 1, 1]
    left, right = [1, 4, 7, 10, 13, 16, 18, 20], [2, 5, 8, 11, 14, 17, 19, 21]
    result[:, left + right] = result[:, right + left]
    return result


def lengths(pose):
    return [np.linalg.norm(pose[joint] - pose[parent]) for joint, parent in enumerate(PARENTS[1:], 1)]


def standardised(joints):
    """Preprocessing of motion_representation.ipynb before features are computed."""
    target, own = lengths(raw(0)[0]), lengths(joints[0])
    new = [joints[:, 0] * (target[4] + target[7]) / (own[4] + own[7])]
    for joint, parent in enumerate(PARENTS[1:], 1):
        bone = joints[:, joint] - joints[:, parent]
        new.append(new[parent] + target[joint - 1] * bone / np.linalg.norm(bone, axis=-1, keepdims=True))
    new = np.stack(new, axis=1)
    new[..., 1] -= new[..., 1].min()
    new -= new[0, 0] * [1, 0, 1]
    across = new[0, 2] - new[0, 1] + new[0, 17] - new[0, 16]
    forward = np.cross([0, 1, 0], across)
    turn = Rotation.from_rotvec([0, -np.arctan2(forward[0], forward[2]), 0])
    return turn.apply(new.reshape(-1, 3)).reshape(new.shape)


@pytest.mark.parametrize("index", range(len(ROWS)))
def test_clips_equal_those_of_the_notebooks(made, index):
    expected = raw(index)
    assert len(expected) == (70, 37, 50, 30)[index]
    for name, joints in ((ROWS[index][0], expected), (f"M{ROWS[index][0]}", swapped(expected))):
        read = clip(made, name)
        np.testing.assert_allclose(read.joints, standardised(joints), atol=1e-5)
        assert read.captions[0].text == f"a man kicks {name}."
        assert read.captions[0].tokens == ("a/DET", "man/NOUN", "kick/VERB")


def test_humanact12_clips_are_not_cut(made, walk):
    moved = 1.1 * walk + [2.0, 0.3, 1.0]
    np.testing.assert_allclose(clip(made, "000001").joints, standardised(moved), atol=1e-5)
    np.testing.assert_allclose(clip(made, "M000001").joints, standardised(swapped(moved)), atol=1e-5)


@pytest.mark.parametrize(("gender", "male"), [(b"male", False), ("neutral", False), ("male", True)])
def test_bytes_genders_are_female(world, gender, male):
    female = standardised(raw(1))
    arrays = recording(seed=1, **ROWS[1][4]) | {"gender": np.array(gender)}
    write_recording(world / "amass" / f"{ROWS[1][1]}.npz", **arrays)
    assert np.allclose(clip(world, "000003").joints, female, atol=1e-5) is not male


def test_mirroring_is_an_involution(made):
    joints = raw(2)
    np.testing.assert_array_equal(mirror(mirror(joints)), joints)
    np.testing.assert_array_equal(mirror(joints), swapped(joints))
    assert [MIRRORED[i] for i in MIRRORED] == list(range(22))


# ---- the folder


def test_source(made, tmp_path):
    source = options(made).source()
    assert [entry.name for entry in source.entries] == CLIPS
    assert source.mirrored
    assert not source.problems
    assert all(path.is_file() for path in source.files)
    store = prepare("humanml3d", source, tmp_path / "store", processes=1)
    assert [len(store.of_split(split)) for split in ("train", "val", "test")] == [6, 2, 2]


def test_unusable_clips_are_not_reported(world):
    with (world / "HumanML3D" / "index.csv").open("a") as file:
        file.write("\n./pose_data/KIT/9/steps_poses.npy,0,1,009707.npy")
    (world / "HumanML3D" / "HumanML3D" / "texts" / "009707.txt").write_text("a man steps##0.0#0.0")
    source = options(world).source()
    assert not source.problems
    assert [entry.name for entry in source.entries] == CLIPS


def test_renamed_folders_are_found(world):
    before = clip(world, "000009")
    (world / "amass" / "MPI_Limits").rename(world / "amass" / "PosePrior")
    np.testing.assert_array_equal(clip(world, "000009").joints, before.joints)


def test_missing_and_extra_files_are_reported(world):
    shutil.rmtree(world / "amass" / "MPI_Limits")
    texts = world / "HumanML3D" / "HumanML3D"
    (texts / "texts" / "000099.txt").write_text("a man kicks##0.0#0.0")
    (texts / "texts" / "000003.txt").unlink()
    (world / "amass" / f"{ROWS[2][1]}.npz").unlink()
    with (texts / "val.txt").open("a") as file:
        file.write("\n000098\n000021")
    train = texts / "train.txt"
    train.write_text(train.read_text().replace("M000003\n", ""))
    source = options(world).source()
    said = (
        "val.txt: 000098 is not in index.csv; take it out",
        "val.txt: 000021 is in train.txt too; take it out of one of them",
        "clip M000003 is in none of",
        "000099.txt has no clip in",
        "has no folder MPI_Limits, with 1 clips; download MPI_Limits (now called PosePrior), SMPL+H G, from amass",
    )
    assert len(source.problems) == len(said)
    for part in said:
        assert sum(part in line for line in source.problems) == 1
    broken = {}
    for entry in source.entries:
        try:
            entry.read()
        except (InputError, OSError) as error:
            broken[entry.name] = str(error)
    assert broken.keys() == {"000003", "000007", "M000007"}
    assert broken["000003"].endswith("000003.txt; copy the data set's texts there")
    assert "download Eyes_Japan_Dataset, SMPL+H G, from amass.is.tue.mpg.de" in broken["000007"]


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("x,0,1,2.npy", 7),
        ("./pose_data/KIT/../../../etc/passwd,0,10,000005.npy", 7),
        ("./pose_data/KIT/a.npy,0,many,000005.npy", 7),
        ("./pose_data/KIT/a.npy,0,10", 7),
        ("./pose_data/KIT/a.npy,0,10,000021.npy", 7),
    ],
)
def test_malformed_index_errors_name_the_line(world, row, line):
    with (world / "HumanML3D" / "index.csv").open("a") as file:
        file.write(f"\n{row}\n")
    with pytest.raises(InputError, match=rf"index.csv: line {line} is not source_path,start_frame"):
        options(world).source()


def test_common_files_are_required(world):
    def refused(path, said, error=InputError):
        path.rename(path.with_name("away"))
        with pytest.raises(error, match=said):
            options(world).source()
        path.with_name("away").rename(path)

    clone = world / "HumanML3D"
    refused(world / "amass", "give that of AMASS's SMPL\\+H G data", FileNotFoundError)
    refused(clone, "clone EricGuo5513/HumanML3D", FileNotFoundError)
    refused(clone / "index.csv", "no file .*index.csv; clone", FileNotFoundError)
    refused(clone / "HumanML3D" / "val.txt", "no file .*val.txt; clone", FileNotFoundError)
    refused(clone / "HumanML3D" / "texts", "has no captions; unpack HumanML3D/texts.zip")
    refused(world / "amass" / "KIT", "no file .*circle_poses.npz.*of it is clip 000021, whose bones all get")
    (clone / "HumanML3D" / "val.txt").write_text("")
    with pytest.raises(InputError, match="val.txt is empty"):
        options(world).source()


def test_both_genders_are_needed(world):
    (world / "body_models" / "smplh" / "female" / "model.npz").unlink()
    with pytest.raises(InputError, match="no SMPL-H body model for female"):
        options(world).source()


def test_unusable_recordings_are_refused(world):
    path = world / "amass" / f"{ROWS[1][1]}.npz"
    write_recording(path, **recording("smplx", gender="male"))
    with pytest.raises(InputError, match="is of SMPL-X bodies; HumanML3D is made from AMASS's SMPL"):
        clip(world, "000003")
    write_recording(path, **recording(fps=15.0))
    with pytest.raises(InputError, match="15 frames a second; HumanML3D needs 20"):
        clip(world, "000003")
    write_recording(path, **recording(frames=9))
    with pytest.raises(InputError, match="ends before clip 000003, which begins at frame 3"):
        clip(world, "000003")
