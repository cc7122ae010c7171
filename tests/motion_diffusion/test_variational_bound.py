"""For Gaussian data and the best denoiser the bound is known. It is quadratic in x0 and in every draw of noise, so its
expectation is the sum over three Gauss-Hermite nodes each: exact, and no random number is drawn."""

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from motion_diffusion.diffusion.samplers import clip, with_hook
from motion_diffusion.diffusion.schedule import cosine, linear
from motion_diffusion.diffusion.variance import log_variance
from motion_diffusion.diffusion.variational_bound import (
    bound_term,
    discretised_nll,
    gaussian_kl,
    gaussian_nll,
    prior_term,
    variational_bound,
)
from motion_diffusion.errors import InputError

NODES = torch.tensor([-(3**0.5), 0.0, 3**0.5], dtype=torch.float64)
X0, EPS = (grid.reshape(9, 1) for grid in torch.meshgrid(NODES, NODES, indexing="ij"))
SHARE = torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64) / 6
SHARE = (SHARE[:, None] * SHARE).flatten()


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def expected_bound(denoise, schedule, times, mean=0.0, std=1.0):
    """Its mean over data N(mean, std²) and all noise, and the bound of each node."""
    bound = variational_bound(denoise, mean + std * X0, schedule, times, noise=lambda: EPS)
    return (SHARE * bound.total).sum().item(), bound


def entropy(std):
    return 0.5 * math.log(2 * math.pi * math.e * std**2)


@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_bound_of_the_best_denoiser_is_the_entropy(any_schedule, gaussian, steps):
    """For data with the unit variance of the prior the bound with the best variance has no gap at all."""
    denoise = gaussian(any_schedule, 0.0, 1.0, "best")
    assert expected_bound(denoise, any_schedule, any_schedule.times(steps))[0] == pytest.approx(entropy(1.0), abs=1e-8)


@pytest.mark.parametrize("steps", [1, 50])
def test_bound_includes_the_prior_divergence(any_schedule, gaussian, steps):
    """For other data the gap is KL(q(x_T) ‖ p(x_T)) for every chain. It is zero where q(x_T) is independent of the
    data.
    """
    mean, std = 0.3, 0.4
    alpha, sigma = any_schedule.row(1000)
    q = Normal(torch.tensor(alpha * mean, dtype=torch.float64), (alpha**2 * std**2 + sigma**2) ** 0.5)
    gap = kl_divergence(q, Normal(0.0, torch.tensor(alpha**2 + sigma**2, dtype=torch.float64).sqrt())).item()
    denoise, times = gaussian(any_schedule, mean, std, "best"), any_schedule.times(steps)
    bound, _ = expected_bound(denoise, any_schedule, times, mean, std)
    assert bound == pytest.approx(entropy(std) + gap, abs=1e-8)
    if any_schedule.name in ("cosine", "rectified"):
        assert bound == pytest.approx(entropy(std), abs=1e-8)


@pytest.mark.parametrize("schedule", [cosine(1000), linear(1000)], ids=lambda schedule: schedule.name)
def test_gap_of_fixed_variances(schedule, gaussian):
    """On unit variance data at 1000 steps: β̃ costs about half a nat. β is the best variance there, also
    in the last step, where Ho et al. put β̃_2 in its place at the price of another 0.12 nats."""
    gaps = {
        variance: expected_bound(gaussian(schedule, 0.0, 1.0, variance), schedule, schedule.times(1000))[0] - entropy(1)
        for variance in ("small", "large")
    }
    assert 0.53 < gaps["small"] < 0.58
    assert gaps["large"] == pytest.approx(0, abs=1e-8)
    borrowed, own = schedule.posterior(2, 1).variance, schedule.posterior(1, 0).step_variance
    assert 0.11 < 0.5 * (math.log(borrowed / own) + own / borrowed - 1) < 0.13


def test_prior_term_is_small(gaussian):
    """Its mean over N(0, 1) data."""
    for schedule, expected in ((linear(1000), 2e-5), (cosine(1000), 1.2e-9)):
        term = (SHARE * prior_term(X0, schedule).flatten()).sum().item()
        assert term == pytest.approx(expected, rel=0.05)


def test_prior_term_is_a_kl_divergence(any_schedule):
    """With its direction."""
    x0 = normal(4, 3)
    alpha, sigma = (torch.tensor(v, dtype=torch.float64) for v in any_schedule.row(1000))
    q, p = Normal(alpha * x0, sigma.expand(4, 3)), Normal(torch.zeros(4, 3).double(), (alpha**2 + sigma**2).sqrt())
    close(prior_term(x0, any_schedule), kl_divergence(q, p))


def test_kl_and_nll_match_torch():
    """Q and p are not exchangeable."""
    mean_q, log_var_q, mean_p, log_var_p = normal(4, 100)
    q, p = Normal(mean_q, (0.5 * log_var_q).exp()), Normal(mean_p, (0.5 * log_var_p).exp())
    close(gaussian_kl(mean_q, log_var_q, mean_p, log_var_p), kl_divergence(q, p))
    assert not torch.allclose(kl_divergence(q, p), kl_divergence(p, q), atol=0.1)
    close(gaussian_nll(mean_q, mean_p, log_var_p), -p.log_prob(mean_q))


@pytest.mark.parametrize(("t", "s"), [(1000, 999), (1000, 500), (500, 480), (2, 1)])
def test_terms_are_kl_divergences(any_schedule, t, s):
    """KL(q(x_s | x_t, x0) ‖ p(x_s | x_t)) for any p; and for s = 0 the density of x0."""
    x0, x_t, x0_hat, log_var = normal(4, 5, 3)
    A, B, variance, _ = any_schedule.posterior(t, s)
    q = Normal(A * x_t + B * x0, torch.full_like(x0, variance**0.5))
    p = Normal(A * x_t + B * x0_hat, (0.5 * log_var).exp())
    close(bound_term(x0, x_t, x0_hat, log_var, any_schedule, t, s), kl_divergence(q, p))
    last = Normal(x0_hat, (0.5 * log_var).exp())
    close(bound_term(x0, x_t, x0_hat, log_var, any_schedule, t, 0), -last.log_prob(x0))


def test_int_and_tensor_times_agree(any_schedule):
    """Ints and (B,) times, also with s = 0 among them, and in the type of the motion."""
    steps = [(1000, 999), (1, 0), (500, 480), (20, 0)]
    x0, x_t, x0_hat, log_var = normal(4, 4, 2, 3)
    together = bound_term(x0, x_t, x0_hat, log_var, any_schedule, *torch.tensor(steps).T)
    for i, step in enumerate(steps):
        alone = bound_term(*(v[i : i + 1] for v in (x0, x_t, x0_hat, log_var)), any_schedule, *step)
        close(alone[0], together[i], 1e-12)
    for dtype in (torch.float32, torch.float64):
        values = [v.to(dtype) for v in (x0, x_t, x0_hat, log_var)]
        assert bound_term(*values, any_schedule, *torch.tensor(steps).T).dtype == dtype
        assert bound_term(*values, any_schedule, 5, 4).dtype == prior_term(values[0], any_schedule).dtype == dtype


@pytest.mark.parametrize("name", ["fixed-small", "learned-range"])
def test_gradients_are_finite_at_every_t(any_schedule, name):
    t = torch.arange(1, 1001)
    x0, x_t, x0_hat, w = normal(4, 1000, 1, 1)
    x0_hat.requires_grad_()
    w.requires_grad_()
    log_var = log_variance(name, w, any_schedule, t, t - 1, x0)
    bound_term(x0, x_t, x0_hat, log_var, any_schedule, t, t - 1).sum().backward()
    assert x0_hat.grad.isfinite().all()
    if name == "learned-range":
        assert w.grad.isfinite().all()
        assert (w.grad != 0).all()


@pytest.mark.parametrize("std", [1e-3, 0.02, 0.5, 10.0])
@pytest.mark.parametrize("mean", [-1.3, -1.0, 0.004, 0.7])
def test_bin_probabilities_sum_to_one(mean, std):
    """Over all values, with open ends, and over the whole line without limits."""
    width = 1 / 50
    values = torch.arange(-50, 51, dtype=torch.float64) * width
    mean, log_var = torch.tensor(mean, dtype=torch.float64), torch.tensor(2 * math.log(std), dtype=torch.float64)
    inside = discretised_nll(values, mean, log_var, width, (-1.0, 1.0))
    assert (-inside).exp().sum().item() == pytest.approx(1, abs=1e-6)
    line = torch.arange(-4000, 4001, dtype=torch.float64) * width
    assert (-discretised_nll(line, mean, log_var, width)).exp().sum().item() == pytest.approx(1, abs=1e-6)
    p = Normal(mean, std)
    exact = p.cdf(values + width / 2) - p.cdf(values - width / 2)
    close((-discretised_nll(values, mean, log_var, width)).exp(), exact, 1e-12)


def test_bin_probabilities_are_accurate_in_the_tails():
    """In the tails the probability is that of the density, where a difference of two values of Φ would be zero."""
    x, log_var = torch.tensor([-30.0, -9.0, 9.0, 30.0], dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    nll = discretised_nll(x, torch.zeros(4, dtype=torch.float64), log_var, 1e-6)
    close(nll, gaussian_nll(x, torch.zeros(4, dtype=torch.float64), log_var) - math.log(1e-6), 1e-6)


def test_narrow_bins_approach_the_density(gaussian):
    """A code length is the bound of the density minus the log of the bin's width, in bits if one asks for bits."""
    schedule, x0 = cosine(50), normal(3, 4)
    draws = [normal(3, 4, seed=1) for _ in range(20)]
    plain, binned = (
        variational_bound(
            gaussian(schedule, 0, 1, "best"), x0, schedule, schedule.times(20), noise=iter(draws).__next__, **k
        )
        for k in ({}, {"bin_width": 1e-4})
    )
    close(binned.total, plain.total - math.log(1e-4), 1e-6)
    close(binned.bits, binned.total / math.log(2), 1e-12)


def test_rate_and_distortion(gaussian):
    """The rate grows, the distortion falls; the rate before the last term is the bound without it."""
    schedule = cosine(200)
    _, bound = expected_bound(gaussian(schedule, 0.0, 1.0, "best"), schedule, schedule.times(200))
    rate, distortion = bound.rate_distortion()
    assert (rate.diff() > 0).all()
    assert bound.times == list(range(200, 0, -1))
    close(rate[-1], (bound.total - bound.terms[:, -1]).mean())
    close(rate[0], bound.prior.mean())
    errors = (SHARE[:, None] * bound.x0_errors).sum(0)
    level = schedule.at(torch.arange(200, 0, -1))
    close(errors, level.sigma**2, 1e-9)  # Var[x0 | x_t] of N(0, 1)
    close(distortion, bound.x0_errors.mean(0).sqrt(), 1e-12)


def test_rate_distortion_of_gaussian_data(any_schedule, gaussian):
    """For Gaussian data the terms down to t are ½·log(Var[x0]/Var[x0 | x_t]): the rate-distortion function itself."""
    std = 0.6
    _, bound = expected_bound(gaussian(any_schedule, 0.0, std, "best"), any_schedule, any_schedule.times(100), 0.0, std)
    terms = (SHARE[:, None] * bound.terms).sum(0)
    for i, (t, s) in enumerate(pairwise(any_schedule.times(100))):
        if s == 0:
            break
        left, after = (std**2 * b**2 / (a**2 * std**2 + b**2) for a, b in (any_schedule.row(t), any_schedule.row(s)))
        assert terms[i].item() == pytest.approx(0.5 * math.log(left / after), abs=1e-8)


def test_padding_has_no_influence(gaussian):
    schedule, x0 = cosine(50), normal(2, 6, 3)
    z = normal(2, 6, 3, seed=1)
    frames = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    run = dict(schedule=schedule, times=schedule.times(10))
    denoise = gaussian(schedule, 0.0, 1.0, "large")
    padded = variational_bound(denoise, x0, noise=lambda: z, frames=frames, **run)
    cut = variational_bound(denoise, x0[1:, :4], noise=lambda: z[1:, :4], **run)
    close(padded.total[1:], cut.total, 1e-12)
    close(padded.x0_errors[1:], cut.x0_errors, 1e-12)
    x0[1, 4:] = 1e6
    assert torch.equal(variational_bound(denoise, x0, noise=lambda: z, frames=frames, **run).total, padded.total)


def test_clipping_does_not_increase_the_bound(gaussian):
    """The bound is that of the given denoiser: clipping to the range of the data lowers it or leaves it unchanged."""
    schedule = linear(100)
    x0 = normal(1, 400).clamp(-1, 1)
    z = normal(1, 400, seed=1)
    denoise = gaussian(schedule)
    plain, clipped = (
        variational_bound(either, x0, schedule, schedule.times(100), noise=lambda: z).total
        for either in (denoise, with_hook(denoise, clip(torch.tensor(1.0, dtype=torch.float64)), schedule))
    )
    assert clipped < plain


def test_progress_is_reported(gaussian):
    schedule, seen = cosine(30), []
    variational_bound(gaussian(schedule), X0, schedule, schedule.times(4), noise=lambda: EPS, on_step=seen.append)
    assert seen == schedule.times(4)[:-1]


@pytest.mark.parametrize("times", [[30], [], [29, 0], [30, 10, 1]])
def test_invalid_chains_are_refused(gaussian, times):
    with pytest.raises(InputError, match="chain from T = 30 to 0"):
        variational_bound(gaussian(cosine(30)), X0, cosine(30), times, noise=lambda: EPS)
