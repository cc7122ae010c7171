"""Training-free guidance: each of its corners takes the step of the paper that it is named after."""

import math
from dataclasses import replace

import pytest
import torch

from guidance.compose import MethodOptions
from guidance.training_free import TrainingFree, search_strengths
from motion_diffusion.diffusion.samplers import ancestral, ddim, dpm_solver, estimate_from_x0, heun
from motion_diffusion.errors import InputError
from tests.guidance.conftest import (
    GAIN,
    OFFSET,
    SCHEDULE,
    TARGET,
    linear_denoiser,
    no_noise,
    noisy,
    silent,
    squared,
    task_of,
)

STEPS = [(900, 880), (500, 480), (20, 0)]


class Draws:
    """Standard normal noise, which keeps what it has drawn."""

    def __init__(self, seed=1):
        self.generator, self.drawn = torch.Generator().manual_seed(seed), []

    def __call__(self):
        self.drawn.append(torch.randn(2, 3, 4, generator=self.generator, dtype=torch.float64))
        return self.drawn[-1]


def step(method, x, t, s, sampler=ancestral, noise=no_noise, loss=squared):
    """The mean of x_s, or x_s of a sampler without noise of its own."""
    denoise = method.wrap(linear_denoiser, task_of(loss, len(x)), noise)
    return sampler(denoise, x, SCHEDULE, [t, s], noise=silent)


def unguided(x, t, s):
    return ancestral(linear_denoiser, x, SCHEDULE, [t, s], noise=silent)


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_dps_moves_the_mean_by_its_normalised_gradient(t, s):
    """Chung et al. 2023, algorithm 1, line 7: x_{i−1} ← x'_{i−1} − ζ_i ∇_{x_i} ‖y − A(x̂0)‖², ζ_i = ζ/‖y − A(x̂0)‖."""
    x, zeta = noisy(), 0.3
    residual = TARGET - (GAIN * x + OFFSET)
    gradient = -2 * GAIN * residual
    expected = unguided(x, t, s) - zeta / residual.flatten(1).norm(dim=1)[:, None, None] * gradient
    torch.testing.assert_close(step(TrainingFree.dps(zeta), x, t, s), expected)


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_lgd_takes_the_logarithm_of_a_mean_of_likelihoods(t, s):
    """Song et al. 2023, eq. 8: ∇_{x_t} log (1/n Σ_i exp(−ℓ(x̂0 + r_t ε_i))), its gradient written out."""
    x, draws = noisy(), Draws()
    moved = step(TrainingFree.lgd(0.2, spread=0.7, samples=3), x, t, s, noise=draws)
    assert len(draws.drawn) == 3
    near = GAIN * x + OFFSET + 0.7 * SCHEDULE.row(t)[1] * torch.stack(draws.drawn)
    likelihood = (-(near - TARGET).square().sum((2, 3))).exp()
    share = (likelihood / likelihood.sum(0))[..., None, None]
    gradient = GAIN * (share * -2 * (near - TARGET)).sum(0)
    torch.testing.assert_close(moved, unguided(x, t, s) + 0.2 * gradient)


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_mpgd_moves_the_prediction_and_keeps_the_noise(t, s):
    """He et al. 2024, algorithm 1, with DDIM: x_{t−1} = √ᾱ_{t−1} (x̂0 − c ∇_{x̂0} L) + √(1 − ᾱ_{t−1}) ε̂."""
    x = noisy()
    (alpha_t, sigma_t), (alpha_s, sigma_s) = SCHEDULE.row(t), SCHEDULE.row(s)
    x0 = GAIN * x + OFFSET
    eps = (x - alpha_t * x0) / sigma_t
    expected = alpha_s * (x0 - 0.1 * 2 * (x0 - TARGET)) + sigma_s * eps
    torch.testing.assert_close(step(TrainingFree.mpgd(0.1), x, t, s, sampler=ddim), expected)


def test_mpgd_does_not_differentiate_the_network():
    def denoise(x, t, s):
        assert not torch.is_grad_enabled()
        return linear_denoiser(x, t, s)

    with torch.no_grad():
        TrainingFree.mpgd(0.1).wrap(denoise, task_of(squared, 2), no_noise)(noisy(), 500, 480)


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_freedom_travels_back_in_time(t, s):
    """Yu et al. 2023, algorithm 2: x_{t−1} − ρ g, then x_t = √α x_{t−1} + √(1 − α) ε, and the step again."""
    x, draws, rho = noisy(), Draws(), 0.05
    moved = step(TrainingFree.freedom(rho, recurrences=3), x, t, s, noise=draws)
    drawn = iter(draws.drawn)
    _, _, variance, _ = SCHEDULE.posterior(t, s)
    alpha = (SCHEDULE.row(t)[0] / SCHEDULE.row(s)[0]) ** 2
    for last in (False, False, True):
        expected = unguided(x, t, s) - rho * 2 * GAIN * (GAIN * x + OFFSET - TARGET)
        if not last:
            below = expected + (variance**0.5 * next(drawn) if s > 0 else 0)
            x = alpha**0.5 * below + (1 - alpha) ** 0.5 * next(drawn)
    torch.testing.assert_close(moved, expected)
    assert next(drawn, None) is None


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_universal_guidance_moves_the_noise(t, s):
    """Bansal et al. 2023, algorithm 1, without recurrence: ε̂ + s(t) ∇_{z_t} ℓ − √(ᾱ/(1 − ᾱ)) Δz0, and DDIM from that
    ε̂, s(t) = s·√(1 − ᾱ_t), Δz0 by gradient descent."""
    x = noisy()
    (alpha_t, sigma_t), (alpha_s, sigma_s) = SCHEDULE.row(t), SCHEDULE.row(s)
    x0 = GAIN * x + OFFSET
    eps = (x - alpha_t * x0) / sigma_t
    change = torch.zeros_like(x)
    for _ in range(4):
        change = change - 0.1 * 2 * (x0 + change - TARGET)
    eps = eps + 0.02 * sigma_t * 2 * GAIN * (x0 - TARGET) - alpha_t / sigma_t * change
    expected = alpha_s * (x - sigma_t * eps) / alpha_t + sigma_s * eps
    moved = step(TrainingFree.ugd(0.02, 0.1, iterations=4, recurrences=1), x, t, s, sampler=ddim)
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize(("t", "s"), STEPS)
@pytest.mark.parametrize("sampler", [ancestral, ddim, dpm_solver])
def test_tfg_adds_both_gradients_to_the_step(t, s, sampler):
    """Ye et al. 2024, algorithm 1, line 8: Sample(x_t, x̂0, t) + Δ_var/√α_t + √ᾱ_{t−1} Δ_mean."""
    x, rho, mu = noisy(), 0.3, 0.1
    alpha_s = SCHEDULE.row(s)[0]
    alpha = (SCHEDULE.row(t)[0] / alpha_s) ** 2
    x0 = GAIN * x + OFFSET
    by_variance = -rho * alpha * 2 * GAIN * (x0 - TARGET)
    by_mean = torch.zeros_like(x)
    for _ in range(3):
        by_mean = by_mean - mu * alpha * 2 * (x0 + by_mean - TARGET)
    expected = (
        sampler(linear_denoiser, x, SCHEDULE, [t, s], noise=silent) + by_variance / alpha**0.5 + alpha_s * by_mean
    )
    method = TrainingFree(rho=rho, mu=mu, iterations=3)
    torch.testing.assert_close(step(method, x, t, s, sampler=sampler), expected)


@pytest.mark.parametrize("sampler", [ancestral, ddim, dpm_solver, heun])
def test_samplers_continue_from_the_x_t_of_the_last_recurrence(sampler):
    """A chain with recurrence equals one in which each step starts from the x_t that was drawn last, by hand."""
    times, x, draws = [700, 400, 0], noisy(), Draws()
    seen = []

    def denoise(x, t, s):
        seen.append((t, x.detach()))
        return linear_denoiser(x, t, s)

    method = TrainingFree.freedom(1e-12, recurrences=2)  # recurrence, and next to no gradient
    got = sampler(method.wrap(denoise, task_of(squared, 2), draws), x, SCHEDULE, times, noise=silent)
    last = {t: x for t, x in seen}
    assert not torch.allclose(last[700], x)
    one = sampler(linear_denoiser, last[700], SCHEDULE, [700, 400], noise=silent)
    if sampler in (ancestral, ddim):
        torch.testing.assert_close(next(x for t, x in seen if t == 400), one)
    if sampler is not dpm_solver:  # whose second step depends on the first one's estimate
        torch.testing.assert_close(got, sampler(linear_denoiser, last[400], SCHEDULE, [400, 0], noise=silent))


def test_outer_methods_see_the_x_t_of_the_last_recurrence():
    """The estimate of a method outside corresponds to the x_t that was drawn last, not to the one handed in."""
    seen = []

    def denoise(x, t, s):
        seen.append(x.detach())
        return linear_denoiser(x, t, s)

    inner = TrainingFree.freedom(1e-12, recurrences=2).wrap(denoise, task_of(squared, 2), Draws())
    outer = TrainingFree.ugd(0.0, 0.05, recurrences=1).wrap(inner, task_of(squared, 2), no_noise)
    estimate = outer(noisy(), 500, 480)
    alpha, sigma = SCHEDULE.row(500)
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, seen[-1])
    assert not torch.allclose(seen[-1], seen[0])


def test_recurrence_keeps_the_distribution():
    """With an exact denoiser of N(0, 1) and without guidance, x_t drawn again has the variance that it had."""
    alpha, sigma = SCHEDULE.row(500)
    generator = torch.Generator().manual_seed(0)

    def draw():
        return torch.randn(1, 200, 200, generator=generator, dtype=torch.float64)

    def exact(x, t, s):
        a, b = SCHEDULE.row(t)
        estimate = estimate_from_x0(a / (a**2 + b**2) * x, x, t, SCHEDULE)
        _, B, small, _ = SCHEDULE.posterior(t, s)
        return estimate._replace(variance=small + B**2 * b**2 / (a**2 + b**2))

    method = TrainingFree.freedom(1e-12, recurrences=4)
    estimate = method.wrap(exact, task_of(lambda x0: x0.square().sum((1, 2)), 1), draw)(draw(), 500, 400)
    assert (alpha * estimate.x0 + sigma * estimate.eps).var().item() == pytest.approx(1.0, abs=0.03)


def test_nothing_of_the_motion_in_x_t_is_not_guided():
    x, task = noisy(), task_of(squared, 2)
    task.schedule = replace(SCHEDULE, alpha=torch.cat([SCHEDULE.alpha[:-1], torch.zeros(1, dtype=torch.float64)]))
    guided = TrainingFree().wrap(linear_denoiser, task, no_noise)(x, 1000, 980)
    assert torch.equal(guided.x0, GAIN * x + OFFSET)


def test_neighbours_are_left_alone():
    x, method = noisy(), TrainingFree(normalised=True)
    both = method.wrap(linear_denoiser, task_of(squared, 2), no_noise)(x, 500, 480).x0
    alone = method.wrap(linear_denoiser, task_of(squared, 1), no_noise)(x[:1], 500, 480).x0
    torch.testing.assert_close(both[:1], alone)


def test_search_doubles_towards_the_best():
    asked = []

    def score(settings):
        asked.append(settings)
        return (
            -abs(math.log2(settings.rho / 4)) - abs(math.log2(settings.mu / 1)) - abs(math.log2(settings.gamma / 0.01))
        )

    found = search_strengths(score)
    assert (found.rho, found.mu, found.gamma) == (4.0, 1.0, 0.01)
    assert len(asked) == len(set(asked))


def test_search_stays_in_a_corner():
    found = search_strengths(lambda settings: settings.mu if settings.mu < 3 else 0.0, TrainingFree.mpgd(0.5))
    assert found == TrainingFree.mpgd(2.0)


def test_a_wider_beam_crosses_a_valley():
    """From ρ̄ = μ̄ = 1 only doubling both improves: one setting alone finds no way there."""
    scores = {(1, 1): 1.0, (2, 1): 0.5, (2, 2): 2.0}

    def score(settings):
        return scores.get((settings.rho, settings.mu), 0.0)

    start = TrainingFree(rho=1, mu=1)
    assert search_strengths(score, start) == start
    found = search_strengths(score, start, beam=2)
    assert (found.rho, found.mu) == (2, 2)


def test_strengths_that_cannot_be():
    with pytest.raises(InputError, match="--tfg.rho and --tfg.mu are both 0"):
        TrainingFree(rho=0, mu=0)
    with pytest.raises(InputError, match="--tfg.recurrences 0: give 1 to 100"):
        MethodOptions(tfg=TrainingFree(recurrences=0))
