"""The examples of each step, and the random draws for them."""

from functools import partial

import pytest
import torch

from data_loaders.augmented_dataset import AugmentedClips, RealClips
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import Clip
from train.batches import LengthBuckets, StepBatches, make_batch, make_parts
from train.seeding import ExampleDraws, Purpose

WALKS = ProceduralWalks(0, 90, 40)
DRAWS = ExampleDraws(0, Purpose.EXAMPLE, features=5, masks=True, drop_text=0.5, drop_masks=0.5)


def clips():
    several = ProceduralWalks(1, 150, 60)
    return [Clip(f"c{i}", several.example(i).joints, action="walk", style="tired") for i in range(6)]


@pytest.mark.parametrize("examples", [WALKS, AugmentedClips(clips(), 100, 40), RealClips(clips(), 100, 40)])
def test_data_sets_know_their_lengths(examples):
    assert [examples.frames(i) for i in range(12)] == [len(examples.example(i).joints) for i in range(12)]


def steps_of(order, count):
    return [order.indices(step) for step in range(count)]


@pytest.mark.parametrize("window", [1, 5])
def test_every_example_is_used_once(window):
    order = LengthBuckets(WALKS, batch=8, window=window, seed=0)
    batches = steps_of(order, 10)
    assert sorted(i for batch in batches for i in batch) == list(range(80))
    for number in range(0, 10, window):  # examples stay in their window
        inside = sorted(i for batch in batches[number : number + window] for i in batch)
        assert inside == list(range(8 * number, 8 * (number + window)))
    if window == 1:
        assert batches[3] == list(range(24, 32))


def test_batches_have_similar_lengths_in_a_random_order():
    def padding(window):
        batches = steps_of(LengthBuckets(WALKS, batch=16, window=window, seed=0), 16)
        lengths = [[WALKS.frames(i) for i in batch] for batch in batches]
        return 1 - sum(map(sum, lengths)) / sum(16 * max(batch) for batch in lengths), lengths

    sorted_share, lengths = padding(16)
    assert sorted_share < 0.05 < 0.2 < padding(1)[0]
    longest = [max(batch) for batch in lengths]
    assert longest != sorted(longest)
    orders = [steps_of(LengthBuckets(WALKS, batch=16, window=16, seed=seed), 16) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_step_does_not_depend_on_the_steps_asked_for_before():
    batches = steps_of(LengthBuckets(WALKS, batch=4, window=8, seed=3), 20)
    assert all(LengthBuckets(WALKS, batch=4, window=8, seed=3).indices(step) == batches[step] for step in (19, 5, 13))


def test_draws_for_an_example_do_not_depend_on_its_batch():
    together, alone = make_batch(WALKS, range(6), DRAWS), make_batch(WALKS, [4], DRAWS)
    frames = int(alone.lengths)
    assert together.lengths[4] == frames < together.joints.shape[1]
    for name in ("joints", "eps", "motion_mask"):
        assert torch.equal(getattr(together, name)[4, :frames], getattr(alone, name)[0])
    assert together.drop_text[4] == alone.drop_text[0]
    assert not together.eps[4, frames:].any()
    assert together.padding == int((together.lengths.max() - together.lengths).sum())


def test_examples_have_independent_noise():
    batch = make_batch(WALKS, range(40), DRAWS)
    first = batch.eps[:, :40]
    assert abs(first.mean()) < 0.05
    assert abs(first.std() - 1) < 0.05
    correlation = torch.corrcoef(first.flatten(1)) - torch.eye(40)
    assert correlation.abs().max() < 0.35  # five standard deviations of a mean of 200
    assert 8 < batch.drop_text.sum() < 32
    assert 8 < batch.motion_mask.flatten(1).any(1).sum() < 32
    other = ExampleDraws(1, Purpose.EXAMPLE, features=5, masks=False).draw(0, 40)
    assert other.motion_mask is None
    assert not torch.equal(other.eps, first[0])


def test_batches_do_not_depend_on_the_number_of_workers():
    """The second process's share, in micro-batches, from the middle of a window on."""
    order = LengthBuckets(WALKS, batch=8, window=4, seed=0)
    seen = []
    for workers in (0, 2):
        steps = StepBatches(order, partial(make_parts, WALKS, DRAWS, slice(4, 8), 2), first=2, last=8)
        seen.append(list(torch.utils.data.DataLoader(steps, batch_size=None, num_workers=workers)))
    assert len(seen[0]) == len(seen[1]) == 6
    for a, b in zip(*seen, strict=True):
        assert len(a) == len(b) == 2
        for one, other in zip(a, b, strict=True):
            assert one.texts == other.texts
            assert all(torch.equal(x, y) for x, y in zip(one[1:], other[1:], strict=True))
