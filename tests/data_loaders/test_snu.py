"""Data of Seoul National University: labels, basketball events, and joint splits of simultaneous recordings."""

import pickle
import shutil

import numpy as np
import pytest

from data_loaders.cleaning.cutting import MAX_PIECE_FRAMES, MIN_PIECE_FRAMES
from data_loaders.formats.bvh import read_bvh
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.skeleton_mapping import best_mapping, shipped_mappings
from data_loaders.snu import EVENTS, LICENCES, Snu, listed_clips, read_lab, recording_of
from data_loaders.store import read_all
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.bvh_files import Skeleton

BODY = Skeleton(dict(shipped_mappings()["lafan1"].joints), fps=20)

LAB = """{{
\tfile:s_003_1_1.bvh
\tperson:1
\tstartFrame:{start}
\tendFrame:{end}
\ttype:{type}
}},
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Two files of BODY: 15 s and 3 s of a walk."""
    folder = tmp_path_factory.mktemp("played")
    walk = ProceduralWalks(5, 303, 303).example(0).joints.astype(np.float64)
    BODY.write(folder / "long.bvh", walk)
    BODY.write(folder / "short.bvh", walk[:60])
    return folder


@pytest.fixture
def root(tmp_path, played):
    """Folder with a clone of VSports, in which one player plays for 15 s and another for 3 s."""
    folder = tmp_path / "VSports-master" / "data" / "basketData"
    (folder / "motion").mkdir(parents=True)
    (folder / "annotation").mkdir()
    shutil.copy(played / "long.bvh", folder / "motion" / "s_003_1_1.bvh")
    shutil.copy(played / "short.bvh", folder / "motion" / "s_004_1_2.bvh")
    (folder / "motion" / "unknown.bvh").write_text("not listed, so not read")
    events = [
        (60, 180, "dribble"),
        (180, 200, "dribble"),
        (200, 225, "shoot'"),
        (250, 300, "b_left"),
        (300, 420, "run"),
    ]
    labs = [LAB.format(start=start, end=end, type=kind) for start, end, kind in events]
    (folder / "annotation" / "s_003_1.lab").write_text("".join(labs))
    return tmp_path


def test_clips_have_labels_and_events(root):
    source = Snu(root).source()
    assert source.problems == []
    assert {path.name for path in source.files} == {"s_003_1_1.bvh", "s_004_1_2.bvh", "s_003_1.lab"}
    assert [pickle.loads(pickle.dumps(entry)) for entry in source.entries] == list(source.entries)
    one, other = read_all(source.entries, processes=1)
    assert (one.name, one.action, one.split) == ("vsports/s_003_1_1", "play basketball", one.split)
    assert [caption.text for caption in other.captions] == ["play basketball"]
    ends = [0.0, *(caption.end for caption in one.captions)]
    assert [caption.start for caption in one.captions] == ends[:-1]
    assert ends[-1] == len(one.joints) / FPS
    assert all(MIN_PIECE_FRAMES / FPS <= c.end - c.start <= MAX_PIECE_FRAMES / FPS for c in one.captions)
    assert set(ends[1:-1]) <= {2.0, 6.0, 6.65, 6.7, 7.5, 10.0, 14.0}
    for caption in one.captions:  # events are centred at 4, 6.33, 7.08 and 12 s
        middles = ((4.0, "dribble"), (6.33, "dribble"), (7.08, "shoot"), (12.0, "run"))
        words = list(dict.fromkeys(word for middle, word in middles if caption.start <= middle < caption.end))
        assert caption.text == "play basketball" + ": " * bool(words) + ", ".join(words)


def test_simultaneous_recordings_share_a_split():
    assert len({recording_of(f"s_003_1_{player}") for player in range(1, 5)}) == 1
    assert len({recording_of(f"s_003_{take}_1") for take in range(1, 8)}) == 7
    assert recording_of("16_26_1") == recording_of("16_57_1") == "CMU subject 16"
    assert recording_of("walk_simple") == recording_of("walk")
    assert recording_of("wd2_PushStep00") != recording_of("wd2_PushStep01")


def test_clip_list_is_complete():
    names = listed_clips()
    assert len(names) == 551
    assert {name.partition("/")[0] for name in names} == set(LICENCES)
    assert sum(not label for label in names.values()) == 3
    assert not set(EVENTS.values()) & {""}


def test_folders_without_clips_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data-root"):
        Snu(tmp_path / "nowhere").source()
    with pytest.raises(InputError, match="clone ys2010"):
        Snu(tmp_path).source()


def test_licence_lists_sets(root):
    assert "vsports Apache-2.0" in Snu(root).source().licence
    assert "CMU" not in Snu(root).source().licence
    folder = root / "TimeCriticalResponse" / "motion"
    folder.mkdir(parents=True)
    (folder / "16_08_1.bvh").write_text("")
    licence = Snu(root).source().licence
    assert "timecritical BSD-3-Clause" in licence
    assert "CMU" in licence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{\ntype:dribble\nstartFrame:9\nendFrame:3\n}", "line 1: frames '9' to '3'"),
        (
            "{\ntype:run\nstartFrame:1\nendFrame:3\n}\n{\ntype:dribble\nstartFrame:soon\n}",
            "line 6: frames 'soon' to ''",
        ),
        (b"\xff\xfe\x00\xd8", "not a text file"),
        ("x" * (2**20 + 1), "are no annotation"),
    ],
)
def test_malformed_annotations_are_refused(root, text, said):
    (path,) = root.rglob("*.lab")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_lab(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Snu(root).source().problems == [str(caught.value)]


def test_skeletons_are_mapped():
    """One file of each kind."""
    paths = needs.data("snu_*/**/*.bvh", "folders snu_... of the archive open-motion")
    found = {path.stem: path for path in paths}
    root = next(folder for folder in paths[0].parents if folder.name.startswith("snu_")).parent
    kinds = {
        "wd2_pose": "snu_woddy", "wd2_WalkLean00": "snu_woddy", "tennis_KangTennisF17": "snu_woddy_tennis",
        "69_14_1": "lafan1", "kick": "humanik_character1", "94_02_1": "cmu_motionbuilder",
    }  # fmt: skip
    for stem, mapping in kinds.items():
        assert best_mapping(read_bvh(found[stem]).names) == mapping
    (entry,) = [entry for entry in Snu(root).source().entries if entry.name == "vsports/s_003_1_1"]
    clip = entry.read()
    assert len(clip.captions) > 2
    assert any("dribble" in caption.text for caption in clip.captions)
