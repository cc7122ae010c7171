"""Sampling of training times and their loss weights. In all but one the expected loss is the mean over 1 … T."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor

from motion_diffusion.errors import InputError


class TimeSampler(ABC):
    """Draws times in 1 … T with weights 1/(T·p(t)), so that the expected weighted loss is the plain mean."""

    def __init__(self, T: int):
        self.T = T

    @abstractmethod
    def probabilities(self) -> Tensor:
        """(T,) float64: the probability of t = 1 … T for one draw."""

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw times (count,) and weights (count,) float64, on the CPU."""
        p = self.probabilities()
        t = torch.multinomial(p, count, replacement=True, generator=generator) + 1
        return t, 1 / (self.T * p[t - 1])

    def update(self, t: Tensor, loss: Tensor) -> None:  # noqa: B027 - most samplers have no state
        """Update from the unweighted losses (count,) at times t."""

    def state(self) -> dict[str, Tensor]:
        """The learned state, for a checkpoint; see `restore`."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Restore a state."""


class Uniform(TimeSampler):
    """Independent uniform draws."""

    def probabilities(self) -> Tensor:
        return torch.full((self.T,), 1 / self.T, dtype=torch.float64)


class Stratified(Uniform):
    """Uniform draws, one in each of `count` equal strata of a batch (Kingma et al. 2021)."""

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        strata = torch.arange(count, dtype=torch.float64) + torch.rand(count, dtype=torch.float64, generator=generator)
        t = (strata * (self.T / count)).long().clamp(0, self.T - 1) + 1
        return t[torch.randperm(count, generator=generator)], torch.ones(count, dtype=torch.float64)


class LossSecondMoment(TimeSampler):
    """p(t) ∝ √E[L_t²] over the last ten losses at t (Nichol & Dhariwal 2021, eq. 18), mixed with a little of the
    uniform.

    Uniform until every time has been drawn ten times.
    """

    HISTORY = 10
    UNIFORM = 0.001

    def __init__(self, T: int):
        super().__init__(T)
        self.losses = torch.zeros(T, self.HISTORY, dtype=torch.float64)
        self.seen = torch.zeros(T, dtype=torch.int64)

    def probabilities(self) -> Tensor:
        uniform = torch.full((self.T,), 1 / self.T, dtype=torch.float64)
        if bool((self.seen < self.HISTORY).any()):
            return uniform
        p = self.losses.square().mean(1).sqrt()
        return (1 - self.UNIFORM) * p / p.sum() + self.UNIFORM * uniform

    def update(self, t: Tensor, loss: Tensor) -> None:
        for time, value in zip(t.tolist(), loss.tolist(), strict=True):
            self.losses[time - 1, self.seen[time - 1] % self.HISTORY] = value
            self.seen[time - 1] += 1

    def state(self) -> dict[str, Tensor]:
        return {"losses": self.losses, "seen": self.seen}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.losses, self.seen = state["losses"], state["seen"]


class Late(Stratified):
    """Half of a batch spread over all times, half over the last twentieth; all weights are 1.

    So the last times count eleven times as much as in the plain mean, on purpose: the content of a motion and its
    response to goals are decided there, while at smaller t they are visible in x_t.
    """

    LAST = 0.05

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        t, ones = super().sample(count, generator=generator)
        late = torch.arange(count) % 2 == 0  # the order is random
        share = (t - 1 + torch.rand(count, dtype=torch.float64, generator=generator)) / self.T
        last = self.T - (self.LAST * self.T * share).long()
        return torch.where(late, last.clamp(1, self.T), t), ones


TimeSamplerName = Literal["uniform", "stratified", "loss-second-moment", "late"]
_SAMPLERS: dict[str, type[TimeSampler]] = {
    "uniform": Uniform,
    "stratified": Stratified,
    "loss-second-moment": LossSecondMoment,
    "late": Late,
}


def time_sampler(name: TimeSamplerName, T: int) -> TimeSampler:
    """The sampler of times by name. InputError for an unknown name."""
    if name not in _SAMPLERS:
        raise InputError(f"unknown sampler of times {name!r}; choose from {', '.join(get_args(TimeSamplerName))}")
    return _SAMPLERS[name](T)
