import math
from typing import get_args

import pytest
import torch

from motion_diffusion.diffusion.losses import WeightName, split, training_loss, x0_weight
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.schedule import cosine, linear
from motion_diffusion.diffusion.variance import log_variance
from motion_diffusion.diffusion.variational_bound import bound_term
from motion_diffusion.errors import InputError

TIMES = torch.tensor([1, 2, 10, 400, 600, 990])
FRAMES = torch.ones(len(TIMES), 6, dtype=torch.bool)
LEARNED = ["learned", "learned-range"]


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def batch(dtype=torch.float64):
    """x0 and ε (B, 6, 5)."""
    return torch.randn(2, len(TIMES), 6, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)


def believing(guess, prediction, *w):
    """A network that predicts its type's target for this x̂0, and w for the variance."""

    def network(x_t, level):
        y = prediction.target(guess, (x_t - level.alpha * guess) / level.sigma, level)
        return torch.cat([y, *w], dim=-1)

    return network


def test_loss_depends_on_x0_alone(pair):
    """Networks with the same x̂0 have the same loss: the weight of its error times the error. The exception is the
    weight "target", the plain error of the target."""
    prediction, schedule = pair
    x0, eps = batch()
    guess = x0 + 0.3 * eps.sin()
    network, run = believing(guess, prediction), dict(schedule=schedule, prediction=prediction)
    expected = (guess - x0).square().mean((1, 2))
    for weight in get_args(WeightName):
        loss, error = training_loss(network, x0, FRAMES, TIMES, eps, weight=weight, **run)
        close(error, expected, 1e-8)
        close(loss, expected * x0_weight(weight, prediction, schedule, TIMES), 1e-8)
    loss, _ = training_loss(network, x0, FRAMES, TIMES, eps, weight="target", **run)
    level = schedule.at(TIMES, x0)
    y = network(level.alpha * x0 + level.sigma * eps, level)
    close(loss, (y - prediction.target(x0, eps, level)).square().mean((1, 2)), 1e-8)


def test_exact_x0_has_zero_loss(pair):
    prediction, schedule = pair
    x0, eps = batch()
    loss, _ = training_loss(believing(x0, prediction), x0, FRAMES, TIMES, eps, schedule=schedule, prediction=prediction)
    assert loss.max() < 1e-12


def test_weights_match_their_formulas(any_schedule):
    """½(SNR_s − SNR_t) is that of the bound; the others are the SNR within their range."""
    t = torch.arange(1, 1001)
    v = PREDICTIONS["v"]
    snr = (any_schedule.alpha / any_schedule.sigma).square()
    w = {name: x0_weight(name, v, any_schedule, t) for name in get_args(WeightName)}
    close((w["vlb"][1:] / (0.5 * (snr[1:-1] - snr[2:]))), torch.ones(999, dtype=torch.float64))
    close(w["target"], (v.determinant(any_schedule.at(t)) / any_schedule.at(t).sigma) ** 2, 1e-12)
    snr = snr[1:]
    close(w["snr"], snr, 1e-12)
    assert torch.equal(w["uniform"], torch.ones_like(snr))
    assert torch.equal(w["min-snr"], torch.minimum(snr, torch.tensor(5.0)))
    assert torch.equal(w["truncated"], torch.maximum(snr, torch.tensor(1.0)))
    assert torch.equal(w["clamped"], w["truncated"].clamp(max=5))
    of_eps = (w["capped"] / snr)[snr > 0]
    torch.testing.assert_close(of_eps, (1 + 1 / snr[snr > 0]).clamp(max=2500.0))
    assert all(value.dtype == torch.float64 for value in w.values())
    assert all((value.isfinite() & (value >= 0)).all() for value in w.values())


@pytest.mark.parametrize("gamma", [0.04, 5.0, 20.0])
def test_min_snr(any_schedule, gamma):
    """min(SNR, γ); so the squared error of ε counts min(1, γ/SNR), and with γ = 0.04 fully where σ/α is above 5."""
    t = torch.arange(1, 1000)  # on some schedules nothing is left of x0 at 1000
    alpha, sigma = any_schedule.alpha[t], any_schedule.sigma[t]
    snr = (alpha / sigma).square()
    weight = x0_weight("min-snr", PREDICTIONS["x0"], any_schedule, t, gamma=gamma)
    close(weight, snr.clamp(max=gamma), 1e-12)
    close(weight / snr, (gamma / snr).clamp(max=1), 1e-12)
    if gamma == 0.04:
        assert torch.equal(weight / snr > 1 - 1e-12, sigma >= 5 * alpha)
    x0, eps = batch()
    guess, prediction = x0 + 0.1, PREDICTIONS["x0"]
    run = dict(schedule=any_schedule, prediction=prediction, weight="min-snr", gamma=gamma)
    loss, error = training_loss(believing(guess, prediction), x0, FRAMES, TIMES, eps, **run)
    close(loss, error * weight[TIMES - 1])


def test_penalty(pair):
    """Of the x̂0 that is believed, min(SNR, 1) times, on top of the loss; its gradient reaches the prediction."""
    prediction, schedule = pair
    x0, eps = batch()
    guess = (x0 + 0.3 * eps.sin()).requires_grad_()
    run = dict(schedule=schedule, prediction=prediction)

    def penalty(x0_hat):
        return x0_hat.abs().amax((1, 2))

    plain, _ = training_loss(believing(guess, prediction), x0, FRAMES, TIMES, eps, **run)
    loss, _ = training_loss(believing(guess, prediction), x0, FRAMES, TIMES, eps, penalty=penalty, **run)
    snr = (schedule.alpha / schedule.sigma)[TIMES].square()
    close(loss, plain + snr.clamp(max=1) * penalty(guess), 1e-8)
    (gradient,) = torch.autograd.grad((loss - plain).sum(), guess)
    assert ((gradient != 0).sum((1, 2)) >= 1).all()


def test_vlb_weight_in_the_continuous_limit():
    """−½·dSNR/du, to first order in 1/T."""
    errors = []
    for T in (1000, 2000, 4000):
        level = cosine(T).at(torch.tensor([T // 2]))
        weight = T * x0_weight("vlb", PREDICTIONS["x0"], cosine(T), torch.tensor([T // 2]))
        W = level.alpha * level.d_sigma - level.sigma * level.d_alpha
        errors.append(abs(weight / (level.alpha * W / level.sigma**3) - 1).item())
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.1)


def test_vlb_weight_matches_the_bound(any_schedule):
    """Its loss is the part of the bound's term that a network can do something about; only the last step's differs,
    by a constant of its own."""
    x0, eps = batch()
    guess, prediction = x0 + 0.3 * eps.sin(), PREDICTIONS["x0"]
    run = dict(schedule=any_schedule, prediction=prediction)
    weighted, _ = training_loss(believing(guess, prediction), x0, FRAMES, TIMES, eps, weight="vlb", **run)
    bound, _ = training_loss(believing(guess, prediction), x0, FRAMES, TIMES, eps, loss="vlb", **run)
    close(bound[1:], any_schedule.T * weighted[1:], 1e-7)
    best, _ = training_loss(believing(x0, prediction), x0, FRAMES, TIMES, eps, loss="vlb", **run)
    close(bound - best, any_schedule.T * weighted, 1e-7)


@pytest.mark.parametrize("variance", LEARNED)
def test_hybrid_loss_is_the_sum(pair, variance):
    """L_simple + L_vlb/1000 (Nichol & Dhariwal, eq. 16); loss vlb is the term itself, scaled by T."""
    prediction, schedule = pair
    x0, eps = batch()
    guess, w = x0 + 0.1 * eps.sin(), 0.3 * eps.cos()
    run = dict(schedule=schedule, prediction=prediction)
    simple, _ = training_loss(believing(guess, prediction), x0, FRAMES, TIMES, eps, **run)
    vlb, hybrid = (
        training_loss(believing(guess, prediction, w), x0, FRAMES, TIMES, eps, variance=variance, loss=loss, **run)[0]
        for loss in ("vlb", "hybrid")
    )
    close(hybrid, simple + vlb / 1000, 1e-8)
    log_var = log_variance(variance, w, schedule, TIMES, TIMES - 1, x0)
    terms = bound_term(x0, schedule.add_noise(x0, eps, TIMES), guess, log_var, schedule, TIMES, TIMES - 1)
    close(vlb, schedule.T * terms.mean((1, 2)), 1e-7)


@pytest.mark.parametrize("variance", LEARNED)
def test_hybrid_bound_has_gradient_in_the_variance_only(pair, variance):
    """The gradient to the prediction is that of the simple loss, exactly, and the variance has its own;
    with loss vlb the bound teaches both."""
    prediction, schedule = pair
    x0, eps = batch()
    gradients = {}
    for loss in ("simple", "hybrid", "vlb"):
        y = prediction.target(x0 + 0.1, eps + 0.2, schedule.at(TIMES, x0)).requires_grad_()
        w = (0.3 * eps.cos()).requires_grad_()
        learned = {} if loss == "simple" else {"variance": variance}
        total, _ = training_loss(
            lambda x_t, level, y=y, w=w, learned=learned: torch.cat([y, w], -1) if learned else y,
            x0,
            FRAMES,
            TIMES,
            eps,
            schedule=schedule,
            prediction=prediction,
            loss=loss,
            **learned,
        )
        total.sum().backward()
        gradients[loss] = y.grad, w.grad
    assert torch.equal(gradients["hybrid"][0], gradients["simple"][0])
    close(gradients["hybrid"][1], gradients["vlb"][1] / 1000)
    assert (gradients["hybrid"][1] != 0).all()
    assert (gradients["vlb"][0] != 0).all()


def test_bound_is_minimal_at_the_best_variance():
    """The mean gradient with respect to log Σ is 0 where Σ = β̃ + B²·E|x̂0 − x0|², for two errors of ±0.2."""
    schedule, prediction, t = linear(1000), PREDICTIONS["x0"], torch.tensor([300])
    x0 = torch.zeros(1, 1, 2, dtype=torch.float64)
    guess = torch.tensor([[[0.2, -0.2]]], dtype=torch.float64)
    step = schedule.posterior(300, 299)
    w = torch.full_like(x0, math.log(1 + step.B**2 * 0.04 / step.variance)).requires_grad_()  # log Σ − log β̃
    loss, _ = training_loss(
        believing(guess, prediction, w),
        x0,
        torch.ones(1, 1, dtype=torch.bool),
        t,
        torch.zeros_like(x0),
        schedule=schedule,
        prediction=prediction,
        variance="learned",
        loss="vlb",
    )
    loss.sum().backward()
    assert w.grad.abs().max() < 1e-9


def test_padding_has_no_influence(pair):
    """A padded motion has the loss of the motion."""
    prediction, schedule = pair
    x0, eps = batch()
    frames = FRAMES.clone()
    frames[:, 3:] = False
    run = dict(schedule=schedule, prediction=prediction)
    guess = x0 + 0.3
    cut = training_loss(believing(guess[:, :3], prediction), x0[:, :3], frames[:, :3], TIMES, eps[:, :3], **run)
    for rest in (0.0, 1e3):
        x0[:, 3:] = rest
        padded = training_loss(believing(guess, prediction), x0, frames, TIMES, eps, **run)
        for whole, part in zip(padded, cut, strict=True):
            close(whole, part, 1e-10)


@pytest.mark.parametrize("loss", ["simple", "hybrid"])
def test_losses_of_microbatches_match_the_batch(loss):
    """Losses and gradients in microbatches are those of the whole batch."""
    schedule, prediction = cosine(1000), PREDICTIONS["v"]
    x0, eps = batch()
    layer = torch.nn.Linear(5, 10 if loss == "hybrid" else 5).double()
    run = dict(schedule=schedule, prediction=prediction, loss=loss)
    run |= {"variance": "learned-range"} if loss == "hybrid" else {}

    def losses(part):
        network = lambda x_t, level: layer(x_t)  # noqa: E731
        return training_loss(network, x0[part], FRAMES[part], TIMES[part], eps[part], **run)[0]

    parts = [slice(0, 2), slice(2, 3), slice(3, 6)]
    close(torch.cat([losses(part) for part in parts]), losses(slice(None)), 1e-12)
    gradients = []
    for split_up in (parts, [slice(None)]):
        layer.zero_grad()
        for part in split_up:
            (losses(part).sum() / len(x0)).backward()
        gradients.append(layer.weight.grad.clone())
    close(*gradients, 1e-6)


def test_split():
    output = torch.arange(6.0).view(1, 6)
    y, w = split(output, "learned-range")
    assert (y.tolist(), w.tolist()) == ([[0, 1, 2]], [[3, 4, 5]])
    assert split(output, "fixed-large") == (output, None)


def test_losses_are_finite_and_keep_the_dtype(pair):
    """At every t, up to both ends."""
    prediction, schedule = pair
    t = torch.tensor([1, 2, 500, 999, 1000, 1000])
    run = dict(schedule=schedule, prediction=prediction)
    fixed = (lambda x_t, level: x_t, dict(loss="simple"))
    learned = [
        (lambda x_t, level: torch.cat([x_t, x_t.sin()], -1), dict(loss=loss, variance="learned-range"))
        for loss in ("vlb", "hybrid")
    ]
    for dtype in (torch.float32, torch.float64):
        x0, eps = batch(dtype)
        for network, options in (fixed, *learned):
            total, error = training_loss(network, x0, FRAMES, t, eps, **run, **options)
            assert total.dtype == error.dtype == dtype
            assert total.shape == error.shape == t.shape
            assert total.isfinite().all(), options
            assert error.isfinite().all(), options


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="unknown weight 'snr5'; choose from target, uniform, snr, min-snr"):
        x0_weight("snr5", PREDICTIONS["x0"], cosine(10), TIMES)
    x0, eps = batch()
    run = dict(schedule=cosine(1000), prediction=PREDICTIONS["x0"])
    with pytest.raises(InputError, match="variance"):
        training_loss(lambda x, level: x, x0, FRAMES, TIMES, eps, variance="medium", **run)
