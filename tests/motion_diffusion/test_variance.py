import math
from typing import get_args

import pytest
import torch

from motion_diffusion.diffusion.schedule import cosine, linear
from motion_diffusion.diffusion.variance import VarianceName, is_learned, log_variance, small_variance
from motion_diffusion.errors import InputError

X = torch.zeros(3, 4, 2, dtype=torch.float64)
STEPS = [(1000, 999), (1000, 980), (500, 499), (2, 1), (1, 0), (20, 0), (600, 0), (1000, 0)]


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("t", "s"), STEPS)
def test_learned_range_lies_between_the_fixed_ones(any_schedule, t, s):
    """V = −1 gives log β̃, v = 1 log σ²_{t|s}, v = 0 the middle of the logs; for any stride."""

    def log(name, v=None):
        w = None if v is None else torch.full_like(X, v)
        return log_variance(name, w, any_schedule, t, s, X).expand_as(X)

    close(log("learned-range", -1.0), log("fixed-small"), 1e-12)
    close(log("learned-range", 1.0), log("fixed-large"), 1e-12)
    close(log("learned-range", 0.0), (log("fixed-small") + log("fixed-large")) / 2, 1e-12)
    assert log("fixed-small").isfinite().all()
    step = any_schedule.posterior(t, s)
    close(log("fixed-large")[0, 0, 0], math.log(step.step_variance))
    if s > 0:
        close(log("fixed-small")[0, 0, 0], math.log(step.variance))
        assert step.variance < step.step_variance


def test_last_step_uses_the_preceding_variance(any_schedule):
    """β̃ is 0 where s = 0: it is replaced by that of the preceding step, of the same stride, as in Ho et al.; by σ_t²
    if there is none.
    """
    for t in (1, 20, 250, 500):
        assert small_variance(any_schedule, t, 0) == any_schedule.posterior(2 * t, t).variance > 0
    for t in (501, 1000):
        assert small_variance(any_schedule, t, 0) == pytest.approx(any_schedule.row(t)[1] ** 2, rel=1e-12)


def test_single_step_betas():
    """Ho et al.: Σ is β or β̃ = (1 − ᾱ_{t−1})/(1 − ᾱ_t)·β, with β̃_2 in place of β̃_1 = 0."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha_bar = (1 - beta).cumprod(0)
    t = torch.arange(1, 1001)
    close(log_variance("fixed-large", None, linear(1000), t, t - 1, beta).exp().flatten(), beta)
    small = (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:]) * beta[1:]
    close(small_variance(linear(1000), t, t - 1), torch.cat([small[:1], small]))


def test_learned_variance_is_an_offset():
    """To log β̃ of any stride."""
    w = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t, s in ((500, 480), (torch.tensor([1, 500, 1000]), torch.tensor([0, 499, 990]))):
        added = log_variance("learned", w, cosine(1000), t, s, X) - log_variance(
            "fixed-small", None, cosine(1000), t, s, X
        )
        close(added, w, 1e-12)


def test_int_and_tensor_times_agree(any_schedule):
    """Ints, tensors of shape () and (B,); in the type of the motion."""
    steps = torch.tensor(STEPS)
    x = torch.zeros(len(STEPS), 4, 2, dtype=torch.float64)
    w = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in ("fixed-small", "fixed-large", "learned-range"):
        batch = log_variance(name, w, any_schedule, *steps.T, x).expand_as(x)
        for i, (t, s) in enumerate(STEPS):
            for when in ((t, s), (torch.tensor(t), torch.tensor(s))):
                close(log_variance(name, w[i : i + 1], any_schedule, *when, x[:1]).expand(1, 4, 2)[0], batch[i], 1e-12)
        for dtype in (torch.float32, torch.float64):
            for when in ((5, 4), (*torch.tensor([[5] * 8, [4] * 8]),)):
                assert log_variance(name, w.to(dtype), any_schedule, *when, x.to(dtype)).dtype == dtype


def test_unknown_names_are_refused():
    assert [name for name in get_args(VarianceName) if is_learned(name)] == ["learned", "learned-range"]
    with pytest.raises(InputError, match="unknown variance 'medium'; choose from fixed-small, fixed-large, learned"):
        is_learned("medium")
