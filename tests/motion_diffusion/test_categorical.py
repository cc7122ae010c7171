"""Few labels and few times: everything that the process claims is checked by enumeration, without Monte Carlo."""

from itertools import combinations, pairwise

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from motion_diffusion.diffusion.categorical import CategoricalProcess, draw, sample, variational_bound
from motion_diffusion.diffusion.schedule import cosine, linear
from motion_diffusion.errors import InputError

K, T = 4, 6
DATA = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
LABELS = torch.repeat_interleave(torch.arange(K), torch.tensor([10, 6, 3, 1]))
STEPS = list(combinations(range(T + 1), 2))
"""All (s, t) with s < t."""


def table(last=None):
    keep = cosine(T).alpha ** 2
    if last is not None:
        keep[-1] = last
    return keep


def build(kind, keep):
    if kind == "marginal":
        return CategoricalProcess.marginal(keep, LABELS, K)
    return getattr(CategoricalProcess, kind)(keep, K)


@pytest.fixture(params=["uniform", "marginal", "absorbing"])
def process(request):
    return build(request.param, table())


@pytest.fixture(params=["uniform", "marginal", "absorbing"])
def forgetful(request):
    """A process that has forgotten everything at T, so that u is exactly its distribution there."""
    return build(request.param, table(0.0))


def states(process):
    return torch.arange(len(process.limit))


def cumulative(process, t):
    """Q̄_t (N, N)."""
    return process.forward(torch.eye(len(process.limit), dtype=torch.float64), t)


def step(process, t, s):
    """Q_{t|s} (N, N)."""
    return process.likelihood(states(process), t, s).T


def reached(process, t):
    """The labels that occur at t."""
    return (process.forward(DATA, t) > 0).nonzero().flatten()


def best(process):
    """The exact predictor: log p(x0 | x_t) by Bayes' rule."""

    def predict(x_t, t):
        return (DATA * cumulative(process, t)[:K, x_t].movedim(0, -1)).log()

    return predict


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def test_transitions_are_stochastic_and_compose(process):
    one = torch.ones(len(process.limit), dtype=torch.float64)
    close(cumulative(process, 0), torch.eye(len(one), dtype=torch.float64))
    for s, t in STEPS:
        close(cumulative(process, t).sum(-1), one)
        close(step(process, t, s).sum(-1), one)
        close(cumulative(process, s) @ step(process, t, s), cumulative(process, t))


def test_transitions_match_the_papers(process):
    kept, one = process.keep[3], torch.eye(len(process.limit), dtype=torch.float64)
    close(cumulative(process, 3), kept * one + (1 - kept) * process.limit)


def test_limit_distributions():
    keep = table()
    close(CategoricalProcess.marginal(keep, LABELS.view(4, 5), K).limit, DATA)
    close(CategoricalProcess.uniform(keep, K).limit, torch.full((K,), 0.25, dtype=torch.float64))
    assert CategoricalProcess.absorbing(keep, K).limit.tolist() == [0, 0, 0, 0, 1]


def test_marginal_limit_favours_frequent_labels():
    process = build("marginal", table())
    for t in range(T + 1):
        close(process.forward(DATA, t), DATA)


def test_posterior_follows_bayes_rule(process):
    """q(x_s | x_t, x0) ∝ q(x_s | x0)·q(x_t | x_s), and zero where x0 cannot have become x_t."""
    for s, t in STEPS:
        joint = cumulative(process, s)[:K, :, None] * step(process, t, s)  # x0, x_s, x_t
        evidence = joint.sum(1, keepdim=True)
        expected = torch.where(evidence > 0, joint / evidence, 0.0).permute(2, 0, 1)
        close(process.posterior(states(process), t, s), expected)


def test_reverse_kernel_is_exact_for_the_exact_belief(forgetful):
    for s, t in STEPS:
        x_t = reached(forgetful, t)
        joint = forgetful.forward(DATA, s)[:, None] * step(forgetful, t, s)[:, x_t]  # x_s, x_t
        close(forgetful.reverse(best(forgetful)(x_t, t), x_t, t, s), (joint / joint.sum(0)).T)


def test_plug_in_kernel_is_not_exact():
    """The exact belief in place of x0 in the posterior: the test above distinguishes the two kernels."""
    process = build("marginal", table())
    x_t, belief = states(process), best(process)(states(process), 4).exp()
    belief = belief / belief.sum(-1, keepdim=True)
    joint = process.likelihood(x_t, 4, 2) * process.forward(belief, 2)
    plug_in = joint / joint.sum(-1, keepdim=True)
    assert (plug_in - process.reverse(belief.log(), x_t, 4, 2)).abs().max() > 0.01


def test_reverse_kernel_averages_posteriors(process):
    logits = torch.randn(3, 5, K, generator=torch.Generator().manual_seed(0))
    t, s = torch.tensor([2, 4, 6]), torch.tensor([0, 3, 1])
    x_t = process.add_noise(torch.arange(15).view(3, 5) % K, t, generator=torch.Generator().manual_seed(0))
    p = process.reverse(logits, x_t, t, s)
    belief = process.log_belief(logits, x_t, t).exp()
    close(p, (process.posterior(x_t, t, s) * belief[..., None]).sum(-2))
    close(p.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    for i in range(3):  # times by sample are those times one by one
        close(p[i], process.reverse(logits[i], x_t[i], int(t[i]), int(s[i])))


def test_belief_excludes_impossible_labels():
    process = build("absorbing", table())
    belief = process.log_belief(torch.randn(2, K, generator=torch.Generator().manual_seed(0)), torch.tensor([2, K]), 3)
    assert belief[0].exp().tolist() == [0, 0, 1, 0]
    assert (belief[1] > -torch.inf).all()


@pytest.mark.parametrize("kind", ["uniform", "marginal"])
def test_divergences_match_torch(kind):
    process = build(kind, table())
    x0, x_t = torch.cartesian_prod(torch.arange(K), torch.arange(K)).unbind(1)
    logits = torch.randn(len(x0), K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for s, t in [(1, 2), (2, 6), (3, 4)]:
        q = Categorical(process.posterior(x_t, t, s)[torch.arange(len(x0)), x0])
        p = Categorical(process.reverse(logits, x_t, t, s))
        close(process.bound_term(logits, x0, x_t, t, s), kl_divergence(q, p))
        assert not torch.allclose(kl_divergence(q, p), kl_divergence(p, q), atol=1e-3)
        close(process.bound_term(logits, x0, x_t, t, 0), -logits.log_softmax(-1)[torch.arange(len(x0)), x0])
        close(
            process.prior_term(x0, t),
            kl_divergence(Categorical(process.forward(torch.eye(K).double()[x0], t)), Categorical(process.limit)),
        )


def test_cross_entropy_is_the_last_bound_term(process):
    """With its gradient, which is a number also where x_t rules some x0 out."""
    x_t = process.add_noise(LABELS, 3, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(len(LABELS), K, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = process.cross_entropy(logits, LABELS, x_t, 3)
    last = process.bound_term(logits, LABELS, x_t, 3, 0)
    close(loss, last)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    (same,) = torch.autograd.grad(last.sum(), logits)
    assert gradient.abs().max() > 0.1
    torch.testing.assert_close(gradient, same)
    (gradient,) = torch.autograd.grad(process.bound_term(logits, LABELS, x_t, 3, 1).sum(), logits)
    assert gradient.isfinite().all()


def expected_bound(process, times):
    """The mean of the bound over all x0 and x_t, with the exact predictor."""
    x0 = torch.arange(K)
    total = (DATA * process.prior_term(x0, times[0])).sum()
    for t, s in pairwise(times):
        x_t = reached(process, t)
        chance = DATA[:, None] * cumulative(process, t)[:K, x_t]
        every, noisy = (grid[chance > 0] for grid in torch.meshgrid(x0, x_t, indexing="ij"))
        terms = process.bound_term(best(process)(noisy, t), every, noisy, t, s)
        assert (terms > -1e-12).all()
        total = total + (chance[chance > 0] * terms).sum()
    return total


@pytest.mark.parametrize("times", [[6, 5, 4, 3, 2, 1, 0], [6, 4, 1, 0], [6, 0]])
def test_bound_of_the_exact_predictor_is_the_entropy(forgetful, times):
    close(expected_bound(forgetful, times), Categorical(DATA).entropy())


@pytest.mark.parametrize("kind", ["uniform", "marginal"])
def test_bound_includes_the_prior_term(kind):
    """Where ᾱ_T > 0 the bound is the entropy plus KL(q(x_T) ‖ u): zero for marginals, large for uniform labels."""
    process = build(kind, table(0.004))
    left = kl_divergence(Categorical(process.forward(DATA, T)), Categorical(process.limit))
    close(expected_bound(process, [6, 3, 0]), Categorical(DATA).entropy() + left)
    assert (left > 1e-6) == (kind == "uniform")


def test_absorbing_bound_is_infinite_without_full_masking():
    assert build("absorbing", table(0.004)).prior_term(LABELS, T).isinf().all()


def test_variational_bound_is_unbiased(forgetful):
    x0 = LABELS.repeat(2000, 1)
    terms = variational_bound(best(forgetful), x0, forgetful, [6, 3, 0], generator=torch.Generator().manual_seed(0))
    assert terms.shape == (3, 2000, 20)
    assert terms.sum(0).mean().item() == pytest.approx(Categorical(DATA).entropy().item(), abs=0.02)


@pytest.mark.parametrize("times", [[6, 5, 4, 3, 2, 1, 0], [6, 2, 0]])
def test_sampling_reproduces_the_data_distribution(forgetful, times):
    generator = torch.Generator().manual_seed(0)
    x = sample(best(forgetful), forgetful.noise((400, 100), generator=generator), forgetful, times, generator=generator)
    assert x.shape == (400, 100)
    assert x.max() < K  # no mask is left
    close(x.flatten().bincount(minlength=K) / x.numel(), DATA.float(), atol=0.01)


def test_noise_has_the_right_moments(process):
    x0 = torch.tensor([0, 1, 3])[:, None].expand(3, 40_000)
    t = torch.tensor([1, 3, 6])
    x_t = process.add_noise(x0, t, generator=torch.Generator().manual_seed(0))
    for i in range(3):
        frequencies = x_t[i].bincount(minlength=len(process.limit)) / x_t.shape[1]
        close(frequencies, cumulative(process, int(t[i]))[x0[i, 0]].float(), atol=0.01)
    assert torch.equal(process.add_noise(x0, 0, generator=torch.Generator()), x0)


def test_sampling_is_reproducible(process):
    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        x = process.noise((50,), generator=generator)
        return sample(best(process), x, process, [6, 3, 1, 0], generator=generator)

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_alpha_squared_of_a_schedule_is_valid():
    process = CategoricalProcess.uniform(linear(1000).alpha ** 2, 3)
    assert process.T == 1000
    close(process.forward(torch.eye(3, dtype=torch.float64), 1000), torch.full((3, 3), 1 / 3).double(), atol=1e-4)


def test_a_single_label_is_drawn():
    p = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    assert draw(p, generator=torch.Generator()).tolist() == 1


@pytest.mark.parametrize("keep", [[1.0], [0.9, 0.5], [1.0, 0.5, 0.5], [1.0, 0.5, -0.1], [1.0, float("nan")]])
def test_increasing_tables_are_refused(keep):
    with pytest.raises(InputError, match=r"give schedule\.alpha"):
        CategoricalProcess.uniform(torch.tensor(keep), 2)


@pytest.mark.parametrize("limit", [[0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0], [[1.0]]])
def test_invalid_limits_are_refused(limit):
    with pytest.raises(InputError, match="no distribution"):
        CategoricalProcess(table(), torch.tensor(limit), 1)


def test_more_classes_than_states_are_refused():
    with pytest.raises(InputError, match="classes is 3 but limit has 2"):
        CategoricalProcess(table(), torch.tensor([0.5, 0.5]), 3)


@pytest.mark.parametrize(("t", "s"), [(3, 3), (2, 3), (7, 1), (3, -1), (torch.tensor([4, 2]), 2)])
def test_increasing_times_are_refused(process, t, s):
    with pytest.raises(InputError, match="time"):
        process.reverse(torch.zeros(2, K), torch.zeros(2, dtype=torch.long), t, s)


@pytest.mark.parametrize("labels", [torch.tensor([K]), torch.tensor([-1]), torch.tensor([1.0])])
def test_labels_out_of_range_are_refused(labels):
    process = build("uniform", table())
    for call in (
        lambda: process.add_noise(labels, 3, generator=torch.Generator()),
        lambda: process.reverse(torch.zeros(1, K), labels, 3, 2),
        lambda: process.cross_entropy(torch.zeros(1, K), labels, torch.tensor([1]), 3),
        lambda: CategoricalProcess.marginal(table(), labels, K),
    ):
        with pytest.raises(InputError, match="from 0 to 3"):
            call()


def test_impossible_noisy_labels_are_refused():
    with pytest.raises(InputError, match="no x0 can become"):
        build("absorbing", table(0.0)).reverse(torch.zeros(1, K), torch.tensor([1]), T, 2)


def test_impossible_clean_labels_are_refused():
    process = build("absorbing", table())
    with pytest.raises(InputError, match="cannot have become"):
        process.bound_term(torch.zeros(1, K), torch.tensor([1]), torch.tensor([2]), 3, 2)


@pytest.mark.parametrize("times", [[6], [5, 0], [6, 1]])
def test_incomplete_chains_are_refused(process, times):
    with pytest.raises(InputError, match="from T = 6 to 0"):
        variational_bound(best(process), LABELS, process, times, generator=torch.Generator())
