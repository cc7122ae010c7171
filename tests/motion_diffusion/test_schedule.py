import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_diffusion.schedule import SCHEDULES, cosine, linear


@pytest.fixture(params=list(SCHEDULES))
def schedule(request):
    return SCHEDULES[request.param](1000)


def test_starts_at_data_and_ends_near_noise(schedule):
    assert schedule.row(0) == (1.0, 0.0)
    assert schedule.alpha[-1] < 0.01
    assert bool((schedule.alpha.diff() < 0).all())


def test_preserves_variance(schedule):
    torch.testing.assert_close(
        schedule.alpha**2 + schedule.sigma**2, torch.ones(1001, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_cosine_is_the_published_one():
    # Nichol & Dhariwal, eq. 17, away from the end where beta is capped
    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    table = cosine(1000)
    for t in (1, 10, 250, 500, 900):
        assert table.row(t)[0] ** 2 == pytest.approx(f(t) / f(0), rel=1e-10)


def test_linear_is_the_published_one():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    torch.testing.assert_close(linear(1000).alpha[1:] ** 2, (1 - betas).cumprod(0), rtol=1e-10, atol=0)


def test_linear_keeps_its_process_for_another_T():
    assert linear(500).row(500)[1] == pytest.approx(linear(1000).row(1000)[1], abs=1e-4)


@given(st.sampled_from(list(SCHEDULES)), st.integers(2, 1000), st.data())
def test_posterior_matches_bayes(name, t, data):
    """q(x_s | x_t, x0) by multiplying the two Gaussians q(x_s | x0) and q(x_t | x_s)."""
    schedule = SCHEDULES[name](1000)
    s = data.draw(st.integers(1, t - 1))
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.row(t), schedule.row(s)
    a = alpha_t / alpha_s
    step = sigma_t**2 - a**2 * sigma_s**2
    precision = 1 / sigma_s**2 + a**2 / step
    A, B, variance = schedule.posterior(t, s)
    assert variance == pytest.approx(1 / precision, rel=1e-6)
    assert pytest.approx(a / step / precision, rel=1e-6) == A
    assert pytest.approx(alpha_s / sigma_s**2 / precision, rel=1e-6) == B


def test_posterior_at_data_is_the_data(schedule):
    A, B, variance = schedule.posterior(40, 0)
    assert (A, variance) == (0.0, 0.0)
    assert pytest.approx(1.0, abs=1e-12) == B


@given(st.integers(1, 1000))
def test_respacing_starts_at_T_and_ends_at_data(steps):
    times = cosine(1000).times(steps)
    assert times[0] == 1000
    assert times[-1] == 0
    assert len(times) == steps + 1
    assert all(a > b for a, b in pairwise(times))


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_respacing(steps):
    with pytest.raises(ValueError, match="between 1 and 1000"):
        cosine(1000).times(steps)


def test_noise_has_the_right_moments(schedule):
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(4, 50_000, generator=generator)
    t = torch.tensor([1, 300, 700, 1000])
    x_t = schedule.add_noise(torch.ones_like(eps), eps, t)
    torch.testing.assert_close(x_t.mean(1).double(), schedule.alpha[t], atol=0.02, rtol=0)
    torch.testing.assert_close(x_t.std(1).double(), schedule.sigma[t], atol=0.02, rtol=0)
