"""Exported files agree with HumanML3D's published clip and formulas, and can be read again."""

import multiprocessing
import time
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from data_loaders.humanml3d.dataset import HumanML3D
from data_loaders.humanml3d.export import JOURNAL, humanml3d_features, write_humanml3d
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import Caption, Clip, Source, Split
from motion_diffusion.atomic_io import MARK, locked
from motion_diffusion.errors import InputError
from tests import needs

SPLITS: tuple[Split, ...] = ("train", "val", "test", "train", "train", "test")


@dataclass(frozen=True)
class Walk:
    """Procedural walk as an entry; `slow` delays reading."""

    number: int
    frames: int = 60
    slow: float = 0.0

    @property
    def name(self):
        return f"walks/{self.number:02d}"

    def read(self):
        time.sleep(self.slow)
        joints = ProceduralWalks(0, 60, 60).example(self.number).joints[: self.frames]
        captions = (
            Caption("a person walks", tokens=("a/DET", "person/NOUN", "walk/VERB")),
            Caption("someone is no. #1", start=0.5, end=2.25),
        )
        return Clip(self.name, joints, SPLITS[self.number], captions)


def walks(**choices):
    return Source([Walk(number, **choices) for number in range(6)], mirrored=False, licence="", files=[])


def spinning(walk, turns):
    """Walk (F, 22, 3) with an additional rotation about the vertical that increases over time."""
    angle = np.linspace(0, 2 * np.pi * turns, len(walk))[:, None]
    x, y, z = np.moveaxis(walk, -1, 0)
    return np.stack([x * np.cos(angle) + z * np.sin(angle), y, z * np.cos(angle) - x * np.sin(angle)], axis=-1)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- features


@pytest.fixture
def published():
    """Joints and features of HumanML3D's published clip."""
    folder = needs.published_clip()
    return [np.load(folder / f"012314_new_{kind}.npy", allow_pickle=False) for kind in ("joints", "joint_vecs")]


def test_features_equal_published_ones(published):
    """The last frame, which HumanML3D drops, is restored from the last velocities and heading."""
    joints, features = published
    across = joints[-1, 17] - joints[-1, 16] - joints[-1, 2] + joints[-1, 1]
    half = features[:-1, 0].astype(np.float64).sum()
    assert across[2] != 0
    cos, sin = np.cos(2 * half), np.sin(2 * half)
    x, y, z = np.moveaxis(features[-1, 193:259].reshape(22, 3), -1, 0)
    last = joints[-1] + np.stack([x * cos - z * sin, y, z * cos + x * sin], axis=-1)
    whole = np.concatenate([joints, last[None]]).astype(np.float32)
    np.testing.assert_allclose(humanml3d_features(whole), features, atol=3e-5)


@pytest.mark.parametrize("turns", [0.0, 0.9, -1.2])
def test_features_follow_the_published_formulas(walk, turns):
    """motion_representation.ipynb in NumPy, except for rotations; its sines change sign where headings cross ±π."""
    joints = spinning(walk, turns).astype(np.float32)
    j = joints.astype(np.float64)
    across = j[:, 1] - j[:, 2] + j[:, 17] - j[:, 16]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    forward = gaussian_filter1d(np.cross([[0, 1, 0]], across), 20, axis=0, mode="nearest")
    half = -np.arctan2(forward[:, 0], forward[:, 2]) / 2
    half[0] = 0
    passes = np.abs(np.diff(half)) > np.pi / 2
    assert passes.sum() == abs(round(turns))

    def seen(vectors, angle):
        x, y, z = np.moveaxis(vectors, -1, 0)
        cos, sin = np.cos(2 * angle)[:, None], np.sin(2 * angle)[:, None]
        return np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=-1)

    steps = np.diff(j, axis=0)
    moves = seen(steps[:, :1], half[1:])[:, 0]
    body = seen(j - j[:, :1] * [1, 0, 1], half)[:-1, 1:]
    contacts = (steps[:, [7, 10, 8, 11]] ** 2).sum(-1) < 0.002
    features = humanml3d_features(joints)
    assert features.shape == (len(j) - 1, 263)
    np.testing.assert_allclose(features[:, 0], np.arcsin(np.sin(np.diff(half))), atol=1e-6)
    np.testing.assert_allclose(features[:, 1:4], np.stack([moves[:, 0], moves[:, 2], j[:-1, 0, 1]], -1), atol=1e-6)
    np.testing.assert_allclose(features[:, 4:67], body.reshape(-1, 63), atol=1e-6)
    np.testing.assert_allclose(features[:, 193:259], seen(steps, half[:-1]).reshape(-1, 66), atol=1e-6)
    np.testing.assert_array_equal(features[:, 259:], contacts)


# ---- folders


def test_exported_files_can_be_read(tmp_path):
    folder = tmp_path / "HumanML3D"
    write_humanml3d(walks(), folder, processes=1)
    source = HumanML3D(folder).source()
    assert not source.problems
    for entry in source.entries:
        read, number = entry.read(), int(entry.name[-2:])
        wanted = Walk(number).read()
        np.testing.assert_allclose(read.joints, wanted.joints[:-1], atol=1e-4)
        assert read.split == wanted.split
        assert read.captions == (wanted.captions[0], Caption("someone is no.  1", 0.5, 2.25))
    vectors = np.concatenate([np.load(path) for path in sorted((folder / "new_joint_vecs").rglob("*.npy"))])
    np.testing.assert_allclose(np.load(folder / "Mean.npy"), vectors.mean(0, dtype=np.float64), atol=1e-6)
    std = vectors.std(0, dtype=np.float64)
    kinds = np.repeat(np.arange(7), [1, 2, 1, 63, 126, 66, 4])
    wanted = [std[kinds == kind].mean() for kind in kinds]
    np.testing.assert_allclose(np.load(folder / "Std.npy"), wanted, atol=1e-6)
    names = {path.stem: path.read_text().split() for path in folder.glob("*.txt")}
    assert names["train"] == ["walks_00", "walks_03", "walks_04"]
    assert names["train_val"] == ["walks_00", "walks_01", "walks_03", "walks_04"]
    assert len(names["all"]) == 6
    assert not list(folder.glob(".*"))


def test_killed_export_is_continued(tmp_path):
    """Killed and restarted, the same command writes the files of an uninterrupted run, each clip once."""
    write_humanml3d(walks(), tmp_path / "whole", processes=1)
    folder, source = tmp_path / "stopped", walks(slow=0.1)
    process = multiprocessing.get_context("spawn").Process(
        target=write_humanml3d, args=(source, folder), kwargs={"processes": 1}
    )
    process.start()
    while not (folder / JOURNAL).is_file() or len((folder / JOURNAL).read_text().splitlines()) < 3:
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not (folder / "Mean.npy").exists()
    with (folder / JOURNAL).open("a") as journal:  # an incomplete line
        journal.write("tra")
    (left := folder / "new_joints" / ".half-0123abcd").mkdir()
    (left / "mark").write_text(MARK)
    (left / ".half.npy").write_bytes(b"half")
    first = {path: path.stat().st_mtime_ns for path in [folder / "new_joint_vecs" / "walks_00.npy"]}
    write_humanml3d(source, folder, processes=1)
    assert files(folder) == files(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == changed for path, changed in first.items())


def test_broken_clips_are_reported_or_skipped(tmp_path):
    entries = [Walk(0), Walk(1, frames=1), Walk(2)]
    source = Source(entries, mirrored=False, licence="", files=[])
    with pytest.raises(InputError, match="1 broken: walks_01 has one frame, and features need two"):
        write_humanml3d(source, tmp_path / "out", processes=1)
    write_humanml3d(source, tmp_path / "out", processes=1, skip_broken=True)
    assert (tmp_path / "out" / "all.txt").read_text().split() == ["walks_00", "walks_02"]


def test_existing_folders_are_refused(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="1 broken: no val.txt"):
        write_humanml3d(Source([Walk(0)], False, "", [], ["no val.txt"]), folder, processes=1)
    assert not folder.exists()
    with pytest.raises(InputError, match="no clip could be read"):
        write_humanml3d(Source([], False, "", []), tmp_path / "none", processes=1)
    with pytest.raises(InputError, match="two clips would be called walks_00"):
        write_humanml3d(Source([Walk(0), Walk(0)], False, "", []), folder, processes=1)
    with pytest.raises(InputError, match="1 broken"):
        write_humanml3d(Source([Walk(0), Walk(1, 1)], False, "", []), folder, processes=1)
    with pytest.raises(InputError, match="was begun with other clips or options"):
        write_humanml3d(walks(), folder, processes=1)
    write_humanml3d(Source([Walk(0), Walk(1, 1)], False, "", []), folder, processes=1, skip_broken=True)
    with pytest.raises(InputError, match="exists; give another --out"):
        write_humanml3d(walks(), folder, processes=1)


def test_folder_in_use_is_refused(tmp_path):
    folder = tmp_path / "out"
    with locked(folder, "--out"), pytest.raises(InputError, match=r"out is in use by .*give another --out"):
        write_humanml3d(walks(), folder, processes=1)
    assert not folder.exists()
    write_humanml3d(walks(), folder, processes=1)
    before = files(folder)
    with pytest.raises(InputError, match="exists; give another --out"):
        write_humanml3d(walks(), folder, processes=1)
    assert files(folder) == before


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\x93NUMPY\x01\0\x02\0{\n")]
)
def test_damaged_features_are_reported(tmp_path, damage):
    """Features written by an interrupted export."""
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="1 broken"):
        write_humanml3d(Source([Walk(0), Walk(1, 1)], False, "", []), folder, processes=1)
    damage(folder / "new_joint_vecs" / "walks_00.npy")
    with pytest.raises((InputError, FileNotFoundError), match=r"walks_00\.npy.*; remove .*out and export again"):
        write_humanml3d(Source([Walk(0), Walk(1, 1)], False, "", []), folder, processes=1, skip_broken=True)


def test_empty_journal_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text("")
    with pytest.raises(InputError, match="was begun with other clips"):
        write_humanml3d(walks(), tmp_path / "out", processes=1)
