"""The reader agrees with scipy's rotations on random skeletons; bad files are refused with one line."""

import re
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from data_loaders.formats.bvh import read_bvh
from motion_diffusion.errors import InputError
from tests import needs

ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")

FILE = """HIERARCHY
ROOT Hips
{
    OFFSET 0 90 0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT Leg
    {
        OFFSET 10 0 0
        CHANNELS 3 Zrotation Xrotation Yrotation
        End Site
        {
            OFFSET 0 -80 0
        }
    }
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 2 3 0 0 0 0 0 0
4 5 6 90 0 0 0 90 0
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "a.bvh").write_text(text)
        return tmp_path / "a.bvh"

    return write


def test_world_positions_of_hand_computed_example(write):
    bvh = read_bvh(write(FILE))
    assert bvh.names == ("Hips", "Leg", "Leg_end")
    assert bvh.parents == (-1, 0, 1)
    positions = bvh.world()
    np.testing.assert_allclose(positions[0], [[0.01, 0.02, 0.03], [0.11, 0.02, 0.03], [0.11, -0.78, 0.03]], atol=1e-12)
    # the hips turn +x to +y; below, the leg's -y turns to -z
    np.testing.assert_allclose(positions[1], [[0.04, 0.05, 0.06], [0.04, 0.15, 0.06], [0.04, 0.15, -0.74]], atol=1e-12)


def test_byte_order_mark_is_ignored(write):
    path = write(FILE)
    path.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    np.testing.assert_array_equal(read_bvh(path).world(), read_bvh(write(FILE)).world())


def test_world_of_few_joints_takes_little_memory(write, monkeypatch):
    """Unneeded joints are not evaluated, and frames are evaluated in blocks."""
    more = "".join(f"    JOINT x{k}\n    {{\n        OFFSET 1 2 3\n    }}\n" for k in range(1997))
    text = FILE.replace("}\nMOTION", f"{more}}}\nMOTION").replace("Frames: 2", "Frames: 1000")
    bvh = read_bvh(write(text + FILE[FILE.index("1 2 3 0") :] * 499))
    tracemalloc.start()
    positions = bvh.world([1, 2])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20  # all joints of all frames: 184 MB and more
    np.testing.assert_allclose(positions[999], [[0.04, 0.15, 0.06], [0.04, 0.15, -0.74]], atol=1e-12)
    monkeypatch.setattr("data_loaders.formats.bvh._BLOCK", 700)
    np.testing.assert_allclose(bvh.world([1, 2]), positions, atol=1e-12)


def test_too_long_files_are_refused_before_frames_are_read(write):
    path = write(FILE.replace("Frames: 2", "Frames: 900000000"))
    with pytest.raises(InputError, match=r"a.bvh lasts 29999970 s; give one of up to 60 s, or cut it"):
        read_bvh(path, max_seconds=60.0)
    assert len(read_bvh(write(FILE), max_seconds=2 / 30 + 1e-6).values) == 2


def test_scale_converts_lengths_to_metres(write):
    path = write(FILE)
    np.testing.assert_allclose(read_bvh(path, scale=1.0).world(), 100 * read_bvh(path).world())


@st.composite
def skeletons(draw):
    """Parents, rotation orders, presence of position channels, and a seed for the values."""
    joints = draw(st.integers(1, 6))
    parents = [-1] + [draw(st.integers(0, i - 1)) for i in range(1, joints)]
    orders = [draw(st.sampled_from(ORDERS)) for _ in range(joints)]
    moves = [True] + [draw(st.booleans()) for _ in range(1, joints)]
    return parents, orders, moves, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=60)
@given(skeleton=skeletons())
def test_world_agrees_with_scipy(tmp_path_factory, skeleton):
    parents, orders, moves, seed = skeleton
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-50, 50, (len(parents), 3))
    lines, in_file = ["HIERARCHY"], []

    def joint(index):
        in_file.append(index)
        lines.append(f"{'ROOT' if parents[index] < 0 else 'JOINT'} j{index}")
        lines.extend(["{", "OFFSET " + " ".join(f"{x:.9f}" for x in offsets[index])])
        names = [f"{axis}position" for axis in "XYZ"] * moves[index] + [f"{axis}rotation" for axis in orders[index]]
        lines.append(f"CHANNELS {len(names)} {' '.join(names)}")
        children = [child for child, parent in enumerate(parents) if parent == index]
        for child in children:
            joint(child)
        if not children:
            lines.extend(["End Site", "{", "OFFSET 1 2 3", "}"])
        lines.append("}")

    joint(0)
    angles, moved = rng.uniform(-180, 180, (2, len(parents), 3)), rng.uniform(-50, 50, (2, len(parents), 3))
    lines += ["MOTION", "Frames: 2", "Frame Time: 0.05"]
    for f in range(2):
        row = [number for i in in_file for number in ([*moved[f, i]] if moves[i] else []) + [*angles[f, i]]]
        lines.append(" ".join(f"{number:.9f}" for number in row))
    path = tmp_path_factory.mktemp("bvh") / "a.bvh"
    path.write_text("\n".join(lines))
    bvh = read_bvh(path)
    positions = bvh.world()
    for f in range(2):
        place, turn = {}, {}
        for i, parent in enumerate(parents):
            local = Rotation.from_euler(orders[i], angles[f, i], degrees=True)  # upper case: intrinsic
            step = (moved[f, i] if moves[i] else offsets[i]) / 100
            place[i] = place[parent] + turn[parent].apply(step) if parent >= 0 else step
            turn[i] = turn[parent] * local if parent >= 0 else local
            at = bvh.names.index(f"j{i}")
            np.testing.assert_allclose(positions[f, at], place[i], atol=1e-6)
    some = np.random.default_rng(seed).permutation(len(bvh.names))[: len(bvh.names) // 2 + 1]
    np.testing.assert_array_equal(bvh.world(some), positions[:, some])


@pytest.mark.parametrize("kept", range(FILE.count("\n")))
def test_truncated_files_are_refused_in_one_line(write, kept):
    path = write("\n".join(FILE.splitlines()[:kept]))
    with pytest.raises(InputError) as caught:
        read_bvh(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1 2 3 0 0 0 0 0 0", "1 2 3 0 0 0 0 0", "line 19: 8 numbers for 9 channels"),
        ("1 2 3 0 0 0 0 0 0", "1 2 3 0 0 0 0 0 0 0", "line 19: 10 numbers for 9 channels"),
        ("1 2 3 0 0 0 0 0 0", "1 2 3 0\n0 0 0 0", "line 19: 8 numbers for 9 channels"),
        ("1 2 3 0 0 0 0 0 0", "1 2 3 0 0\n0 0 0 0 0", "line 19: 5 numbers for 9 channels"),
        ("6 90 0 0 0 90 0", "6 90\n0 0 0", "line 20: 7 numbers for 9 channels"),
        ("6 90 0 0 0 90 0", "6 90 0 0 0 \0 0", "not a text file"),
        ("4 5 6", "4 x 6", "line 20"),
        ("4 5 6", "4 nan 6", "line 20: not all numbers are finite"),
        ("Frames: 2", "Frames: 3", "2 frames where 3"),
        ("Frames: 2", "Frames: 1", "2 frames where 1"),
        ("Frames: 2", "Frames: many", "line 17"),
        ("0.0333333", "0", "frame time"),
        ("0.0333333", "1e9", "frame time must be 0.001 to 1 s"),
        ("Frames: 2", "Frames: ²", "is not a number of frames"),
        ("CHANNELS 3", "CHANNELS 4", "line 9: CHANNELS"),
        (
            "Zrotation Xrotation Yrotation\n        End",
            "Zrotation Zrotation Yrotation\n        End",
            "line 9: CHANNELS",
        ),
        ("OFFSET 10 0 0", "OFFSET 10 0", "line 8: '10 0 CHANNELS' is not all numbers"),
        ("JOINT Leg", "BONE Leg", "line 6: 'BONE Leg' where JOINT or END or CHANNELS or } should stand"),
        ("JOINT Leg", "JOINT", "line 7: '{' where the name of a joint should stand"),
        ("CHANNELS 3", "CHANNELS", "line 9: CHANNELS"),
        ("CHANNELS 3", "CHANNELS 99999999", "line 9: CHANNELS"),
        ("0 -80 0", "0 -80 0\nCHANNELS 0", "line 13: 'CHANNELS 0' where } should stand"),
        ("MOTION", "}\nMOTION", "line 16: '}' where MOTION should stand"),
        ("HIERARCHY", "SOMETHING", "line 1"),
    ],
)
def test_malformed_file_errors_name_the_line(write, old, new, said):
    assert FILE.count(old) == 1
    with pytest.raises(InputError, match=said):
        read_bvh(write(FILE.replace(old, new)))


@pytest.mark.parametrize("closed", ["", "}\n"])
def test_number_of_joints_is_bounded(write, closed):
    """Nested or side by side; refused before the rest is read."""
    joint = "JOINT b\n{\nOFFSET 0 0 0\n"
    path = write("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n" + (joint + closed) * 300_000)
    began = time.process_time()
    with pytest.raises(InputError, match=r"a\.bvh: line [0-9]+: more than 2000 joints; give a file of one body"):
        read_bvh(path)
    assert time.process_time() - began < 1
    chain = f"HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n{joint * 1999}{'}' * 2000}\n"
    assert len(read_bvh(write(chain + "MOTION\nFrames: 1\nFrame Time: 0.1\n0\n")).names) == 2000


@pytest.mark.parametrize(
    "other",
    [
        re.sub(r"\n *\{", " {", FILE),
        " ".join(FILE[: FILE.index("MOTION")].split()) + "\n" + FILE[FILE.index("MOTION") :],
        FILE.replace("Frames: 2", "Frames:2").replace("Frame Time: 0", "Frame Time:0"),
        FILE.replace("Frames: 2", "FRAMES : 2").replace("Frame Time: 0", "frame   time\t0").replace("JOINT", "Joint"),
        FILE.replace("4 5 6 ", "4 5\n6\n\n").replace("2 3 0 0", "2 3\n0 0"),
        FILE.replace("\n", "\r"),
    ],
    ids=["brace on the line", "hierarchy on one line", "no blank", "other case", "wrapped rows", "returns"],
)
def test_variants_of_other_programs_are_read(write, other):
    assert other != FILE
    wanted, found = read_bvh(write(FILE)), read_bvh(write(other))
    assert (found.names, found.parents, found.channels) == (wanted.names, wanted.parents, wanted.channels)
    assert found.frame_time == wanted.frame_time
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.world(), wanted.world())


def test_names_in_latin_1_and_with_spaces_are_read(write):
    path = write("")
    for encoding in ("latin-1", "utf-8"):
        path.write_bytes(FILE.replace("Leg", "linke  Hüfte").replace("Hips", "Hanche gênée").encode(encoding))
        bvh = read_bvh(path)
        assert bvh.names == ("Hanche gênée", "linke Hüfte", "linke Hüfte_end")
        np.testing.assert_array_equal(bvh.world(), read_bvh(write(FILE)).world())


def test_binary_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a.bvh").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a text file"):
        read_bvh(tmp_path / "a.bvh")
    (tmp_path / "a.bvh").write_bytes(FILE.encode("utf-16"))
    with pytest.raises(InputError, match="not a text file"):
        read_bvh(tmp_path / "a.bvh")
    with pytest.raises(FileNotFoundError, match="check the name"):
        read_bvh(tmp_path / "b.bvh")


def test_real_clip_keeps_bone_lengths():
    """Bones of a real clip keep the lengths of their offsets."""
    bvh = read_bvh(needs.data("dataset-*_walk_normal_*.bvh", "Bandai-Namco's clips")[0])
    positions = bvh.world()
    for name in ("LowerLeg_L", "Foot_L", "LowerArm_R", "Hand_R"):
        joint = bvh.names.index(name)
        bone = np.linalg.norm(positions[:, joint] - positions[:, bvh.parents[joint]], axis=-1)
        np.testing.assert_allclose(bone, np.linalg.norm(bvh.offsets[joint]), rtol=1e-3)
