"""Which examples make up a batch, and what is drawn for them."""

import pytest
import torch

from data_loaders.augmented_dataset import AugmentedClips, RealClips
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import Clip
from train.batches import Steps, make_batch
from train.length_bucketing import Buckets
from train.seeding import Draws, Use

WALKS = ProceduralWalks(0, 90, 40)
DRAWS = Draws(0, Use.EXAMPLE, features=5, masks=True, drop_text=0.5, drop_masks=0.5)


def clips():
    several = ProceduralWalks(1, 150, 60)
    return [Clip(f"c{i}", several.example(i).joints, action="walk", style="tired") for i in range(6)]


@pytest.mark.parametrize("examples", [WALKS, AugmentedClips(clips(), 100, 40), RealClips(clips(), 100, 40)])
def test_data_sets_know_their_lengths(examples):
    assert [examples.frames(i) for i in range(12)] == [len(examples.example(i).joints) for i in range(12)]


def steps_of(order, count):
    return [order.of_step(step) for step in range(count)]


@pytest.mark.parametrize("window", [1, 5])
def test_every_example_comes_once(window):
    order = Buckets(WALKS, batch=8, window=window, seed=0)
    batches = steps_of(order, 10)
    assert sorted(i for batch in batches for i in batch) == list(range(80))
    for number in range(0, 10, window):  # those of a window stay in it
        inside = sorted(i for batch in batches[number : number + window] for i in batch)
        assert inside == list(range(8 * number, 8 * (number + window)))
    if window == 1:
        assert batches[3] == list(range(24, 32))


def test_batches_of_like_length_in_an_order_that_is_drawn():
    def padding(window):
        batches = steps_of(Buckets(WALKS, batch=16, window=window, seed=0), 16)
        lengths = [[WALKS.frames(i) for i in batch] for batch in batches]
        return 1 - sum(map(sum, lengths)) / sum(16 * max(batch) for batch in lengths), lengths

    sorted_share, lengths = padding(16)
    assert sorted_share < 0.05 < 0.2 < padding(1)[0]
    longest = [max(batch) for batch in lengths]
    assert longest != sorted(longest)
    orders = [steps_of(Buckets(WALKS, batch=16, window=16, seed=seed), 16) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_step_in_the_middle_of_a_window_needs_none_before():
    batches = steps_of(Buckets(WALKS, batch=4, window=8, seed=3), 20)
    assert all(Buckets(WALKS, batch=4, window=8, seed=3).of_step(step) == batches[step] for step in (19, 5, 13))


def test_what_is_drawn_for_an_example_does_not_depend_on_its_batch():
    together, alone = make_batch(WALKS, range(6), DRAWS), make_batch(WALKS, [4], DRAWS)
    frames = int(alone.lengths)
    assert together.lengths[4] == frames < together.joints.shape[1]
    for name in ("joints", "eps", "known"):
        assert torch.equal(getattr(together, name)[4, :frames], getattr(alone, name)[0])
    assert together.hide[4] == alone.hide[0]
    assert not together.eps[4, frames:].any()
    assert together.padding == int((together.lengths.max() - together.lengths).sum())


def test_each_example_has_noise_of_its_own():
    batch = make_batch(WALKS, range(40), DRAWS)
    first = batch.eps[:, :40]
    assert abs(first.mean()) < 0.05
    assert abs(first.std() - 1) < 0.05
    correlation = torch.corrcoef(first.flatten(1)) - torch.eye(40)
    assert correlation.abs().max() < 0.35  # five times the deviation of a mean of 200
    assert 8 < batch.hide.sum() < 32
    assert 8 < batch.known.flatten(1).any(1).sum() < 32
    other = Draws(1, Use.EXAMPLE, features=5, masks=False).draw(0, 40)
    assert other.known is None
    assert not torch.equal(other.eps, first[0])


def test_any_number_of_workers_gives_the_same():
    """Two processes' shares, in parts, from the middle of a window on."""
    order = Buckets(WALKS, batch=8, window=4, seed=0)
    seen = []
    for workers in (0, 2):
        steps = Steps(WALKS, order, DRAWS, first=2, last=8, share=slice(4, 8), part_size=2)
        seen.append(list(torch.utils.data.DataLoader(steps, batch_size=None, num_workers=workers)))
    assert len(seen[0]) == len(seen[1]) == 6
    for a, b in zip(*seen, strict=True):
        assert len(a) == len(b) == 2
        for one, other in zip(a, b, strict=True):
            assert one.texts == other.texts
            assert all(torch.equal(x, y) for x, y in zip(one[1:], other[1:], strict=True))
