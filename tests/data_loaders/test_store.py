"""Stores return the clips that were written, are complete or absent, and detect damage."""

import json
import os
import pickle
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from data_loaders.store import is_store, merge, open_store, prepare, read_all
from data_loaders.types import Caption, Clip, Source
from motion_diffusion.body.skeleton import BONE_LENGTHS, PARENTS
from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class Given:
    """Entry of a clip in memory, or a broken one."""

    clip: Clip
    broken: str = ""

    @property
    def name(self):
        return self.clip.name

    def read(self):
        if self.broken:
            raise InputError(self.broken)
        return self.clip


@dataclass(frozen=True)
class Signed(Given):
    """Entry whose clip has the reading process's id as its style."""

    def read(self):
        return replace(self.clip, style=str(os.getpid()))


@dataclass(frozen=True)
class Overtaken(Given):
    """Entry that is read while another process writes the store."""

    store: Path = Path()

    def read(self):
        self.store.mkdir()
        (self.store / "clips.json").write_text("theirs")
        return self.clip


@pytest.fixture
def source(clips):
    captions = (Caption("a person walks"), Caption("someone stops", 1.0, 2.5, ("someone/NOUN", "stop/VERB")))
    splits = ("train", "val", "test")
    entries = [Given(replace(clip, split=splits[i % 3], captions=captions[: i % 3])) for i, clip in enumerate(clips)]
    return Source(entries, mirrored=False, licence="ours", files=())


def test_store_round_trip(source, tmp_path):
    store = prepare("made-up", source, tmp_path / "store", processes=1)
    assert (store.data, store.mirrored, store.licence) == ("made-up", False, "ours")
    wanted = sorted((entry.clip for entry in source.entries), key=lambda clip: clip.name)
    for clip, given in zip(store.clips, wanted, strict=True):
        np.testing.assert_allclose(clip.joints, given.joints, atol=0.01)  # in metres; see the next test
        labels = ("name", "split", "captions", "action", "style")
        assert [getattr(clip, name) for name in labels] == [getattr(given, name) for name in labels]
    assert [clip.split for clip in store.of_split("val")] == ["val"] * 5
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


def test_prepared_clips_have_bone_lengths_of_this_body(source, tmp_path):
    """Stretched bones get this body's lengths; joints of this body move by some millimetres at most, owing to the
    weights of rotations in the fit.
    """
    (entry, *_) = source.entries
    stretched = replace(entry.clip, joints=entry.clip.joints * np.float32([1.05, 1.0, 1.0]))
    (once,) = prepare("once", Source([Given(stretched)], False, "", []), tmp_path / "once").clips
    bones = np.linalg.norm(once.joints[:, 1:] - once.joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-5)
    (twice,) = prepare("twice", Source([Given(once)], False, "", []), tmp_path / "twice").clips
    np.testing.assert_allclose(twice.joints, once.joints, atol=0.005)
    np.testing.assert_allclose(once.joints[0, 0, [0, 2]], 0, atol=1e-6)


def test_clips_are_memory_mapped_and_pickled_by_reference(source, tmp_path):
    clip = prepare("made-up", source, tmp_path / "store", processes=1).clips[3]
    assert isinstance(clip.joints, np.memmap)
    sent = pickle.dumps(clip)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    np.testing.assert_array_equal(again.joints, clip.joints)
    assert (again.name, again.captions, again.style) == (clip.name, clip.captions, clip.style)


def test_broken_clips_are_skipped_only_on_request(source, tmp_path, capsys):
    entries = list(source.entries)
    nan = entries[2].clip.joints.copy()
    nan[7, 3] = np.nan
    entries[2] = Given(replace(entries[2].clip, joints=nan))
    entries[5] = Given(entries[5].clip, "walk.npy: no walk in it;\n make it again")
    bad = replace(source, entries=entries, problems=("texts/9.txt: a caption without a clip",))
    for source in (bad, replace(bad, problems=())):
        with pytest.raises(InputError) as error:
            prepare("made-up", source, tmp_path / "store", processes=1)
        assert "\n" not in str(error.value)
        assert "--skip-broken" in str(error.value)
    assert "frame 7" in str(error.value)
    assert "walk.npy: no walk in it; make it again" in str(error.value)
    assert not list(tmp_path.iterdir())
    store = prepare("made-up", bad, tmp_path / "store", processes=1, skip_broken=True)
    assert len(store.clips) == len(entries) - 2
    assert "walk.npy" in capsys.readouterr().err


SLOW = """
import sys, time
from dataclasses import dataclass
from pathlib import Path

from data_loaders.types import Source
from data_loaders.store import prepare

@dataclass(frozen=True)
class Slow:
    name: str

    def read(self):
        print("reading", flush=True)
        time.sleep(60)

if __name__ == "__main__":
    prepare("slow", Source([Slow("a"), Slow("b")], True, "", ()), Path(sys.argv[1]), processes=2)
"""


def test_workers_end_with_their_parent(tmp_path):
    """Their pipe closes only after all of them have ended."""
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "store")]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": root}) as process:
        assert process.stdout.read(7) == b"reading"
        process.kill()
        process.communicate(timeout=20)


def test_script_without_main_guard_gets_one_line(tmp_path):
    """Otherwise each worker would execute it again."""
    (tmp_path / "slow.py").write_text(SLOW.replace('if __name__ == "__main__":', "if True:"))
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "store")]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root}, timeout=90)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert 'without if __name__ == "__main__"' in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["slow.py"]


@pytest.mark.parametrize("worth", [1e-9, 1e9])
def test_workers_start_if_enough_is_left(source, monkeypatch, worth):
    """Clips record the process that read them."""
    monkeypatch.setattr("data_loaders.store.TRIAL_SECONDS", 0.0)
    monkeypatch.setattr("data_loaders.store.SECONDS_PER_WORKER", worth)
    monkeypatch.setattr("data_loaders.store.usable_cores", lambda: 2)
    with closing(read_all([Signed(entry.clip) for entry in source.entries])) as read:
        clips = list(read)
    for clip, entry in zip(clips, source.entries, strict=True):
        assert clip.name == entry.name
        np.testing.assert_array_equal(clip.joints, entry.clip.joints)
    readers = [clip.style for clip in clips]
    assert readers[0] == str(os.getpid())
    assert (readers[0] in readers[1:]) == (worth > 1)


def test_concurrent_prepare_is_refused(source, tmp_path):
    """Another process completes the store while this one is reading."""
    folder = tmp_path / "store"
    entries = [Overtaken(source.entries[0].clip, store=folder), *source.entries[1:]]
    with pytest.raises(InputError) as error:
        prepare("made-up", replace(source, entries=entries), folder, processes=1)
    assert str(error.value).startswith(f"{folder} cannot be written (")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "clips.json").read_text() == "theirs"


def test_prepare_refusals(source, tmp_path):
    with pytest.raises(InputError, match="no clip could be read"):
        prepare("made-up", replace(source, entries=[]), tmp_path / "store")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there exists"):
        prepare("made-up", source, tmp_path / "there")


def change(path: Path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_damaged_stores_are_refused(source, tmp_path):
    folder = tmp_path / "store"
    prepare("made-up", source, folder, processes=1)
    assert is_store(folder)
    index = json.loads((folder / "clips.json").read_text())
    first, rest = index["clips"][0], index["clips"][1:]
    for broken, told in (
        ({"clips": [first | {"frames": 10**6}, *rest]}, "does not have"),
        ({"clips": [first | {"start": -5}, *rest]}, "does not have"),
        ({"clips": [first, *rest, first]}, "same name"),
        ({"clips": [first | {"split": "other"}, *rest]}, "split"),
        ({"version": 2}, "version"),
    ):
        change(folder / "clips.json", **broken)
        with pytest.raises(InputError, match=told):
            open_store(folder)
        change(folder / "clips.json", **index | {"version": 1})
    open_store(folder)
    for number, array in enumerate([np.zeros((5, 21, 3), np.float32), np.array([{}], dtype=object)]):
        other = tmp_path / f"other{number}"
        other.mkdir()
        (other / "clips.json").write_bytes((folder / "clips.json").read_bytes())
        np.save(other / "joints.npy", array)
        with pytest.raises(InputError, match=r"joints\.npy"):
            open_store(other)
    with pytest.raises(FileNotFoundError, match="prepare"):
        open_store(tmp_path)


@pytest.mark.parametrize("header", ["{'descr': '<f4', 'shape': (", "'" * 3, "[" * 9000, "\0", "{'descr': 3}", "a b"])
def test_damaged_headers_are_refused_in_one_line(source, tmp_path, header):
    """NumPy passes on arbitrary exceptions of Python's parser."""
    text = header.encode() + b"\n"
    bytes_ = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(1000)
    assert_refused(source, tmp_path, bytes_)


def test_archive_instead_of_array_is_refused(source, tmp_path):
    np.savez(tmp_path / "a.npz", joints=np.zeros((100, 22, 3), np.float32))
    assert_refused(source, tmp_path, (tmp_path / "a.npz").read_bytes())


def assert_refused(source, tmp_path, joints):
    """A store with these bytes as joints.npy is refused in one line."""
    prepare("made-up", source, tmp_path / "store", processes=1)
    folder = (tmp_path / "store").rename(tmp_path / "moved")  # a path that has not been opened before
    (folder / "joints.npy").write_bytes(joints)
    with pytest.raises(InputError) as error:
        open_store(folder)
    assert str(error.value).startswith(f"{folder / 'joints.npy'} is no .npy file, or damaged (")
    assert "\n" not in str(error.value)


def test_stores_are_merged(clips, tmp_path):
    """All clips are included, named after their data set, and licences are combined."""
    for name, some in (("one", clips[:3]), ("two", clips[3:5])):
        prepare(name, Source([Given(clip) for clip in some], False, f"licence {name}", []), tmp_path / name)
    store = merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert store.data == "mixed"
    assert store.licence == "licence one; licence two"
    wanted = {f"one/{clip.name}": clip for clip in clips[:3]} | {f"two/{clip.name}": clip for clip in clips[3:5]}
    assert {clip.name for clip in store.clips} == set(wanted)
    for clip in store.clips:
        np.testing.assert_allclose(clip.joints, wanted[clip.name].joints, atol=0.01)
        assert (clip.action, clip.style, clip.split) == tuple(
            getattr(wanted[clip.name], name) for name in ("action", "style", "split")
        )
    with pytest.raises(InputError, match="two clips have the same name"):
        merge([tmp_path / "one", tmp_path / "one"], tmp_path / "twice")
    with pytest.raises(InputError, match="both exists"):
        merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    prepare("mirrored", Source([Given(clips[6])], True, "licence", []), tmp_path / "mirrored")
    with pytest.raises(InputError, match="mirrored copies"):
        merge([tmp_path / "one", tmp_path / "mirrored"], tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
