"""Geometric losses in metres, against their closed forms."""

import dataclasses

import pytest
import torch

from motion_diffusion.body.features import encode
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import FEET, JOINTS
from train.objective import MAX_CONTACT_STEP, GeometricLoss

LENGTHS = torch.tensor([50, 40])


@pytest.fixture
def truth(walks, representation):
    """Joints (2, 50, 22, 3) of two walks, of which the second exists for 40 frames, and their features x0."""
    joints = torch.stack([walk[:50] for walk in walks if len(walk) >= 50][:2])
    joints[1, 40:] = joints[1, 39]
    frames = torch.arange(50) < LENGTHS[:, None]
    return joints, representation.normalise(encode(joints, lengths=LENGTHS)) * frames[..., None]


def losses(representation, x0_hat, joints, **weights):
    return GeometricLoss(representation, **weights)(x0_hat, joints, LENGTHS)


def moved(representation, joints, shift):
    """x0 of the joints moved by shift (50, 3), on the floor."""
    return representation.normalise(encode(joints + shift[:, None], lengths=LENGTHS))


def test_the_true_motion_has_no_loss(representation, truth):
    joints, x0 = truth
    assert losses(representation, x0, joints, position=1, velocity=1, jerk=1, bone=1).max() < 1e-8
    resting = losses(representation, x0, joints, foot=1)
    assert (resting < MAX_CONTACT_STEP**2).all()


def test_losses_of_a_moved_and_of_a_sliding_motion(representation, truth):
    """Moved by d m: a position loss of d². By v m per frame: v² of velocity, and of every foot in contact."""
    joints, _ = truth
    representation = dataclasses.replace(representation, extent=10 * representation.extent)  # no feature is clamped
    shift = torch.tensor([0.3, 0.0, 0.4])
    x0_hat = moved(representation, joints, shift.expand(50, 3))
    torch.testing.assert_close(
        losses(representation, x0_hat, joints, position=2), torch.full((2,), 0.5), rtol=1e-3, atol=0
    )
    assert losses(representation, x0_hat, joints, velocity=1, jerk=1, bone=1).max() < 1e-6
    drift = torch.arange(50)[:, None] * torch.tensor([0.0, 0.0, 0.02])
    x0_hat = moved(representation, joints, drift)
    velocity, foot = (losses(representation, x0_hat, joints, **{name: 1}) for name in ("velocity", "foot"))
    torch.testing.assert_close(velocity, torch.full((2,), 4e-4), rtol=1e-3, atol=0)
    for i, length in enumerate(LENGTHS.tolist()):
        steps = joints[i, :length, FEET].diff(dim=0)
        contact = steps.norm(dim=-1) < MAX_CONTACT_STEP
        assert 0.2 < contact.double().mean() < 0.8
        expected = ((steps + drift[1]).square().sum(-1) * contact).mean()
        torch.testing.assert_close(foot[i], expected, rtol=1e-2, atol=0)


def test_jerk_is_the_third_difference(representation, truth):
    """c·i³ m in frame i has a third difference of 6·c; a constant acceleration has none."""
    joints, _ = truth
    representation = dataclasses.replace(representation, extent=10 * representation.extent)
    frame = torch.arange(50.0)
    for power, expected in ((2, 0.0), (3, (6 * 2e-5) ** 2)):
        shift = 2e-5 * frame[:, None] ** power * torch.tensor([1.0, 0.0, 0.0])
        x0_hat = moved(representation, joints, shift)
        jerk = losses(representation, x0_hat, joints, jerk=1)
        torch.testing.assert_close(jerk, torch.full((2,), expected), rtol=2e-2, atol=1e-11)


def test_bone_loss_of_a_longer_forearm(representation, truth):
    """A wrist moved along its forearm by c makes one bone of 21 longer by c."""
    joints, _ = truth
    representation = dataclasses.replace(representation, extent=10 * representation.extent)
    wrist, elbow = JOINTS.index("left_wrist"), JOINTS.index("left_elbow")
    arm = joints[..., wrist, :] - joints[..., elbow, :]
    longer = joints.clone()
    longer[..., wrist, :] += 0.1 * arm / arm.norm(dim=-1, keepdim=True)
    x0_hat = representation.normalise(encode(longer, lengths=LENGTHS))
    bone = losses(representation, x0_hat, joints, bone=1)
    torch.testing.assert_close(bone, torch.full((2,), 0.01 / 21), rtol=1e-3, atol=0)


def test_padding_does_not_count(representation, truth):
    joints, x0 = truth
    x0_hat = x0 + 0.1 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    weights = {"position": 1, "velocity": 2, "foot": 3, "jerk": 4, "bone": 5}
    whole = losses(representation, x0_hat, joints, **weights)
    x0_hat[1, 40:], joints[1, 40:] = 5.0, 7.0
    torch.testing.assert_close(losses(representation, x0_hat, joints, **weights), whole)


def test_gradients_are_finite_and_zero_outside_the_range_of_the_data(representation, truth):
    joints, x0 = truth
    x0_hat = (x0 + 0.1).requires_grad_()
    with torch.no_grad():
        x0_hat[0, 3, 7] = 1e6  # as x̂0 of an ε-model near T
    losses(representation, x0_hat, joints, position=1, velocity=1, foot=1, bone=1).sum().backward()
    assert x0_hat.grad.isfinite().all()
    assert x0_hat.grad[0, 3, 7] == 0
    assert (x0_hat.grad[0, 3] != 0).any()


def test_position_loss_of_a_root_model(walks, truth):
    joints, _ = truth
    root = Representation.fit([encode(walk, groups=("root",)) for walk in walks], ("root",))
    x0_hat = moved(root, joints, torch.tensor([0.0, 0.0, 0.2]).expand(50, 3))
    torch.testing.assert_close(losses(root, x0_hat, joints, position=1), torch.full((2,), 0.04), rtol=1e-3, atol=0)
