import pytest
import torch

from motion_diffusion.diffusion import timestep_sampling
from motion_diffusion.diffusion.timestep_sampling import LossSecondMoment, Stratified, Uniform, time_sampler
from motion_diffusion.errors import InputError

T = 12
LOSSES = torch.linspace(0.1, 5, T, dtype=torch.float64).square()


@pytest.fixture(params=["uniform", "loss-second-moment", "loss-second-moment, taught"])
def sampler(request):
    """Samplers whose draws are independent."""
    sampler = time_sampler(request.param.split(",")[0], T)
    if "taught" in request.param:
        teach(sampler)
    return sampler


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def teach(sampler, times=10):
    for _ in range(times):
        sampler.update(torch.arange(1, T + 1), LOSSES)


def test_weighted_losses_have_the_plain_mean(sampler):
    """Enumerated: Σ p(t)·w(t)·L(t) = mean L, with the weight that each t comes with."""
    p = sampler.probabilities()
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    assert (p > 0).all()
    t, w = sampler.sample(2000, generator=generator())
    weight = torch.full((T,), torch.nan, dtype=torch.float64)
    weight[t - 1] = w  # every t is drawn: nothing stays nan
    assert torch.equal(weight[t - 1], w)
    assert (p * weight * LOSSES).sum().item() == pytest.approx(LOSSES.mean().item(), abs=1e-12)


def test_draws_follow_the_probabilities(sampler):
    """Within five standard deviations of a binomial."""
    p, n = sampler.probabilities(), 20_000
    t, _ = sampler.sample(n, generator=generator())
    count = torch.bincount(t - 1, minlength=T)
    assert len(count) == T
    assert ((count - n * p).abs() < 5 * (n * p * (1 - p)).sqrt()).all()


@pytest.mark.parametrize("count", [1, 4, 5, 12, 24, 30])
def test_stratified_draws_one_time_per_stratum(count):
    """A batch has one time in each of its strata, in no order."""
    t, w = Stratified(T).sample(count, generator=generator())
    ends = torch.arange(1, count + 1) * T / count
    position = t.sort().values
    assert (position >= (ends - T / count).floor()).all()
    assert (position <= ends.ceil()).all()
    assert torch.equal(w, torch.ones(count, dtype=torch.float64))
    orders = [Stratified(T).sample(count, generator=generator(seed))[0].tolist() for seed in range(5)]
    assert count == 1 or any(order != sorted(order) for order in orders)


@pytest.mark.parametrize("count", [1, 5, 8, 12])
def test_stratified_draws_are_uniform(count, monkeypatch):
    """Enumerated over the place within the strata: each t is as likely."""
    seen, places = torch.zeros(T), 60
    for place in range(places):
        monkeypatch.setattr(
            timestep_sampling.torch, "rand", lambda n, place=place, **_: torch.full((n,), (place + 0.5) / places)
        )
        seen += torch.bincount(Stratified(T).sample(count, generator=generator())[0] - 1, minlength=T)
    assert torch.equal(seen, torch.full((T,), places * count / T))


def test_times_stay_within_the_schedule():
    for name in ("uniform", "stratified", "loss-second-moment"):
        t, w = time_sampler(name, 3).sample(500, generator=generator())
        assert t.unique().tolist() == [1, 2, 3]
        assert w.dtype == torch.float64
        assert w.shape == t.shape


def test_loss_second_moment_probabilities():
    """Nichol & Dhariwal, eq. 18: p ∝ √E[L²] over the last ten, mixed with a thousandth of the uniform, and uniform
    until every t has been drawn ten times.
    """
    sampler = LossSecondMoment(T)
    uniform = Uniform(T).probabilities()
    teach(sampler, 9)
    assert torch.equal(sampler.probabilities(), uniform)
    sampler.update(torch.arange(2, T + 1), LOSSES[1:])
    assert torch.equal(sampler.probabilities(), uniform)
    sampler.update(torch.tensor([1]), LOSSES[:1])
    torch.testing.assert_close(sampler.probabilities(), 0.999 * LOSSES / LOSSES.sum() + 0.001 / T, atol=1e-12, rtol=0)
    sampler.update(torch.tensor([3, 3]), torch.tensor([2.0, 4.0]))  # the two oldest of t = 3 are forgotten
    moment = LOSSES.clone()
    moment[2] = ((8 * LOSSES[2] ** 2 + 2.0**2 + 4.0**2) / 10).sqrt()
    torch.testing.assert_close(sampler.probabilities(), 0.999 * moment / moment.sum() + 0.001 / T, atol=1e-12, rtol=0)


def test_restored_state_continues(sampler):
    """A restored sampler draws the same times and continues to learn."""
    again = type(sampler)(T)
    again.restore({name: value.clone() for name, value in sampler.state().items()})
    for seed in range(3):
        old, new = (one.sample(50, generator=generator(seed)) for one in (sampler, again))
        assert torch.equal(old[0], new[0])
        assert torch.equal(old[1], new[1])
        for one in (sampler, again):
            one.update(old[0], LOSSES[old[0] - 1])
    assert all(torch.equal(value, again.state()[name]) for name, value in sampler.state().items())


def test_draws_are_reproducible():
    for name in ("uniform", "stratified", "loss-second-moment"):
        first, again, other = (time_sampler(name, 1000).sample(8, generator=generator(seed))[0] for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="unknown sampler of times 'log-normal'; choose from uniform, stratified"):
        time_sampler("log-normal", T)


def test_late_sampler_favours_late_times():
    """Half of the draws are among the last twentieth, and the weights do not compensate for it."""
    t, w = time_sampler("late", 1000).sample(20_000, generator=generator())
    assert torch.equal(w, torch.ones(20_000, dtype=torch.float64))
    assert t.min() >= 1
    assert t.max() == 1000
    assert (t > 950).double().mean().item() == pytest.approx(0.5 + 0.5 * 0.05, abs=0.01)
    rest = torch.bincount((t[t <= 950] - 1) // 95, minlength=10) / (t <= 950).sum()
    assert (rest - 0.1).abs().max() < 0.01
