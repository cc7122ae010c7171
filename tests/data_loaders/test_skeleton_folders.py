"""Folders of BVH files: captions and mappings are assigned, and invalid ones are reported in one line each."""

import json
import pickle
import time

import pytest

from data_loaders.captions.tables import MAX_GUESSES
from data_loaders.retarget import REQUIRED_JOINTS
from data_loaders.skeleton_folders import BvhFolder
from data_loaders.skeleton_mapping import SkeletonMapping, best_mapping, load_mapping, shipped_mappings
from data_loaders.store import prepare, read_all
from data_loaders.types import Caption, split_of
from motion_diffusion.errors import InputError


@pytest.fixture
def root(tmp_path, file):
    """Folder with three files, one of them in a subfolder."""
    (tmp_path / "data" / "far").mkdir(parents=True)
    for name in ("walk", "run", "far/away"):
        (tmp_path / "data" / f"{name}.bvh").write_text(file)
    return tmp_path / "data"


@pytest.fixture
def told(root):
    """told(text): source of the folder with a captions file."""

    def make(text, **options):
        (root / "captions.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return BvhFolder(root, root / "captions.csv", **options).source()

    return make


def test_shipped_mappings_fit_their_skeletons():
    """Each is complete, and is selected for a file with its names, with or without namespace."""
    for name, mapping in shipped_mappings().items():
        assert set(REQUIRED_JOINTS) <= set(mapping.joints)
        assert mapping.about
        theirs = list(mapping.joints.values())
        assert best_mapping(theirs) == name
        spaced = [f"rig:{joint}" for joint in ["Extra", *theirs]]
        assert best_mapping(spaced) == name
        assert mapping.indices(spaced) == {ours: i + 1 for i, ours in enumerate(mapping.joints)}


def test_captions_are_assigned_to_clips(told, root):
    source = told(
        "\ufefffile, text ,start,end,split,action,style\r\n"
        'walk.bvh,"A person walks, then ""stops"".",,,train,walk,calm\r\n'
        "\r\n"
        'walk,"somebody\r\nwalks",0.25,0.75,,,\r\n'
        "far/away.BVH,it goes away,0.5,,val,,\r\n"
        "./run.bvh,müde,0,0,test,run,\r\n"
    )
    assert source.problems == []
    assert not source.mirrored
    assert set(source.files) == {*root.rglob("*.bvh"), root / "captions.csv"}
    clips = {clip.name: clip for clip in read_all(source.entries, processes=1)}
    assert clips["walk"].captions == (
        Caption('A person walks, then "stops".'),
        Caption("somebody walks", 0.25, 0.75),
    )
    assert clips["far/away"].captions == (Caption("it goes away", 0.5),)
    assert clips["run"].captions == (Caption("müde"),)
    assert [(clip.split, clip.action, clip.style) for clip in clips.values()] == [
        ("val", "", ""), ("test", "run", ""), ("train", "walk", "calm"),
    ]  # fmt: skip
    for entry in source.entries:
        assert pickle.loads(pickle.dumps(entry)) == entry


def test_unambiguous_file_names_are_sufficient(told, root, file):
    everything = "file,text,split\nrun,runs,val\nwalk,walks,test\naway.bvh,goes,train\n"
    assert told(everything).problems == []
    (root / "near").mkdir()
    (root / "near" / "away.bvh").write_text(file)
    (line, *_) = told(everything).problems
    assert line.startswith(f"{root / 'captions.csv'}: line 4: 'away.bvh' could be far/away or near/away")


def test_captions_are_read_from_text_files(root):
    assert BvhFolder(root).source().problems == []  # for display only
    (root / "walk.txt").write_text("a person walks\n\n  somebody  strolls \n")
    source = BvhFolder(root).source()
    assert root / "walk.txt" in source.files
    assert [entry.annotation.captions for entry in source.entries] == [
        (), (), (Caption("a person walks"), Caption("somebody strolls")),
    ]  # fmt: skip
    missing_annotations = [line for line in source.problems if "no caption" in line]
    assert [line.partition(": ")[0] for line in missing_annotations] == [
        str(root / "far/away.bvh"),
        str(root / "run.bvh"),
    ]
    (root / "run.txt").write_text("\n")
    assert f"{root / 'run.txt'}: no caption in it; write one a line" in BvhFolder(root).source().problems


def test_default_splits_follow_names(told):
    for entry in told("file,text\nwalk,walks\nrun,runs\nfar/away,goes\n").entries:
        assert entry.split == split_of(entry.name)


def test_prepare_folder(told, tmp_path, capsys):
    source = told("file,text,split\nrun,runs,val\nwalk,walks,test\nfar/away,goes,train\n", licence="mine")
    assert "as in assets/mappings/mixamo.json" in capsys.readouterr().err
    store = prepare("bvh", source, tmp_path / "store", processes=1)
    assert [(clip.name, len(clip.joints), clip.split) for clip in store.clips] == [
        ("far/away", 21, "train"), ("run", 21, "val"), ("walk", 21, "test"),
    ]  # fmt: skip
    assert store.licence == "mine"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,text\nwalk,", "line 2: the text is empty"),
        ("file,text\nwlak,walks", "line 2: no clip 'wlak' (did you mean 'walk'?)"),
        ("file,text\n/etc/walk.bvh,walks", "line 2: no clip '/etc/walk.bvh'"),
        ("file,text\nwalk,walks, then stops\n", "line 2: 3 values for 2 columns; put texts with commas into quotes"),
        ("file,start,text\nwalk,soon,walks", "line 2: start 'soon' is no time"),
        ("file,start,text\nwalk,-1,walks", "line 2: start '-1' is no time"),
        ("file,end,text\nwalk,nan,walks", "line 2: end 'nan' is no time"),
        ("file,text,start,end\nwalk,walks,2,1", "line 2: end 1 is not after start 2"),
        ("file,text,split\nwalk,walks,dev", "line 2: split 'dev'; choose from train, val, test"),
        ('file,text,split\nwalk,"wa\nlks",val\nwalk,walks,test', "line 4: split 'test', but 'val' in a line before"),
        ("file,text,action\nwalk,walks,walk\nwalk,walks,run", "line 3: action 'run', but 'walk' in a line before"),
        ("file,text\nwalk,walks", "run.bvh: no caption in"),
        ("file,text", "run.bvh: no caption in"),
        ("file,text,split\nwalk,walks,test", "no clip with captions is in the part train; say in a column split"),
    ],
)
def test_invalid_rows_are_reported(told, root, table, said):
    problems = told(table).problems
    assert any(said in line for line in problems), problems
    assert all(line.startswith(str(root)) and "\n" not in line for line in problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("file;text\nwalk;walks\n", "line 1: no column file and text"),
        ("file,caption\n", "line 1: no column text"),
        ("file,text,spilt\n", "line 1: unknown column 'spilt', did you mean 'split'?"),
        ("file,text,mood\n", "line 1: unknown column 'mood'; there are file, text, start"),
        ("file,text,\n", "line 1: unknown column ''; there are file, text, start"),
        ("file,text,text\n", "line 1: column 'text' is there twice"),
        ('file,text\nrun,runs\nwalk,"walks\n', "line 3: "),
        ("file,text\nwalk,müde\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_malformed_tables_are_refused(told, root, text, said):
    with pytest.raises(InputError) as caught:
        told(text)
    assert str(caught.value).startswith(f"{root / 'captions.csv'}: {said}")
    assert "\n" not in str(caught.value)


def test_reading_captions_takes_linear_time(told):
    text = "file,text\n" + "".join(f"walk,walks {number}\n" for number in range(40_000))
    began = time.process_time()
    source = told(text)
    assert time.process_time() - began < 4
    assert next(len(entry.annotation.captions) for entry in source.entries if entry.name == "walk") == 40_000


def test_suggestions_are_limited(told):
    """Each suggestion requires a comparison with all clips."""
    problems = told("file,text\n" + "wlak,walks\n" * 30).problems
    assert [sum(said in line for line in problems) for said in ("did you mean", "no clip 'wlak'")] == [MAX_GUESSES, 30]


def test_captions_beyond_the_end_are_refused(told, root):
    source = told("file,text,start,end\nwalk,walks,0,20\nrun,runs,3,\n")
    lines = [line for line in read_all(source.entries, processes=1) if isinstance(line, str)]
    assert [line.partition(", but it lasts 1.05 s; ")[0] for line in lines] == [
        f"{root / 'run.bvh'}: a caption is about 3 s and on",
        f"{root / 'walk.bvh'}: a caption is about 0 to 20 s",
    ]


def test_invalid_folders_and_options_are_refused(root, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, kind, said in (
        (BvhFolder(tmp_path / "nowhere"), FileNotFoundError, "no folder .*--data-root"),
        (BvhFolder(tmp_path / "empty"), InputError, "no .bvh files.*--data-root"),
        (BvhFolder(root, tmp_path / "no.csv"), FileNotFoundError, "no captions file"),
        (BvhFolder(root, mapping=tmp_path / "no.json"), FileNotFoundError, "no mapping file"),
        (BvhFolder(root, scale=0.0), InputError, "--scale 0"),
    ):
        with pytest.raises(kind, match=said):
            folder.source()
    (root / "walk.BVH").write_text("")
    with pytest.raises(InputError, match=r"walk\.(bvh|BVH) differs from another file in nothing but its ending"):
        BvhFolder(root).source()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda mapping: {**mapping, "version": 2}, "version: "),
        (lambda mapping: {**mapping, "joint": {}}, "joint: "),
        (lambda mapping: {**mapping, "up": "up"}, "up: "),
        (lambda mapping: {"version": 1}, "joints: "),
        (lambda mapping: {**mapping, "joints": {**mapping["joints"], "left_hipp": "x"}}, "did you mean 'left_hip'?"),
        (lambda mapping: {**mapping, "joints": {**mapping["joints"], "spine1": "Hips"}}, "pelvis and spine1 are both"),
        (lambda mapping: {**mapping, "joints": {"pelvis": "Hips"}}, "left_hip, right_hip, left_knee"),
        (lambda mapping: "[1, 2", "EOF"),
    ],
)
def test_malformed_mapping_files_are_refused(tmp_path, change, said):
    good = {"version": 1, "joints": shipped_mappings()["mixamo"].joints}
    bad = change(good)
    path = tmp_path / "mapping.json"
    path.write_text(bad if isinstance(bad, str) else json.dumps(bad))
    with pytest.raises(InputError) as caught:
        load_mapping(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    path.write_text(json.dumps(good))
    assert load_mapping(path).joints == good["joints"]


def test_files_with_two_bodies():
    mixamo = shipped_mappings()["mixamo"]
    names = [f"{body}:{joint}" for body in ("one", "two") for joint in mixamo.joints.values()]
    with pytest.raises(InputError, match="one:Hips and two:Hips could both be 'Hips' for pelvis"):
        mixamo.indices(names)
    second = SkeletonMapping(joints={ours: f"two:{theirs}" for ours, theirs in mixamo.joints.items()})
    assert list(second.indices(names).values()) == [i + len(mixamo.joints) for i in range(len(mixamo.joints))]
