"""The data is Gaussian here: the best denoiser is known in closed form and the samplers are checked against it."""

import pytest
import torch

from motion_diffusion.samplers import ancestral, consistent, ddim
from motion_diffusion.schedule import SCHEDULES

MEAN, STD = 0.7, 0.4


@pytest.fixture(params=list(SCHEDULES))
def schedule(request):
    return SCHEDULES[request.param](1000)


def best(schedule):
    def denoise(x, t, s):
        alpha, sigma = schedule.row(t)
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return consistent(MEAN + gain * (x - alpha * MEAN), x, t, schedule)

    return denoise


def source(seed, shape):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1000])
def test_ancestral_samples_the_data(schedule, steps):
    noise = source(0, (40_000,))
    x = ancestral(best(schedule), noise(), schedule, schedule.times(steps), noise=noise)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, rel=0.03)


def test_ddim_follows_the_probability_flow(schedule):
    """For Gaussian data the flow keeps every sample's quantile: x ends at mean + std·z."""
    z = source(0, (100,))()
    x = ddim(best(schedule), z, schedule, schedule.times(1000))
    torch.testing.assert_close(x, MEAN + STD * z, atol=0.02, rtol=0)


def test_eta_1_has_the_posterior_mean(schedule):
    """One step of ancestral sampling without its noise is A·x_t + B·x̂0."""
    x = source(3, (10,))()
    A, B, _ = schedule.posterior(500, 460)
    silent = lambda: torch.zeros(10, dtype=torch.float64)  # noqa: E731
    stepped = ancestral(best(schedule), x, schedule, [500, 460], noise=silent)
    torch.testing.assert_close(stepped, A * x + B * best(schedule)(x, 500, 460).x0, rtol=1e-9, atol=1e-12)


def test_the_last_estimate_is_the_sample(schedule):
    seen = []
    x = ddim(
        best(schedule), source(0, (5,))(), schedule, schedule.times(20), on_step=lambda t, e: seen.append((t, e.x0))
    )
    assert [t for t, _ in seen] == schedule.times(20)[:-1]
    torch.testing.assert_close(x, seen[-1][1])


def test_noise_is_asked_for(schedule):
    with pytest.raises(ValueError, match="source of noise"):
        ddim(best(schedule), torch.zeros(2), schedule, [10, 0], eta=0.5)
