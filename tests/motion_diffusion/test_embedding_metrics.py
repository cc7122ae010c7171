"""Metrics of embeddings against closed forms, scipy and numpy, every order of ties, and cases worked out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from motion_diffusion.errors import InputError
from motion_diffusion.network.embedding_metrics import (
    diversity,
    frechet_distance,
    matching_score,
    mean_and_interval,
    multimodality,
    neighbourhoods,
    r_precision,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- Fréchet distance


def test_frechet_distance_by_hand():
    """Means 1 and 7, variances (by n − 1) 2 and 8: 6² + 2 + 8 − 2·√(2·8) = 38."""
    assert frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [9.0]])) == pytest.approx(38)


def test_frechet_distance_matches_scipy():
    real, made = random(400, 24) @ random(24, 24, seed=1), 2 + random(90, 24, seed=2) @ random(24, 24, seed=3)
    mean = real.mean(0) - made.mean(0)
    a, b = np.cov(real.numpy(), rowvar=False), np.cov(made.numpy(), rowvar=False)
    expected = mean.square().sum().item() + np.trace(a + b - 2 * sqrtm(a @ b)).real
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(made, real) == pytest.approx(expected, rel=1e-9)


def spread(samples: int, sizes: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples whose mean is 0 and whose covariance is diag(sizes²), exactly."""
    centred = random(samples, len(sizes), seed=seed)
    directions = torch.linalg.qr(centred - centred.mean(0)).Q
    return directions * sizes * (samples - 1) ** 0.5


@pytest.mark.parametrize("dimensions", [6, 200])
@pytest.mark.parametrize("flat", [[], [0, 3]])
def test_frechet_distance_of_commuting_covariances(dimensions, flat):
    """|Δμ|² + Σ(a − b)², even where there are fewer samples than dimensions and both covariances are singular."""
    a, b = random(6).abs(), random(6, seed=1).abs()
    a[flat] = 0
    b[flat[:1]] = 0
    turned = torch.linalg.qr(random(dimensions, 6, seed=2)).Q.T  # (6, D) with orthonormal rows
    shift = random(dimensions, seed=3)
    real, made = spread(40, a, 4) @ turned, spread(30, b, 5) @ turned + shift
    expected = (shift.square().sum() + (a - b).square().sum()).item()
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("samples", [2, 5, 300])
def test_frechet_distance_of_equal_sets_is_zero(samples):
    real = 1e3 * random(samples, 64)
    assert 0 <= frechet_distance(real, real.flip(0)) < 1e-6  # of a variance of 64·10⁶


def test_frechet_distance_refuses_a_single_embedding():
    with pytest.raises(InputError, match="2 embeddings or more"):
        frechet_distance(random(8, 3), random(1, 3))


# ---- R-precision


def test_r_precision_by_hand():
    """Texts at 0, 10, 20, motions at 4, 1, 21. Text 0 has the second motion before its own, 10 the first; 20 has its
    own first: 1/3, then all."""
    texts, motions = torch.tensor([[0.0], [10.0], [20.0]]), torch.tensor([[4.0], [1.0], [21.0]])
    assert r_precision(texts, motions, pool=3, top=3) == pytest.approx([1 / 3, 1, 1])


def test_r_precision_counts_ranks():
    texts = random(150, 8)
    motions = texts + 1.5 * random(150, 8, seed=1)
    ranks = []
    for start in (0, 32, 64, 96):  # the last 22 fill no pool
        for i in range(start, start + 32):
            distances = np.linalg.norm(texts[i].numpy() - motions[start : start + 32].numpy(), axis=1)
            ranks.append(np.argsort(distances).tolist().index(i - start))
    expected = [np.mean(np.array(ranks) < k) for k in (1, 2, 3, 4)]
    assert 0 < expected[0] < expected[3] < 1
    assert r_precision(texts, motions, top=4) == pytest.approx(expected, abs=1e-12)
    assert r_precision(texts[:128].float(), motions[:128].float()) == pytest.approx(expected[:3], abs=1e-12)


@pytest.mark.parametrize("captions", [None, ["a", "b", "a", "a", "c"], ["a"] * 5, list("abcde")])
@pytest.mark.parametrize("seed", range(8))
def test_r_precision_is_the_mean_over_all_orders_of_ties(captions, seed):
    """Integers from 0 to 2, so that most distances are equal; the mean over all orders of five motions."""
    texts, motions = (torch.randint(3, (5, 2), generator=seeded(seed + i)).double() for i in (0, 100))
    same = np.eye(5, dtype=bool) if captions is None else np.equal.outer(captions, captions)
    distances = np.linalg.norm(texts[:, None].numpy() - motions[None].numpy(), axis=-1)
    found = np.zeros(3)
    for order in permutations(range(5)):
        for i in range(5):
            ranked = [order[k] for k in np.argsort(distances[i][list(order)], kind="stable")]
            found += [same[i][ranked[: k + 1]].any() for k in range(3)]
    assert r_precision(texts, motions, pool=5, captions=captions) == pytest.approx(found / (120 * 5), abs=1e-12)


def test_r_precision_of_constant_embeddings_is_chance():
    everything = torch.ones(64, 512)
    assert r_precision(everything, everything) == pytest.approx([1 / 32, 2 / 32, 3 / 32])


def test_r_precision_is_translation_invariant():
    """Far from the origin, distances by a matrix product would have no digits left."""
    texts = random(64, 8)
    motions = texts + random(64, 8, seed=1)
    assert r_precision(1e7 + texts, 1e7 + motions) == r_precision(texts, motions)


def test_r_precision_uses_each_pool_alone():
    texts, motions = random(64, 3), random(64, 3, seed=1)
    halves = [r_precision(texts[part], motions[part]) for part in (slice(0, 32), slice(32, 64))]
    assert r_precision(texts, motions) == pytest.approx(np.mean(halves, axis=0))
    assert r_precision(texts, motions, captions=[str(i % 32) for i in range(64)]) == r_precision(texts, motions)


def test_r_precision_refuses_invalid_input():
    with pytest.raises(InputError, match="pools of 32"):
        r_precision(random(31, 3), random(31, 3))
    with pytest.raises(InputError, match="3 captions for 32"):
        r_precision(random(32, 3), random(32, 3), captions=["a"] * 3)


# ---- distances


def test_matching_score_by_hand():
    """Distances 5 and 0."""
    texts, motions = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[3.0, 4.0], [3.0, 0.0]])
    assert matching_score(texts, motions) == pytest.approx(2.5)


def test_diversity_by_hand():
    """Two motions 5 apart, two pairs: the seconds are in the order of the firsts (0) or in the other (5)."""
    motions = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert {diversity(motions, generator=seeded(i), pairs=2) for i in range(20)} == {0.0, 5.0}


def test_diversity_approaches_the_mean_distance():
    motions = random(400, 16)
    values = [diversity(motions, generator=seeded(i)) for i in range(60)]
    assert np.mean(values) == pytest.approx(torch.cdist(motions, motions).mean().item(), rel=5e-3)
    assert len(set(values)) == 60
    assert diversity(motions, generator=seeded(3)) == values[3]


def test_multimodality_is_diversity_within_texts():
    motions = random(7, 30, 16) + 100 * random(7, 1, 16, seed=1)
    apart = [diversity(one, generator=seeded(5), pairs=10) for one in motions]
    assert multimodality(motions, generator=seeded(5)) == pytest.approx(np.mean(apart))
    assert multimodality(motions[:, :1].expand(-1, 30, -1), generator=seeded()) == 0


def test_too_many_pairs_are_refused():
    with pytest.raises(InputError, match="300 pairs.*299"):
        diversity(random(299, 2), generator=seeded())
    with pytest.raises(InputError, match="10 pairs.*9"):
        multimodality(random(3, 9, 2), generator=seeded())


# ---- replications, bad numbers


def test_mean_and_interval_by_hand():
    """Mean 2, std (by n) 1: 1.96/√2."""
    assert mean_and_interval([1.0, 3.0]) == pytest.approx((2, 1.96 / 2**0.5))
    assert mean_and_interval([4.0]) == (4.0, 0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(bad):
    good, broken = random(32, 4), random(32, 4)
    broken[5, 2] = bad
    for measured in (
        lambda: frechet_distance(good, broken),
        lambda: r_precision(good, broken),
        lambda: matching_score(broken, good),
        lambda: diversity(broken, generator=seeded(), pairs=3),
        lambda: multimodality(broken[None], generator=seeded()),
    ):
        with pytest.raises(InputError, match="not finite"):
            measured()


def test_unpaired_embeddings_are_refused():
    for measured in (matching_score, r_precision):
        with pytest.raises(InputError, match=r"\(32, 4\).*\(1, 4\)"):
            measured(random(32, 4), random(1, 4))


# ---- balls around embeddings


def test_neighbourhoods_by_hand():
    """k = 1: balls about the real 0, 1, 4 have radii 1, 1, 3, those about the generated 0.5, 5, 20 4.5, 4.5, 15."""
    real, made = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[0.5], [5.0], [20.0]])
    measured = neighbourhoods(real, made, k=1)
    assert measured == pytest.approx({"precision": 2 / 3, "recall": 1.0, "density": 1.0, "coverage": 1.0})


def test_neighbourhoods_match_definitions():
    real, made = random(60, 3).numpy(), 0.5 + random(40, 3, seed=1).numpy()
    radius = {
        name: np.sort(np.linalg.norm(some[:, None] - some, axis=-1), axis=1)[:, 5]
        for name, some in (("real", real), ("made", made))
    }
    measured = neighbourhoods(torch.tensor(real), torch.tensor(made))
    holds = [[np.linalg.norm(a - b) < radius["real"][i] for b in made] for i, a in enumerate(real)]
    assert measured["precision"] == pytest.approx(np.mean(np.any(holds, axis=0)))
    assert measured["coverage"] == pytest.approx(np.mean(np.any(holds, axis=1)))
    assert measured["density"] == pytest.approx(np.sum(holds) / 5 / 40)
    swapped = neighbourhoods(torch.tensor(made), torch.tensor(real))
    assert measured["recall"] == swapped["precision"]


def test_neighbourhoods_of_equal_distributions():
    """Density 1 and coverage 1 − 2⁻⁵ (Naeem et al. 2020)."""
    pairs = [(random(500, 8, seed=seed), random(500, 8, seed=100 + seed)) for seed in range(8)]
    measured = [neighbourhoods(*pair) for pair in pairs]
    assert np.mean([each["density"] for each in measured]) == pytest.approx(1, abs=0.05)
    assert np.mean([each["coverage"] for each in measured]) == pytest.approx(1 - 2**-5, abs=0.02)
    far = neighbourhoods(pairs[0][0], 100 + pairs[0][1])
    assert far == {"precision": 0, "recall": 0, "coverage": 0, "density": 0}


def test_neighbourhoods_need_neighbours():
    with pytest.raises(InputError, match="5 embeddings have no 5-th neighbour; give more than 5"):
        neighbourhoods(random(5, 2), random(9, 2))
