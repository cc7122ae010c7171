"""The reader against scipy's rotations, on random skeletons; and what it says of files that are broken."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from data_loaders.bvh import read_bvh
from motion_diffusion.errors import InputError

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


def test_positions_known_by_hand(write):
    bvh = read_bvh(write(FILE))
    assert bvh.names == ("Hips", "Leg", "Leg_end")
    assert bvh.parents == (-1, 0, 1)
    positions, _ = bvh.world()
    np.testing.assert_allclose(positions[0], [[0.01, 0.02, 0.03], [0.11, 0.02, 0.03], [0.11, -0.78, 0.03]], atol=1e-12)
    # the hips turn +x to +y; below, the leg's -y turns to -z
    np.testing.assert_allclose(positions[1], [[0.04, 0.05, 0.06], [0.04, 0.15, 0.06], [0.04, 0.15, -0.74]], atol=1e-12)


def test_metres(write):
    path = write(FILE)
    np.testing.assert_allclose(read_bvh(path, scale=1.0).world()[0], 100 * read_bvh(path).world()[0])


@st.composite
def skeletons(draw):
    """Parents, orders of rotation, whether a joint has position channels, and a seed for the numbers."""
    joints = draw(st.integers(1, 6))
    parents = [-1] + [draw(st.integers(0, i - 1)) for i in range(1, joints)]
    orders = [draw(st.sampled_from(ORDERS)) for _ in range(joints)]
    moves = [True] + [draw(st.booleans()) for _ in range(1, joints)]
    return parents, orders, moves, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=60)
@given(skeleton=skeletons())
def test_any_hierarchy_against_scipy(tmp_path_factory, skeleton):
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
    positions, rotations = bvh.world()
    for f in range(2):
        place, turn = {}, {}
        for i, parent in enumerate(parents):
            local = Rotation.from_euler(orders[i], angles[f, i], degrees=True)  # upper case: intrinsic
            step = (moved[f, i] if moves[i] else offsets[i]) / 100
            place[i] = place[parent] + turn[parent].apply(step) if parent >= 0 else step
            turn[i] = turn[parent] * local if parent >= 0 else local
            at = bvh.names.index(f"j{i}")
            np.testing.assert_allclose(positions[f, at], place[i], atol=1e-6)
            np.testing.assert_allclose(rotations[f, at], turn[i].as_matrix(), atol=1e-6)


@pytest.mark.parametrize("kept", range(FILE.count("\n")))
def test_a_file_cut_after_any_line_gets_one_line(write, kept):
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
        ("4 5 6", "4 x 6", "line 20"),
        ("4 5 6", "4 nan 6", "line 20: not all numbers are finite"),
        ("Frames: 2", "Frames: 3", "2 frames where 3"),
        ("Frames: 2", "Frames: 1", "2 frames where 1"),
        ("Frames: 2", "Frames: many", "line 17"),
        ("0.0333333", "0", "frame time"),
        ("0.0333333", "1e9", "frame time must be 0.0001 to 1 s"),
        ("Frames: 2", "Frames: ²", "is not a number of frames"),
        ("CHANNELS 3", "CHANNELS 4", "line 9: CHANNELS"),
        (
            "Zrotation Xrotation Yrotation\n        End",
            "Zrotation Zrotation Yrotation\n        End",
            "line 9: CHANNELS",
        ),
        ("OFFSET 10 0 0", "OFFSET 10 0", "line 8"),
        ("JOINT Leg", "BONE Leg", "line 6"),
        ("HIERARCHY", "SOMETHING", "line 1"),
    ],
)
def test_broken_files_name_the_line(write, old, new, said):
    assert FILE.count(old) == 1
    with pytest.raises(InputError, match=said):
        read_bvh(write(FILE.replace(old, new)))


def test_bodies_are_no_chains_of_a_thousand_joints(write):
    with pytest.raises(InputError, match="nested too deeply"):
        read_bvh(write("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n" + "JOINT b\n{\nOFFSET 0 0 0\n" * 5000))


def test_not_text_and_not_there(tmp_path):
    (tmp_path / "a.bvh").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a text file"):
        read_bvh(tmp_path / "a.bvh")
    with pytest.raises(FileNotFoundError, match="check the name"):
        read_bvh(tmp_path / "b.bvh")


def test_a_real_clip():
    """Bones of a real clip keep the lengths of its offsets (skips without the data in MOTION_DATA)."""
    root = Path(os.environ.get("MOTION_DATA", Path.home() / ".cache" / "motion-data"))
    path = next(root.rglob("dataset-*_walk_normal_*.bvh"), None)
    if path is None:
        pytest.skip("no Bandai-Namco clip in MOTION_DATA")
    bvh = read_bvh(path)
    positions, _ = bvh.world()
    for name in ("LowerLeg_L", "Foot_L", "LowerArm_R", "Hand_R"):
        joint = bvh.names.index(name)
        bone = np.linalg.norm(positions[:, joint] - positions[:, bvh.parents[joint]], axis=-1)
        np.testing.assert_allclose(bone, np.linalg.norm(bvh.offsets[joint]), rtol=1e-3)
