"""Learning-rate schedule, AdamW's state, and averages of the weights."""

import pytest
import torch
from torch import nn

from train.config import TrainingOptions
from train.optimizer import Optimizer, WeightAverages, learning_rate_factor


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_learning_rate_warms_up_stays_and_decays(decay):
    options = TrainingOptions(steps=1000, warmup=100, cooldown=0.2, decay=decay)
    factors = [learning_rate_factor(options, step) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[100] == factors[799] == 1.0
    assert factors[900] == pytest.approx(0.5)
    assert factors[850] == pytest.approx(0.75 if decay == "linear" else 0.5 + 0.5 * 0.5**0.5)
    assert 0 < factors[-1] < 0.01


def steps(optimizer, module, count, run):
    """Take steps towards 0, the gradient of |w|²/2 being w. Returns the learning rate of each."""
    rates = []
    for _ in range(count):
        rates.append(optimizer.learning_rate)
        for value in module.parameters():
            value.grad = value.detach().clone()
        optimizer.update(torch.tensor(1.0), run)
    return rates


def test_a_restored_optimizer_continues_exactly(tmp_path):
    options = TrainingOptions(steps=8, warmup=3, cooldown=0.5, learning_rate=0.1)
    torch.manual_seed(0)
    whole, half = nn.Linear(3, 2), nn.Linear(3, 2)
    half.load_state_dict(whole.state_dict())
    expected = steps(Optimizer(whole, options), whole, 8, tmp_path)
    first = Optimizer(half, options)
    rates = steps(first, half, 5, tmp_path)
    state = {name: value.clone() for name, value in first.tensors().items()}
    assert set(state) == {f"{moment}.{name}" for moment in ("first", "second") for name in ("weight", "bias")}
    rates += steps(Optimizer(half, options, step=5, tensors=state), half, 3, tmp_path)
    assert rates == expected == [0.1 * learning_rate_factor(options, step) for step in range(8)]
    assert torch.equal(whole.weight, half.weight)


def averages_of(averages, rate):
    return averages.module(rate).weight.detach()


def test_averages_follow_their_recursion():
    """m ← r·m + (1 − r)·w with r = min(rate, n/(n + 9)) after n updates, for each rate, also when restored."""
    layer, generator = nn.Linear(3, 2), torch.Generator().manual_seed(0)
    averages = WeightAverages(layer, (0.3, 0.9))
    expected = {rate: layer.weight.detach().clone() for rate in (0.3, 0.9)}
    for n in range(1, 13):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(2, 3, generator=generator))
        if n == 7:
            state = {name: value.detach().clone() for name, value in averages.tensors().items()}
            averages = WeightAverages(nn.Linear(3, 2), (0.3, 0.9))
            averages.restore(state, step=6)
        averages.update(layer)
        for rate, value in expected.items():
            r = min(rate, n / (n + 9))
            expected[rate] = r * value + (1 - r) * layer.weight.detach()
    for rate, value in expected.items():
        torch.testing.assert_close(averages_of(averages, rate), value)


def test_averages_are_named_by_rate_and_evaluated_without_dropout():
    layer = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    averages = WeightAverages(layer, (0.5, 0.9))
    names = [f"{average}.0.{name}" for average in ("ema", "ema-0.9") for name in ("weight", "bias")]
    assert list(averages.tensors()) == names
    assert layer.training
    assert not averages.module().training
    with torch.no_grad():
        layer[0].weight += 1
    assert not torch.equal(averages.module(0.9)[0].weight, layer[0].weight)
