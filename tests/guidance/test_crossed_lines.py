"""Crossed lines in D dimensions: data, guidance and measures in closed form."""

from __future__ import annotations

import pytest
import torch

from guidance.analysis import crossed_lines as module
from guidance.analysis.crossed_lines import CrossedLines, crossed_lines, guided, measured
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.schedule import cosine


@pytest.fixture
def data() -> CrossedLines:
    return CrossedLines(16, seed=3)


def test_samples_lie_on_the_lines(data):
    x = data.sample(500, torch.Generator().manual_seed(0))
    numbers = measured(data, x)
    assert numbers["off"] < 1e-3
    assert numbers["off_plane"] < 1e-3
    assert numbers["on_target"] == pytest.approx(0.5, abs=0.1)


def test_distances_are_those_of_segments(data):
    across = torch.tensor([-1.0, 1.0]) / 2**0.5  # normal to the first line, along the second
    outside = torch.linalg.qr(torch.cat([data.plane, torch.eye(16)[:, :1]], dim=1))[0][:, 2]
    beyond = (data.lines[0] * (module.HALF_LENGTH + 0.5)) @ data.plane.T
    beside = (data.lines[0] + 0.3 * across) @ data.plane.T + 0.4 * outside
    distances = data.distances(torch.stack([beyond, beside]))
    assert distances[:, 0].tolist() == pytest.approx([0.25, 0.09], abs=1e-5)
    numbers = measured(data, beside[None])
    assert (numbers["off"], numbers["off_plane"]) == pytest.approx((0.5, 0.4), abs=1e-5)
    assert numbers["on_target"] == 0


@pytest.mark.parametrize("name", ["x0", "eps", "v"])
def test_guidance_adds_the_gradient_through_the_network(data, name):
    """With a network that is a constant multiple of x_t, the gradient is that of x̂0 times a number."""
    schedule, prediction, t = cosine(1000), PREDICTIONS[name], 600
    level = schedule.at(t)
    x = torch.randn(5, 1, 16, generator=torch.Generator().manual_seed(1))
    factor = prediction.to_x0(torch.tensor(0.3), torch.tensor(1.0), level)  # x̂0 = factor · x_t where y = 0.3 · x_t
    estimate = guided(lambda x, level: 0.3 * x, data, prediction, schedule, 2.0)(x, t, t - 1)
    x0 = (factor * x).requires_grad_()
    (gradient,) = torch.autograd.grad(data.log_target(x0[:, 0]).sum(), x0)
    expected = x0 + 2.0 * float(level.sigma) ** 2 / float(level.alpha) * factor * gradient
    torch.testing.assert_close(estimate.x0, expected.detach())


def test_networks_with_a_skip_stay_nearer_to_the_data(monkeypatch):
    monkeypatch.setattr(module, "SCALES", (0.0, 1.0))
    monkeypatch.setattr(module, "TYPES", ("eps",))
    rows = crossed_lines(dimensions=(64,), steps=150, count=200, seeds=1).rows
    off = {row["skip"]: row["off"] for row in rows}
    assert off["skip"] < off["no skip"] / 10
