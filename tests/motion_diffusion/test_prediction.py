import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_diffusion.diffusion.prediction import MAX_NOISE_RATIO, PREDICTIONS, Prediction
from motion_diffusion.diffusion.schedule import SCHEDULES, Level, cosine, linear, rectified
from motion_diffusion.errors import InputError

T = 1000
EVERY = torch.arange(1, T + 1)
on_the_circle = pytest.mark.parametrize("schedule", [cosine(T), linear(T)], ids=lambda schedule: schedule.name)


def close(actual, expected, tolerance, relative=0.0):
    torch.testing.assert_close(actual, expected.expand_as(actual), atol=tolerance, rtol=relative)


def noisy(schedule, t):
    """x0, ε, x_t and the level at times t (B,): two numbers for each."""
    x0, eps = torch.randn(2, len(t), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    level = schedule.at(t, x0)
    return x0, eps, level.alpha * x0 + level.sigma * eps, level


def known(schedule):
    """Times at which no quantity is a tiny difference of large numbers, so that float64 keeps nine digits and more."""
    ratio = schedule.alpha[1:] / schedule.sigma[1:]
    return EVERY[(ratio > 2e-3) & (ratio < 500)]


def test_target_follows_the_row(pair):
    """y = p·x0 + q·ε is inverted to x0 and ε."""
    prediction, schedule = pair
    x0, eps, x_t, level = noisy(schedule, known(schedule))
    p, q = prediction.row(level)
    y = prediction.target(x0, eps, level)
    close(y, p * x0 + q * eps, 1e-10)
    close(prediction.to_x0(y, x_t, level), x0, 1e-10)
    close(prediction.to_eps(y, x_t, level), eps, 1e-10)


def test_round_trip_through_every_other_type(pair):
    """y → (x0, ε) → y' → (x0, ε) → y."""
    prediction, schedule = pair
    x0, eps, x_t, level = noisy(schedule, known(schedule))
    y = prediction.target(x0, eps, level)
    for other in PREDICTIONS.values():
        z = other.target(prediction.to_x0(y, x_t, level), prediction.to_eps(y, x_t, level), level)
        back = prediction.target(other.to_x0(z, x_t, level), other.to_eps(z, x_t, level), level)
        close(back, y, 1e-9, 1e-9)
        close(z, other.target(x0, eps, level), 1e-9, 1e-9)


finite = st.floats(-5, 5)
positive = st.floats(0.1, 5)


@given(st.tuples(finite, finite), st.tuples(positive, positive), st.tuples(finite, finite))
def test_any_row_defines_a_type(row, level, numbers):
    """For arbitrary rows and levels: the 2 × 2 system is solved, not looked up."""
    alpha, sigma = level
    own, level = Prediction("own", lambda level: row), Level(alpha, sigma, 0.0, 0.0, 0.0, 1.0)
    if abs(alpha * row[1] - sigma * row[0]) < 0.1:
        return
    x0, eps = torch.tensor(numbers, dtype=torch.float64)
    x_t, y = alpha * x0 + sigma * eps, own.target(x0, eps, level)
    close(own.to_x0(y, x_t, level), x0, 1e-9)
    close(own.to_eps(y, x_t, level), eps, 1e-9)


def test_estimates_are_consistent(pair):
    """α·x̂0 + σ·ε̂ = x_t for any y, not only for the target."""
    prediction, schedule = pair
    _, y, x_t, level = noisy(schedule, known(schedule))
    y = y * prediction.size(level)
    close(level.alpha * prediction.to_x0(y, x_t, level) + level.sigma * prediction.to_eps(y, x_t, level), x_t, 1e-9)


@on_the_circle
def test_velocity_is_v_times_angular_speed(schedule):
    """U = φ̇·v with the angle φ of (α, σ); and EDM's F (σ_data = 1), given by its row, is −v."""
    x0, eps, _, level = noisy(schedule, EVERY)
    v = PREDICTIONS["v"].target(x0, eps, level)
    turn = level.alpha * level.d_sigma - level.sigma * level.d_alpha
    close(PREDICTIONS["velocity"].target(x0, eps, level) / turn, v, 1e-10)
    phi = torch.atan2(schedule.sigma, schedule.alpha)
    middle = turn.flatten()[49:949]
    tolerance = 1e-3 if schedule.name == "cosine" else 0.02  # linear: its curve is the limit of T → ∞
    close((phi[51:951] - phi[49:949]) * T / 2, middle, 0, tolerance)  # φ̇ itself, by differences
    edm = Prediction("F", lambda level: (level.sigma, -level.alpha))
    close(edm.target(x0, eps, level), -v, 1e-12)


def test_rectified_velocity_is_noise_minus_motion():
    x0, eps, _, level = noisy(rectified(T), EVERY)
    close(PREDICTIONS["velocity"].target(x0, eps, level), eps - x0, 1e-12)
    assert PREDICTIONS["velocity"].weight(level).flatten()[-1] == 1


def test_velocity_is_the_derivative_of_x_t(any_schedule):
    """d x_t / du at fixed (x0, ε), by differences on the curve."""
    u, h = torch.linspace(0.02, 0.98, 49, dtype=torch.float64), 1e-5
    x0, eps = torch.randn(2, 49, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ahead, behind = any_schedule.curve(u + h), any_schedule.curve(u - h)
    slope = ((ahead.alpha - behind.alpha) * x0 + (ahead.sigma - behind.sigma) * eps) / (2 * h)
    level = Level(*any_schedule.curve(u), A=0.0, B=1.0)
    close(PREDICTIONS["velocity"].target(x0, eps, level), slope, 1e-5, 1e-6)


def test_score_is_the_gradient_of_the_log_density(any_schedule):
    """∇ log q(x_t | x0), by automatic differentiation."""
    x0, eps, x_t, level = noisy(any_schedule, EVERY)
    x_t.requires_grad_()
    density = torch.distributions.Normal(level.alpha * x0, level.sigma).log_prob(x_t)
    (gradient,) = torch.autograd.grad(density.sum(), x_t)
    close(PREDICTIONS["score"].target(x0, eps, level), gradient, 0, 1e-9)


def test_mu_is_the_posterior_mean(any_schedule):
    x0, eps, x_t, level = noisy(any_schedule, EVERY)
    A, B, _, _ = any_schedule.posterior(EVERY, EVERY - 1, x0)
    close(PREDICTIONS["mu"].target(x0, eps, level), A * x_t + B * x0, 1e-11)


def test_weight_relates_errors_of_y_and_x0(pair):
    """‖ŷ − y‖² = (D/σ)²·‖x̂0 − x0‖², measured by moving y."""
    prediction, schedule = pair
    x0, eps, x_t, level = noisy(schedule, known(schedule))
    y, size = prediction.target(x0, eps, level), prediction.size(level)
    moved = prediction.to_x0(y + size, x_t, level)
    close(prediction.weight(level) * (moved - x0).square() / size**2, torch.ones_like(x0), 1e-9)


def test_weights_by_name(any_schedule):
    """The table: x0 1, ε SNR, score SNR/σ², v N²/σ², velocity W²/σ², μ B²; v: SNR + 1 where N = 1."""
    level = any_schedule.at(EVERY[:-1])
    alpha, sigma, d_alpha, d_sigma, _, B = level
    N, W = alpha**2 + sigma**2, alpha * d_sigma - sigma * d_alpha
    expected = {
        "x0": torch.ones_like(alpha),
        "eps": level.snr,
        "score": level.snr / sigma**2,
        "v": N**2 / sigma**2,
        "velocity": W**2 / sigma**2,
        "mu": B**2,
    }
    for name, weight in expected.items():
        close(PREDICTIONS[name].weight(level), weight, 0, 1e-9)
    if any_schedule.name in ("cosine", "linear"):
        close(PREDICTIONS["v"].weight(level), level.snr + 1, 0, 1e-9)


def test_mean_coefficients_give_the_posterior_mean(pair):
    """c_x·x_t + c_y·y = A·x_t + B·x0 for steps to any s."""
    prediction, schedule = pair
    t, s = torch.tensor([[1000, 999, 500, 2, 20, 1000], [980, 500, 499, 1, 0, 0]])
    x0, eps, x_t, level = noisy(schedule, t)
    A, B, _, _ = schedule.posterior(t, s, x0)
    c_x, c_y = prediction.mean_coefficients(level, A, B)
    y = prediction.target(x0, eps, level)
    close(c_x * x_t + c_y * y, A * x_t + B * x0, 1e-9)


def coefficients(schedule, name):
    """(c_x, c_y) of the single steps at every t."""
    level = schedule.at(EVERY)
    return PREDICTIONS[name].mean_coefficients(level, level.A, level.B)


@on_the_circle
def test_coefficients_in_closed_form(schedule):
    """And the gains on x_t of ε and v are reciprocal."""
    level = schedule.at(EVERY)
    beta = schedule.posterior(EVERY, EVERY - 1).step_variance
    a, alpha_s = (1 - beta).sqrt(), schedule.alpha[:-1]
    sigma, sigma_s = level.sigma, schedule.sigma[:-1]
    expected = {
        "x0": (a * sigma_s**2 / sigma**2, alpha_s * beta / sigma**2),
        "eps": (1 / a, -beta / (a * sigma)),
        "score": (1 / a, beta / a),
        "v": (a, -alpha_s * beta / sigma),
        "mu": (torch.zeros_like(a), torch.ones_like(a)),
    }
    for name, (c_x, c_y) in expected.items():
        close(coefficients(schedule, name)[0], c_x, 1e-12, 1e-10)
        close(coefficients(schedule, name)[1], c_y, 1e-12, 1e-10)
    close(coefficients(schedule, "eps")[0] * coefficients(schedule, "v")[0], torch.ones_like(a), 1e-12)


@on_the_circle
def test_coefficients_cross_at_known_noise_levels(schedule):
    """X0 and ε, v and the score count for as much at SNR = 1; x0 and the score at α = σ² = 0.618…"""
    c = {name: coefficients(schedule, name)[1].abs() for name in PREDICTIONS}
    level = schedule.at(EVERY)
    signal, golden = level.snr > 1, level.alpha > (math.sqrt(5) - 1) / 2
    assert torch.equal(c["x0"] > c["eps"], signal)
    assert torch.equal(c["v"] > c["score"], signal)
    assert torch.equal(c["x0"] > c["score"], golden)
    assert (int(signal.sum()), int(golden.sum())) == ((496, 572) if schedule.name == "cosine" else (259, 306))


def test_sum_of_v_coefficients_is_twice_the_angle():
    """Σ|c_v| → 2·φ_T, π on a schedule that ends in noise."""
    for schedule in (cosine(100_000), linear(100_000)):
        level = schedule.at(torch.arange(1, schedule.T + 1))
        total = PREDICTIONS["v"].mean_coefficients(level, level.A, level.B)[1].abs().sum().item()
        alpha, sigma = schedule.row(schedule.T)
        assert total == pytest.approx(2 * math.atan2(sigma, alpha), abs=2e-3)


def test_flow_is_the_same_for_all_types(pair):
    """dx/du = f_x·x + f_y·y is α̇·x0 + σ̇·ε for every type."""
    prediction, schedule = pair
    x0, eps, x_t, level = noisy(schedule, known(schedule))
    f_x, f_y = prediction.flow_coefficients(level)
    flow = level.d_alpha * x0 + level.d_sigma * eps
    close(f_x * x_t + f_y * prediction.target(x0, eps, level), flow, 1e-9, 1e-8)


def test_flow_of_v_is_a_rotation():
    """On variance-preserving schedules dx = v·dφ; the velocity is its own flow on all."""
    level = cosine(T).at(EVERY)
    f_x, f_y = PREDICTIONS["v"].flow_coefficients(level)
    close(f_x, torch.zeros(T, dtype=torch.float64), 1e-9)
    close(f_y, level.alpha * level.d_sigma - level.sigma * level.d_alpha, 1e-9)
    f_x, f_y = PREDICTIONS["velocity"].flow_coefficients(level)
    close(f_x, torch.zeros(T, dtype=torch.float64), 1e-9)
    close(f_y, torch.ones(T, dtype=torch.float64), 1e-9)


def test_size_is_the_rms_of_the_target(pair):
    """On data of unit variance: the mean square over the nodes (±1, ±1) of (x0, ε)."""
    prediction, schedule = pair
    x0 = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    eps = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    for t in (1, 500, 1000):
        level = schedule.at(t)
        assert prediction.target(x0, eps, level).square().mean().sqrt().item() == pytest.approx(prediction.size(level))


def test_sampling_starts_at_the_maximum_noise_ratio(any_schedule):
    """For noise alone σ/α, by which x̂0 multiplies its errors, is as large as it may be; the others begin at T."""
    ratio = any_schedule.sigma[1:] / any_schedule.alpha[1:]
    for name, prediction in PREDICTIONS.items():
        first = prediction.first(any_schedule)
        if name in ("eps", "score") or (name, any_schedule.name) == ("velocity", "variance-exploding"):
            assert (ratio[:first] <= MAX_NOISE_RATIO).all()
            assert (ratio[first:] > MAX_NOISE_RATIO).all()
        else:
            assert first == T


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noise_predictions_are_refused_at_pure_noise(name, schedule):
    """At α = 0 only ε and the score do not determine x0; everything else is regular."""
    schedule, prediction = SCHEDULES[schedule](T), PREDICTIONS[name]
    if schedule.name == "rectified" and name in ("eps", "score"):
        for check in (lambda: prediction.check(schedule), lambda: prediction.weight(schedule.at(EVERY))):
            with pytest.raises(InputError, match=f"{name} says nothing of the motion where alpha = 0; predict v"):
                check()
        return
    prediction.check(schedule)
    x0, eps, x_t, level = noisy(schedule, EVERY[-1:])
    close(prediction.to_x0(prediction.target(x0, eps, level), x_t, level), x0, 1e-9)


def test_text_guidance_is_the_same_for_all_types(pair):
    """Y₀ + w·(y₁ − y₀) implies x0₀ + w·(x0₁ − x0₀); w = 0 and 1 are the two, and w is linear."""
    prediction, schedule = pair
    none, eps, x_t, level = noisy(schedule, known(schedule))
    text = none + eps.sin()
    y = [prediction.target(x0, (x_t - level.alpha * x0) / level.sigma, level) for x0 in (none, text)]
    for w in (0.0, 1.0, 2.5, -1.0):
        x0 = prediction.to_x0(y[0] + w * (y[1] - y[0]), x_t, level)
        close(x0, none + w * (text - none), 1e-9, 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coefficients_keep_the_dtype(pair, dtype):
    """No float64 becomes float32, nor the reverse; an int and a tensor of times agree."""
    prediction, schedule = pair
    tight = 1e-4 if dtype == torch.float32 else 1e-11
    x0, eps, x_t = torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for t in (1, 300, 1000):
        numbers, tensors, scalars = (schedule.at(when, x0) for when in (t, torch.tensor([t, t]), torch.tensor(t)))
        for f, values in (
            (prediction.target, (x0, eps)),
            (prediction.to_x0, (x0, x_t)),
            (prediction.to_eps, (x0, x_t)),
        ):
            result = f(*values, numbers)
            assert result.dtype == dtype
            torch.testing.assert_close(result, f(*values, tensors), rtol=tight, atol=tight)
            torch.testing.assert_close(result, f(*values, scalars), rtol=tight, atol=tight)


def test_float32_matches_float64(pair):
    """Rounding costs about 1e-7 of the numbers, times how much the type amplifies an error of y."""
    prediction, schedule = pair
    x0, eps, x_t, level = noisy(schedule, EVERY)
    y = prediction.target(x0, eps, level)
    error = prediction.to_x0(y.float(), x_t.float(), level).double() - x0
    gain = prediction.size(level) / prediction.weight(level).sqrt()
    assert (error.abs() < 2e-6 * (1 + gain)).all()
