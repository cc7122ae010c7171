"""HumanML3D's folders: motions and captions are recovered, and each kind of damage is reported in one line."""

import pickle
import shutil

import numpy as np
import pytest
import torch

from data_loaders.caption_dataset import CaptionedClips
from data_loaders.datasets import load_clips
from data_loaders.humanml3d.dataset import UNUSABLE_CLIPS, HumanML3D
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import Caption
from motion_diffusion.body.features import LAYOUT, encode, to_relative
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.humanml3d_files import HUMANML3D_FACE, TEXT, write_folder

NAMES = ("000001", "000002", "000003", "M000001", "M000002", "M000003")


@pytest.fixture(scope="module")
def motions():
    """Walks (F, 22, 3) of 80 to 100 frames by name."""
    walks = ProceduralWalks(3, 100, 80)
    return {name: walks.example(i).joints.astype(np.float64) for i, name in enumerate(NAMES)}


@pytest.fixture
def root(tmp_path, motions):
    write_folder(tmp_path / "data", motions, HUMANML3D_FACE)
    return tmp_path / "data"


def read_clips(root):
    source = HumanML3D(root).source()
    assert list(source.problems) == []
    return {entry.name: entry.read() for entry in source.entries}


def told(root, name="000001"):
    """Error message of reading a clip."""
    (entry,) = [entry for entry in HumanML3D(root).source().entries if entry.name == name]
    with pytest.raises((InputError, OSError)) as caught:
        entry.read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def problem(root):
    """The only problem of a folder."""
    (line,) = HumanML3D(root).source().problems
    assert "\n" not in line
    return line


# ---- what is right


@pytest.mark.parametrize("kind", ["relative", "absolute", "joints alone"])
def test_motions_are_recovered(tmp_path, motions, kind):
    root = tmp_path / "data"
    write_folder(root, motions, HUMANML3D_FACE, absolute=kind == "absolute")
    if kind == "joints alone":
        shutil.rmtree(root / "new_joint_vecs")
    clips = read_clips(root)
    assert list(clips) == list(NAMES)
    for name, joints in motions.items():
        assert clips[name].joints.dtype == np.float32
        np.testing.assert_allclose(clips[name].joints, joints[:-1], atol=2e-5)
    assert [clip.split for clip in clips.values()] == ["train", "val", "test"] * 2


def test_relative_features_are_preferred(root, motions):
    shutil.copytree(root / "new_joint_vecs", root / "new_joint_vecs_abs_3d")
    shutil.rmtree(root / "new_joints")
    np.testing.assert_allclose(read_clips(root)["M000002"].joints, motions["M000002"][:-1], atol=2e-5)


def test_from_folder_to_examples(root, motions, tmp_path):
    (root / "texts" / "000001.txt").write_text(TEXT + "someone stops#someone/NOUN stop/VERB#0.5#3.0\n")
    store = load_clips("humanml3d", root, cache=tmp_path / "cache")
    assert (store.data, store.mirrored) == ("humanml3d", True)
    assert "AMASS" in store.licence
    examples = CaptionedClips(store.of_split("train"), frames=200, mirrored=store.mirrored)
    found = {(len(example.joints), example.text) for example in map(examples.example, range(3))}
    lengths = [len(motions[name]) - 1 for name in ("000001", "M000001")]
    assert found == {(50, "someone stops"), *((length, "a person walks ahead.") for length in lengths)}
    assert [clip.name for clip in load_clips("humanml3d", root, cache=tmp_path / "cache").clips] == list(NAMES)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_entries_can_be_pickled(root):
    entry = HumanML3D(root).source().entries[0]
    sent = pickle.dumps(entry)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).read().joints, entry.read().joints)


def test_source_lists_all_files(root):
    """A change of any of them must be detected."""
    kinds = [path.parent.name for path in HumanML3D(root).source().files]
    assert {kind: kinds.count(kind) for kind in kinds} == {"data": 3, "new_joint_vecs": 6, "new_joints": 6, "texts": 6}


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        ("he walks#he/PRON walk/VERB#0.0#0.0", Caption("he walks", tokens=("he/PRON", "walk/VERB"))),
        ("he walks##1.5#4", Caption("he walks", 1.5, 4.0)),
        ("he walks##nan#nan", Caption("he walks")),
        ("he\u2028walks##0.0#NaN\r", Caption("he\u2028walks")),
        ("he walks##4.0#1.5", Caption("he walks", 1.5, 4.0)),
        ("he walks##2.0#2.0", Caption("he walks")),
        ("go to #1##0.0#0.0", Caption("go to #1")),
    ],
)
def test_captions(root, line, caption):
    (root / "texts" / "000001.txt").write_text(f"\n{line}\n#empty/ADJ#0.0#0.0\n")
    assert read_clips(root)["000001"].captions == (caption,)


def test_unusable_clips_are_ignored(root):
    """The clips that the published scripts leave broken are listed and have captions."""
    for name in UNUSABLE_CLIPS:
        (root / "texts" / f"{name}.txt").write_text(TEXT)
        (root / "new_joint_vecs" / f"{name}.npy").write_bytes(b"")
    with (root / "train.txt").open("a") as file:
        file.writelines(f"{name}\n" for name in UNUSABLE_CLIPS)
    assert list(read_clips(root)) == list(NAMES)


# ---- the published clip


@pytest.fixture
def published(tmp_path):
    """Folder with HumanML3D's published clip under three names and its statistics."""
    folder, root = needs.published_clip(), tmp_path / "published"
    for kind in ("new_joint_vecs", "new_joints"):
        (root / kind).mkdir(parents=True)
        for name in ("012314", "012315", "012316"):
            shutil.copy(folder / f"012314_{kind}.npy", root / kind / f"{name}.npy")
    (root / "texts").mkdir()
    for split, name in (("train", "012314"), ("val", "012315"), ("test", "012316")):
        (root / "texts" / f"{name}.txt").write_text(TEXT)
        (root / f"{split}.txt").write_text(f"{name}\n")
    for name in ("Mean.npy", "Std.npy"):
        shutil.copy(folder / name, root)
    return root


def test_published_clip(published):
    """Its joints equal those of its new_joints. Encoded again they equal its features, except for headings near the
    end, which HumanML3D smoothed with one more frame.
    """
    joints = read_clips(published)["012314"].joints
    np.testing.assert_allclose(joints, np.load(published / "new_joints" / "012314.npy"), atol=1e-5)
    features = to_relative(encode(torch.from_numpy(joints).double(), convention="humanml3d")).numpy()
    wanted = np.load(published / "new_joint_vecs" / "012314.npy")
    np.testing.assert_allclose(features[:-1, :193], wanted[:-1, :193], atol=0.02)
    np.testing.assert_allclose(features[:40, :259], wanted[:40, :259], atol=1e-4)
    np.testing.assert_array_equal(features[:-1, LAYOUT["contacts"]], wanted[:-1, LAYOUT["contacts"]])


@pytest.mark.parametrize("name", ["Mean", "Std"])
def test_statistics_of_gmd_beside_published_features(published, name):
    """Of the root's x and z, as measured in GMD's files."""
    values = np.load(published / f"{name}.npy")
    values[1:3] = {"Mean": [0.0004, 0.3145], "Std": [0.7257, 0.7257]}[name]
    np.save(published / f"{name}.npy", values)
    assert f"{name}.npy is of another representation" in problem(published)


# ---- clips that are broken


def broken(path, change):
    array = np.load(path)
    np.save(path, change(array))


def with_nan(features):
    features[7, 200] = np.nan
    return features


def elsewhere(joints):
    joints[-1, 5, 1] += 0.02
    return joints


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("new_joint_vecs", with_nan, "frame 7 is not all finite numbers"),
        ("new_joint_vecs", lambda array: array[:, :251], "251) where (frames, 263) should be"),
        ("new_joint_vecs", lambda array: array[:0], "shape (0, 263)"),
        ("new_joint_vecs", lambda array: array[0], "shape (263,)"),
        ("new_joint_vecs", lambda array: array.astype(str), "no numbers"),
        (
            "new_joint_vecs",
            lambda array: array.astype(object),
            "is a pickle, which could run anything, and was not read",
        ),
        ("new_joints", elsewhere, "is 0.02 m away from what"),
        ("new_joints", lambda array: array[:-1], "frames where"),
        ("new_joints", lambda array: array[:, :21], "21, 3) where (frames, 22, 3) should be"),
    ],
)
def test_broken_array_is_named(root, kind, change, said):
    path = root / kind / "000001.npy"
    broken(path, change)
    line = told(root)
    assert str(path) in line
    assert said in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x93NUMPY", "is no .npy file, or damaged"),
        (b"not an array at all", "is no .npy file, or damaged"),
        (pickle.dumps({"a": 1}), "is no .npy file, or damaged"),
    ],
    ids=["nothing", "its first bytes", "text", "a pickle"],
)
def test_non_array_file_is_refused(root, content, said):
    path = root / "new_joint_vecs" / "000001.npy"
    path.write_bytes(content)
    assert told(root).startswith(f"{path} {said}")


def test_truncated_arrays_are_refused(root):
    path = root / "new_joint_vecs" / "000001.npy"
    whole = path.read_bytes()
    for length in (5, 40, 127, 128, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert told(root).startswith(f"{path} is no .npy file, or damaged")


@pytest.mark.parametrize(
    ("absolute", "said"), [(False, "as if its root were absolute"), (True, "as if its root were rel")]
)
def test_features_in_wrong_folder_are_refused(tmp_path, motions, absolute, said):
    """Absolute features in the folder of relative ones, and vice versa."""
    write_folder(tmp_path / "data", motions, HUMANML3D_FACE, absolute=not absolute)
    kinds = ("new_joint_vecs", "new_joint_vecs_abs_3d")
    (tmp_path / "data" / kinds[not absolute]).rename(tmp_path / "data" / kinds[absolute])
    assert said in told(tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT + "he walks\n", "line 2 is not caption#words#start#end"),
        ("he walks#0.0#0.0\n", "line 1 is not"),
        ("he walks#he/PRON#0.0#soon\n", "line 1 is not"),
        ("he walks#he/PRON#-1.0#2.0\n", "line 1 is not"),
        ("he walks#he/PRON#0.0#inf\n", "line 1 is not"),
        ("#he/PRON#0.0#0.0\n", "has no caption"),
        ("", "has no caption"),
    ],
)
def test_broken_captions_are_named(root, text, said):
    path = root / "texts" / "000001.txt"
    path.write_text(text)
    line = told(root)
    assert str(path) in line
    assert said in line


def test_captions_in_other_encodings_are_refused(root):
    (root / "texts" / "000001.txt").write_bytes("er läuft##0.0#0.0".encode("latin-1"))
    assert "UTF-8" in told(root)


def test_broken_clips_stop_loading_without_residue(root, tmp_path):
    broken(root / "new_joint_vecs" / "000002.npy", with_nan)
    (root / "texts" / "000003.txt").write_text("?")
    with pytest.raises(InputError, match=r"2 broken: .*000002\.npy.*000003\.txt.*--skip-broken"):
        load_clips("humanml3d", root, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


# ---- folders that are broken


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data-root.*HumanML3D.*new_joint_vecs"):
        HumanML3D(tmp_path / "nowhere").source()


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "a.bvh").write_text("")
    with pytest.raises(InputError, match="no motions in new_joint_vecs, new_joint_vecs_abs_3d, new_joints"):
        HumanML3D(tmp_path).source()


def test_packed_texts_are_reported(root):
    shutil.rmtree(root / "texts")
    with pytest.raises(InputError, match=r"unpack HumanML3D's texts\.zip"):
        HumanML3D(root).source()


def test_captions_without_motion_are_reported(root):
    (root / "texts" / "000009.txt").write_text(TEXT)
    (root / "texts" / "._000001.txt").write_bytes(b"what macOS packs with it")
    line = problem(root)
    assert line.startswith(f"{root / 'texts' / '000009.txt'} has no motion")
    assert len(HumanML3D(root).source().entries) == len(NAMES)


def test_motion_without_captions_is_reported(root):
    (root / "texts" / "000002.txt").unlink()
    assert problem(root).startswith(f"{root / 'new_joint_vecs' / '000002.npy'} has no captions")
    assert "000002" not in [entry.name for entry in HumanML3D(root).source().entries]


def test_split_name_without_motion_is_reported(root):
    """It has captions; still one line."""
    (root / "new_joint_vecs" / "000003.npy").unlink()
    assert problem(root).startswith(f"{root / 'test.txt'}: 000003 has no motion")


def test_motion_in_no_split_is_ignored(root):
    """Ignored, as in other loaders."""
    (root / "train.txt").write_text("000001\n")
    assert "M000001" not in read_clips(root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no file {path}; copy"),
        ("", "{path}: it is empty; the val part needs"),
        ("000077\n000078\n", "{path}: none of its 2 names has a motion"),
        ("000001\n000002\nM000002", "{path}: 000001 is in train.txt too"),
    ],
)
def test_inconsistent_splits_are_reported(root, content, said):
    path = root / "val.txt"
    path.unlink() if content is None else path.write_text(content)
    assert problem(root).startswith(said.format(path=path))


def test_binary_split_is_reported(root):
    (root / "val.txt").write_bytes(b"\xff\xfe0")
    assert "val.txt is not text" in problem(root)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda std: std[:251], "shape (251,) where (263) should be"),
        (lambda std: std / 25, "is of another representation"),  # as used by T2M's evaluators
        (lambda std: std * np.nan, "feature 0 is not all finite"),
    ],
)
def test_statistics_of_other_representation_are_reported(tmp_path, motions, absolute, change, said):
    root = tmp_path / "data"
    write_folder(root, motions, HUMANML3D_FACE, absolute=absolute)
    path = root / f"Std{'_abs_3d' * absolute}.npy"
    broken(path, change)
    line = problem(root)
    assert line.startswith(str(path))
    assert said in line


@pytest.mark.parametrize("absolute", [False, True])
def test_relative_statistics_beside_absolute_features_and_the_reverse(tmp_path, motions, absolute):
    roots = [tmp_path / name for name in ("right", "wrong")]
    for root, kind in zip(roots, (absolute, not absolute), strict=True):
        write_folder(root, motions, HUMANML3D_FACE, absolute=kind)
    suffixes = ["_abs_3d" * kind for kind in (absolute, not absolute)]
    shutil.copy(roots[1] / f"Std{suffixes[1]}.npy", roots[0] / f"Std{suffixes[0]}.npy")
    assert "another representation" in problem(roots[0])


def test_statistics_are_optional(root):
    (root / "Mean.npy").unlink()
    (root / "Std.npy").unlink()
    assert len(read_clips(root)) == len(NAMES)
