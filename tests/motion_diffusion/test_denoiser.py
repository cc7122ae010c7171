import dataclasses

import pytest
import torch

from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.schedule import cosine
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig

SIZES = DenoiserConfig(features=7, text_dim=6, width=32, depth=2, heads=2, frame_width=16)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Denoiser(SIZES)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    return network.eval()


def inputs(batch, frames, words=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, frames, SIZES.features, generator=generator)
    text = torch.randn(batch, words, SIZES.text_dim, generator=generator)
    return x, text, torch.ones(batch, words, dtype=torch.bool), torch.ones(batch, frames, dtype=torch.bool)


def run(network, x, text, seen, frames, t=400):
    alpha, sigma = (x.new_full((len(x),), value) for value in cosine(1000).row(t))
    return network(x, alpha, sigma, *network.text(text, seen), frames)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 30])
def test_any_number_of_frames(network, frames):
    assert run(network, *inputs(2, frames)).shape == (2, frames, SIZES.features)


@torch.no_grad()
def test_padding_has_no_influence(network):
    """Neither frames that do not exist nor masked words."""
    x, text, seen, frames = inputs(2, 9)
    short = run(network, x, text, seen, frames)
    x, frames = torch.cat([x, 9 * torch.ones(2, 6, 7)], 1), torch.cat([frames, torch.zeros(2, 6, dtype=torch.bool)], 1)
    text, seen = (
        torch.cat([text, 9 * torch.ones(2, 3, 6)], 1),
        torch.cat([seen, torch.zeros(2, 3, dtype=torch.bool)], 1),
    )
    long = run(network, x, text, seen, frames)
    torch.testing.assert_close(long[:, :9], short, atol=1e-5, rtol=1e-4)
    assert not long[:, 9:].any()


@torch.no_grad()
def test_batch_items_are_independent(network):
    both = inputs(2, 12)
    torch.testing.assert_close(
        run(network, *both)[:1], run(network, *(part[:1] for part in both)), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_words_order_and_masking_matter(network):
    x, text, seen, frames = inputs(1, 12)
    plain = run(network, x, text, seen, frames)
    assert (run(network, x, text.flip(1), seen, frames) - plain).abs().max() > 1e-4
    hidden = run(network, x, text, torch.zeros_like(seen), frames)
    assert (hidden - plain).abs().max() > 1e-4
    torch.testing.assert_close(run(network, x, text.flip(1), torch.zeros_like(seen), frames), hidden)


@torch.no_grad()
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("prediction", "of_alpha", "of_sigma"),
    [("x0", 1, 0), ("eps", 0, 1), ("v", 0, 0), ("score", 0, -1), ("velocity", 0, 0)],
)
def test_skips_represent_the_best_linear_estimate(prediction, of_alpha, of_sigma, bf16):
    """White unit-variance data: E[y | x_t] is (p·α + q·σ)·x_t; in units of the size of y, in which the network works,
    skip alone can be that, exactly and at every t; in mixed precision too, or ε's x̂0 would be lost at large t."""
    network = Denoiser(SIZES)
    network.skip.weight[:, SIZES.width], network.skip.weight[:, SIZES.width + 1] = of_alpha, of_sigma
    network.gate.bias.zero_()
    x, text, seen, frames = inputs(3, 8)
    for t in (1, 300, 999):
        level = cosine(1000).at(t)
        p, q = PREDICTIONS[prediction].row(level)
        best = (p * level.alpha + q * level.sigma) / PREDICTIONS[prediction].size(level)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            torch.testing.assert_close(run(network, x, text, seen, frames, t), best * x)


def test_every_parameter_gets_a_gradient(network):
    x, text, seen, frames = inputs(2, 12)
    run(network.train(), x, text, seen, frames).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_sizes_are_checked_by_the_config():
    with pytest.raises(TypeError):
        DenoiserConfig()
    assert dataclasses.replace(SIZES, depth=3).depth == 3
