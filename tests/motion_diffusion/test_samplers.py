"""Samplers on Gaussian data, or a mixture of two: the optimal denoiser is known in closed form, samplers are affine in
all their inputs, and means and variances of their results are exact, without any random number.
"""

import inspect
import math
from functools import partial
from itertools import pairwise, product

import pytest
import torch

from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.samplers import (
    SAMPLERS,
    Estimate,
    ancestral,
    clip,
    ddim,
    ddim_inversion,
    dpm_solver,
    dynamic_threshold,
    estimate_from_x0,
    heun,
    with_hook,
)
from motion_diffusion.diffusion.schedule import Point, cosine, from_curve, linear, rectified
from motion_diffusion.errors import InputError

MEAN, STD = 0.7, 0.4
SCHEDULE = cosine(1000)


@pytest.fixture(params=list(SAMPLERS))
def sampler(request):
    return SAMPLERS[request.param]


def source(seed, *shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


def close(actual, expected, tolerance, relative=0.0):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=relative)


def marginal(schedule, t, mean, std):
    """Mean and variance of x_t."""
    alpha, sigma = schedule.row(t)
    return alpha * mean, (alpha * std) ** 2 + sigma**2


def flow(schedule, t, s, mean, std, x):
    """Where the probability flow takes x from t to s: it keeps the distance to the mean in standard deviations."""
    (m_t, v_t), (m_s, v_s) = (marginal(schedule, time, mean, std) for time in (t, s))
    return m_s + (x - m_t) * (v_s / v_t) ** 0.5


def predicting(prediction, schedule, belief, dtype=torch.float64):
    """The denoiser of a network of type `prediction` whose x̂0 is that of `belief`, with outputs in dtype."""

    def denoise(x, t, s):
        level, x0 = schedule.at(t), belief(x, t, s).x0
        y = prediction.target(x0, (x - level.alpha * x0) / level.sigma, level)
        return estimate_from_x0(prediction.to_x0(y.to(dtype).to(x), x, level), x, t, schedule)

    return denoise


# -- one mathematics, whatever is predicted --------------------------------------------------------------------------


def test_all_prediction_types_give_the_same_sample(pair, gaussian):
    """For the same noise, with every sampler."""
    prediction, schedule = pair
    belief = gaussian(schedule, MEAN, STD)
    x = source(0, 5)() * sum(v**2 for v in schedule.row(1000)) ** 0.5
    samples = [
        torch.stack(
            [
                sampler(denoise, x, schedule, schedule.times(steps), noise=source(1, 5))
                for sampler in SAMPLERS.values()
                for steps in (1, 12)
            ]
        )
        for denoise in (belief, predicting(prediction, schedule, belief))
    ]
    close(*samples, 1e-9)


@pytest.mark.parametrize("stride", [1, 20, 250])
def test_unchanged_x0_gives_the_direct_formula(stride):
    """Until x̂0 is touched, ε → x̂0 → posterior is μ = (x − β·ε/σ)/√(1 − β), at every t, respaced or not
    (improved-diffusion, issue 64)."""
    for schedule in (cosine(1000), linear(1000)):
        for t in range(stride, 1001, stride):
            s, (alpha, sigma) = t - stride, schedule.row(t)
            x, eps = source(t, 2, 4)()
            a = alpha / schedule.row(s)[0]  # √(1 − β)
            denoise = eps_denoiser(eps, schedule)
            silent = lambda: torch.zeros(4, dtype=torch.float64)  # noqa: E731
            mu = ancestral(denoise, x, schedule, [t, s], noise=silent)
            direct = (x - (1 - a**2) * eps / sigma) / a
            close(mu, direct, 1e-9, 1e-11)
            close(
                ancestral(with_hook(denoise, lambda x0, t, s: x0, schedule), x, schedule, [t, s], noise=silent), mu, 0
            )


def eps_denoiser(eps, schedule):
    return lambda x, t, s: estimate_from_x0(PREDICTIONS["eps"].to_x0(eps, x, schedule.at(t)), x, t, schedule)


HOOKS = {
    "clip": clip(torch.tensor([0.3, 0.9, 0.1], dtype=torch.float64)),
    "threshold": dynamic_threshold(torch.tensor([0.3, 0.9, 0.1], dtype=torch.float64), 0.8),
    "projection": lambda x0, t, s: x0 - (x0 - 0.2).mean(-1, keepdim=True),
}


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_hook_moves_mean_and_noise(pair, gaussian, hook):
    """For every prediction type the mean moves by B·(new x̂0 − old), and ε̂ follows: α·x̂0 + σ·ε̂ = x."""
    prediction, schedule = pair
    denoise = predicting(prediction, schedule, gaussian(schedule, MEAN, STD))
    guided = with_hook(denoise, hook, schedule)
    silent = lambda: torch.zeros(2, 5, 3, dtype=torch.float64)  # noqa: E731
    for t, s in ((1000, 980), (999, 998), (500, 480), (40, 20), (20, 0), (1, 0)):
        (alpha, sigma), (alpha_s, sigma_s) = schedule.row(t), schedule.row(s)
        x = source(2, 2, 5, 3)() * math.hypot(alpha, sigma)
        plain, hooked = denoise(x, t, s), guided(x, t, s)
        moved = hook(plain.x0, t, s) - plain.x0
        assert moved.abs().max() > 0.1
        close(hooked.x0, plain.x0 + moved, 1e-12)
        close(alpha * hooked.x0 + sigma * hooked.eps, x, 1e-12, 1e-12)
        means = [ancestral(either, x, schedule, [t, s], noise=silent) for either in (denoise, guided)]
        close(means[1] - means[0], schedule.posterior(t, s).B * moved, 1e-12, 1e-12)
        steps = [ddim(either, x, schedule, [t, s]) for either in (denoise, guided)]
        close(steps[1] - steps[0], (alpha_s - alpha * sigma_s / sigma) * moved, 1e-12, 1e-12)


def test_hook_keeps_the_variance():
    denoise = with_hook(lambda x, t, s: Estimate(x, x, 0.3), clip(torch.tensor(1.0)), SCHEDULE)
    assert denoise(torch.ones(2), 5, 4).variance == 0.3


def test_a_hook_that_changes_nothing_keeps_noise_that_was_replaced():
    """Methods inside may renew noise or move x_t; what is outside keeps the pair, and moves it along α·x0 + σ·ε̂."""
    inner = Estimate(torch.tensor([1.0, 2.0]), torch.tensor([5.0, -3.0]))
    kept = with_hook(lambda x, t, s: inner, lambda x0, t, s: x0, SCHEDULE)(torch.zeros(2), 500, 480)
    assert torch.equal(kept.eps, inner.eps)
    moved = with_hook(lambda x, t, s: inner, lambda x0, t, s: x0 + 1, SCHEDULE)(torch.zeros(2), 500, 480)
    alpha, sigma = SCHEDULE.row(500)
    torch.testing.assert_close(alpha * moved.x0 + sigma * moved.eps, alpha * inner.x0 + sigma * inner.eps)


def test_clip_and_threshold():
    bound = torch.tensor([1.0, 2.0], dtype=torch.float64)
    within = torch.tensor([[[0.5, -1.9], [-1.0, 0.3]]], dtype=torch.float64)
    for hook in (clip(bound), dynamic_threshold(bound)):
        assert torch.equal(hook(within, 5, 4), within)
    large = torch.cat([within, 4 * within])
    close(clip(bound)(large, 5, 4)[1], torch.tensor([[1.0, -2.0], [-1.0, 1.2]], dtype=torch.float64), 1e-12)
    shrunk = dynamic_threshold(bound, quantile=1.0)(large, 5, 4)
    close(shrunk[0], within[0], 0)  # a motion's neighbours do not count
    close(shrunk[1], within[0], 1e-12)  # as a whole: 4 times as large as the bound, and now just within


# -- samplers of one family ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [5, 333])
def test_equivalent_samplers_agree(any_schedule, gaussian, steps):
    """DDPM with β̃, DDIM with η = 1, the Euler-ancestral method on (x/α, σ/α), and SDE-DPM-Solver++ of first order in
    log α/σ, the last two implemented from their papers; with the same noise.
    """
    schedule, denoise = any_schedule, gaussian(any_schedule, MEAN, STD)
    times = [round(999 * (1 - i / steps)) for i in range(steps + 1)]
    start = source(0, 4)() * sum(v**2 for v in schedule.row(999)) ** 0.5

    def euler_ancestral(noise):
        z = start / schedule.row(999)[0]
        for t, s in pairwise(times):
            (alpha, sigma), (alpha_s, sigma_s) = schedule.row(t), schedule.row(s)
            level, below = sigma / alpha, sigma_s / alpha_s
            up = (below**2 * (level**2 - below**2) / level**2) ** 0.5
            down = (below**2 - up**2) ** 0.5
            z = z + (z - denoise(alpha * z, t, s).x0) / level * (down - level)
            if s > 0:
                z = z + up * noise()
        return z

    def sde_solver(noise):
        x = start
        for t, s in pairwise(times):
            (alpha, sigma), (alpha_s, sigma_s) = schedule.row(t), schedule.row(s)
            shrink = alpha / sigma * sigma_s / alpha_s  # e^(−h)
            x = sigma_s / sigma * shrink * x + alpha_s * (1 - shrink**2) * denoise(x, t, s).x0
            if s > 0:
                x = x + sigma_s * (1 - shrink**2) ** 0.5 * noise()
        return x

    expected = ancestral(denoise, start, schedule, times, noise=source(1, 4))
    run = dict(eta=1.0, noise=source(1, 4))
    close(ddim(denoise, start, schedule, times, **run), expected, 1e-10)
    close(dpm_solver(denoise, start, schedule, times, eta=1.0, order=1, noise=source(1, 4)), expected, 1e-10)
    close(euler_ancestral(source(1, 4)), expected, 1e-10)
    close(sde_solver(source(1, 4)), expected, 1e-10)


@pytest.mark.parametrize("steps", [1, 5, 333])
def test_samplers_match_k_diffusion(any_schedule, gaussian, steps):
    """K-diffusion's loops, written for x/α and σ/α (Karras et al. 2022, algorithm 1 of first order; Lu et al. 2022,
    algorithm 2), are DDIM and DPM-Solver++(2M), from a time with α > 0.
    """
    schedule, denoise = any_schedule, gaussian(any_schedule, MEAN, STD)
    times = [round(999 * (1 - i / steps)) for i in range(steps + 1)]
    start = source(0, 4)() * sum(v**2 for v in schedule.row(999)) ** 0.5
    euler = multistep = start / schedule.row(999)[0]
    old, last_h = None, None
    for t, s in pairwise(times):
        (alpha, sigma), (alpha_s, sigma_s) = schedule.row(t), schedule.row(s)
        level, below = sigma / alpha, sigma_s / alpha_s
        euler = euler + (euler - denoise(alpha * euler, t, s).x0) / level * (below - level)
        x0 = denoise(alpha * multistep, t, s).x0
        h = math.log(level / below) if s > 0 else math.inf
        carried = x0 if old is None or s == 0 else x0 + (x0 - old) * h / (2 * last_h)
        multistep = below / level * multistep - math.expm1(-h) * carried
        old, last_h = x0, h
    close(ddim(denoise, start, schedule, times), euler, 1e-9)
    close(dpm_solver(denoise, start, schedule, times), multistep, 1e-9)


def test_eta_scales_the_standard_deviation(any_schedule, gaussian):
    """Song et al. 2021, eq. 16: σ = η·√β̃; azula's share of the variance would be another sampler."""
    x, z = source(3, 2, 6)()
    for t, s in ((1000, 900), (500, 460), (3, 2)):
        posterior, (alpha_s, sigma_s) = any_schedule.posterior(t, s), any_schedule.row(s)
        estimate = gaussian(any_schedule, MEAN, STD)(x, t, s)
        for eta in (0.0, 0.3, 1.0):
            fresh = eta * posterior.variance**0.5
            step = ddim(gaussian(any_schedule, MEAN, STD), x, any_schedule, [t, s], eta=eta, noise=lambda: z)
            expected = alpha_s * estimate.x0 + (sigma_s**2 - fresh**2) ** 0.5 * estimate.eps + fresh * z
            close(step, expected, 1e-12)


def test_mean_of_a_step_is_the_posterior_mean(any_schedule, gaussian):
    x, zero = source(3, 10)(), torch.zeros(10, dtype=torch.float64)
    for t, s in ((1000, 999), (1000, 0), (500, 460), (2, 1)):
        A, B, _, _ = any_schedule.posterior(t, s)
        stepped = ancestral(gaussian(any_schedule, MEAN, STD), x, any_schedule, [t, s], noise=lambda: zero)
        close(stepped, A * x + B * gaussian(any_schedule, MEAN, STD)(x, t, s).x0, 1e-10, 1e-12)


def test_sample_is_the_last_estimate(any_schedule, gaussian, sampler):
    """Exactly, and without noise."""
    seen = []
    x = sampler(
        gaussian(any_schedule, MEAN, STD),
        source(0, 5)(),
        any_schedule,
        any_schedule.times(20),
        noise=source(1, 5),
        on_step=lambda t, estimate: seen.append((t, estimate.x0)),
    )
    assert [t for t, _ in seen] == any_schedule.times(20)[:-1]
    assert torch.equal(x, seen[-1][1])


def test_samples_and_estimates_are_finite(pair, gaussian):
    """With every sampler, at t = T, also where α_T = 0, at t = 1, and in one step."""
    prediction, schedule = pair
    denoise = predicting(prediction, schedule, gaussian(schedule, MEAN, STD))
    chains = ([1000, 0], [1000, 999, 0], [1000, 999, 998, 500, 3, 2, 1, 0], [1000, 1, 0])
    for (name, sampler), times in product(SAMPLERS.items(), chains):
        seen = []
        x = sampler(
            denoise,
            source(0, 3)(),
            schedule,
            times,
            noise=source(1, 3),
            on_step=lambda t, estimate, seen=seen: seen.append(torch.stack([estimate.x0, estimate.eps])),
        )
        assert len(seen) == len(times) - 1
        assert torch.stack([x, *torch.cat(seen)]).isfinite().all(), f"{name}, times {times}"


@pytest.mark.parametrize("steps", [1, 7, 333])
def test_denoiser_gets_the_original_times(any_schedule, gaussian, sampler, steps):
    """Respaced or not, the denoiser gets the original t and the time to step to."""
    asked = []

    def denoise(x, t, s):
        asked.append((t, s))
        return gaussian(any_schedule)(x, t, s)

    sampler(denoise, source(0, 2)(), any_schedule, any_schedule.times(steps), noise=source(1, 2))
    assert set(asked) == set(pairwise(any_schedule.times(steps)))
    assert asked[0][0] == any_schedule.T
    assert len(asked) == (2 * steps - 1 if sampler is heun else steps)


# -- exact means and variances ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3, 10, 1000])
def test_best_variance_reproduces_the_data(any_schedule, gaussian, moments, steps):
    """With β̃ + B²·Var[x0 | x_t], every x_s has the moments of the forward process, for any number of steps; the last
    step returns the mean and loses the remaining variance.
    """
    schedule, times = any_schedule, any_schedule.times(steps)
    denoise = gaussian(schedule, MEAN, STD, "best")
    start = marginal(schedule, 1000, MEAN, STD)
    for end in {times[(steps + 1) // 2], times[-2]} - {1000, 0}:
        chain = times[: times.index(end) + 1]
        assert moments(ancestral, denoise, schedule, chain, *start) == pytest.approx(
            marginal(schedule, end, MEAN, STD), rel=1e-9, abs=1e-9
        )
    mean, variance = moments(ancestral, denoise, schedule, times, *start)
    alpha, sigma = schedule.row(times[-2])
    lost = STD**2 * sigma**2 / (alpha**2 * STD**2 + sigma**2)
    assert (mean, variance + lost) == pytest.approx((MEAN, STD**2), rel=1e-9)


@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_fixed_variances_are_exact_in_their_limits(any_schedule, gaussian, moments, steps):
    """The small one where x0 is known (c = 0); the large one where the data have unit variance, on the
    circle, with σ of the first t lost in the last step: √(1 − β_1) of single steps."""
    times = any_schedule.times(steps)
    start = marginal(any_schedule, 1000, MEAN, 0.0)
    assert moments(ancestral, gaussian(any_schedule, MEAN, 0.0), any_schedule, times, *start) == pytest.approx(
        (MEAN, 0.0), rel=1e-9, abs=1e-9
    )
    if any_schedule.name in ("cosine", "linear"):
        mean, variance = moments(ancestral, gaussian(any_schedule, variance="large"), any_schedule, times, 0.0, 1.0)
        beta = any_schedule.posterior(times[-2], 0).step_variance
        assert (mean, variance) == pytest.approx((0.0, 1 - beta), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("steps", [10, 20, 50, 1000])
@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_ddim_shrinks_by_the_cosine_of_its_angle(name, steps, gaussian, moments):
    """On N(0, 1) a step of DDIM is a turn by Δφ of which the cosine is kept."""
    schedule = {"cosine": cosine, "linear": linear}[name](1000)
    times = schedule.times(steps)
    phi = torch.atan2(schedule.sigma, schedule.alpha)[times]
    mean, variance = moments(ddim, gaussian(schedule), schedule, times, 0.0, 1.0)
    assert (mean, variance**0.5) == pytest.approx((0.0, phi.diff().cos().prod().item()), rel=1e-12, abs=1e-12)


def test_amplitude_after_fifty_steps(gaussian, moments):
    """The amplitude that samplers leave of N(0, 1) in 50 steps of the cosine schedule."""
    times = SCHEDULE.times(50)
    left = {
        "small": moments(ancestral, gaussian(SCHEDULE), SCHEDULE, times, 0.0, 1.0)[1] ** 0.5,
        "large": moments(ancestral, gaussian(SCHEDULE, variance="large"), SCHEDULE, times, 0.0, 1.0)[1] ** 0.5,
        "ddim": moments(ddim, gaussian(SCHEDULE), SCHEDULE, times, 0.0, 1.0)[1] ** 0.5,
        "2m": moments(dpm_solver, gaussian(SCHEDULE), SCHEDULE, times, 0.0, 1.0)[1] ** 0.5,
        "heun": moments(heun, gaussian(SCHEDULE), SCHEDULE, times, 0.0, 1.0)[1] ** 0.5,
    }
    assert left == pytest.approx({"small": 0.956, "large": 0.9995, "ddim": 0.9755, "2m": 1, "heun": 1}, abs=1.5e-3)


def test_samplers_follow_the_probability_flow(any_schedule, gaussian):
    """X_s = α_s·m + (x − α·m)·√((α_s²c² + σ_s²)/(α²c² + σ²)); the better ones from few steps on."""
    x = source(0, 50)() * sum(v**2 for v in any_schedule.row(1000)) ** 0.5
    expected = flow(any_schedule, 1000, 0, MEAN, STD, x)
    errors = {
        (name, steps): (
            SAMPLERS[name](gaussian(any_schedule, MEAN, STD), x, any_schedule, any_schedule.times(steps)) - expected
        )
        .abs()
        .max()
        for name in ("ddim", "dpm++2m", "heun")
        for steps in (50, 1000)
    }
    assert errors["ddim", 1000] < min(0.01, errors["ddim", 50] / 10)
    for name in ("dpm++2m", "heun"):
        assert errors[name, 50] < errors["ddim", 50] / 2
        assert errors[name, 1000] < 1e-3


# -- orders of convergence -------------------------------------------------------------------------------------------

WEIGHTS, MEANS, STDS = (torch.tensor(v, dtype=torch.float64) for v in ([0.3, 0.7], [-1.0, 1.2], [0.35, 0.5]))


def mixture(schedule):
    """The best denoiser for a mixture of two Gaussians."""

    def denoise(x, t, s):
        alpha, sigma = schedule.row(t)
        variance = (alpha * STDS) ** 2 + sigma**2
        away = x[..., None] - alpha * MEANS
        share = (WEIGHTS.log() - 0.5 * variance.log() - 0.5 * away**2 / variance).softmax(-1)
        return estimate_from_x0((share * (MEANS + alpha * STDS**2 / variance * away)).sum(-1), x, t, schedule)

    return denoise


def transported(schedule, x, t, s):
    """Where the flow takes x exactly: in one dimension it keeps the quantile, found by bisection."""

    def below(x, t):
        alpha, sigma = schedule.row(t)
        z = (x[..., None] - alpha * MEANS) / ((alpha * STDS) ** 2 + sigma**2).sqrt()
        return (WEIGHTS * torch.special.ndtr(z)).sum(-1)

    wanted, low, high = below(x, t), torch.full_like(x, -500.0), torch.full_like(x, 500.0)
    for _ in range(70):
        middle = (low + high) / 2
        less = below(middle, s) < wanted
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return (low + high) / 2


def even(u):
    """log α/σ from 4 down to −4, evenly."""
    return _circle((8 * u - 4).exp())


def karras(u):
    """σ/α from 0.02 to 50, evenly in its seventh root (Karras et al. 2022, eq. 5)."""
    return _circle((0.02 ** (1 / 7) + (50 ** (1 / 7) - 0.02 ** (1 / 7)) * u) ** 7)


def _circle(ratio):
    phi = ratio.atan()
    return Point(phi.cos(), phi.sin(), torch.zeros_like(phi), torch.zeros_like(phi))


def slope(errors):
    """The order: the slope of log error over log step by least squares, for steps that halve."""
    y = torch.tensor(errors, dtype=torch.float64).log2()
    k = torch.arange(len(y), dtype=torch.float64)
    k = k - k.mean()
    return -((k * y).sum() / k.square().sum()).item()


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm++2m", 2), ("heun", 2)])
@pytest.mark.parametrize("grid", [even, karras])
def test_order_of_convergence(name, order, grid):
    """The error at the last noise level (from there all take the same step to the data)."""
    errors = []
    for steps in (80, 160, 320):
        schedule = from_curve("grid", grid, steps)
        x, last = torch.linspace(-2, 2, 21, dtype=torch.float64), {}

        def denoise(x, t, s, schedule=schedule, last=last):
            last[t] = x
            return mixture(schedule)(x, t, s)

        SAMPLERS[name](denoise, x, schedule, schedule.times(steps))
        errors.append((last[1] - transported(schedule, x, steps, 1)).abs().max().item())
    assert slope(errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2)])
def test_order_of_convergence_including_the_last_step(name, order):
    """On straight paths the whole way from pure noise to the data has the order of the sampler."""
    errors = []
    for steps in (32, 64, 128, 256):
        schedule = rectified(steps)
        x = torch.linspace(-2, 2, 21, dtype=torch.float64)
        end = SAMPLERS[name](mixture(schedule), x, schedule, schedule.times(steps))
        errors.append((end - transported(schedule, x, steps, 0)).abs().max().item())
    assert slope(errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("make", [linear, cosine])
def test_order_of_heun_on_evenly_spaced_times(make):
    """As the table of the samplers has it: from 1.6 at 16 steps down to 1.1 at 512, ruled by the step to the data."""
    schedule, x, errors = make(1024), torch.linspace(-2, 2, 21, dtype=torch.float64), []
    for steps in (16, 32, 256, 512):
        times = schedule.times(steps)
        end = SAMPLERS["heun"](mixture(schedule), x, schedule, times)
        errors.append((end - transported(schedule, x, times[0], 0)).abs().max().item())
    assert slope(errors[:2]) == pytest.approx(1.6, abs=0.1)
    assert slope(errors[2:]) == pytest.approx(1.15, abs=0.1)


def test_second_order_improves_the_sde(gaussian, moments):
    """With η = 1 the exact moments converge to those of the data: to first order with one estimate, faster with two."""
    errors = {1: [], 2: []}
    for order, found in errors.items():
        for steps in (80, 160, 320):
            schedule = from_curve("grid", even, steps)
            chain = [*range(steps, 0, -1)]
            solver = partial(dpm_solver, eta=1.0, order=order)
            start = marginal(schedule, steps, MEAN, STD)
            _, variance = moments(solver, gaussian(schedule, MEAN, STD), schedule, chain, *start)
            found.append(abs(variance - marginal(schedule, 1, MEAN, STD)[1]))
    assert slope(errors[1]) == pytest.approx(1, abs=0.15)
    assert errors[2][-1] < errors[1][-1] / 5


# -- inversion, reproducibility, interfaces --------------------------------------------------------------------------


def test_inversion_converges_to_first_order(gaussian):
    """On Gaussian data the error halves when steps double."""
    schedule = cosine(1600)
    x0 = MEAN + STD * torch.linspace(-2, 2, 9, dtype=torch.float64)
    errors = []
    for steps in (200, 400, 800):
        times = schedule.times(steps)
        noise = ddim_inversion(gaussian(schedule, MEAN, STD), x0, schedule, times)
        errors.append((ddim(gaussian(schedule, MEAN, STD), noise, schedule, times) - x0).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.1)


def test_inversion_uses_the_lower_estimate(any_schedule, gaussian):
    """From the data without noise, then DDIM's step upwards with the estimate of where it comes from."""
    x0, denoise = source(0, 4)(), gaussian(any_schedule, MEAN, STD)
    low, (alpha, sigma) = any_schedule.row(500)[0] * x0, any_schedule.row(900)
    close(ddim_inversion(denoise, x0, any_schedule, [500, 0]), low, 1e-12)
    estimate = denoise(low, 500, 0)
    expected = alpha * estimate.x0 + sigma * estimate.eps
    close(ddim_inversion(denoise, x0, any_schedule, [900, 500, 0]), expected, 1e-12)


def test_inversion_finds_the_noise(any_schedule, gaussian):
    """The flow's own answer: the same quantile of N(α·m, α²c² + σ²)."""
    x0 = MEAN + STD * torch.linspace(-2, 2, 9, dtype=torch.float64)
    found = ddim_inversion(gaussian(any_schedule, MEAN, STD), x0, any_schedule, any_schedule.times(1000))
    expected = flow(any_schedule, 0, 1000, MEAN, STD, x0)
    close(found / expected.abs().max(), expected / expected.abs().max(), 0.03)


def test_sampling_is_reproducible(gaussian, sampler):
    first, again, other = (
        sampler(gaussian(SCHEDULE, MEAN, STD), source(0, 4)(), SCHEDULE, SCHEDULE.times(20), noise=source(seed, 4))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (sampler in (ddim, dpm_solver, heun))


@pytest.mark.parametrize("name", ["x0", "v", "velocity"])
def test_bfloat16_networks_change_little(name, gaussian, sampler):
    """The network's output in bfloat16, everything else in float64, drifts by its rounding."""
    run = dict(schedule=SCHEDULE, times=SCHEDULE.times(50))
    belief = gaussian(SCHEDULE, MEAN, STD)
    drift = [
        sampler(predicting(PREDICTIONS[name], SCHEDULE, belief, dtype), source(0, 200)(), noise=source(1, 200), **run)
        for dtype in (torch.bfloat16, torch.float64)
    ]
    assert 0 < (drift[0] - drift[1]).abs().max() < 1e-2


def test_bfloat16_eps_fails_at_pure_noise(gaussian):
    """Why not ε on the cosine schedule: at t = T rounding of ε counts σ/α = 2·10⁴ times in x̂0."""
    belief = gaussian(SCHEDULE)
    x = source(0, 200)()
    errors = {
        name: (
            predicting(PREDICTIONS[name], SCHEDULE, belief, torch.bfloat16)(x, 1000, 999).x0 - belief(x, 1000, 999).x0
        )
        for name in ("eps", "v")
    }
    assert errors["eps"].abs().max() > 10
    assert errors["v"].abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_samplers_keep_the_dtype(any_schedule, gaussian, sampler, dtype, variance):
    """And float32 is close to float64."""
    denoise, times = gaussian(any_schedule, MEAN, STD, variance), any_schedule.times(20)
    noise = source(1, 3)
    x = source(0, 3)() * sum(v**2 for v in any_schedule.row(1000)) ** 0.5
    exact = sampler(denoise, x, any_schedule, times, noise=source(1, 3))
    end = sampler(denoise, x.to(dtype), any_schedule, times, noise=lambda: noise().to(dtype))
    assert end.dtype == dtype
    close(end.double(), exact, 1e-5 if dtype == torch.float32 else 0)
    inverted = ddim_inversion(denoise, x.to(dtype), any_schedule, times)
    hooked = with_hook(denoise, clip(torch.tensor(1.0, dtype=dtype)), any_schedule)(x.to(dtype), 500, 400)
    assert {inverted.dtype, hooked.x0.dtype, hooked.eps.dtype} == {dtype}


@pytest.mark.parametrize(
    "sampler", [ancestral, partial(ddim, eta=0.5), partial(dpm_solver, eta=1.0), SAMPLERS["sde-dpm++2m"]]
)
def test_missing_noise_source_is_refused(gaussian, sampler):
    with pytest.raises(InputError, match="source of noise"):
        sampler(gaussian(SCHEDULE), torch.zeros(2), SCHEDULE, [10, 0])


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_invalid_eta_is_refused(gaussian, eta):
    with pytest.raises(InputError, match="from 0"):
        ddim(gaussian(SCHEDULE), torch.zeros(2), SCHEDULE, [10, 0], eta=eta, noise=source(0, 2))


def test_samplers_share_one_signature(sampler, gaussian):
    """No sampler swallows a keyword that it does not know, or takes an option by its place."""
    run = (gaussian(SCHEDULE), torch.zeros(2), SCHEDULE, [10, 0])
    with pytest.raises(TypeError, match="positional"):
        sampler(*run, source(0, 2))
    names = list(inspect.signature(sampler).parameters)
    assert names[:4] == ["denoise", "x", "schedule", "times"]
    assert {"noise", "on_step"} <= set(names)
