from __future__ import annotations

import pytest
import torch
from torch import Tensor

from motion_diffusion.body.features import VELOCITY_WEIGHT, least_squares


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stacked(positions: Tensor, velocities: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The rows of |x - p|² + w·|D x - v|², one under the other."""
    identity = torch.eye(len(positions), dtype=torch.float64)
    rows = torch.cat([identity, weight**0.5 * identity.diff(dim=0)])
    return rows, torch.cat([positions, weight**0.5 * velocities[:-1]])


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize("weight", [0.5, VELOCITY_WEIGHT])
def test_least_squares_matches_lstsq(frames: int, weight: float) -> None:
    positions, velocities = random(frames, 4), random(frames, 4, seed=1)
    rows, wanted = stacked(positions, velocities, weight)
    expected = torch.linalg.lstsq(rows, wanted).solution
    torch.testing.assert_close(least_squares(positions, velocities, weight=weight), expected)


def test_least_squares_keeps_consistent_positions() -> None:
    positions = random(50, 3)
    velocities = torch.cat([positions.diff(dim=0), random(1, 3)])
    torch.testing.assert_close(least_squares(positions, velocities), positions)


def test_least_squares_reduces_jitter_of_positions() -> None:
    velocities = torch.full((120, 1), 0.05, dtype=torch.float64)
    line = 0.05 * torch.arange(120, dtype=torch.float64)[:, None]
    read = least_squares(line + 0.2 * random(120, 1), velocities)
    assert (read.diff(dim=0) - 0.05).abs().max() < 0.02
    assert (read - line).abs().max() < 0.15


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_least_squares_with_full_lengths(batch: tuple[int, ...]) -> None:
    positions, velocities = random(*batch, 9, 2), random(*batch, 9, 2, seed=1)
    lengths = torch.full(batch, 9)
    torch.testing.assert_close(
        least_squares(positions, velocities, lengths=lengths), least_squares(positions, velocities)
    )


def test_least_squares_treats_batch_items_independently() -> None:
    lengths = torch.tensor([[1, 12], [5, 2]])
    positions, velocities = random(2, 2, 12, 3), random(2, 2, 12, 3, seed=1)
    read = least_squares(positions, velocities, lengths=lengths)
    for i in range(2):
        for j in range(2):
            n = int(lengths[i, j])
            alone = least_squares(positions[i, j, :n], velocities[i, j, :n])
            torch.testing.assert_close(read[i, j, :n], alone)
            torch.testing.assert_close(read[i, j, n:], positions[i, j, n:])


def test_least_squares_ignores_nan_in_padding() -> None:
    lengths = torch.tensor([6, 4])
    positions, velocities = random(2, 6, 2), random(2, 6, 2, seed=1)
    padding = (torch.arange(6) >= lengths[:, None])[..., None].expand(2, 6, 2)
    results = []
    for filler in (0.0, float("nan")):
        read = least_squares(
            positions.masked_fill(padding, filler), velocities.masked_fill(padding, filler), lengths=lengths
        )
        results.append(read[~padding])
    torch.testing.assert_close(*results)
    assert results[1].isfinite().all()
