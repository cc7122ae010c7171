"""Augmented motions keep bone lengths, and planted feet stay in place."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_loaders.augment import bend, change_pace, facing, mirror, still_frames, stitch
from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, PARENTS


def bones(joints):
    return np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)


def assert_bones(joints):
    np.testing.assert_allclose(bones(joints), np.broadcast_to(BONE_LENGTHS[1:], bones(joints).shape), atol=1e-4)


def fastest_joint(joints):
    return np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * FPS


def test_mirror_is_an_involution(walk):
    np.testing.assert_array_equal(mirror(mirror(walk)), walk)
    assert_bones(mirror(walk))
    np.testing.assert_allclose(facing(mirror(walk)), -facing(walk), atol=1e-12)


def test_still_frames_end_where_a_joint_moves(walk):
    at_rest = np.repeat(walk[:1], 12, axis=0)
    assert still_frames(at_rest) == 0
    assert still_frames(np.concatenate([at_rest, walk[1:]])) == 11
    raised = at_rest.copy()
    raised[5:, 20] += 0.02  # a wrist, at 0.4 m/s
    assert still_frames(raised) == 4


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), turn=st.floats(-0.05, 0.05))
def test_bend_turns_by_given_angle_and_keeps_feet_planted(seed, turn):
    joints = ProceduralWalks(seed, 80, 80).example(0).joints.astype(np.float64)
    turns = turn * np.sin(np.linspace(0, np.pi, 79))
    bent = bend(joints, turns)
    assert_bones(bent)
    turned = np.unwrap(facing(bent))[-1] - np.unwrap(facing(joints))[-1]
    assert np.sin(turned - turns.sum()) == pytest.approx(0, abs=1e-6)
    assert foot_skating_ratio(torch.from_numpy(bent)) <= 0.05
    np.testing.assert_allclose(bent[..., 1], joints[..., 1])


def test_bend_by_zero_is_identity(walk):
    np.testing.assert_allclose(bend(walk, np.zeros(119)), walk, atol=1e-12)


@pytest.mark.parametrize("pace", [0.8, 1.0, 1.25])
def test_change_pace_changes_timing_only(walk, pace):
    played = change_pace(walk, np.full(300, pace))
    assert_bones(played)
    assert len(played) == int(119 / pace + 1e-9) + 1
    np.testing.assert_allclose(played[0], walk[0], atol=1e-4)
    frame = 40
    np.testing.assert_allclose(played[frame, 0], walk[int(frame * pace), 0], atol=1e-9)


@settings(max_examples=20)
@given(seeds=st.tuples(st.integers(0, 300), st.integers(0, 300)))
def test_stitch_is_smooth(seeds):
    a, b = (ProceduralWalks(seed, 80, 80).example(1).joints.astype(np.float64) for seed in seeds)
    joined = stitch(a, b)
    assert_bones(joined)
    assert 100 < len(joined) < 160
    np.testing.assert_array_equal(joined[:50], a[:50])
    assert fastest_joint(joined) < 1.8 * max(fastest_joint(a), fastest_joint(b)) + 1.0
    assert foot_skating_ratio(torch.from_numpy(joined)) <= 0.1
    np.testing.assert_allclose(joined[-1, :, 1], b[-1, :, 1])  # the end of b, turned and moved
