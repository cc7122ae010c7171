"""KIT-ML's folders: synthetic motions in its format are recovered on this body, with planted feet."""

import shutil

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from data_loaders.caption_dataset import CaptionedClips
from data_loaders.datasets import load_clips
from data_loaders.kit import KIT_JOINTS, Kit, person_height
from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, MIRRORED, PARENTS
from motion_diffusion.errors import InputError
from tests.data_loaders.humanml3d_files import write_folder

FACE = (11, 16, 5, 8)
"""As the published scripts have it: right hip, left hip, right shoulder, left shoulder in the mirror."""

HEIGHTS = {"00001": 1.6, "00002": 1.75, "00003": 1.93}
"""Of the persons who walk, in metres."""

THIS_HEIGHT = 1.672
"""Of a person of the Master Motor Map with this body's legs."""

FEET = [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("ankle", "foot")]
ARMS = [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("shoulder", "elbow", "wrist")]


def as_in_kit(joints, height):
    """Joints (F, 22, 3) of a walk at 20 frames per second in the format of the files, (F', 21, 3) at 12.5.

    Bones are in thousandths of the person's height, the root's trajectory is in millimetres.
    """
    time = np.arange(0, len(joints) - 1, 20 / 12.5)
    joints = CubicSpline(np.arange(len(joints)), joints)(time)
    positions = np.stack([joints[:, JOINTS.index(name)] if name else joints[:, 0] for name in KIT_JOINTS], axis=1)
    positions[:, 0] = positions[:, [KIT_JOINTS.index("left_hip"), KIT_JOINTS.index("right_hip")]].mean(axis=1)
    for middle in (14, 19):
        positions[:, middle] = (positions[:, middle - 1] + positions[:, middle + 1]) / 2
    root = positions[:, :1].copy()
    root -= root[0] * [1, 0, 1]
    positions = (positions - positions[:, :1] + root * height) / THIS_HEIGHT * 1000
    positions[..., 1] -= positions[..., 1].min()
    return positions * [-1, 1, 1]


@pytest.fixture(scope="module")
def walks():
    """Walks (F, 22, 3) on this body."""
    made = ProceduralWalks(3, 160, 140)
    return {name: made.example(i).joints.astype(np.float64) for i, name in enumerate(HEIGHTS)}


@pytest.fixture
def root(tmp_path, walks):
    motions = {name: as_in_kit(walk, HEIGHTS[name]) for name, walk in walks.items()}
    write_folder(tmp_path / "data", motions, FACE)
    return tmp_path / "data"


def joints_of(root):
    source = Kit(root).source()
    assert list(source.problems) == []
    return {entry.name: entry.read().joints for entry in source.entries}


def test_walks_are_recovered(root, walks):
    """Feet are exact; the rest is close, since hips are derived from their middle and collar bones are missing."""
    for name, joints in joints_of(root).items():
        wanted = walks[name][: len(joints)]
        assert abs(len(joints) - len(walks[name])) < 5  # the last frame at 12.5 frames per second is dropped
        wanted = wanted + (joints - wanted)[:, FEET].mean((0, 1))  # pelvis and floor differ slightly
        np.testing.assert_allclose(joints[:, FEET], wanted[:, FEET], atol=0.03)
        assert np.linalg.norm(joints - wanted, axis=-1).mean() < 0.03
        bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
        np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-4)
        assert joints[..., 1].min() == pytest.approx(0, abs=0.005)


def test_feet_are_planted(root, walks):
    """As still as in the walks themselves, though they slide in the files."""

    def sliding(toes):
        return np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1).min(axis=1).mean() * 20

    toes = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]
    for name, joints in joints_of(root).items():
        in_file = np.load(root / "new_joints" / f"{name}.npy")[:, [15, 20]] / 1000 * THIS_HEIGHT / HEIGHTS[name]
        walked = sliding(walks[name][:, toes])
        assert sliding(joints[:, toes]) < walked + 0.03
        assert sliding(in_file) * 12.5 / 20 > walked + 0.1


def test_left_and_right_are_corrected(root, walks):
    """Files are mirrored; the walks' arms differ, so exchanged sides would be far off."""
    for name, joints in joints_of(root).items():
        wanted = walks[name][: len(joints)]
        left, right = (joints[0, JOINTS.index(f"{side}_hip"), 0] for side in ("left", "right"))
        assert left > 0.05 > -0.05 > right
        arms = joints[:, ARMS] - joints[:, :1], wanted[:, ARMS] - wanted[:, :1]
        other = wanted[:, [MIRRORED[joint] for joint in ARMS]] * [-1, 1, 1] - wanted[:, :1] * [-1, 1, 1]
        assert np.abs(arms[0] - arms[1]).mean() < np.abs(arms[0] - other).mean() / 2


@pytest.mark.parametrize("height", [1.5, 1.7, 2.0])
def test_person_height_is_estimated(walks, height):
    for walk in walks.values():
        assert person_height(as_in_kit(walk, height)) == pytest.approx(height, abs=0.04)


def test_standing_person_has_mean_height(walks):
    standing = np.repeat(as_in_kit(walks["00001"], 2.0)[:1], 30, axis=0)
    assert person_height(standing) == pytest.approx(1.75, abs=0.01)


def test_from_folder_to_examples(root, tmp_path):
    store = load_clips("kit", root, cache=tmp_path / "cache")
    assert (store.data, store.mirrored) == ("kit", True)
    assert "KIT Motion-Language" in store.licence
    assert [clip.split for clip in store.clips] == ["train", "val", "test"]
    example = CaptionedClips(store.of_split("train"), frames=60, mirrored=store.mirrored).example(0)
    assert example.joints.shape == (60, 22, 3)
    assert example.text == "a person walks ahead."


def test_joints_without_features_are_read(root):
    with_features = joints_of(root)
    shutil.rmtree(root / "new_joint_vecs")
    for name, joints in joints_of(root).items():
        np.testing.assert_allclose(joints, with_features[name], atol=1e-3)


@pytest.mark.parametrize("frames", [1, 2])
def test_shortest_clips_are_read(root, frames):
    for kind in ("new_joint_vecs", "new_joints"):
        path = root / kind / "00001.npy"
        np.save(path, np.load(path)[:frames])
    assert np.isfinite(joints_of(root)["00001"]).all()


def test_humanml3d_folder_is_refused(tmp_path, walks):
    write_folder(tmp_path / "data", walks, (2, 1, 17, 16))
    source = Kit(tmp_path / "data").source()
    assert len(source.problems) == 2
    assert all("shape (263,) where (251)" in line for line in source.problems)
    with pytest.raises(InputError, match=r"263\) where \(frames, 251\) should be"):
        source.entries[0].read()


def test_inconsistent_joints_are_refused(root):
    path = root / "new_joints" / "00001.npy"
    np.save(path, np.load(path) + [0, 11, 0])
    with pytest.raises(InputError, match=r"is 0\.011 m away from"):
        Kit(root).source().entries[0].read()
