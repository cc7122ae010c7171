"""Walks written as BVH files of other skeletons come back; captions find their clips; bad files get one line each."""

import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from data_loaders.augment import at_times
from data_loaders.bandai import read_clip as read_bandai
from data_loaders.bvh_folder import BALL_HEIGHT, BvhFolder, read_clip, standing_height
from data_loaders.clip import Caption, split_of
from data_loaders.mapping import Mapping, fitting, load_mapping, shipped
from data_loaders.retarget import NEEDED
from data_loaders.store import prepare, read_all
from motion_diffusion.errors import InputError
from motion_diffusion.metrics import foot_skating_ratio
from motion_diffusion.skeleton import BONE_LENGTHS, FPS, JOINTS, PARENTS

PELVIS, NECK, HEAD, SPINE3 = (JOINTS.index(name) for name in ("pelvis", "neck", "head", "spine3"))
TOES = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]


@dataclass(frozen=True)
class Skeleton:
    """Another body: 22 joints by other names and other proportions; what it rests in is a random knot."""

    names: dict[str, str]
    unsaid: tuple[str, ...] = ()
    """Joints that its mapping does not name, so that they are only in the way."""
    size: float = 1.0
    thigh: float = 0.48
    """Share of the leg above the knee."""
    neck: float = 1.0
    """Length of the neck, times this body's."""
    unit: float = 0.01
    order: str = "ZXY"
    fps: int = 20
    up: str = "y"
    height: float = 0.0
    """Of the floor, in metres."""
    ends: tuple[str, ...] = ()
    """Joints that are end sites in the file."""

    def moved(self, joints):
        """Its joints when it moves like joints (F, 22, 3), which are on this body."""
        joints = joints.copy()
        joints[:, HEAD] += (self.neck - 1) * (joints[:, NECK] - joints[:, SPINE3])
        joints[:, NECK] += (self.neck - 1) * (joints[:, NECK] - joints[:, SPINE3])
        for leg in ((1, 4, 7), (2, 5, 8)):
            hip, knee, ankle = (joints[:, joint] for joint in leg)
            whole = BONE_LENGTHS[4].item() + BONE_LENGTHS[7].item()
            thigh, shin = self.thigh * whole, (1 - self.thigh) * whole
            line, reach = ankle - hip, np.linalg.norm(ankle - hip, axis=-1, keepdims=True)
            cosine = (thigh**2 + reach**2 - shin**2) / (2 * thigh * reach)
            bend = (knee - hip) - ((knee - hip) * line).sum(-1, keepdims=True) / reach**2 * line
            bend /= np.linalg.norm(bend, axis=-1, keepdims=True)
            joints[:, leg[1]] = hip + thigh * (cosine * line / reach + np.sqrt(1 - cosine**2) * bend)
        return self.size * joints + [0, self.height, 0]

    def write(self, path, walk):
        """Write joints (F, 22, 3) of this body, 20 frames a second, as its BVH file."""
        at = self.moved(at_times(walk, np.arange(0, len(walk) - 1, FPS / self.fps)))
        up = "xyz".index(self.up)
        at = at[..., np.argsort([(up + 2) % 3, up, (up + 1) % 3])] / self.unit
        knot = Rotation.random(len(JOINTS), random_state=7)
        turns, lines, numbers = {-1: [Rotation.identity()] * len(at)}, ["HIERARCHY"], []

        def add(joint):
            parent, name = PARENTS[joint], self.names[JOINTS[joint]]
            below = [child for child, above in enumerate(PARENTS) if above == joint]
            rest = at[0, below] - at[0, joint]
            turns[joint] = [
                Rotation.align_vectors(frame[below] - frame[joint], knot[joint].inv().apply(rest))[0]
                if below
                else turns[parent][index]
                for index, frame in enumerate(at)
            ]
            offset = knot[parent].inv().apply(at[0, joint] - at[0, parent]) if joint else at[0, 0]
            end = name in self.ends
            lines.append("End Site" if end else f"{'JOINT' if joint else 'ROOT'} {name}")
            lines.extend(["{", "OFFSET " + " ".join(f"{x:.8f}" for x in offset)])
            if not end:
                local = [turns[parent][index].inv() * turn for index, turn in enumerate(turns[joint])]
                places = "" if joint else "Xposition Yposition Zposition "
                lines.append(f"CHANNELS {3 if joint else 6} {places}{' '.join(f'{a}rotation' for a in self.order)}")
                numbers.extend([] if joint else [at[:, 0]])
                numbers.append([turn.as_euler(self.order, degrees=True) for turn in local])
            for child in below:
                add(child)
            lines.extend(["}"] if below or end else ["End Site", "{", "OFFSET 1 2 3", "}", "}"])

        add(PELVIS)
        lines.extend(["MOTION", f"Frames: {len(at)}", f"Frame Time: {1 / self.fps:.8f}"])
        lines.extend(" ".join(f"{x:.7f}" for x in row) for row in np.concatenate(numbers, axis=1))
        path.write_text("\n".join(lines) + "\n")

    def mapping(self):
        """What a mapping file says of it."""
        names = {ours: theirs for ours, theirs in self.names.items() if ours not in self.unsaid}
        for ours, theirs in names.items():
            if theirs in self.ends:
                names[ours] = f"{self.names[JOINTS[PARENTS[JOINTS.index(ours)]]]}_end"
        return Mapping(up=None if self.up == "y" else self.up, joints=names)


PLAIN = {name: f"b{name.title().replace('_', '')}" for name in JOINTS}
CHARACTER = Skeleton(
    {ours: f"mixamorig7:{theirs}" for ours, theirs in shipped()["mixamo"].joints.items()},
    size=1.13, neck=0.7, order="XYZ", fps=60,
)  # fmt: skip
CAPTURE = Skeleton(
    PLAIN, unsaid=("pelvis", "spine1", "spine2"), size=0.8, thigh=0.53, unit=0.0254, order="ZXY", fps=120, up="z"
)
ROBOT = Skeleton(
    PLAIN, unsaid=("spine3", "left_collar", "right_collar"), thigh=0.42, unit=0.001, order="YXZ", fps=40, up="x",
    height=-0.7, ends=("bLeftFoot", "bRightFoot"),
)  # fmt: skip
SKELETONS = {"character": CHARACTER, "capture": CAPTURE, "robot": ROBOT}


@pytest.fixture(scope="module")
def short(walk):
    """Two seconds and a frame of a walk."""
    return walk[:41]


@pytest.fixture(scope="module")
def file(short, tmp_path_factory):
    """A file of the character, one second long."""
    path = tmp_path_factory.mktemp("bvh") / "a.bvh"
    CHARACTER.write(path, short[:22])
    return path.read_text()


@pytest.fixture
def root(tmp_path, file):
    """A folder with three files, one in a subfolder."""
    (tmp_path / "data" / "far").mkdir(parents=True)
    for name in ("walk", "run", "far/away"):
        (tmp_path / "data" / f"{name}.bvh").write_text(file)
    return tmp_path / "data"


@pytest.fixture
def told(root):
    """told(text): the source of the folder with these captions."""

    def make(text, **options):
        (root / "captions.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return BvhFolder(root, root / "captions.csv", **options).source()

    return make


@pytest.fixture
def refused(tmp_path):
    """refused(text, …): what reading a file says, one line that begins with the file's name."""

    def read(text, mapping=None, **options):
        path = tmp_path / "bad.bvh"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            read_clip(path, mapping, **options)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return read


@pytest.mark.parametrize("name", SKELETONS)
def test_walks_of_other_bodies_come_back(tmp_path, short, name):
    skeleton, path = SKELETONS[name], tmp_path / "a.bvh"
    skeleton.write(path, short)
    joints = read_clip(path, skeleton.mapping(), scale=skeleton.unit)
    wanted = short[: len(joints)]
    assert len(wanted) >= 40
    assert joints.shape == wanted.shape
    wanted = wanted + (joints - wanted)[:, TOES].mean((0, 1)) * [1, 0, 1]
    np.testing.assert_allclose(joints[:, TOES], wanted[:, TOES], atol=0.001)
    np.testing.assert_allclose(joints[:, PELVIS], wanted[:, PELVIS], atol=0.03)
    assert np.linalg.norm(joints - wanted, axis=-1).mean() < 0.03
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-4)
    np.testing.assert_array_equal(joints[0, PELVIS, [0, 2]], 0)
    assert foot_skating_ratio(torch.from_numpy(joints)) == pytest.approx(
        foot_skating_ratio(torch.from_numpy(wanted)), abs=0.02
    )


def test_the_floor_of_the_file(tmp_path, short):
    """Where it is asked for, heights stay as the file has them, times the ratio of the legs."""
    path = tmp_path / "a.bvh"
    ROBOT.write(path, short)
    kept = read_clip(path, ROBOT.mapping(), scale=ROBOT.unit, floor="file")
    found = read_clip(path, ROBOT.mapping(), scale=ROBOT.unit)
    np.testing.assert_allclose(kept - found, np.broadcast_to([0, ROBOT.height, 0], kept.shape), atol=1e-3)


def test_the_floor_is_found_in_spite_of_steps_and_outliers(walks):
    """Standing feet count: neither a frame that fell through the floor, nor a second half on a box of half a metre."""
    for walk in walks[:10]:
        joints = walk.double().numpy().copy()
        assert standing_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.002)
        joints[len(joints) // 2 :, :, 1] += 0.5
        joints[3, :, 1] -= 0.4
        assert standing_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.005)


def test_feet_that_swing_below_are_not_on_the_floor(walks):
    """On the edge of a bench, one foot stands while the other kicks below it."""
    joints = walks[0].double().numpy().copy()
    joints[:, TOES[0], 1] += 0.25 * np.sin(2 * np.pi * np.arange(len(joints)) / 5) - 0.3
    assert standing_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.002)


def test_bandai_clips_are_as_bandai_reads_them():
    """With the shipped mapping and the capture's own floor (skips without the data in MOTION_DATA)."""
    root = Path(os.environ.get("MOTION_DATA", Path.home() / ".cache" / "motion-data"))
    paths = [path for kind in ("walk", "bow", "run") if (path := next(root.rglob(f"dataset-*_{kind}_*.bvh"), None))]
    if not paths:
        pytest.skip("no Bandai-Namco clip in MOTION_DATA")
    for path in paths:
        np.testing.assert_array_equal(read_clip(path, floor="file"), read_bandai(path))
        assert standing_height(read_bandai(path).astype(float)) == pytest.approx(0.05, abs=0.01)


def test_shipped_mappings_fit_what_they_are_made_for():
    """Each is complete, and is the one that is taken for a file with its names, with or without a namespace."""
    for name, mapping in shipped().items():
        assert set(NEEDED) <= set(mapping.joints)
        assert mapping.about
        theirs = list(mapping.joints.values())
        assert fitting(theirs) == name
        spaced = [f"rig:{joint}" for joint in ["Extra", *theirs]]
        assert fitting(spaced) == name
        assert mapping.indices(spaced) == {ours: i + 1 for i, ours in enumerate(mapping.joints)}


def test_captions_find_their_clips(told, root):
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


def test_the_last_part_of_a_path_is_enough_if_it_is_unique(told, root, file):
    everything = "file,text,split\nrun,runs,val\nwalk,walks,test\naway.bvh,goes,train\n"
    assert told(everything).problems == []
    (root / "near").mkdir()
    (root / "near" / "away.bvh").write_text(file)
    (line, *_) = told(everything).problems
    assert line.startswith(f"{root / 'captions.csv'}: line 4: 'away.bvh' could be far/away or near/away")


def test_without_a_table_text_files_have_the_captions(root):
    assert BvhFolder(root).source().problems == []  # motions to look at, no more
    (root / "walk.txt").write_text("a person walks\n\n  somebody  strolls \n")
    source = BvhFolder(root).source()
    assert root / "walk.txt" in source.files
    assert [entry.told.captions for entry in source.entries] == [
        (), (), (Caption("a person walks"), Caption("somebody strolls")),
    ]  # fmt: skip
    lacking = [line for line in source.problems if "no caption" in line]
    assert [line.partition(": ")[0] for line in lacking] == [str(root / "far/away.bvh"), str(root / "run.bvh")]
    (root / "run.txt").write_text("\n")
    assert f"{root / 'run.txt'}: no caption in it; write one a line" in BvhFolder(root).source().problems


def test_splits_are_those_of_the_names_where_nothing_is_said(told):
    for entry in told("file,text\nwalk,walks\nrun,runs\nfar/away,goes\n").entries:
        assert entry.split == split_of(entry.name)


def test_a_store_of_the_folder(told, tmp_path, capsys):
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
def test_rows_that_cannot_be_used_are_problems(told, root, table, said):
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
        ("file,text,text\n", "line 1: column 'text' is there twice"),
        ('file,text\nrun,runs\nwalk,"walks\n', "line 3: "),
        ("file,text\nwalk,müde\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_tables_that_are_none(told, root, text, said):
    with pytest.raises(InputError) as caught:
        told(text)
    assert str(caught.value).startswith(f"{root / 'captions.csv'}: {said}")
    assert "\n" not in str(caught.value)


def test_captions_beyond_the_end(told, root):
    source = told("file,text,start,end\nwalk,walks,0,20\nrun,runs,3,\n")
    lines = [line for line in read_all(source.entries, processes=1) if isinstance(line, str)]
    assert [line.partition(", but it lasts 1.05 s; ")[0] for line in lines] == [
        f"{root / 'run.bvh'}: a caption is about 3 s and on",
        f"{root / 'walk.bvh'}: a caption is about 0 to 20 s",
    ]


def test_folders_and_options_that_cannot_be(root, tmp_path):
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
def test_mapping_files_that_are_none(tmp_path, change, said):
    good = {"version": 1, "joints": shipped()["mixamo"].joints}
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


def test_joints_that_a_file_does_not_have(refused, file):
    other = file.replace("mixamorig7:LeftToeBase", "mixamorig7:LeftToe")
    said = refused(other, shipped()["mixamo"])
    assert "no joint 'LeftToeBase' for left_foot (did you mean 'LeftToe'?); there are mixamorig7:Hips, " in said
    said = refused(file.replace("LeftShoulder", "LeftCollar"))
    assert "no mapping in" in said
    assert "fits its joints mixamorig7:Hips, " in said
    assert "nearest is mixamo.json, but there is no LeftShoulder)" in said


def test_two_bodies_in_one_file():
    mixamo = shipped()["mixamo"]
    names = [f"{body}:{joint}" for body in ("one", "two") for joint in mixamo.joints.values()]
    with pytest.raises(InputError, match="one:Hips and two:Hips could both be 'Hips' for pelvis"):
        mixamo.indices(names)
    second = Mapping(joints={ours: f"two:{theirs}" for ours, theirs in mixamo.joints.items()})
    assert list(second.indices(names).values()) == [i + len(mixamo.joints) for i in range(len(mixamo.joints))]


def test_files_that_cannot_be_right(refused, file, tmp_path, short):
    assert "its legs are 92.8 m long; give --scale 0.01" in refused(file, scale=1.0)
    assert "give --scale 0.01" in refused(file, scale=0.0001)
    assert "Frames" in refused(file.replace("Frames:", "Frame:"))
    swapped = file.replace("Left", "#").replace("Right", "Left").replace("#", "Right")
    assert "its feet point backwards; left and right are swapped" in refused(swapped)
    path = tmp_path / "a.bvh"
    CAPTURE.write(path, short[:3])
    mapping = Mapping(joints=CAPTURE.mapping().joints)
    assert "it stands along z; give --up z, or --up y if it does lie" in refused(
        path.read_text(), mapping, scale=CAPTURE.unit
    )
    lying = read_clip(path, mapping, scale=CAPTURE.unit, up="y")
    assert np.ptp(lying[0, :, 1]) < 0.8
    CHARACTER.write(path, short[:3] * [-1, -1, 1])
    assert "its head is below its feet" in refused(path.read_text())
    still = [line if "OFFSET" not in line else "OFFSET 0 0 0" for line in file.splitlines()]
    assert "hips, knees and ankles are in one place" in refused("\n".join(still))
