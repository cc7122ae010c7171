"""HDM05: class, actor and frame rate are read from names; classes are put into words."""

import pytest

from data_loaders.hdm05 import _PHRASES, Hdm05, describe
from data_loaders.store import prepare
from data_loaders.types import Caption
from motion_diffusion.errors import InputError
from tests.data_loaders.amc_files import write_walk

PARTS = {"bd": "train", "bk": "train", "dg": "train", "mm": "val", "tr": "test"}


@pytest.fixture
def root(tmp_path, walk):
    """Folder with a clip of each of five actors, with their skeletons in a folder beside."""
    for actor in PARTS:
        write_walk(
            tmp_path / "data" / "amc" / "squat" / f"HDM_{actor}_squat1Reps_001_120.amc",
            tmp_path / "data" / "asf" / f"HDM_{actor}.asf",
            walk[:11],
            fps=120,
        )
    return tmp_path / "data"


def test_names_specify_class_actor_and_frame_rate(root, tmp_path):
    source = Hdm05(root).source()
    assert source.problems == []
    store = prepare("hdm05", source, tmp_path / "store", processes=1)
    for clip, (actor, part) in zip(store.clips, PARTS.items(), strict=True):
        assert clip.name == f"amc/squat/HDM_{actor}_squat1Reps_001_120"
        assert (clip.split, clip.action, clip.captions) == (part, "squat", clip.captions)
        assert clip.captions[0] == Caption("a person squats once")
        assert Caption("a person squats") in clip.captions
        assert len(clip.joints) == 10
    assert store.licence == "CC BY-SA 3.0; HDM05, Müller et al. 2007"
    assert {path.suffix for path in source.files} == {".amc", ".asf"}


def test_frame_rate_option(root):
    entry = Hdm05(root, fps=30.0).source().entries[0]
    assert len(entry.read().joints) == 40


def test_caption_table_overrides_class(root, tmp_path):
    (tmp_path / "c.csv").write_text("file,text,split\nHDM_mm_squat1Reps_001_120.amc,bends the knees,train\n")
    source = Hdm05(root, captions=tmp_path / "c.csv").source()
    (entry,) = (entry for entry in source.entries if "mm" in entry.name)
    assert (entry.split, entry.annotation.captions, entry.annotation.action) == (
        "train",
        (Caption("bends the knees"),),
        "squat",
    )
    assert [line for line in source.problems if "part val" in line]


def test_uncut_recordings_have_no_caption(root):
    path = root / "amc" / "HDM_bd_01-01_01_120.amc"
    path.write_bytes((root / "amc" / "squat" / "HDM_bd_squat1Reps_001_120.amc").read_bytes())
    source = Hdm05(root).source()
    (entry,) = (entry for entry in source.entries if entry.path == path)
    assert (entry.annotation.captions, entry.annotation.action, entry.split) == ((), "", "train")
    assert [line.partition(": ")[0] for line in source.problems] == [str(path)]


def test_foreign_files_are_refused(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*--data-root the folder of HDM05"):
        Hdm05(tmp_path / "nowhere").source()
    (root / "02_01.amc").write_text("")
    with pytest.raises(InputError, match=r"02_01\.amc has no name of HDM05, such as HDM_bd_squat1Reps_001_120\.amc"):
        Hdm05(root).source()


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("depositFloorR", "put something down on the floor with the right hand"),
        ("kickLFront2Reps", "kick forward with the left foot twice"),
        ("cartwheelLHandStart1Reps", "do a cartwheel once, starting with the left hand"),
        ("elbowToKnee2RepsRelbowStart", "touch a knee with the opposite elbow twice, starting with the right elbow"),
        ("jogLeftCircle4StepsRstart", "jog in a circle to the left for four steps, starting with the right foot"),
        ("jogOnPlaceStartAir2StepsLStart", "jog on the spot for two steps, starting with the left foot"),
        ("staircaseUp3Rstart", "walk up stairs for three steps, starting with the right foot"),
        ("hopRLeg3hops", "hop on the right leg three times"),
        ("rotateArmsBothForward1Reps", "rotate both arms forward once"),
        ("turnLeft", "turn left"),
        ("walkLeft2Steps", "walk left for two steps"),
        ("hitRHandHead", "hit right hand head"),
        ("lieDownFloor", "lie down on the floor"),
    ],
)  # fmt: skip
def test_describe_class(action, text):
    assert describe(action) == text


def test_every_phrase_is_used():
    """By a name composed of its key, with a side if the phrase has one."""
    for key, phrase in _PHRASES.items():
        action = f"{key}L" if "{side}" in phrase else key
        assert describe(action) == phrase.format(side="left")
