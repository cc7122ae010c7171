"""Windows that make motions: a motion that is cut into windows is woven into itself, and spliced into a longer one."""

import math

import pytest
import torch

from guidance.windows import Independent, Inpainted, Stitched
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import heading, to_origin, turn

STARTS, LENGTHS = (0, 25, 50), (45, 45, 30)


@pytest.fixture
def long_walk(walks):
    walk = max(walks, key=len)[:80]
    assert len(walk) == 80
    return to_origin(walk)


@pytest.fixture
def woven(long_walk, representation):
    """A timeline and the features of windows that were cut out of a walk, each moved to the origin."""
    cut = [to_origin(long_walk[start : start + n]) for start, n in zip(STARTS, LENGTHS, strict=True)]
    padded = torch.stack([torch.cat([window, window[-1:].expand(45 - len(window), -1, -1)]) for window in cut])
    lengths = torch.tensor(LENGTHS)
    return Stitched(representation, STARTS, LENGTHS), encode(padded, lengths=lengths)


def test_a_motion_cut_into_windows_is_woven_into_itself(woven, long_walk):
    timeline, features = woven
    assert timeline.lengths.tolist() == [80]
    torch.testing.assert_close(timeline.joints(features)[0], long_walk, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["separate", "woven"])
def test_motions_can_be_moved_anywhere(kind, woven, long_walk, representation):
    if kind == "woven":
        timeline, features = woven
    else:
        timeline, features = Independent(representation, torch.tensor([80])), encode(long_walk)[None]
    joints = timeline.joints(features)
    time = torch.arange(80.0)[:, None, None] / 20
    moved = (
        joints + 0.3 * torch.sin(2 * time) + 0.02 * torch.randn(80, 22, 3, generator=torch.Generator().manual_seed(0))
    )
    met = timeline.meet(features, moved)
    torch.testing.assert_close(timeline.joints(met), moved, atol=2e-4, rtol=0)
    if kind == "woven":
        placed = representation.read(met, lengths=timeline.windows)
        assert placed[1:, 0, 0, [0, 2]].abs().max() < 1e-4
        assert heading(placed[1:, :1], smooth=False).abs().max() < 1e-3


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_bodies_turn_to_the_left(woven, long_walk, representation, angle):
    plain = (Independent(representation, torch.tensor([80])), encode(long_walk)[None])
    for timeline, features in (plain, woven):
        before = timeline.joints(features)
        standing = torch.zeros(1, 80, 2)
        after = timeline.joints(timeline.turned(features, torch.full((1, 80), angle), standing))
        turned = heading(before, smooth=False) - heading(after, smooth=False)
        error = torch.atan2((turned - angle).sin(), (turned - angle).cos())
        # the end of a window whose path has not turned along is read a little differently
        assert error.abs().mean() < 0.1


def test_windows_move_in_their_own_directions(woven):
    """A shift of the whole motion moves every window by the same, whichever way the window faces."""
    timeline, features = woven
    shift = torch.tensor([0.3, -0.2]).expand(1, 80, 2)
    moved = timeline.turned(features, torch.zeros(1, 80), shift)
    local = timeline.representation.read(features, lengths=timeline.windows)
    after = timeline.representation.read(moved, lengths=timeline.windows)
    steps = (after - local)[:, :30, 0, [0, 2]]
    assert steps.norm(dim=-1).sub(math.hypot(0.3, 0.2)).abs().max() < 1e-4


def test_sums_over_windows(woven, representation):
    timeline, _ = woven
    assert timeline.of_motions(torch.tensor([1.0, 2.0, 4.0])).tolist() == [7.0]
    assert timeline.of_windows(torch.tensor([3.0])).tolist() == [3.0, 3.0, 3.0]
    alone = Independent(representation, torch.tensor([10, 20]))
    assert alone.of_motions(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_gradients_reach_every_window(woven):
    timeline, features = woven
    features = features.requires_grad_()
    timeline.joints(features).square().sum().backward()
    assert (features.grad.abs().flatten(1).sum(1) > 0).all()


BEFORE, AFTER = 15, 25


@pytest.fixture
def spliced(woven, long_walk):
    """A timeline that splices the walk, as windows make it, into a motion that is elsewhere; and that whole motion."""
    timeline, features = woven
    placed = turn(long_walk, torch.full((80,), 1.1)) + torch.tensor([3.0, 0.0, -2.0])
    outside = placed[:1] + torch.randn(BEFORE + AFTER, 22, 3, generator=torch.Generator().manual_seed(1))
    motion = torch.cat([outside[:BEFORE], placed, outside[BEFORE:]])
    return Inpainted(timeline, motion, BEFORE), features, motion


def test_a_part_is_spliced_in_where_it_was(spliced):
    timeline, features, motion = spliced
    joints = timeline.joints(features)[0]
    torch.testing.assert_close(joints, motion, atol=2e-4, rtol=0)
    made = slice(BEFORE, BEFORE + 80)
    for kept in (slice(0, BEFORE), slice(BEFORE + 80, None)):
        assert torch.equal(joints[kept], motion[kept])
    assert torch.equal(timeline.seen(motion[None]), timeline.part.seen(motion[None, made]))


def test_a_spliced_part_moves_over_the_floor_of_the_whole(spliced):
    """Wherever the whole faces: moved, met and turned as it is said, and all else stays."""
    timeline, features, motion = spliced
    made, frames = slice(BEFORE, BEFORE + 80), len(motion)
    shift = torch.zeros(frames, 2)
    shift[made] = torch.tensor([0.4, -0.7])
    moved = timeline.joints(timeline.turned(features, torch.zeros(1, frames), shift[None]))[0]
    wanted = motion.clone()
    wanted[made] += torch.tensor([0.4, 0.0, -0.7])
    torch.testing.assert_close(moved, wanted, atol=1e-3, rtol=0)

    noise = 0.02 * torch.randn(frames, 22, 3, generator=torch.Generator().manual_seed(0))
    met = timeline.joints(timeline.meet(features, (motion + noise)[None]))[0]
    torch.testing.assert_close(met[made], (motion + noise)[made], atol=5e-4, rtol=0)

    angle = torch.full((1, frames), 0.4)
    after = timeline.joints(timeline.turned(features, angle, torch.zeros(1, frames, 2)))[0]
    turned = heading(motion[made], smooth=False) - heading(after[made], smooth=False)
    assert torch.atan2((turned - 0.4).sin(), (turned - 0.4).cos()).abs().mean() < 0.1
