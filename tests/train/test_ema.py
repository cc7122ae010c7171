"""Averages of the weights."""

import torch
from torch import nn

from train.ema import Averages


def test_averages_are_those_of_their_recursion():
    """m ← r·m + (1 − r)·w with r = min(rate, (1 + n)/(10 + n)), for each rate."""
    layer, generator = nn.Linear(3, 2), torch.Generator().manual_seed(0)
    averages = Averages(layer, (0.3, 0.9))
    expected = {rate: layer.weight.detach().clone() for rate in (0.3, 0.9)}
    for step in range(12):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(2, 3, generator=generator))
        averages.update(step)
        for rate, value in expected.items():
            r = min(rate, (1 + step) / (10 + step))
            expected[rate] = r * value + (1 - r) * layer.weight.detach()
    for rate, value in expected.items():
        torch.testing.assert_close(averages.weights[rate]["weight"], value)


def test_put_in_for_a_while():
    layer = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    averages = Averages(layer, (0.5, 0.9))
    before = averages.weights[0.9]["0.weight"].clone()
    with torch.no_grad():
        layer[0].weight += 1
    live = layer[0].weight.detach().clone()
    with averages.put_in(0.9):
        assert torch.equal(layer[0].weight, before)
        assert not layer.training
    assert torch.equal(layer[0].weight, live)
    assert layer.training


def test_restored_by_name():
    layer = nn.Linear(3, 2)
    averages, again = Averages(layer, (0.5, 0.9)), Averages(nn.Linear(3, 2), (0.5, 0.9))
    with torch.no_grad():
        layer.weight += 1
    averages.update(100)
    assert set(averages.tensors()) == {"ema.weight", "ema.bias", "ema-0.9.weight", "ema-0.9.bias"}
    again.restore(averages.tensors())
    assert all(torch.equal(again.weights[r][k], averages.weights[r][k]) for r in (0.5, 0.9) for k in ("weight", "bias"))
