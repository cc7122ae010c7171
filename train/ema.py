"""Exponential moving averages of the weights, of several rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Averages:
    """Averages of a module's parameters. In its first steps a rate is (1 + n)/(10 + n), until that reaches it."""

    def __init__(self, module: nn.Module, rates: Sequence[float]):
        self.module, self.rates = module, tuple(rates)
        self.weights = {
            rate: {name: value.detach().clone() for name, value in module.named_parameters()} for rate in rates
        }

    def update(self, step: int) -> None:
        """Take in the parameters as they are after step number `step`, counted from 0."""
        live = list(self.module.parameters())
        for rate, weights in self.weights.items():
            get_ema_multi_avg_fn(min(rate, (1 + step) / (10 + step)))(list(weights.values()), live, None)

    def name(self, rate: float) -> str:
        """ "ema" for the first rate, "ema-0.9999" for others."""
        return "ema" if rate == self.rates[0] else f"ema-{rate}"

    def tensors(self) -> dict[str, Tensor]:
        """All averages, for a checkpoint; put back by `restore`."""
        return {f"{self.name(rate)}.{k}": v for rate, weights in self.weights.items() for k, v in weights.items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        for rate, weights in self.weights.items():
            for name, value in weights.items():
                value.copy_(tensors[f"{self.name(rate)}.{name}"])

    @contextmanager
    def put_in(self, rate: float | None = None) -> Iterator[None]:
        """Within this context the module has the averages of a rate, by default the first, and is in evaluation."""
        live = {name: value.detach().clone() for name, value in self.module.named_parameters()}
        training = self.module.training
        self._put(self.weights[self.rates[0] if rate is None else rate])
        self.module.eval()
        try:
            yield
        finally:
            self._put(live)
            self.module.train(training)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self.module.named_parameters():
            value.copy_(weights[name])
