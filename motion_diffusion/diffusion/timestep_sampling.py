"""Which times are trained on, and what each counts for: in all but one, the expected loss is the mean over 1 … T."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor

from motion_diffusion.errors import InputError


class TimeSampler(ABC):
    """Draws times in 1 … T with weights 1/(T·p(t)): the weighted loss has the plain mean's expectation."""

    def __init__(self, T: int):
        self.T = T

    @abstractmethod
    def probabilities(self) -> Tensor:
        """(T,) float64: the chance of t = 1 … T for one draw."""

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(times (count,), weights (count,) float64), on the CPU."""
        p = self.probabilities()
        t = torch.multinomial(p, count, replacement=True, generator=generator) + 1
        return t, 1 / (self.T * p[t - 1])

    def update(self, t: Tensor, loss: Tensor) -> None:  # noqa: B027 - most samplers learn nothing
        """Learn from the unweighted losses (count,) at times t."""

    def state(self) -> dict[str, Tensor]:
        """What it has learned, for a checkpoint; put back by `restore`."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Go on from a state."""


class Uniform(TimeSampler):
    """Each time as likely, each draw on its own."""

    def probabilities(self) -> Tensor:
        return torch.full((self.T,), 1 / self.T, dtype=torch.float64)


class Stratified(Uniform):
    """Each time as likely, and a batch spread evenly: one time in each of `count` equal strata (Kingma et al. 2021)."""

    def sample(self, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        strata = torch.arange(count, dtype=torch.float64) + torch.rand(count, dtype=torch.float64, generator=generator)
        t = (strata * (self.T / count)).long().clamp(0, self.T - 1) + 1
        return t[torch.randperm(count, generator=generator)], torch.ones(count, dtype=torch.float64)


class LossSecondMoment(TimeSampler):
    """p(t) ∝ √E[L_t²] over the last ten losses at t (Nichol & Dhariwal 2021, eq. 18), and a little of the uniform.

    Until every time has been seen ten times, all are as likely.
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
    """Half of a batch spread evenly over all times, half over the last twentieth; all count alike.

    So the last times count eleven times as much as in the plain mean, on purpose: what a motion is about, and which
    goals it was told of, is decided there, and lower down x_t says most of it by itself.
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
    """The sampler of times by name. InputError if there is none of that name."""
    if name not in _SAMPLERS:
        raise InputError(f"unknown sampler of times {name!r}; choose from {', '.join(get_args(TimeSamplerName))}")
    return _SAMPLERS[name](T)
