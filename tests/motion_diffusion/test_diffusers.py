"""The same trajectories as the samplers of diffusers, in float32, with its defaults that shrink motions
(clip_sample) or end elsewhere (leading spacing) turned off. N divides T, where its DDIM steps to the right t."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.samplers import ancestral, ddim, dpm_solver, estimate_from_x0
from motion_diffusion.diffusion.schedule import cosine, linear
from motion_diffusion.diffusion.text_guidance import Refinement, TextGuidance

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

THEIR_NAME = {"x0": "sample", "eps": "epsilon", "v": "v_prediction"}
on_every_schedule = pytest.mark.parametrize(
    "schedule", [cosine(1000), linear(1000)], ids=lambda schedule: schedule.name
)
for_every_type = pytest.mark.parametrize("name", THEIR_NAME)


def theirs(kind, schedule, name, **options):
    t = torch.arange(1, schedule.T + 1)
    betas = schedule.posterior(t, t - 1).step_variance.numpy()
    if kind is not DPMSolverMultistepScheduler:
        options |= {"clip_sample": False}
    return kind(
        num_train_timesteps=schedule.T,
        trained_betas=betas,
        prediction_type=THEIR_NAME[name],
        timestep_spacing="trailing",
        **options,
    )


def opinion(x):
    """An x̂0 as a network might predict it: not affine, not exact, within the range of motions."""
    return x.sin() + 0.1 * x.flip(-1)


def output(name, schedule, x, t):
    """That opinion as a prediction of the type."""
    level, x0 = schedule.at(t), opinion(x)
    return PREDICTIONS[name].target(x0, (x - level.alpha * x0) / level.sigma, level)


def noises(count):
    return torch.randn(count, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ours(sampler, name, schedule, steps, **options):
    """x at every t of the chain, and the sample."""
    start, *draws = noises(steps + 1)
    seen, draws = [], iter(draws)

    def denoise(x, t, s):
        seen.append(x)
        return estimate_from_x0(
            PREDICTIONS[name].to_x0(output(name, schedule, x, t), x, schedule.at(t)), x, t, schedule
        )

    run = {"noise": lambda: next(draws), **options}
    end = sampler(denoise, start, schedule, schedule.times(steps), **run)
    return torch.stack([*seen, end])


def followed(scheduler, name, schedule, steps, monkeypatch, **options):
    """Their loop, with the network's output in float64 and our noise."""
    x, *draws = noises(steps + 1)
    draws, seen = iter(draws), [x]
    monkeypatch.setattr(f"{type(scheduler).__module__}.randn_tensor", lambda *_, **__: next(draws))
    scheduler.set_timesteps(steps)
    assert [int(t) + 1 for t in scheduler.timesteps] == schedule.times(steps)[:-1]
    for t in scheduler.timesteps:
        x = scheduler.step(output(name, schedule, x, int(t) + 1), t, x, **options).prev_sample.double()
        seen.append(x)
    return torch.stack(seen)


def close(actual, expected, tolerance=1e-4):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@on_every_schedule
@for_every_type
@pytest.mark.parametrize("steps", [10, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(schedule, name, steps, eta, monkeypatch):
    scheduler = theirs(DDIMScheduler, schedule, name, set_alpha_to_one=True)
    expected = followed(scheduler, name, schedule, steps, monkeypatch, eta=eta)
    close(ours(ddim, name, schedule, steps, eta=eta), expected)


@on_every_schedule
@for_every_type
@pytest.mark.parametrize("steps", [10, 50, 250])
def test_ddpm(schedule, name, steps, monkeypatch):
    expected = followed(theirs(DDPMScheduler, schedule, name), name, schedule, steps, monkeypatch)
    close(ours(ancestral, name, schedule, steps), expected)


@on_every_schedule
@for_every_type
@pytest.mark.parametrize("steps", [10, 50])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", ["dpmsolver++", "sde-dpmsolver++"])
def test_dpm_solver(schedule, name, steps, order, kind, monkeypatch):
    scheduler = theirs(
        DPMSolverMultistepScheduler,
        schedule,
        name,
        algorithm_type=kind,
        solver_order=order,
        solver_type="midpoint",
        final_sigmas_type="zero",
        euler_at_final=True,
    )
    expected = followed(scheduler, name, schedule, steps, monkeypatch)
    # it casts x to float32, and ε on the cosine schedule makes 2·10⁴ of that at T
    tolerance = 1e-2 if (name, schedule.name) == ("eps", "cosine") else 1e-4
    close(ours(dpm_solver, name, schedule, steps, order=order, eta=1.0 if "sde" in kind else 0.0), expected, tolerance)


def test_cosine_is_theirs():
    """Squaredcos_cap_v2, a float32 table."""
    alpha_bar = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod.double()
    torch.testing.assert_close(cosine(1000).alpha[1:] ** 2, alpha_bar, rtol=1e-4, atol=0)
    theirs_linear = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02).alphas_cumprod.double()
    torch.testing.assert_close(linear(1000).alpha[1:] ** 2, theirs_linear, rtol=1e-4, atol=0)


def test_apg():
    """Adaptive projected guidance over four steps: momentum, threshold and the parallel part, on x̂0."""
    beta, eta, r, w = -0.4, 0.2, 0.7, 4.0
    frames = torch.ones(3, 6, dtype=torch.bool)
    refinement = Refinement(TextGuidance(momentum=beta, parallel=eta, threshold=r), frames, w)
    buffer = MomentumBuffer(beta)
    for step, t in enumerate((900, 600, 300, 20)):
        pair = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        plain = pair[1] + w * (pair[0] - pair[1])
        expected = normalized_guidance(*pair, w - 1, buffer, eta, r * (6 * 8) ** 0.5, use_original_formulation=True)
        torch.testing.assert_close(refinement(plain, pair, t), expected)
