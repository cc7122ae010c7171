"""Conversion to this body: retargeting, resampling, and alignment to the floor."""

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from data_loaders.augment import TOES
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.retarget import (
    OPTIONAL_JOINTS,
    REQUIRED_JOINTS,
    align_to_floor,
    resample,
    retarget,
    standing_foot_height,
)
from motion_diffusion.body.skeleton import BALL_HEIGHT, BONE_LENGTHS, JOINTS, PARENTS
from motion_diffusion.errors import InputError


@pytest.fixture(scope="module")
def walk():
    return ProceduralWalks(5, 90, 90).example(0).joints.astype(np.float64)


def by_name(joints, without=()):
    return {name: joints[:, i] for i, name in enumerate(JOINTS) if name not in without}


@pytest.mark.parametrize(
    ("without", "near"),
    [
        ((), 0.03),
        (("spine1",), 0.03),
        (("spine1", "spine2"), 0.03),
        (("spine3",), 0.03),
        (("left_collar", "right_collar"), 0.03),
        (OPTIONAL_JOINTS, 0.1),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 39.37])
def test_retarget_recovers_this_body(walk, without, near, unit):
    """With any optional joints missing, in any unit of length."""
    joints = retarget(by_name(unit * walk, without))
    np.testing.assert_allclose(joints[:, TOES], walk[:, TOES], atol=1e-3)
    assert np.linalg.norm(joints - walk, axis=-1).max(axis=0).mean() < near
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-6)


def test_retarget_keeps_feet_planted(walk):
    """Arms and back may have any length; with equal legs, feet keep their place."""
    longer = walk.copy()
    above = [i for i, name in enumerate(JOINTS) if not any(part in name for part in ("hip", "knee", "ankle", "foot"))]
    longer[:, above] = walk[:, :1] + 1.4 * (walk[:, above] - walk[:, :1])
    np.testing.assert_allclose(retarget(by_name(longer))[:, TOES], walk[:, TOES], atol=1e-3)


@pytest.mark.parametrize("name", REQUIRED_JOINTS)
def test_retarget_requires_needed_joints(walk, name):
    with pytest.raises(InputError, match=f"no joint for {name}; say which"):
        retarget(by_name(walk, (name,)))


@pytest.mark.parametrize("fps", [8.0, 12.5, 20.0, 30.0, 59.94, 120.0])
@pytest.mark.parametrize("frames", [1, 2, 3, 50])
def test_resample_reproduces_parabolas(fps, frames):
    """Catmull-Rom curves interpolate parabolas, except in the first and the last interval."""
    time = np.arange(frames) / fps
    values = np.stack([2 * time - 3 * time**2, 5 + 0 * time], axis=-1)
    out = resample(values, fps)
    new = np.arange(len(out)) / 20
    assert new[-1] <= time[-1] + 1e-6 < new[-1] + 1 / 20 + 2e-6
    inside = (new >= time[min(1, frames - 1)]) & (new <= time[max(frames - 2, 0)])
    np.testing.assert_allclose(out[inside, 0], (2 * new - 3 * new**2)[inside], atol=1e-9)
    np.testing.assert_allclose(out[:, 1], 5)
    np.testing.assert_allclose(out[0], values[0])


def test_resample_agrees_with_scipy():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 4, 3))
    slopes = np.empty_like(values)
    slopes[1:-1] = (values[2:] - values[:-2]) / 2
    slopes[0], slopes[-1] = (values[1] - values[0]) / 2, (values[-1] - values[-2]) / 2
    curve = CubicHermiteSpline(np.arange(40), values, slopes)
    np.testing.assert_allclose(resample(values, 30.0), curve(np.arange(0, 39.0001, 1.5)), atol=1e-12)


def test_resample_at_same_rate_is_identity():
    values = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(resample(values, 20.0), values, atol=1e-12)


def test_standing_foot_height_is_robust(walks):
    """Neither a frame below the floor nor a second half on a box of half a metre affects the height."""
    for walk in walks[:10]:
        joints = walk.double().numpy().copy()
        assert standing_foot_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.002)
        joints[len(joints) // 2 :, :, 1] += 0.5
        joints[3, :, 1] -= 0.4
        assert standing_foot_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.005)


def test_standing_foot_height_ignores_swinging_feet(walks):
    """On the edge of a bench, one foot stands while the other kicks below it."""
    joints = walks[0].double().numpy().copy()
    joints[:, TOES[0], 1] += 0.25 * np.sin(2 * np.pi * np.arange(len(joints)) / 5) - 0.3
    assert standing_foot_height(joints) == pytest.approx(BALL_HEIGHT, abs=0.002)


def test_align_to_floor(walks):
    joints = walks[0].double().numpy()
    np.testing.assert_allclose(align_to_floor(joints - [0, 0.7, 0]), joints, atol=0.002)
