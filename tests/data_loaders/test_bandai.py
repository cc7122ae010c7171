import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from data_loaders.augment import TOES
from data_loaders.bandai import read_clip
from data_loaders.datasets import load_clips
from data_loaders.types import split_of
from motion_diffusion.body.skeleton import BONE_LENGTHS, PARENTS
from motion_diffusion.errors import InputError

TEST_CLIPS = [1, 46, 48, 52]
"""Indices of test clips among the first sixty names. Must never change: models must not be tested on training clips."""


@pytest.fixture
def root(tmp_path, walk, write_bandai):
    """Data root with two clips: a walk and its first half."""
    folder = tmp_path / "data" / "walk"
    folder.mkdir(parents=True)
    write_bandai(folder / "dataset-2_walk_tired_001.bvh", walk)
    write_bandai(folder / "dataset-1_bow_proud_002.bvh", walk[:60])
    return tmp_path / "data"


def at_20_fps(walk):
    """Positions at every 1.5th frame by scipy's cubic splines."""
    return CubicSpline(np.arange(len(walk)), walk)(np.arange(0, len(walk) - 1, 1.5))


def test_read_clip_recovers_similar_body(root, walk):
    """Feet are exact; the rest is close, since the spines differ."""
    joints = read_clip(root / "walk" / "dataset-2_walk_tired_001.bvh")
    wanted = at_20_fps(walk)
    assert joints.shape == wanted.shape == (80, 22, 3)
    wanted = wanted + (joints - wanted)[:, TOES].mean((0, 1)) * [1, 0, 1]  # both begin at their own pelvis
    np.testing.assert_allclose(joints[:, TOES], wanted[:, TOES], atol=0.005)
    np.testing.assert_allclose(joints[:, 0], wanted[:, 0], atol=0.05)
    assert np.linalg.norm(joints - wanted, axis=-1).mean() < 0.03
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-4)


def test_load_clips_reads_labels_and_caches(root, tmp_path):
    first = load_clips("bandai", root, cache=tmp_path / "cache")
    assert [(clip.name, clip.action, clip.style, clip.captions[0].text) for clip in first.clips] == [
        ("dataset-1_bow_proud_002", "bow", "proud", "a proud person bows"),
        ("dataset-2_walk_tired_001", "walk", "tired", "a tired person walks"),
    ]
    (stored,) = (tmp_path / "cache").iterdir()
    changed = stored.stat().st_mtime_ns
    again = load_clips("bandai", root, cache=tmp_path / "cache")
    assert stored.stat().st_mtime_ns == changed
    for a, b in zip(first.clips, again.clips, strict=True):
        np.testing.assert_array_equal(a.joints, b.joints)
        np.testing.assert_array_equal(a.joints[0, 0, [0, 2]], [0, 0])


def test_split_of_is_fixed_and_proportional():
    names = [f"dataset-1_walk_normal_{i:03d}" for i in range(4000)]
    parts = [split_of(name) for name in names]
    assert [i for i, part in enumerate(parts[:60]) if part == "test"] == TEST_CLIPS
    shares = {part: parts.count(part) / len(parts) for part in ("train", "val", "test")}
    assert shares == pytest.approx({"train": 0.9, "val": 0.05, "test": 0.05}, abs=0.015)


def test_roots_without_clips_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data-root"):
        load_clips("bandai", tmp_path / "nowhere", cache=tmp_path)
    with pytest.raises(InputError, match="clone the repository"):
        load_clips("bandai", tmp_path, cache=tmp_path)


def test_broken_clip_is_named_and_nothing_is_stored(root, tmp_path):
    path = root / "walk" / "dataset-2_walk_tired_001.bvh"
    path.write_text(path.read_text()[:-400])
    with pytest.raises(InputError, match="dataset-2_walk_tired_001"):
        load_clips("bandai", root, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_other_skeletons_are_refused(tmp_path, walk, write_bandai):
    path = tmp_path / "dataset-1_bow_proud_002.bvh"
    write_bandai(path, walk)
    path.write_text(path.read_text().replace("Hips", "Pelvis"))
    with pytest.raises(InputError, match="no joint 'Hips'"):
        read_clip(path)
