"""Random masks of observed positions."""

import torch

from train.seeding import GOAL_JOINTS, draw_motion_mask


def drawn(drop=0.0, seed=0, frames=60, count=400):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([draw_motion_mask(frames, generator, drop=drop) for _ in range(count)])


def test_masks_have_the_shape_of_the_motion():
    for frames in (1, 2, 40):
        assert drawn(frames=frames, count=100).shape == (100, frames, 22, 3)


def test_the_share_of_motions_without_observations():
    """Where axes are drawn at random, occasionally none is; else something is observed of every motion."""
    known = drawn().flatten(1).any(1)
    assert known.double().mean() > 0.97
    assert not drawn(drop=1.0).any()
    assert abs(drawn(drop=0.5).flatten(1).any(1).double().mean() - 0.5) < 0.08


def test_every_kind_of_goal_occurs():
    known = drawn()
    frames = known.any(-1).any(-1).sum(1)
    assert (frames == 1).any()
    assert (frames == 60).any()
    joints = known.any(1).any(-1)
    assert (joints.sum(1) == 1).any()
    assert (joints.sum(1) == 22).any()
    assert joints[:, list(GOAL_JOINTS)].any(0).all()
    above = known.any(1)[:, 0] & (joints.sum(1) == 1)[:, None]
    assert (above == torch.tensor([True, False, True])).all(1).any()  # a way-point
    ends = known.any(-1).any(-1)
    assert (ends[:, 0] & ends[:, -1] & ~ends[:, 25:35].any(1)).any()  # in-betweening


def test_masks_are_repeatable():
    assert torch.equal(drawn(seed=3), drawn(seed=3))
    assert not torch.equal(drawn(seed=3), drawn(seed=4))
