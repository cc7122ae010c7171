"""Refinements of classifier-free guidance, each against its paper's formula or a property that determines it."""

from dataclasses import replace

import pytest
import torch

from motion_diffusion.body.heading import gaussian
from motion_diffusion.diffusion.samplers import ddim
from motion_diffusion.diffusion.text_guidance import Refinement, TextGuidance
from motion_diffusion.errors import InputError
from sample.generate import Settings

FRAMES = torch.arange(9) < torch.tensor([[9], [6]])
SCALE = 4.0


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(seed=0):
    return draw(2, 2, 9, 5, seed=seed)


def plain(pair):
    """Classifier-free guidance."""
    return pair[1] + SCALE * (pair[0] - pair[1])


def refined(options, pair, t=500, refinement=None):
    return (refinement or Refinement(options, FRAMES, SCALE))(plain(pair), pair, t)


def test_apg_that_keeps_everything_is_classifier_free_guidance():
    kept = refined(TextGuidance(threshold=1000.0), pair())
    torch.testing.assert_close(kept, plain(pair()))


def test_apg_leaves_the_length_along_the_conditional_prediction():
    """η = 0: what guidance adds to x̂0_c is orthogonal to it, over the frames that exist."""
    conditional, _ = pair()
    added = refined(TextGuidance(parallel=0.0), pair()) - conditional
    inner = ((added * conditional) * FRAMES[..., None]).sum((1, 2))
    torch.testing.assert_close(inner, torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    assert added.abs().max() > 0.1
    half = refined(TextGuidance(parallel=0.5), pair()) - conditional
    torch.testing.assert_close(half, (added + plain(pair()) - conditional) / 2)


def test_apg_by_its_algorithm():
    """Sadat et al. 2024, algorithm 1, over three steps, written out for one motion without padding."""
    beta, eta, r = -0.5, 0.3, 0.8
    options = TextGuidance(momentum=beta, parallel=eta, threshold=r)
    refinement, average = Refinement(options, FRAMES, SCALE), torch.zeros(9, 5, dtype=torch.float64)
    for step, t in enumerate((900, 500, 20)):
        now = pair(seed=step)
        c, u = now[0, 0], now[1, 0]
        average = c - u + beta * average
        limit = r * (9 * 5) ** 0.5
        change = average * min(1.0, limit / average.norm())
        unit = c / c.norm()
        along = (change * unit).sum() * unit
        expected = c + (SCALE - 1) * (change - along + eta * along)
        torch.testing.assert_close(refined(options, now, t, refinement)[0], expected)


def test_momentum_does_not_count_repeated_evaluations():
    """A step may be evaluated several times, and a new run begins without momentum."""
    options = TextGuidance(momentum=-0.5)
    once, often = (Refinement(options, FRAMES, SCALE) for _ in range(2))
    first, second = pair(0), pair(1)
    begin = refined(options, first, 900, once)
    for _ in range(3):
        torch.testing.assert_close(refined(options, first, 900, often), begin)
    end = refined(options, second, 500, once)
    torch.testing.assert_close(refined(options, second, 500, often), end)
    torch.testing.assert_close(refined(options, first, 900, often), begin)
    assert not torch.allclose(end, refined(options, second, 500))


@pytest.mark.parametrize(
    "options", [TextGuidance(parallel=0.2, threshold=0.3), TextGuidance(smooth_weight=1.5), TextGuidance(momentum=-0.5)]
)
def test_padding_has_no_influence(options):
    """Frames that do not exist change nothing in those that do."""
    other = pair()
    other[:, 1, 6:] = 100.0
    torch.testing.assert_close(refined(options, other)[1, :6], refined(options, pair())[1, :6])


def test_spg_moves_away_from_the_smoothed_prediction():
    """A sinusoid is an eigenfunction of smoothing by a Gaussian: its amplitude grows by w·(1 − exp(−σ²ω²/2))."""
    omega, sigma, weight = 0.4, 2.0, 3.0
    wave = torch.sin(omega * torch.arange(200, dtype=torch.float64))[None, :, None]
    frames = torch.ones(1, 200, dtype=torch.bool)
    options = TextGuidance(smooth_weight=weight, smooth_frames=sigma)
    grown = Refinement(options, frames, 1.0)(wave, None, 500)
    factor = 1 + weight * (1 - torch.exp(torch.tensor(-0.5 * (sigma * omega) ** 2)).item())
    torch.testing.assert_close(grown[:, 20:-20], factor * wave[:, 20:-20], atol=1e-3, rtol=0)
    torch.testing.assert_close(grown, wave + weight * (wave - gaussian(wave, sigma)))


def test_by_default_nothing_is_refined():
    assert torch.equal(refined(TextGuidance(), pair()), plain(pair()))
    with pytest.raises(InputError, match="--text-guidance.end 0.5: guidance begins at 0.5"):
        TextGuidance(begin=0.5, end=0.5)
    with pytest.raises(InputError, match="--text-guidance.momentum -1: give more than -1"):
        Settings(text_guidance=TextGuidance(momentum=-1.0))


TEXTS = ["walk", "turn"]


@pytest.fixture
def model(make_model):
    """An untrained model, which depends little on the text, without its range."""
    model = make_model("v", masks=True)
    extent = torch.full_like(model.representation.extent, 1e6)
    model.representation = replace(model.representation, extent=extent)
    return model


def denoise_fn(model, scale=30.0, observed=None, mask_scale=1.0, **options):
    frames = torch.arange(20) < torch.tensor([[20], [15]])
    return model.denoise_fn(
        TEXTS, frames, text_scale=scale, text_guidance=TextGuidance(**options), observed=observed, mask_scale=mask_scale
    )


def noisy(model):
    return torch.randn(2, 20, model.representation.size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("t", "inside"), [(700, False), (600, True), (201, True), (200, False)])
def test_guidance_acts_in_its_interval(model, t, inside):
    """Inside, x̂0 is that of guidance at all times; outside, that of the plain conditional model."""
    x = noisy(model)
    within = denoise_fn(model, begin=0.6, end=0.2)(x, t, t - 20)
    expected = denoise_fn(model, scale=30.0 if inside else 1.0)(x, t, t - 20)
    assert torch.equal(within.x0, expected.x0)
    assert not torch.equal(denoise_fn(model)(x, t, t - 20).x0, denoise_fn(model, scale=1.0)(x, t, t - 20).x0)


def test_outside_of_the_interval_a_step_costs_one_evaluation(model, monkeypatch):
    rows, network = [], model.network
    monkeypatch.setattr(
        model, "network", lambda condition, x, level: rows.append(len(x)) or network(condition, x, level)
    )
    denoise = denoise_fn(model, begin=0.6)
    for t in (700, 600):
        denoise(noisy(model), t, t - 20)
    assert rows == [2, 4]


@pytest.mark.parametrize(("t", "s"), [(900, 880), (500, 480), (20, 0)])
@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
def test_cfgpp_is_its_published_update(model, t, s, scale):
    """Chung et al. 2024, algorithm 2: x_s = √ᾱ_s·x̂0^λ + √(1 − ᾱ_s)·ε̂_∅, x̂0^λ = x̂0_∅ + λ (x̂0_c − x̂0_∅)."""
    x = noisy(model)
    c, u = (denoise_fn(model, scale=w)(x, t, s) for w in (1.0, 0.0))
    alpha, sigma = model.schedule.row(s)
    expected = alpha * (u.x0 + scale * (c.x0 - u.x0)) + sigma * u.eps
    got = ddim(denoise_fn(model, scale=scale, unconditional_noise=True), x, model.schedule, [t, s])
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mask_scale", [1.0, 2.0, 5.0])
def test_apg_changes_the_words_alone_where_masks_have_a_scale(model, mask_scale):
    """With a scale of the masks, the part of the words is refined and that of the masks is as it was."""
    with torch.no_grad():
        model.denoiser.hint.weight += 0.1
    observed = (torch.ones(2, 20, 22, 3), torch.rand(2, 20, 22, 3, generator=torch.Generator().manual_seed(1)) < 0.2)
    x, known = noisy(model), dict(observed=observed, mask_scale=mask_scale)
    both = denoise_fn(model, scale=1.0, observed=observed)(x, 500, 480).x0
    masks = denoise_fn(model, scale=0.0, observed=observed)(x, 500, 480).x0
    got = denoise_fn(model, scale=5.0, parallel=0.0, **known)(x, 500, 480).x0
    full = denoise_fn(model, scale=5.0, **known)(x, 500, 480).x0
    frames = (torch.arange(20) < torch.tensor([[20], [15]]))[..., None]
    change = both - masks
    share = (change * both * frames).sum((1, 2), keepdim=True) / (both.square() * frames).sum((1, 2), keepdim=True)
    torch.testing.assert_close(got - full, -4.0 * share * both, atol=1e-4, rtol=1e-3)


def test_a_run_with_everything_is_finite_and_is_refined(model):
    options = TextGuidance(begin=0.9, end=0.1, parallel=0.0, momentum=-0.5, threshold=0.5, smooth_weight=0.5)
    run = dict(seeds=[0, 1], steps=6, text_scale=20.0)
    refined, plain = (model.sample(TEXTS, [20, 15], text_guidance=o, **run) for o in (options, TextGuidance()))
    assert refined.isfinite().all()
    assert (refined - plain).abs().max() > 1e-3
    alone = model.sample(TEXTS[:1], [20], seeds=[0], steps=6, text_scale=20.0, text_guidance=options)
    torch.testing.assert_close(refined[:1], alone, atol=1e-3, rtol=1e-3)
