"""Other bodies on this one: this body itself comes back, what may be missing is made up, feet keep their place."""

import numpy as np
import pytest

from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.retarget import NEEDED, OPTIONAL, retarget
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from motion_diffusion.errors import InputError

TOES = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]


@pytest.fixture(scope="module")
def walk():
    return ProceduralWalks(5, 90, 90).example(0).joints.astype(np.float64)


def by_name(joints, without=()):
    return {name: joints[:, i] for i, name in enumerate(JOINTS) if name not in without}


def test_needed_and_optional_are_all():
    assert sorted((*NEEDED, *OPTIONAL)) == sorted(JOINTS)


@pytest.mark.parametrize(
    ("without", "near"),
    [
        ((), 0.03),
        (("spine1",), 0.03),
        (("spine1", "spine2"), 0.03),
        (("spine3",), 0.03),
        (("left_collar", "right_collar"), 0.03),
        (OPTIONAL, 0.1),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 39.37])
def test_this_body_comes_back(walk, without, near, unit):
    """Whatever may be missing is missing, in any unit of length."""
    joints = retarget(by_name(unit * walk, without))
    np.testing.assert_allclose(joints[:, TOES], walk[:, TOES], atol=1e-3)
    assert np.linalg.norm(joints - walk, axis=-1).max(axis=0).mean() < near
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-6)


def test_feet_of_a_longer_body_stand(walk):
    """Arms and back may have any length; where legs are alike, feet keep their place."""
    longer = walk.copy()
    above = [i for i, name in enumerate(JOINTS) if not any(part in name for part in ("hip", "knee", "ankle", "foot"))]
    longer[:, above] = walk[:, :1] + 1.4 * (walk[:, above] - walk[:, :1])
    np.testing.assert_allclose(retarget(by_name(longer))[:, TOES], walk[:, TOES], atol=1e-3)


@pytest.mark.parametrize("name", NEEDED)
def test_a_joint_that_is_needed(walk, name):
    with pytest.raises(InputError, match=f"no joint for {name}; say which"):
        retarget(by_name(walk, (name,)))
