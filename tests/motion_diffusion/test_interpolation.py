"""Interpolation: ends are reproduced, arcs keep the norm, and for Gaussian data the result is known."""

import pytest
import torch

from motion_diffusion.diffusion.interpolation import by_inversion, by_shared_noise, slerp
from motion_diffusion.diffusion.samplers import ddim, ddim_inversion, estimate_from_x0
from motion_diffusion.diffusion.schedule import cosine
from motion_diffusion.errors import InputError

SCHEDULE = cosine(1000)
SHARE = torch.linspace(0, 1, 5, dtype=torch.float64)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit_gaussian(x, t, s):
    """E[x0 | x_t] = α·x_t for data N(0, 1)."""
    return estimate_from_x0(SCHEDULE.row(t)[0] * x, x, t, SCHEDULE)


def test_slerp_keeps_ends_and_norm():
    a, b = random(6, 3), random(6, 3, seed=1)
    arc = slerp(a, b, SHARE)
    torch.testing.assert_close(arc[0], a, atol=1e-12, rtol=0)
    torch.testing.assert_close(arc[-1], b, atol=1e-12, rtol=0)
    norms = arc.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.lerp(a.norm(), b.norm(), SHARE), atol=1e-12, rtol=0)
    unit = (arc / norms[:, None, None]).flatten(1)
    angles = torch.acos((unit[1:] * unit[:-1]).sum(1))
    torch.testing.assert_close(angles, angles[:1].expand(4), atol=1e-9, rtol=0)


def test_slerp_between_equal_points_is_constant():
    a = random(4)
    torch.testing.assert_close(slerp(a, a, SHARE), a.expand(5, 4), atol=1e-12, rtol=0)


def test_shared_noise_interpolates_linearly():
    """The ends equal DDIM of each motion alone; the exact denoiser is linear, so the middle is their mean."""
    a, b, eps, times = random(4), random(4, seed=1), random(4, seed=2), [400, 300, 200, 100, 0]
    made = by_shared_noise(unit_gaussian, a, b, SHARE, SCHEDULE, times, eps=eps)
    for end, x0 in ((0, a), (-1, b)):
        torch.testing.assert_close(made[end], ddim(unit_gaussian, SCHEDULE.add_noise(x0, eps, 400), SCHEDULE, times))
    torch.testing.assert_close(made[2], (made[0] + made[-1]) / 2)


@pytest.mark.parametrize("steps", [250, 500])
def test_inversion_reconstructs_the_ends(steps):
    a, b, times = random(8), random(8, seed=1), SCHEDULE.times(steps)
    made = by_inversion(unit_gaussian, unit_gaussian, a, b, SHARE, SCHEDULE, times)
    worst = max((made[0] - a).abs().max().item(), (made[-1] - b).abs().max().item())
    assert worst < 40 / steps * max(a.abs().max().item(), b.abs().max().item()) / 2
    twice = ddim(unit_gaussian, ddim_inversion(unit_gaussian, a, SCHEDULE, times), SCHEDULE, times)
    torch.testing.assert_close(made[0], twice, atol=1e-9, rtol=0)
    with pytest.raises(InputError, match="start at 500"):
        by_inversion(unit_gaussian, unit_gaussian, a, b, SHARE, SCHEDULE, [500, 0])


def test_interpolation_with_a_model(make_model):
    """Frame by frame, with a model's own denoiser: finite, ends nearest to their ends."""
    model = make_model("v")
    frames = torch.ones(5, 40, dtype=torch.bool)
    a, b = model.sample(["a person walks", "someone turns"], [40, 40], seeds=[0, 1], steps=20, sampler="ddim")
    denoise = model.denoise_fn(["a person walks"] * 5, frames, text_scale=1.0)
    ends = model.denoise_fn(["a person walks"] * 2, frames[:2], text_scale=1.0)
    made = by_inversion(ends, denoise, a, b, SHARE, model.schedule, model.schedule.times(50))
    to_a, to_b = ((made - end).flatten(1).norm(dim=1) for end in (a, b))
    assert int(to_a.argmin()) == 0
    assert int(to_b.argmin()) == 4
