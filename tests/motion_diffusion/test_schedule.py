import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_diffusion.diffusion.schedule import SCHEDULES, Schedule, cosine, from_betas, from_curve, linear
from motion_diffusion.errors import InputError

PRESERVING = [cosine(1000), linear(1000)]


def every_step(schedule):
    """t = 1 … T."""
    return torch.arange(1, schedule.T + 1)


def all_steps(T=1000, last=0):
    """(t, s) of all steps with s ≥ last."""
    s, t = torch.triu_indices(T + 1, T + 1, 1)
    return t[s >= last], s[s >= last]


def close(actual, expected, tolerance, relative=0.0):
    expected = torch.as_tensor(expected, dtype=torch.float64).expand_as(actual)
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=relative)


def test_from_data_to_noise(any_schedule):
    alpha, sigma = any_schedule.alpha, any_schedule.sigma
    assert any_schedule.row(0) == (1.0, 0.0)
    assert (alpha[:-1] > 0).all()
    assert (sigma[1:] > 0).all()
    log_snr = 2 * (alpha.log() - sigma.log())
    assert (log_snr.diff() < 0).all()
    assert log_snr[-1] < -7


@pytest.mark.parametrize("schedule", PRESERVING, ids=lambda schedule: schedule.name)
def test_betas_give_the_table(schedule):
    """0 < β ≤ 0.999, ᾱ = Π(1 − β), and α² + σ² = 1."""
    t = every_step(schedule)
    beta = schedule.posterior(t, t - 1).step_variance
    assert (beta > 0).all()
    assert (beta <= 0.999 + 1e-12).all()
    close((1 - beta).cumprod(0), schedule.alpha[1:] ** 2, 0, 1e-9)
    close(schedule.alpha**2 + schedule.sigma**2, 1.0, 1e-14)


def test_derivatives_match_finite_differences(any_schedule):
    """Α̇ and σ̇ against differences, of fourth order, of the curve itself."""
    u, h = torch.linspace(0.01, 0.99, 99, dtype=torch.float64), 1e-4
    values = [any_schedule.curve(u + k * h) for k in (-2, -1, 1, 2)]
    for value, slope in ((0, 2), (1, 3)):
        f = [point[value] for point in values]
        close((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h), any_schedule.curve(u)[slope], 1e-7)


def test_table_samples_the_curve(any_schedule):
    """At every t where the table is not computed from β; otherwise to first order in 1/T, and exactly for cosine, whose
    β is capped in the last step only.
    """
    name = any_schedule.name
    t = every_step(any_schedule)[:-1]
    point = any_schedule.curve(t.double() / 1000)
    tables = any_schedule.alpha, any_schedule.sigma, any_schedule.d_alpha, any_schedule.d_sigma
    for table, values in zip(tables, point, strict=True):
        error = (table[t] - values).abs() / values.abs().clamp_min(1.0)
        assert error.max() < (0.01 if name == "linear" else 1e-11)
    if name == "linear":
        errors = [
            (linear(T).alpha[T // 2] - linear(T).curve(torch.tensor(0.5, dtype=torch.float64)).alpha)
            for T in (1000, 2000)
        ]
        assert errors[0] / errors[1] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("schedule", PRESERVING, ids=lambda schedule: schedule.name)
def test_derivatives_are_tangential(schedule):
    close(schedule.alpha * schedule.d_alpha + schedule.sigma * schedule.d_sigma, 0.0, 1e-12)


def test_cosine_matches_the_paper():
    """Nichol & Dhariwal, eq. 17: β is capped in one step, the last."""

    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    table = cosine(1000)
    for t in (1, 10, 250, 500, 900, 999):
        assert table.row(t)[0] ** 2 == pytest.approx(f(t) / f(0), rel=1e-10)
    assert table.posterior(1000, 999).step_variance == pytest.approx(0.999, rel=1e-12)
    assert table.posterior(999, 998).step_variance < 0.999


def test_linear_matches_the_paper():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    close(linear(1000).alpha[1:] ** 2, (1 - betas).cumprod(0), 0, 1e-10)


def test_linear_process_is_independent_of_T():
    """Ᾱ half-way."""
    half = {T: linear(T).row(T // 2)[0] ** 2 for T in (50, 1000, 4000)}
    assert half[4000] == pytest.approx(half[1000], rel=1e-2)
    assert half == pytest.approx({50: 0.0691, 1000: 0.0786, 4000: 0.0789}, abs=1e-4)


@pytest.mark.parametrize("T", [1, 10, 20])
def test_linear_with_few_steps_is_refused(T):
    with pytest.raises(InputError, match=rf"T = {T}: every beta must lie in \(0, 1\); use more steps"):
        linear(T)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [0, -3])
def test_T_is_at_least_1(name, T):
    with pytest.raises(InputError, match="T must be at least 1"):
        SCHEDULES[name](T)


@pytest.mark.parametrize("T", [1, 2, 3, 21, 50])
def test_short_schedules(T):
    for name in SCHEDULES.keys() - ({"linear"} if T < 21 else set()):
        assert SCHEDULES[name](T).T == T


@pytest.mark.parametrize(
    ("alpha", "sigma", "message"),
    [
        ([1.0, 0.5, 0.6], [0.0, 0.5, 0.6], "from t = 1 to 2"),
        ([1.0, 0.5], [0.1, 0.5], "entry 0 must be the data"),
        ([1.0], [0.0], "T at least 1"),
        ([1.0, -0.5], [0.0, 0.5], "alpha must not be negative"),
    ],
)
def test_invalid_tables_are_refused(alpha, sigma, message):
    alpha, sigma = torch.tensor(alpha, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64)
    with pytest.raises(InputError, match=message):
        Schedule("odd", alpha, sigma, alpha, sigma, linear(100).curve)


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, math.nan])
def test_invalid_betas_are_refused(beta):
    with pytest.raises(InputError, match="every beta"):
        from_betas("odd", torch.tensor([0.1, beta], dtype=torch.float64), linear(100).curve)


def test_posterior_follows_bayes_rule(any_schedule):
    """For every step with s ≥ 1: the product of q(x_s | x0) and q(x_t | x_s), both Gaussian in x_s."""
    t, s = all_steps(last=1)
    alpha_t, alpha_s, sigma_s = any_schedule.alpha[t], any_schedule.alpha[s], any_schedule.sigma[s]
    a = alpha_t / alpha_s
    A, B, variance, step = any_schedule.posterior(t, s)
    precision = 1 / sigma_s**2 + a**2 / step
    close(variance, 1 / precision, 1e-12, 1e-12)
    close(A, a / step / precision, 1e-12)
    close(B, alpha_s / sigma_s**2 / precision, 1e-12)


def test_step_variance_is_accurate(any_schedule):
    """σ²_{t|s} is a difference of nearly equal numbers; compared with its value from the logarithms of the table."""
    t = every_step(any_schedule)[1:-1]
    alpha, sigma = any_schedule.alpha, any_schedule.sigma
    ratio = 2 * ((alpha[t] / alpha[t - 1]).log() + (sigma[t - 1] / sigma[t]).log())
    close(any_schedule.posterior(t, t - 1).step_variance, -(sigma[t] ** 2) * torch.expm1(ratio), 0, 1e-10)


@given(st.sampled_from(list(SCHEDULES)), st.tuples(*[st.integers(0, 1000)] * 3).map(sorted))
def test_steps_compose(name, times):
    """σ²_{t|s} = σ²_{t|r} + a²·σ²_{r|s}."""
    s, r, t = times
    schedule = SCHEDULES[name](1000)
    if not s < r < t:
        return
    a = schedule.row(t)[0] / schedule.row(r)[0]
    steps = [schedule.posterior(*step).step_variance for step in ((t, s), (t, r), (r, s))]
    assert steps[0] == pytest.approx(steps[1] + a**2 * steps[2], rel=1e-9, abs=1e-14)


def test_posterior_at_zero_is_the_data(schedule):
    t = every_step(schedule)
    A, B, variance, step = schedule.posterior(t, torch.zeros_like(t))
    assert not A.any()
    assert not variance.any()
    close(B, 1.0, 1e-12)
    close(step, schedule.sigma[1:] ** 2, 0, 1e-12)


@pytest.mark.parametrize(("t", "s"), [(5, 5), (5, 6), (5, -1), (1001, 4), (0, -1)])
def test_invalid_steps_are_refused(t, s):
    with pytest.raises(InputError, match="0 <= s < t <= 1000"):
        cosine(1000).posterior(t, s)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_respacing(steps, first):
    """Any number of steps, from T, or an earlier time, to the data; one step goes all the way."""
    steps = min(steps, first)
    times = cosine(1000).times(steps, first=first)
    assert (times[0], times[-1], len(times)) == (first, 0, steps + 1)
    assert all(t > s for t, s in pairwise(times))
    if steps == first:
        assert times == list(range(first, -1, -1))
    assert cosine(1000).times(steps) == cosine(1000).times(steps, first=1000)
    assert max(t - s for t, s in pairwise(times)) - min(t - s for t, s in pairwise(times)) <= 1


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.1, 10))
def test_shifted_times(steps, first, shift):
    """Times still descend from the first one to 0, later for larger shifts; 1 / shift is the same seen from the end."""
    steps = min(steps, first)
    times = cosine(1000).times(steps, first=first, shift=shift)
    assert (times[0], times[-1], len(times)) == (first, 0, steps + 1)
    assert all(t > s for t, s in pairwise(times))
    even = cosine(1000).times(steps, first=first)
    assert all((t - s) * (shift - 1) >= 0 for t, s in zip(times, even, strict=True))
    mirrored = cosine(1000).times(steps, first=first, shift=1 / shift)[::-1]
    assert all(abs(first - t - s) <= 1 for t, s in zip(times, mirrored, strict=True))


def test_shifted_times_are_those_of_the_paper():
    """t' = 3 t / (1 + 2 t)."""
    assert cosine(1000).times(4, shift=3.0) == [1000, 900, 750, 500, 0]


@pytest.mark.parametrize("schedule", PRESERVING, ids=lambda schedule: schedule.name)
@pytest.mark.parametrize("steps", [1, 7, 50, 333, 1000])
def test_respaced_betas(schedule, steps):
    """The β' of a respaced chain lie in (0, 1] and multiply to the same ᾱ."""
    t, s = torch.tensor(list(pairwise(schedule.times(steps)))).T
    beta = schedule.posterior(t, s).step_variance
    assert (beta > 0).all()
    assert (beta <= 1).all()
    close((1 - beta.flip(0)).cumprod(0), schedule.alpha[t.flip(0)] ** 2, 1e-8)


@pytest.mark.parametrize("steps", [0, 1001, -1])
def test_invalid_respacing_is_refused(steps):
    with pytest.raises(InputError, match="between 1 and 1000"):
        cosine(1000).times(steps)


def test_add_noise_follows_its_definition(any_schedule):
    x0, eps = torch.randn(2, 1000, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = every_step(any_schedule)
    x_t = any_schedule.add_noise(x0, eps, t)
    for i in (0, 498, 999):
        alpha, sigma = any_schedule.row(i + 1)
        close(x_t[i], alpha * x0[i] + sigma * eps[i], 1e-12)


def test_int_and_tensor_times_agree(schedule):
    """An int, a tensor of shape (), and of shape (B,)."""
    x = torch.zeros(3, 4, 2)
    t = torch.tensor([1, 500, 1000])
    batch, steps = schedule.at(t, x), schedule.posterior(t, t // 2, x)
    for i, time in enumerate(t):
        number, scalar = schedule.at(int(time)), schedule.at(time, x)
        for several, one, zero in zip(batch, number, scalar, strict=True):
            assert isinstance(one, float)
            assert several.shape == (3, 1, 1)
            assert several[i].item() == one == zero.item()
        for several, one in zip(steps, schedule.posterior(int(time), int(time) // 2), strict=True):
            assert several[i].item() == one
    assert torch.equal(schedule.at(t).snr, batch.snr.flatten())


def test_coefficients_are_float64(schedule):
    """Coefficients are float64 for motions of any dtype; the motion keeps its own."""
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(2, 3, dtype=dtype)
        t = torch.tensor([1, 1000])
        assert all(value.dtype == torch.float64 for value in (*schedule.at(t, x), *schedule.posterior(t, t - 1, x)))
        for time in (t, 7):
            assert schedule.add_noise(x, x, time).dtype == dtype


def test_custom_schedules_work():
    """Any curve defines a schedule."""
    own = from_curve("own", lambda u: linear(100).curve(0.5 * u), 500)
    close(own.alpha[1:], linear(100).curve(torch.arange(1, 501).double() / 1000).alpha, 1e-7)
