"""Classifier guidance: it moves the mean by the variance times the gradient, and never away from the goals."""

from itertools import pairwise

import pytest
import torch

from guidance.classifier import Classifier
from motion_diffusion.diffusion.samplers import ddim, estimate_from_x0
from motion_diffusion.diffusion.schedule import rectified
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


def guided(loss, count=2, **options):
    return Classifier(**options).wrap(linear_denoiser, task_of(loss, count), no_noise)


@pytest.mark.parametrize("scale", [0.01, 0.5, 7.0, 1e6])
@pytest.mark.parametrize(("t", "s"), [(1000, 980), (500, 480), (20, 0), (3, 2)])
@pytest.mark.parametrize("through", ["network", "x0"])
def test_the_mean_moves_by_the_variance_times_the_gradient(t, s, scale, through):
    """GMD: mean ← mean − scale·β̃·∇, and no further than to the target, which lies on the way here."""
    x = noisy()
    denoise = guided(squared, scale=scale, scaling="variance", inner=0, through=through)
    plain, moved = (ddim(d, x, SCHEDULE, [t, s], eta=1.0, noise=silent) for d in (linear_denoiser, denoise))
    x0 = GAIN * x + OFFSET
    _, mean_of_x0, variance, _ = SCHEDULE.posterior(t, s)
    gradient = 2 * (x0 - TARGET) * (GAIN if through == "network" else 1.0)
    by_gradient, to_target = -scale * variance * gradient, mean_of_x0 * (TARGET - x0)
    expected = by_gradient if by_gradient.abs().max() < to_target.abs().max() else to_target
    torch.testing.assert_close(moved, plain + expected, rtol=1e-6, atol=1e-9)


def test_score_guidance_takes_the_variance_of_x_t():
    """ε̂ moves by scale·σ_t·∇: that is what a score, moved by the gradient of a likelihood, is."""
    x, t = noisy(), 500
    alpha, sigma = SCHEDULE.row(t)
    estimate = guided(squared, scale=0.01, scaling="score", inner=0)(x, t, 480)
    gradient = 2 * GAIN * (GAIN * x + OFFSET - TARGET)
    torch.testing.assert_close(estimate.eps - linear_denoiser(x, t, 480).eps, 0.01 * sigma * gradient)
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x)


@pytest.mark.parametrize("through", ["network", "x0"])
@pytest.mark.parametrize(("t", "s"), [(1000, 980), (20, 0)])
def test_search_goes_to_the_least_loss_along_the_gradient(t, s, through):
    x0 = guided(squared, inner=0, through=through)(noisy(), t, s).x0
    torch.testing.assert_close(x0, torch.full_like(x0, TARGET))


@pytest.mark.parametrize("scaling", ["search", "variance", "score"])
def test_the_loss_never_rises(scaling):
    """Whatever the loss is: here one that is not quadratic, and far too large a scale."""

    def loss(x0):
        return (x0 - 1).square().square().sum((1, 2))

    x = noisy(5, 1)
    for scale in (1e-3, 1.0, 1e3):
        after = guided(loss, 5, scaling=scaling, scale=scale)(x, 500, 480).x0
        assert (loss(after) < loss(linear_denoiser(x, 500, 480).x0)).all()


def test_inner_steps_come_nearer():
    stretch = torch.tensor([1.0, 3.0, 0.5, 2.0], dtype=torch.float64)

    def loss(x0):
        return ((x0 - TARGET) * stretch).square().sum((1, 2))

    losses = [loss(guided(loss, inner=inner)(noisy(), 500, 480).x0) for inner in (0, 1, 4, 16)]
    for before, after in pairwise(losses):
        assert ((after < 0.9 * before) | (after < 1e-20)).all()


def test_conjugate_steps_solve_a_quadratic():
    """As many steps as there are different curvatures lead to the least loss: four here, plain descent would zigzag."""
    stretch = torch.tensor([1.0, 30.0, 0.1, 5.0], dtype=torch.float64)

    def loss(x0):
        return ((x0 - TARGET) * stretch).square().sum((1, 2))

    near, nearer = (loss(guided(loss, inner=inner, through="x0")(noisy(), 500, 480).x0).max() for inner in (3, 4))
    assert nearer < 1e-12
    assert nearer < 1e-6 * near


def test_neighbours_are_left_alone():
    x = noisy(2, 1)
    both, alone = guided(squared, 2)(x, 500, 480).x0, guided(squared, 1)(x[:1], 500, 480).x0
    torch.testing.assert_close(both[:1], alone)


def test_it_begins_and_ends_where_told():
    denoise = guided(squared, begin=0.6, end=0.2)
    for t, moves in ((601, False), (600, True), (201, True), (200, False)):
        same = torch.equal(denoise(noisy(), t, t - 20).x0, linear_denoiser(noisy(), t, t - 20).x0)
        assert same is not moves


@pytest.mark.parametrize("scaling", ["search", "variance", "score"])
def test_pure_noise_is_no_obstacle(scaling):
    """On the rectified schedule α_T = 0: guidance of the score begins a step later."""
    task = task_of(squared, 2)
    task.schedule = rectified(1000)

    def denoise(x, t, s):
        return estimate_from_x0(GAIN * x + OFFSET, x, t, task.schedule)

    method = Classifier(scaling=scaling).wrap(denoise, task, no_noise)
    plain = squared(denoise(noisy(), 1000, 980).x0)
    assert (squared(method(noisy(), 1000, 980).x0) <= plain).all()
    assert (squared(method(noisy(), 980, 960).x0) < plain).all()


def test_no_gradient_is_kept():
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)

    def weighted(x, t, s):
        estimate = linear_denoiser(x, t, s)
        return estimate._replace(x0=estimate.x0 * weight)

    estimate = Classifier().wrap(weighted, task_of(squared, 2), no_noise)(noisy(), 500, 480)
    assert weight.grad is None
    assert not estimate.x0.requires_grad
    assert not estimate.eps.requires_grad


def test_it_ends_after_it_begins():
    with pytest.raises(InputError, match="--classifier.end 0.2: guidance begins at 0.2 "):
        Classifier(begin=0.2, end=0.2)
