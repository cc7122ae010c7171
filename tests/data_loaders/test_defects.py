"""Defects inserted into a clean walk are found at their frames; the walk itself has none, however it is turned."""

import numpy as np
import pytest

from data_loaders.augment import mirror
from data_loaders.bandai import read_clip
from data_loaders.cleaning.defects import CHECKS, find_defects, runs
from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS
from tests import needs

START, END = 100, 160
"""Frames [start, end) of the walk that get the defect."""

WRIST, HEAD = JOINTS.index("left_wrist"), JOINTS.index("head")


@pytest.fixture(scope="module")
def long_walk() -> np.ndarray:
    """Procedural walk of 13 s, (260, 22, 3)."""
    return ProceduralWalks(5, 260, 260).example(0).joints.astype(np.float64)


def turned(joints, angle=2.0):
    """Joints rotated about the vertical and translated along the floor."""
    cos, sin = np.cos(angle), np.sin(angle)
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + [3.0, 0.0, -5.0]


def outlier(joints):
    joints[START, WRIST] += [0.0, 0.5, 0.0]
    return START, START + 1


def teleport(joints):
    joints[START:] += [0.4, 0.0, 0.0]
    return START, START


def flip(joints):
    """Faces the opposite direction for three frames."""
    there = slice(START, START + 3)
    joints[there, 1:] = joints[there, :1] + (joints[there, 1:] - joints[there, :1]) * [-1, 1, -1]
    return START, START + 3


def slide(joints):
    joints[START:END, :, 0] += 0.4 * np.arange(END - START)[:, None] / FPS
    joints[END:, :, 0] += 0.4 * (END - START) / FPS
    return START, END


def tremble(joints):
    """Both hands alternate vertically from frame to frame."""
    joints[START:END, [WRIST, WRIST + 1], 1] += 0.04 * (-1.0) ** np.arange(END - START)[:, None]
    return START, END


def float_up(joints):
    joints[START:END] += [0.0, 0.3, 0.0]
    return START, END


def sink(joints):
    joints[START:END] -= [0.0, 0.1, 0.0]
    return START, END


def dig(joints):
    joints[START:END, WRIST, 1] = -0.4
    return START, END


def climb(joints):
    """Up a slope, along a platform, and down again."""
    joints[..., 1] += np.interp(np.arange(len(joints)), [START, 120, 180, 200], [0.0, 0.3, 0.3, 0.0])[:, None]
    return START, 200


def freeze(joints):
    joints[START : START + 12] = joints[START]
    return START, START + 12


def stretch(joints):
    joints[START:END, HEAD] += [0.0, 0.05, 0.0]
    return START, END


DEFECTS = {
    "a joint jumps": outlier,
    "the pelvis jumps": teleport,
    "the body flips": flip,
    "standing feet slide": slide,
    "joints tremble": tremble,
    "the body floats, or is on something": float_up,
    "feet are below the floor": sink,
    "joints are below the floor": dig,
    "the floor is not level": climb,
    "frozen": freeze,
    "bones stretch": stretch,
}


def test_walks_have_no_defects(walks, long_walk):
    for walk in [walk.numpy() for walk in walks] + [long_walk]:
        assert find_defects(walk) == []


@pytest.mark.parametrize("reason", [check.reason for check in CHECKS])
def test_defects_are_located(long_walk, reason):
    """To the frame where a single frame suffices, else to the second over which the measure is computed."""
    joints = long_walk.copy()
    start, end = DEFECTS[reason](joints)
    (found,) = [defect for defect in find_defects(joints) if defect.reason == reason]
    near = 3 if reason in ("a joint jumps", "the pelvis jumps", "the body flips", "bones stretch", "frozen") else 40
    assert start - near <= found.start < found.end <= end + near + 1
    assert found.start <= max(start, END - 30)
    assert found.end >= min(end, START + 30)
    limit = next(check.limit for check in CHECKS if check.reason == reason)
    assert found.figure > limit
    assert f"{found.start / FPS:.2f} to {found.end / FPS:.2f} s: {reason} (" in str(found)
    for other in find_defects(joints):
        assert start - 60 <= other.start < other.end <= end + 60


@pytest.mark.parametrize("reason", DEFECTS)
def test_result_is_invariant_to_position_and_mirroring(long_walk, reason):
    joints = long_walk.copy()
    DEFECTS[reason](joints)
    found = find_defects(joints)
    for other in (turned(joints), mirror(joints)):
        assert [(d.reason, d.start, d.end) for d in find_defects(other)] == [(d.reason, d.start, d.end) for d in found]
        figures = [defect.figure for defect in find_defects(other)]
        np.testing.assert_allclose(figures, [defect.figure for defect in found], rtol=1e-6)


@pytest.mark.parametrize(("factor", "remedy"), [(1 / 2.54, "2.54"), (100, "0.01"), (1 / 0.3048, "0.3048"), (10, "0.1")])
def test_wrong_units_are_reported(long_walk, factor, remedy):
    (found,) = find_defects(long_walk * factor)
    assert (found.start, found.end) == (0, len(long_walk))
    assert found.reason.endswith(f"multiply by {remedy}")
    legs = sum(BONE_LENGTHS[JOINTS.index(f"left_{name}")].item() for name in ("knee", "ankle"))
    assert found.figure == pytest.approx(legs * factor, rel=1e-3)


def test_human_sizes_are_no_defect(long_walk):
    for size in (0.8, 1.25):
        assert find_defects(long_walk * size) == []


def test_runs_merge_short_gaps():
    mask = np.array([1, 0, 0, 1, 1, 0, 0, 0, 1], dtype=bool)
    assert runs(mask) == [(0, 1), (3, 5), (8, 9)]
    assert runs(mask, 2) == [(0, 5), (8, 9)]
    assert runs(~mask, 0) == [(1, 3), (5, 8)]
    assert runs(np.zeros(4, dtype=bool)) == []


def test_clean_recordings_have_no_defects():
    """Every 40th clip of Bandai-Namco."""
    for path in needs.data("dataset-*_*_*_*.bvh", "Bandai-Namco's clips")[::40]:
        assert find_defects(read_clip(path)) == [], path.name
