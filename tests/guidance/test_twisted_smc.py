"""Twisted sequential Monte Carlo: the true posterior on Gaussian data, and honest about too few particles."""

from types import SimpleNamespace

import pytest
import torch

from guidance.compose import ComposedGuidance
from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.positions import Waypoint
from guidance.twisted_smc import TwistedSMC, _systematic
from guidance.windows import Independent
from motion_diffusion.diffusion.samplers import estimate_from_x0
from motion_diffusion.diffusion.schedule import cosine
from sample.generate import Settings, generate

SCHEDULE = cosine(1000)
F, D = 2, 2
MEAN = torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64)
VARIANCE = torch.tensor([1.0, 0.25, 4.0, 0.5], dtype=torch.float64)
ROWS = torch.tensor([[1.0, 1.0, 0.0, 0.5], [0.0, -1.0, 1.0, 1.0]], dtype=torch.float64)
Y = torch.tensor([1.5, 1.0], dtype=torch.float64)
SPREAD = 0.5


def gaussian(x, t, s):
    """The exact denoiser of N(MEAN, VARIANCE), with the exact variance of the step."""
    alpha, sigma = SCHEDULE.row(t)
    total = alpha**2 * VARIANCE + sigma**2
    x0 = MEAN + alpha * VARIANCE / total * (x.flatten(1) - alpha * MEAN)
    _, B, small, _ = SCHEDULE.posterior(t, s)
    variance = (small + B**2 * VARIANCE * sigma**2 / total).view(1, F, D)
    return estimate_from_x0(x0.view_as(x), x, t, SCHEDULE, variance)


def problem(count):
    return SimpleNamespace(
        schedule=SCHEDULE, windows=Independent(None, torch.full((count,), F)),
        misfit=lambda x0: (x0.flatten(1) @ ROWS.T - Y).square().sum(1),
    )  # fmt: skip


def posterior():
    """Mean and covariance of x given y = A x + σ_y n."""
    C = torch.diag(VARIANCE)
    gain = C @ ROWS.T @ torch.linalg.inv(ROWS @ C @ ROWS.T + SPREAD**2 * torch.eye(2, dtype=torch.float64))
    return MEAN + gain @ (Y - ROWS @ MEAN), C - gain @ ROWS @ C


def draws(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(count, F, D, generator=generator, dtype=torch.float64)


def run(count, **options):
    noise, sampler = draws(count), TwistedSMC(spread=SPREAD, **options).sampler(problem(count))
    particles, log_weights = sampler.run(gaussian, noise(), SCHEDULE, SCHEDULE.times(25), noise=noise)
    return particles.flatten(2), log_weights.softmax(0), sampler


@pytest.mark.parametrize("prior_spread", [1.5, 4.0])
def test_weighted_particles_follow_the_posterior(prior_spread):
    """Means over 500 motions of 64 particles each agree with the closed form within four standard errors, whatever the
    twisting function."""
    count = 500
    particles, weights, sampler = run(count, particles=64, prior_spread=prior_spread)
    mean, covariance = posterior()
    off = particles - mean
    first = torch.einsum("pm,pmd->md", weights, off)
    second = torch.einsum("pm,pmd,pme->mde", weights, off, off) - covariance
    for error in (first, second):
        limit = 4 * error.std(0) / count**0.5 + 0.01 * covariance.diagonal().max()
        assert (error.mean(0).abs() < limit).all(), (error.mean(0), limit)
    assert first.std(0).max() < 0.3  # so that the limits mean something
    assert torch.stack(sampler.sizes).min() >= 1


def test_one_particle_is_guided_but_does_not_follow_the_posterior():
    """The proposal alone, classifier guidance, has another mean and covariance: what the weights correct."""
    particles, _, _ = run(2000, particles=1, prior_spread=4.0)
    mean, covariance = posterior()
    assert (particles[0].mean(0) - mean).abs().max() > 0.2
    assert (torch.cov(particles[0].T) - covariance).abs().max() > 0.2


def test_the_sampler_draws_from_the_posterior():
    count, noise = 1500, draws(1500)
    sampler = TwistedSMC(particles=16, spread=SPREAD, prior_spread=1.5).sampler(problem(count))
    seen = []
    x = sampler(
        gaussian, noise(), SCHEDULE, SCHEDULE.times(25), noise=noise, on_step=lambda t, e: seen.append((t, e.x0.shape))
    ).flatten(1)
    mean, covariance = posterior()
    limit = 4 * (covariance.diagonal() / count).sqrt() + 0.05
    assert ((x.mean(0) - mean).abs() < limit).all()
    assert (torch.cov(x.T) - covariance).abs().max() < 0.3
    assert seen == [(t, (count, F, D)) for t in SCHEDULE.times(25)[:-1]]


def test_systematic_resampling_is_even():
    """A particle of weight w is drawn ⌊P w⌋ or ⌈P w⌉ times, and w·P times on average."""
    weights = torch.rand(10, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = weights / weights.sum(0)
    uniform = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    index = _systematic(weights, uniform, 10)
    drawn = torch.stack([(index == p).sum(0) for p in range(10)])
    assert ((drawn - 10 * weights).abs() < 1).all()
    same = weights[:, :1].expand(-1, 400)
    index = _systematic(same, uniform, 10)
    often = torch.stack([(index == p).double().sum(0) for p in range(10)]).mean(1)
    torch.testing.assert_close(often, 10 * same[:, 0], atol=0.01, rtol=0)


def test_too_few_effective_particles_are_reported():
    noise = draws(2)
    sampler = TwistedSMC(particles=50, spread=1e-3, prior_spread=0.0).sampler(problem(2))
    with pytest.warns(UserWarning, match=r"^smc: the effective sample size fell to \d+\.\d of 50 particles"):
        sampler(gaussian, noise(), SCHEDULE, SCHEDULE.times(10), noise=noise)
    assert len(sampler.sizes) == 11


def test_a_motion_does_not_depend_on_its_neighbours(make_task):
    """Noise, weights and resampling are each motion's own: here the second one resamples and the first one does not."""
    goals = (
        GoalSet(goals=[Waypoint(frame=30, x=0.4, z=1.0, weight=1e-6)]),
        GoalSet(goals=[Waypoint(frame=30, x=9, z=9)]),
    )
    pair = make_task(goals, prediction="v")
    method = TwistedSMC(particles=4)
    both = sampled(pair, method, 2)
    alone = sampled(make_task(pair.goals[:1], prediction="v"), method, 1)
    torch.testing.assert_close(both[:1], alone, atol=1e-3, rtol=1e-3)


def sampled(task, method, count):
    sampler = ComposedGuidance((method,), task).sampler("ddim")
    return task.model.sample(["a person walks"] * count, [40] * count, seeds=range(count), steps=6, sampler=sampler)


@pytest.mark.filterwarnings("ignore:smc")
@pytest.mark.parametrize("segments", [False, True])
def test_motions_come_nearer_to_their_goals(make_model, segments):
    parts = [Segment(text="walk", seconds=2.0), Segment(text="run", seconds=2.0)] if segments else []
    goals = GoalSet(goals=[Waypoint(frame=30, x=1.0, z=2.0)], segments=parts)
    run = dict(goals=[goals], seeds=[1])
    model, frames = make_model("v"), 80 if segments else 40
    far, near = (
        generate(
            model, ["" if segments else "walk"], [frames], guidance=[TwistedSMC(particles=8, prior_spread=scale)],
            settings=Settings(steps=10, clean_up=False), **run,
        )[0]
        for scale in (100.0, 0.1)
    )  # fmt: skip
    assert goals.residuals(near.joints)[0].error < 0.8 * goals.residuals(far.joints)[0].error
