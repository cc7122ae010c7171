"""Fitting of bodies: against known bodies, finite differences, and SciPy's optimiser."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from motion_diffusion.body import body_fit, fit_energy, joint_angles
from motion_diffusion.body.body_fit import fit_frames, fit_motion
from motion_diffusion.body.fit_energy import CONSTRAINT_WEIGHT, PositionTargets
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.joint_angles import HINGE_LIMITS, HINGES
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import relative_to_parents
from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS, forward_kinematics


def noise(like, size, seed=0):
    return size * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pin(values, mask):
    """Goals that do not depend on the motion."""
    return lambda body, piece, joints: PositionTargets(values, CONSTRAINT_WEIGHT * mask.double()).frames(piece)


def nothing(points):
    return torch.zeros_like(points), torch.zeros(points.shape, dtype=torch.bool)


@pytest.fixture(scope="module")
def points(walks):
    """(60, 22, 3) of a walk, which a network has drawn: it trembles and stretches."""
    return walks[0][:60].double() + gaussian(noise(walks[0][:60], 0.04).flatten(1), 1.0).view(60, 22, 3)


@pytest.fixture(scope="module")
def body(walks):
    """The rig of a walk."""
    return fit_frames(walks[0][:60], 20.0)


def test_fit_recovers_the_joints_of_a_body(body):
    again = fit_frames(body.joints, 20.0)
    assert again.fps == 20
    np.testing.assert_allclose(again.joints, body.joints, atol=3e-4)
    same = fit_motion(body.joints, body)
    np.testing.assert_allclose(same.joints, body.joints, atol=3e-4)


@pytest.mark.parametrize("size", [0.0, 0.02, 0.5])
def test_fit_keeps_bone_lengths_and_hinge_limits(walks, size):
    rig = fit_frames(walks[1][:40].double() + noise(walks[1][:40], size), 20.0)
    bones = (rig.joints[:, 1:] - rig.joints[:, PARENTS[1:]]).norm(dim=-1)
    np.testing.assert_allclose(bones, BONE_LENGTHS[1:].expand_as(bones), atol=1e-12)
    for name, axis in HINGES.items():
        turns = Rotation.from_matrix(rig.rotations[:, JOINTS.index(name)].numpy()).as_rotvec()
        np.testing.assert_allclose(np.cross(turns, axis), 0, atol=1e-9)
        assert (turns @ np.array(axis)).min() > HINGE_LIMITS[JOINTS.index(name)] - 1e-9


def test_ball_joints_are_pulled_into_their_ranges(walks, monkeypatch):
    """Softly: they exceed their ranges less for any points, and walks do not reach them."""
    wild = walks[1][:40].double() + noise(walks[1][:40], 0.3)
    within = fit_frames(wild, 20.0)
    monkeypatch.setattr(fit_energy, "RANGE_WEIGHT", 0.0)
    free, walking = fit_frames(wild, 20.0), fit_frames(walks[1][:40], 20.0)
    beyond = [
        joint_angles.beyond_range(joint_angles.joint_angles(rig.rotations)).square().mean()
        for rig in (within, free, walking)
    ]
    assert beyond[0] < 0.5 * beyond[1]
    assert beyond[2] == 0


def test_ranges_of_right_joints_are_mirrored():
    """A reflection in x turns a rotation vector (x, y, z) into (x, −y, −z)."""
    left, right = (joint_angles.joint_range(JOINTS.index(f"{side}_hip")) for side in ("left", "right"))
    assert left[0].tolist() == right[0].tolist()
    assert (-right[1:]).flip(1).tolist() == left[1:].tolist()


def test_hinges_are_straight_at_their_limits():
    """A limb of two bones is longest there, among the angles of its hinge."""
    for name in HINGES:
        joint = JOINTS.index(name)
        axis, parent, end = np.array(HINGES[name]), PARENTS[joint], PARENTS.index(joint)

        def reach(angle, joint=joint, axis=axis, parent=parent, end=end):
            rotations = torch.eye(3, dtype=torch.float64).repeat(22, 1, 1)
            rotations[joint] = torch.from_numpy(Rotation.from_rotvec(angle * axis).as_matrix())
            joints = Rig(rotations[None], torch.zeros(1, 3, dtype=torch.float64), 20.0).joints[0]
            return (joints[end] - joints[parent]).norm().item()

        assert reach(HINGE_LIMITS[joint]) > max(reach(HINGE_LIMITS[joint] + 0.02), reach(HINGE_LIMITS[joint] - 0.02))
        assert -0.2 < HINGE_LIMITS[joint] < 0


def test_fit_frames_treats_frames_independently(points):
    """Also motions in a batch."""
    wild = noise(points, 1.0)
    together = fit_frames(torch.cat([wild, points]), 20.0)
    np.testing.assert_allclose(together.joints[60:70], fit_frames(points, 20.0).joints[:10], atol=1e-6)


@pytest.mark.parametrize("bend", [None, 16.0])
def test_gradient_matches_finite_differences(points, body, bend):
    """Of all terms together, by central differences along random directions."""
    problem = fit_energy.FitEnergy(points, bend=bend)
    start = fit_frames(points + noise(points, 0.05, seed=1), 20.0)
    bent = torch.zeros(len(points), joint_angles.UNKNOWNS, dtype=torch.float64)
    bent[:, -3 - len(HINGES) : -3] = 0.2  # away from their limits, at which hinges stop
    start = joint_angles.apply_step(joint_angles.FittedBody(start.rotations, start.root, start.fps), bent)
    pulls = PositionTargets(points + 0.1, noise(points, 1.0, seed=2).abs())
    _, gradient = problem.normal(start, pulls)
    for seed in range(4):
        way = noise(gradient, 1e-6, seed)

        def energy(sign, way=way):
            moved = joint_angles.apply_step(start, sign * way)
            return problem.energy(moved, pulls)

        slope = (energy(1) - energy(-1)).sum().item() / 2
        assert slope == pytest.approx(2 * (gradient * way).sum().item(), rel=1e-4)


def test_banded_step_solves_the_full_system():
    draws = torch.Generator().manual_seed(0)
    frames, n = 7, joint_angles.UNKNOWNS
    rows = torch.randn(frames * n, frames * n, generator=draws, dtype=torch.float64)
    full = (rows @ rows.mT).view(frames, n, frames, n)
    for i in range(frames):
        for j in range(frames):
            full[i, :, j] *= float(abs(i - j) <= 2) * (1.0 if i == j else 0.05)
    normal = torch.zeros(frames, n, 4 * n, dtype=torch.float64)
    for t in range(frames):
        for k in range(min(3, frames - t)):
            normal[t, :, k * n : (k + 1) * n] = full[t, :, t + k]
    gradient = torch.randn(frames, n, generator=draws, dtype=torch.float64)
    step = body_fit._banded_step(normal, gradient, 3.0)
    square = full.reshape(frames * n, -1) + 3 * torch.eye(frames * n, dtype=torch.float64)
    np.testing.assert_allclose(step.flatten(), torch.linalg.solve(square, -gradient.flatten()), rtol=1e-8)


def test_fit_frames_does_not_depend_on_other_frames(walks):
    """Neither on frames that converge at once nor on points that no body comes near."""
    easy, hard = walks[0][:5].double(), walks[1][:5].double() + noise(walks[1][:5], 0.3)
    together = fit_frames(torch.cat([easy, hard]), 20.0)
    for alone, part in ((easy, together.joints[:5]), (hard, together.joints[5:])):
        torch.testing.assert_close(part, fit_frames(alone, 20.0).joints, atol=1e-5, rtol=0)


def test_fit_frames_finds_the_minimum(walks, monkeypatch):
    """SciPy's optimiser, started from the result and from other poses, finds no lower energy."""
    wanted = walks[2][10].double() + noise(walks[2][10], 0.05)
    monkeypatch.setattr(body_fit, "CONVERGED", (0.0, 0.0))
    monkeypatch.setattr(fit_energy, "RANGE_WEIGHT", 0.0)
    found = fit_frames(wanted[None], 20.0, rounds=100)
    turning = [joint for joint in range(22) if joint in PARENTS]

    def difference(numbers):
        """Of joints and bones, for turns of the joints and angles of the hinges after those that were found."""
        rotations, at = found.rotations[0].clone(), 3
        for joint in turning:
            if JOINTS[joint] in HINGES:
                turn, at = numbers[at] * np.array(HINGES[JOINTS[joint]]), at + 1
            else:
                turn, at = numbers[at : at + 3], at + 3
            rotations[joint] = torch.from_numpy(Rotation.from_rotvec(turn).as_matrix()) @ rotations[joint]
        away = Rig(rotations[None], found.root + torch.from_numpy(numbers[:3]), 20.0).joints[0] - wanted
        return torch.cat([away, away[1:] - away[list(PARENTS[1:])]]).flatten().numpy()

    least = [np.full(3, -np.inf)]
    for joint in turning:
        least.append(np.full(3, -np.inf))
        if (name := JOINTS[joint]) in HINGES:
            angle = Rotation.from_matrix(found.rotations[0, joint].numpy()).as_rotvec() @ np.array(HINGES[name])
            least[-1] = np.array([min(HINGE_LIMITS[joint] - angle, -1e-9)])
    bounds, rng = (np.concatenate(least), np.inf), np.random.default_rng(0)
    here = (difference(np.zeros(len(bounds[0]))) ** 2).sum()
    for size in (0.0, 0.1, 0.1):
        start = np.maximum(size * rng.standard_normal(len(bounds[0])), bounds[0] + 1e-12)
        assert here <= 2 * least_squares(difference, start, bounds=bounds).cost * 1.02
    assert here > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_constraints_are_met(points, body, seed):
    """Of joints at random, where a body can have them; elsewhere it stays near the points, and no frame jumps."""
    draws = torch.Generator().manual_seed(seed)
    other = fit_frames(body.joints + noise(body.joints[:1], 0.15, seed), 20.0)
    values, mask = other.joints, nothing(points)[1]
    for _ in range(5):
        frame, joint = (int(torch.randint(n, (), generator=draws)) for n in (60, 22))
        mask[frame, joint] = torch.rand(3, generator=draws) > 0.2
    free = fit_frames(points, 20.0)
    rig = fit_motion(points, free, targets=pin(values, mask))
    assert ((rig.joints - values).abs() * mask).max() < 5e-5
    bends = lambda joints: joints.diff(n=2, dim=0).norm(dim=-1).max()  # noqa: E731
    assert bends(rig.joints) < 2 * bends(free.joints) + 0.05


def test_limb_points_at_unreachable_target(points):
    """A foot 3 m above the floor while the pelvis is held: a straight leg points there."""
    values, mask = nothing(points)
    foot, pelvis = JOINTS.index("right_foot"), 0
    values[30, pelvis] = torch.tensor([0.0, 0.9, 0.0], dtype=torch.float64)
    values[30, foot] = torch.tensor([-0.1, 3.0, 0.0], dtype=torch.float64)
    mask[30, [pelvis, foot]] = True
    rig = fit_motion(points, fit_frames(points, 20.0), targets=pin(values, mask))
    way = rig.joints[30, foot] - rig.joints[30, JOINTS.index("right_hip")]
    leg = BONE_LENGTHS[[JOINTS.index(f"right_{name}") for name in ("knee", "ankle", "foot")]].sum()
    assert way.norm() > 0.9 * leg
    assert way[1] > 0.85 * leg
    bones = (rig.joints[:, 1:] - rig.joints[:, PARENTS[1:]]).norm(dim=-1)
    np.testing.assert_allclose(bones, BONE_LENGTHS[1:].expand_as(bones), atol=1e-12)


def test_kept_frames_are_unchanged(points, body):
    kept = torch.zeros(60, dtype=torch.bool)
    kept[:20] = kept[45:] = True
    values, mask = body.joints.clone(), nothing(points)[1]
    values[30, 0], mask[30, 0] = values[30, 0] + 0.1, True
    rig = fit_motion(body.joints, body, targets=pin(values, mask), kept=kept)
    assert torch.equal(rig.rotations[kept], body.rotations[kept])
    assert torch.equal(rig.root[kept], body.root[kept])
    np.testing.assert_allclose(rig.joints[30, 0], values[30, 0], atol=1e-5)


def test_no_joint_is_below_the_floor(points):
    sunk = points - torch.tensor([0.0, 0.15, 0.0])
    body = fit_motion(sunk, fit_frames(sunk, 20.0), floor=0.0)
    assert body.joints[..., 1].min() > -0.01
    assert sunk[..., 1].min() < -0.1


def test_frames_are_fitted_alone_in_pieces_of_any_size(points, monkeypatch):
    whole = fit_frames(points, 20.0)
    monkeypatch.setattr(body_fit, "PIECE_FRAMES", 7)
    np.testing.assert_allclose(fit_frames(points, 20.0).joints, whole.joints, atol=1e-9)


def test_targets_of_every_piece_are_met(points, body, monkeypatch):
    """Each piece asks for its own frames, and sees the whole motion as the pieces before have left it."""
    monkeypatch.setattr(body_fit, "PIECE_FRAMES", 20)
    monkeypatch.setattr(body_fit, "OVERLAP_FRAMES", 5)
    values, mask = nothing(points)
    wrist, asked = JOINTS.index("left_wrist"), []
    values[[10, 30, 55], wrist] = body.joints[[10, 30, 55], wrist] + 0.02
    mask[[10, 30, 55], wrist] = True

    def targets(body, piece, joints):
        asked.append((piece, joints.clone()))
        np.testing.assert_array_equal(joints[piece], body.joints)
        return pin(values, mask)(body, piece, joints)

    rig = fit_motion(body.joints, body, targets=targets)
    assert ((rig.joints - values).abs() * mask).max() < 5e-5
    pieces = [(0, 25), (15, 45), (35, 60)]
    assert list(dict.fromkeys((piece.start, piece.stop) for piece, _ in asked)) == pieces
    last = next(joints for piece, joints in asked if piece.start == 35)
    np.testing.assert_allclose(last[:20], rig.joints[:20], atol=1e-12)


def test_long_motions_are_fitted_in_pieces(points, monkeypatch):
    sunk = points - torch.tensor([0.0, 0.1, 0.0])
    start = fit_frames(sunk, 20.0)
    whole = fit_motion(sunk, start, floor=0.0)
    monkeypatch.setattr(body_fit, "PIECE_FRAMES", 20)
    monkeypatch.setattr(body_fit, "OVERLAP_FRAMES", 15)
    pieces = fit_motion(sunk, start, floor=0.0)
    np.testing.assert_allclose(pieces.joints, whole.joints, atol=0.15)
    bends = [rig.joints.diff(n=2, dim=0).norm(dim=-1)[17:42].max() for rig in (pieces, whole)]
    assert bends[0] < 1.3 * bends[1]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_motions(points, frames):
    body = fit_motion(points[:frames], fit_frames(points[:frames], 20.0), floor=0.0)
    assert (body.joints - points[:frames]).norm(dim=-1).max() < 0.2


def test_upper_arm_twist_follows_the_bending_plane():
    """Where a forearm points away from the body, the upper arm is turned so that the elbow bends forward."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1)
    shoulder, elbow = JOINTS.index("left_shoulder"), JOINTS.index("left_elbow")
    rotations[0, shoulder] = torch.from_numpy(Rotation.from_euler("zx", [-1.3, 0.7]).as_matrix())
    rotations[0, elbow] = torch.from_numpy(Rotation.from_rotvec([0.0, -1.2, 0.0]).as_matrix())
    joints = Rig(rotations, torch.zeros(1, 3, dtype=torch.float64) + 1, 20.0).joints
    found = fit_frames(joints, 20.0)
    np.testing.assert_allclose(found.rotations[0, elbow], rotations[0, elbow], atol=0.02)
    arm = found.world[0, shoulder].mT @ Rig(rotations, joints[:, 0], 20.0).world[0, shoulder]
    np.testing.assert_allclose(arm, torch.eye(3), atol=0.02)


def test_head_rotates_half_as_far_as_the_neck(body):
    """From the chest, about the same axis."""
    chest, neck, head = (body.world[:, JOINTS.index(name)] for name in ("spine3", "neck", "head"))
    half = chest.mT @ head
    torch.testing.assert_close(half @ half, chest.mT @ neck)


def test_world_and_relative_rotations_agree(body):
    torch.testing.assert_close(relative_to_parents(body.world), body.rotations)
    torch.testing.assert_close(forward_kinematics(body.world, body.root), body.joints)


def test_gradients_may_be_taken_of_what_depends_on_a_fitted_body(points):
    """Although it is computed in inference mode, whose tensors autograd refuses."""
    for body in (fit_frames(points, 20.0), fit_motion(points, fit_frames(points, 20.0), floor=0.0)):
        scale = torch.ones(22, 3, dtype=torch.float64, requires_grad=True)
        (body.joints * scale).square().sum().backward()
        torch.testing.assert_close(scale.grad, 2 * body.joints.square().sum(0))
