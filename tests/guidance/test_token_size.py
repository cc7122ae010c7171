"""Errors of rank-limited linear denoisers against least squares, and tokens of clips."""

from __future__ import annotations

import pytest
import torch

from guidance.analysis.token_size import Tokens, intrinsic_dimension, linear_error, network_error, spectrum, token_sizes
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.schedule import cosine
from motion_diffusion.errors import InputError

SCHEDULE = cosine(1000)


def gaussian_clips(eigenvalues, count=40, frames=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(frames, len(eigenvalues), generator=generator) * eigenvalues.sqrt() for _ in range(count)]


def test_tokens_are_consecutive_frames_of_one_clip():
    clips = [100.0 * i + torch.arange(5.0)[:, None] for i in range(4)] + [torch.zeros(2, 1)]
    data = Tokens(clips, 3)
    tokens = data.sample(500, torch.Generator().manual_seed(0))
    assert (tokens.diff(dim=1) == 1).all()
    assert {float(first) for first in tokens[:, 0]} == {100.0 * i + j for i in range(4) for j in range(3)}
    with pytest.raises(InputError, match="no clip has 9 frames"):
        Tokens(clips, 9)


def test_spectrum_and_intrinsic_dimension():
    wanted = torch.tensor([4.0, 2.0, 1.0, 0.05])
    found = spectrum(Tokens(gaussian_clips(wanted), 1))
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.01)
    assert intrinsic_dimension(wanted, 0.99) == 3
    assert intrinsic_dimension(torch.ones(10), 0.45) == 5


@pytest.mark.parametrize("name", ["x0", "eps", "v"])
@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("t", [125, 625])
def test_linear_error_is_that_of_reduced_rank_regression(name, rank, t):
    """Least squares of y on x_t, truncated to its principal outputs (reduced-rank regression, Izenman 1975)."""
    eigenvalues = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.01], dtype=torch.float64)
    prediction, level = PREDICTIONS[name], SCHEDULE.at(t)
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(200_000, 8, generator=generator, dtype=torch.float64) * eigenvalues.sqrt()
    eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    x_t = SCHEDULE.add_noise(x0, eps, t)
    coefficients = torch.linalg.lstsq(x_t, prediction.target(x0, eps, level)).solution
    y = x_t @ coefficients
    if rank is not None:
        directions = torch.linalg.svd(y, full_matrices=False).Vh[:rank]
        y = y @ directions.T @ directions
    off = (prediction.to_x0(y, x_t, level) - x0).square().sum() / x0.square().sum()
    assert linear_error(eigenvalues, prediction, SCHEDULE, t, rank=rank) == pytest.approx(off.item(), rel=0.02)


def test_without_rank_all_types_have_the_same_error():
    eigenvalues = torch.rand(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = [linear_error(eigenvalues, PREDICTIONS[name], SCHEDULE, 500) for name in ("x0", "eps", "v")]
    assert errors == pytest.approx([errors[0]] * 3)
    short = [linear_error(eigenvalues, PREDICTIONS[name], SCHEDULE, 875, rank=10) for name in ("x0", "v", "eps")]
    assert short[2] > 2 * max(short[:2])


def test_network_error_of_an_exact_network_is_the_linear_one():
    eigenvalues = torch.tensor([2.0, 1.0, 0.5])
    alpha, sigma = SCHEDULE.row(500)
    gain = alpha * eigenvalues / (alpha**2 * eigenvalues + sigma**2)
    data = Tokens(gaussian_clips(eigenvalues, count=200), 1)
    error = network_error(lambda x, level: gain * x, data, PREDICTIONS["x0"], SCHEDULE, 500, count=20_000)
    assert error == pytest.approx(linear_error(eigenvalues.double(), PREDICTIONS["x0"], SCHEDULE, 500), rel=0.05)


def test_a_skip_lets_noise_pass_a_narrow_network(monkeypatch):
    monkeypatch.setattr("guidance.analysis.token_size.WIDTH", 16)
    monkeypatch.setattr("guidance.analysis.perceptron.WIDTH", 16)
    clips = gaussian_clips(torch.cat([torch.ones(4), torch.zeros(20)]))
    result = token_sizes(clips, tokens=(4,), steps=200, predictions=("eps",))
    error = {row["skip"]: row["error"] for row in result.rows if row["t"] == 625}
    expected = {row["skip"]: row["expected"] for row in result.rows if row["t"] == 625}
    assert result.rows[0]["dimension"] == 96
    assert error["no skip"] > 0.8 * expected["no skip"] > 1.2 * expected["skip"]
    assert error["skip"] < error["no skip"] / 1.5
