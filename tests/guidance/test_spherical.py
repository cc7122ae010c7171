"""Spherical guidance: every step lies on the sphere of ancestral noise, where it descends most."""

import pytest
import torch

from guidance.compose import ComposedGuidance
from guidance.spherical import Spherical
from motion_diffusion.diffusion.samplers import ancestral, ddim
from tests.guidance.conftest import GAIN, OFFSET, SCHEDULE, TARGET, linear_denoiser, noisy, silent, squared, task_of

STEPS = [(1000, 980), (500, 480), (3, 2)]


def step(rate, t, s, x=None):
    x = noisy() if x is None else x
    denoise = Spherical(rate).wrap(linear_denoiser, task_of(squared, len(x)), lambda: noisy(seed=1)[: len(x)])
    return ddim(denoise, x, SCHEDULE, [t, s])


def mean_and_spread(t, s):
    mean = ancestral(linear_denoiser, noisy(), SCHEDULE, [t, s], noise=silent)
    return mean, float(SCHEDULE.posterior(t, s).variance) ** 0.5


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_at_full_rate_the_step_goes_straight_down_to_the_sphere(t, s):
    """Yang et al. 2024, eq. 10: x_{t−1} = μ − √n σ_t ∇L/‖∇L‖, with the norm of the noise for √n."""
    mean, spread = mean_and_spread(t, s)
    gradient = 2 * GAIN * (GAIN * noisy() + OFFSET - TARGET)
    unit = gradient / gradient.flatten(1).norm(dim=1)[:, None, None]
    radius = noisy(seed=1).flatten(1).norm(dim=1)[:, None, None]
    torch.testing.assert_close(step(1.0, t, s), mean - spread * radius * unit)


@pytest.mark.parametrize("rate", [1e-9, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("t", "s"), STEPS)
def test_every_step_lies_on_the_sphere(t, s, rate):
    mean, spread = mean_and_spread(t, s)
    radius = (step(rate, t, s) - mean).flatten(1).norm(dim=1)
    torch.testing.assert_close(radius, spread * noisy(seed=1).flatten(1).norm(dim=1))


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_without_rate_it_is_ancestral_sampling(t, s):
    expected = ancestral(linear_denoiser, noisy(), SCHEDULE, [t, s], noise=lambda: noisy(seed=1))
    torch.testing.assert_close(step(1e-12, t, s), expected)


def test_the_last_step_is_the_prediction():
    assert torch.equal(step(1.0, 20, 0), ddim(linear_denoiser, noisy(), SCHEDULE, [20, 0]))


def test_neighbours_are_left_alone():
    torch.testing.assert_close(step(0.3, 500, 480)[:1], step(0.3, 500, 480, noisy()[:1]))


def test_motions_come_nearer_whatever_sampler_is_asked_for(make_task):
    task = make_task(prediction="v")
    composed = ComposedGuidance((Spherical(0.3),), task)
    assert composed.sampler("heun") == "ddim"
    run = dict(seeds=[0, 1], steps=10)
    plain = task.model.sample(["a person walks"] * 2, [40, 40], **run)
    guided = task.model.sample(
        ["a person walks"] * 2, [40, 40], guide=composed.guide, sampler=composed.sampler("heun"), **run
    )
    assert (task.loss(guided) < task.loss(plain)).all()
