"""Rigs against joints that are known, somebody else's optimiser and rotations, and the closed forms of splines."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch.nn.functional import normalize

from motion_diffusion.errors import InputError
from motion_diffusion.motion import Motion
from motion_diffusion.rotations import in_the_world, orientations
from motion_diffusion.skeleton import BONE_LENGTHS, JOINTS, PARENTS, forward_kinematics
from tests.visualize.rigs import tumbling
from visualize import rig as module
from visualize.rig import REST, STANDING, Rig, rig_of

SIDES = ("left", "right")


def stretched(joints, factors):
    """Joints (F, 22, 3) with bones (…, 22) times as long."""
    moved = joints.clone()
    for joint, parent in enumerate(PARENTS[1:], 1):
        moved[:, joint] = moved[:, parent] + factors[..., joint, None] * (joints[:, joint] - joints[:, parent])
    return moved


def degrees(rotations):
    """(F - 1, n): by how much rotations (F, n, 3, 3) turn from one frame to the next."""
    steps = (rotations[:-1].mT @ rotations[1:]).numpy()
    return np.degrees(Rotation.from_matrix(steps.reshape(-1, 3, 3)).magnitude()).reshape(steps.shape[:2])


def misfit(joints, wanted):
    """(F,) what a rig is to make least: squared distances between joints, and between bones."""
    differences = joints - wanted
    bones = differences[:, 1:] - differences[:, PARENTS[1:]]
    return (differences.square().sum((1, 2)) + bones.square().sum((1, 2))).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_joints_of_a_body_with_our_bones_come_back(seed):
    joints = tumbling(seed=seed).joints
    rig = rig_of(Motion(joints, 30.0))
    assert rig.fps == 30
    np.testing.assert_allclose(rig.joints, joints, atol=1e-4)


def test_bones_keep_their_lengths_whatever_the_motions_are(walks):
    torch.manual_seed(0)
    joints = rig_of(Motion(walks[0] + 0.03 * torch.randn_like(walks[0]))).joints
    lengths = (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)
    np.testing.assert_allclose(lengths, BONE_LENGTHS[1:].expand_as(lengths), atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_nearer(seed):
    """scipy's optimiser, from the same start, finds no pose that is nearer to a frame with bones of wrong lengths."""
    rng = torch.Generator().manual_seed(seed)
    factors = 1 + 0.25 * (2 * torch.rand(len(JOINTS), generator=rng, dtype=torch.float64) - 1)
    wanted = stretched(tumbling(frames=3, seed=seed).joints[1:2], factors).float().double()
    start = orientations(wanted)[0]

    def difference(numbers):
        turns = torch.from_numpy(Rotation.from_rotvec(numbers[:66].reshape(-1, 3)).as_matrix())
        moved = forward_kinematics(turns @ start, wanted[0, 0] + torch.from_numpy(numbers[66:])) - wanted[0]
        return torch.cat([moved, moved[1:] - moved[list(PARENTS[1:])]]).flatten().numpy()

    best = least_squares(difference, np.zeros(69), xtol=1e-10, ftol=1e-10)
    found = misfit(rig_of(Motion(wanted)).joints, wanted)[0]
    assert found == pytest.approx(2 * best.cost, rel=1e-3)
    assert found > 1e-4


def test_collars_do_not_buckle_to_reach_shoulders_that_are_too_near(walks):
    """Where a network's joints tremble by 2 mm and shoulders are near, joints turn little more than the bones do."""
    factors = torch.ones(len(JOINTS), dtype=torch.float64)
    factors[[JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")]] = 0.75
    joints = stretched(walks[0][:60].double(), factors)
    joints += 0.002 * torch.randn(joints.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bones = [joints[:, JOINTS.index(f"{side}_shoulder")] - joints[:, JOINTS.index(f"{side}_collar")] for side in SIDES]
    ahead = normalize(torch.stack(bones, dim=1), dim=-1)
    turned = (ahead[1:] * ahead[:-1]).sum(-1).arccos().rad2deg()
    collars = degrees(rig_of(Motion(joints)).rotations)[:, [JOINTS.index(f"{side}_collar") for side in SIDES]]
    assert collars.max() < 2 * float(turned.max())


def test_the_head_turns_half_as_far_as_the_neck(walks):
    """From the chest, about the same axis."""
    world = rig_of(Motion(walks[0][:40])).world
    chest, neck, head = (world[:, JOINTS.index(name)] for name in ("spine3", "neck", "head"))
    half = chest.mT @ head
    torch.testing.assert_close(half @ half, chest.mT @ neck)


def test_bones_that_are_many_times_too_long_are_no_trouble():
    factors = torch.ones(len(JOINTS), dtype=torch.float64)
    factors[[10, 11, 20, 21]] = 4.0
    wanted = stretched(tumbling(reach=0.8).joints, factors).float().double()
    start = misfit(forward_kinematics(orientations(wanted), wanted[:, 0]), wanted)
    found = misfit(rig_of(Motion(wanted)).joints, wanted)
    assert (found <= start + 1e-9).all()


def test_long_motions_are_fitted_in_parts(monkeypatch):
    motion = Motion(stretched(tumbling().joints, torch.full((22,), 0.9)))
    whole = rig_of(motion)
    monkeypatch.setattr(module, "BATCH", 7)
    np.testing.assert_allclose(rig_of(motion).rotations, whole.rotations, atol=1e-12)


def test_more_frames_keep_those_that_were_there():
    rig = tumbling()
    triple = rig.at(60)
    assert (triple.fps, len(triple.root)) == (60, 3 * 39 + 1)
    np.testing.assert_allclose(triple.joints[::3], rig.joints, atol=1e-9)
    np.testing.assert_allclose(rig.at(20).joints, rig.joints, atol=1e-9)
    np.testing.assert_allclose(rig.at(10).joints, rig.joints[::2], atol=1e-9)
    assert len(rig.at(30).root) == 59  # 1.95 s, of which 1.933 s are reached
    np.testing.assert_allclose(rig.at(30).joints[::3], rig.joints[::2], atol=1e-9)


def test_twice_double_is_fourfold():
    rig = tumbling()
    twice, fourfold = rig.at(40).at(80), rig.at(80)
    np.testing.assert_allclose(twice.rotations, fourfold.rotations, atol=1e-9)
    np.testing.assert_allclose(twice.root, fourfold.root, atol=1e-9)


def test_in_between_is_halfway_along_the_shortest_turn():
    rig = tumbling()
    middle = Rotation.from_matrix(rig.at(40).rotations[1::2].reshape(-1, 3, 3).numpy())
    before = Rotation.from_matrix(rig.rotations[:-1].reshape(-1, 3, 3).numpy())
    after = Rotation.from_matrix(rig.rotations[1:].reshape(-1, 3, 3).numpy())
    np.testing.assert_allclose((before.inv() * middle).as_rotvec(), (before.inv() * after).as_rotvec() / 2, atol=1e-8)


def test_the_pelvis_goes_along_a_smooth_curve():
    """A spline of third order draws a polynomial of third order exactly; straight lines would cut its corners."""
    way = np.polynomial.Polynomial([0.1, 2.0, -3.0, 1.5])
    still = torch.eye(3, dtype=torch.float64).expand(11, 22, 3, 3)
    root = torch.from_numpy(way(np.arange(11) / 20)[:, None] * [1.0, 0.0, 2.0])
    np.testing.assert_allclose(Rig(still, root, 20.0).at(50).root[:, 0], way(np.arange(26) / 50), atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_motions(frames):
    rig = tumbling(frames=frames)
    assert len(rig.at(60).root) == 3 * (frames - 1) + 1
    np.testing.assert_allclose(rig.at(60).joints[::3], rig.joints, atol=1e-9)


@pytest.mark.parametrize("fps", [0, -20, float("nan"), float("inf"), 1e9])
def test_frame_rates_that_cannot_be(fps):
    with pytest.raises(InputError, match="--fps .*: give more than 0 to 1,000"):
        tumbling().at(fps)


def test_a_t_pose_comes_first():
    rig = tumbling()
    led = rig.after_t_pose()
    np.testing.assert_allclose(led.joints[1:], rig.joints, atol=1e-12)
    rest = led.joints[0] - rig.root[0] * torch.tensor([1.0, 0.0, 1.0])
    np.testing.assert_allclose(rest, REST.numpy() + [0.0, STANDING, 0.0], atol=1e-12)
    assert 0 < rest[:, 1].min() < 0.03  # it stands on the floor, upright, with its arms out and its left at +x
    head, left, right = (rest[JOINTS.index(name)] for name in ("head", "left_wrist", "right_wrist"))
    assert head[1] > 1.5
    assert left[0] - right[0] > 1.3
    np.testing.assert_allclose(left[1:], right[1:], atol=1e-12)
    np.testing.assert_allclose(in_the_world(led.rotations)[0], np.eye(3)[None].repeat(22, 0), atol=1e-12)
