"""What a network with masks is told while it trains."""

import torch

from train.masks import TOLD, known_positions

LENGTHS = torch.tensor([60, 40, 2] * 200)
FRAMES = torch.arange(60) < LENGTHS[:, None]


def drawn(nothing=0.0, seed=0):
    return known_positions(FRAMES, torch.Generator().manual_seed(seed), nothing=nothing)


def test_nothing_is_known_of_frames_that_do_not_exist():
    assert not drawn()[~FRAMES].any()


def test_the_share_of_which_nothing_is_known():
    """Where axes are drawn at random, now and then none is; else something is known of every motion."""
    known = drawn().flatten(1).any(1)
    assert known.double().mean() > 0.97
    assert not drawn(nothing=1.0).any()
    assert abs(drawn(nothing=0.5).flatten(1).any(1).double().mean() - 0.5) < 0.08


def test_every_kind_of_goal_occurs():
    known = drawn()[LENGTHS == 60]
    frames = known.any(-1).any(-1).sum(1)
    assert (frames == 1).any()
    assert (frames == 60).any()
    joints = known.any(1).any(-1)
    assert (joints.sum(1) == 1).any()
    assert (joints.sum(1) == 22).any()
    assert joints[:, list(TOLD)].any(0).all()
    above = known.any(1)[:, 0] & (joints.sum(1) == 1)[:, None]
    assert (above == torch.tensor([True, False, True])).all(1).any()  # a way-point
    ends = known.any(-1).any(-1)
    assert (ends[:, 0] & ends[:, -1] & ~ends[:, 25:35].any(1)).any()  # in-betweening


def test_the_same_generator_draws_the_same():
    assert torch.equal(drawn(seed=3), drawn(seed=3))
    assert not torch.equal(drawn(seed=3), drawn(seed=4))
