"""Categorical diffusion: labels that are kept or redrawn (D3PM, Austin et al. 2021; DiGress, Vignac et al. 2023).

At time t a label is unchanged with probability ᾱ_t, and otherwise a fresh draw from the limit distribution u:

    Q̄_t = ᾱ_t·I + (1 − ᾱ_t)·1uᵀ,   Q_{t|s} = r·I + (1 − r)·1uᵀ  with  r = ᾱ_t / ᾱ_s

for any s < t, so that a respaced chain needs no table of its own. By Bayes' rule, with p̂ a belief about x0,

    p(x_s | x_t) = Σ_x0 q(x_s | x_t, x0)·p̂(x0 | x_t) = Q_{t|s}[x_s, x_t] · Σ_x0 Q̄_s[x0, x_s]·p̂(x0 | x_t) /
        Q̄_t[x0, x_t].

Sampling and the bound use this kernel, which is exact if the belief is. Inserting p̂ into the formula of the posterior
in place of x0, a ratio of two sums, gives a different kernel, which is not. All probabilities are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_diffusion.errors import InputError

Predict = Callable[[Tensor, int], Tensor]
"""(x_t (...) labels, t) → logits (..., K) of x0."""


@dataclass(frozen=True, eq=False)
class CategoricalProcess:
    """The forward process of labels (B, ...) with N states, and its conditional distributions.

    Times t, s are ints, or tensors (B,) with one per sample. Methods raise InputError for invalid tables, for times and
    labels out of range, and for labels of probability zero.
    """

    keep: Tensor
    """(T + 1,) ᾱ_t, decreasing from exactly 1 at t = 0, at least 0; `schedule.alpha**2` is one if α decreases."""
    limit: Tensor
    """(N,) the distribution u from which labels are redrawn."""
    classes: int
    """K: the data's labels are 0 … K−1. N = K, or K + 1 where the last state is a mask."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", self.keep.double())
        object.__setattr__(self, "limit", self.limit.double())
        keep, limit = self.keep, self.limit
        if not (keep.ndim == 1 and len(keep) > 1 and keep[0] == 1 and keep[-1] >= 0 and (keep.diff() < 0).all()):
            raise InputError(
                "keep must fall from exactly 1 at t = 0, not below 0; give schedule.alpha**2 where alpha falls"
            )
        if not (limit.ndim == 1 and (limit >= 0).all() and abs(limit.sum().item() - 1) < 1e-9):
            raise InputError(
                f"limit of shape {tuple(limit.shape)} is no distribution; give (N,) float64 shares that sum to 1"
            )
        if not 1 <= self.classes <= len(limit):
            raise InputError(f"classes is {self.classes} but limit has {len(limit)} states; give 1 to {len(limit)}")

    @staticmethod
    def uniform(keep: Tensor, classes: int) -> CategoricalProcess:
        """Labels are replaced uniformly."""
        return CategoricalProcess(keep, torch.ones(classes, dtype=torch.float64) / classes, classes)

    @staticmethod
    def marginal(keep: Tensor, labels: Tensor, classes: int) -> CategoricalProcess:
        """Labels are replaced according to their frequencies in the data `labels`, of any shape (DiGress, section
        4.1).
        """
        counts = _one_hot(labels.flatten(), classes).sum(0)
        return CategoricalProcess(keep, counts / counts.sum(), classes)

    @staticmethod
    def absorbing(keep: Tensor, classes: int) -> CategoricalProcess:
        """Labels are replaced by a mask, state K (D3PM, section 3.1). The bound is finite only if ᾱ_T = 0."""
        return CategoricalProcess(keep, _one_hot(torch.tensor(classes), classes + 1), classes)

    @property
    def T(self) -> int:
        """The last time, at which sampling starts."""
        return len(self.keep) - 1

    def forward(self, p: Tensor, t: Tensor | int) -> Tensor:
        """The distribution (..., N) at t of labels with distribution p (..., K) or (..., N) at 0: p·Q̄_t.

        It is linear: the identity gives Q̄_t itself.
        """
        p, keep, limit = p.double(), self._keep(t, p.ndim).to(p.device), self.limit.to(p.device)
        return keep * F.pad(p, (0, len(limit) - p.shape[-1])) + (1 - keep) * p.sum(-1, keepdim=True) * limit

    def add_noise(self, x0: Tensor, t: Tensor | int, *, generator: torch.Generator) -> Tensor:
        """Labels x_t drawn from q(x_t | x0)."""
        return draw(self.forward(_one_hot(x0, self.classes), t), generator=generator)

    def noise(self, shape: Sequence[int], *, generator: torch.Generator) -> Tensor:
        """Labels drawn from the limit distribution, where sampling starts."""
        return draw(self.limit.expand(*shape, -1), generator=generator)

    def likelihood(self, x_t: Tensor, t: Tensor | int, s: Tensor | int) -> Tensor:
        """q(x_t | x_s) for every x_s, (..., N): the columns x_t of Q_{t|s}."""
        if not bool((torch.as_tensor(s) < t).all()):
            raise InputError(f"time must fall from t to s, got t = {t}, s = {s}; give 0 <= s < t <= {self.T}")
        keep = (self._keep(t, x_t.ndim + 1) / self._keep(s, x_t.ndim + 1)).to(x_t.device)
        x_t = _checked(x_t, len(self.limit))
        return keep * F.one_hot(x_t, len(self.limit)) + (1 - keep) * self.limit.to(x_t.device)[x_t, None]

    def log_belief(self, logits: Tensor, x_t: Tensor, t: Tensor | int) -> Tensor:
        """log p̂(x0 | x_t), (..., K), of logits (..., K): the log-softmax over the x0 that can become x_t."""
        possible = self.likelihood(x_t, t, 0)[..., : self.classes] > 0
        logits = logits.double().masked_fill(~possible, -torch.inf)
        if bool((logits.amax(-1) == -torch.inf).any()):
            raise InputError(f"x_t at t = {t} holds a label that no x0 can become; give labels of this process")
        return logits.log_softmax(-1)

    def posterior(self, x_t: Tensor, t: Tensor | int, s: Tensor | int) -> Tensor:
        """q(x_s | x_t, x0) for every x0, (..., K, N); rows are zero where x0 cannot become x_t."""
        every = torch.eye(self.classes, dtype=torch.float64, device=x_t.device)
        return self._bayes(every, x_t[..., None], t, s)

    def reverse(self, logits: Tensor, x_t: Tensor, t: Tensor | int, s: Tensor | int) -> Tensor:
        """p(x_s | x_t) = Σ_x0 q(x_s | x_t, x0)·p̂(x0 | x_t), (..., N): one sampling step, from logits (..., K)."""
        return self._bayes(self.log_belief(logits, x_t, t).exp(), x_t, t, s)

    def cross_entropy(self, logits: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | int) -> Tensor:
        """The training loss −log p̂(x0 | x_t), (...), nats per label. Whatever x_t determines by itself costs nothing.

        It is also the term of the bound that leads to s = 0.
        """
        return -self.log_belief(logits, x_t, t).gather(-1, _checked(x0, self.classes)[..., None]).squeeze(-1)

    def bound_term(self, logits: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | int, s: Tensor | int) -> Tensor:
        """A term of the bound, KL(q(x_s | x_t, x0) ‖ p(x_s | x_t)), (...), nats per label; −log p̂(x0 | x_t) for s =
        0.
        """
        q = self._bayes(_one_hot(x0, self.classes), x_t, t, s)
        if bool((q.sum(-1) == 0).any()):
            raise InputError(f"x0 holds a label that cannot have become x_t at t = {t}; noise it by add_noise")
        return _kl(q, self.reverse(logits, x_t, t, s))

    def prior_term(self, x0: Tensor, t: Tensor | int) -> Tensor:
        """The term of the bound that is independent of the network, KL(q(x_t | x0) ‖ u), (...), nats per label."""
        return _kl(self.forward(_one_hot(x0, self.classes), t), self.limit.to(x0.device))

    def _bayes(self, belief: Tensor, x_t: Tensor, t: Tensor | int, s: Tensor | int) -> Tensor:
        """Σ_x0 q(x_s | x_t, x0)·belief(x0), (..., N), of a belief (..., K) that excludes impossible x0."""
        evidence = self.likelihood(x_t, t, 0)[..., : self.classes]
        weight = torch.where(evidence > 0, belief / torch.where(evidence > 0, evidence, 1.0), 0.0)
        return self.likelihood(x_t, t, s) * self.forward(weight, s)

    def _keep(self, t: Tensor | int, ndim: int) -> Tensor:
        """ᾱ_t, shaped to broadcast over a tensor (B, ...) with ndim dimensions."""
        t = torch.as_tensor(t).to(self.keep.device)
        if not bool(((t >= 0) & (t <= self.T)).all()):
            raise InputError(f"times must lie in 0 to {self.T}, got {t.tolist()}; choose them by schedule.times(steps)")
        return self.keep[t].view(-1, *(1,) * (ndim - 1)) if t.ndim else self.keep[t]


def sample(
    predict: Predict, x: Tensor, process: CategoricalProcess, times: Sequence[int], *, generator: torch.Generator
) -> Tensor:
    """Ancestral sampling.

    Args:
        predict: returns logits of x0.
        x: (...) labels at the first time, `process.noise(shape)`.
        process: the forward process.
        times: descending from T to 0, as `schedule.times(steps)`.
        generator: source of randomness.

    Returns:
        (...) labels at the last of `times`.
    """
    for t, s in pairwise(times):
        x = draw(process.reverse(predict(x, t), x, t, s), generator=generator)
    return x


@torch.no_grad()
def variational_bound(
    predict: Predict, x0: Tensor, process: CategoricalProcess, times: Sequence[int], *, generator: torch.Generator
) -> Tensor:
    """Estimate the variational bound on −log p(x0) of `sample` with these times, term by term, in nats per label.

    Returns:
        (len(times), ...) for labels x0 (...): the prior term, then those of the steps t → s in their order, each at one
        draw of x_t. Their sum over dimension 0 is the bound.
    """
    if len(times) < 2 or times[0] != process.T or times[-1] != 0:
        raise InputError(f"the bound needs a chain from T = {process.T} to 0, got {times[:1]} … {times[-1:]}")
    terms = [process.prior_term(x0, times[0])]
    for t, s in pairwise(times):
        x_t = process.add_noise(x0, t, generator=generator)
        terms.append(process.bound_term(predict(x_t, t), x0, x_t, t, s))
    return torch.stack(terms)


def draw(p: Tensor, *, generator: torch.Generator) -> Tensor:
    """Labels (...) drawn from the distributions p (..., N)."""
    return torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator).view(p.shape[:-1])


def _one_hot(labels: Tensor, states: int) -> Tensor:
    """(...) → (..., states) float64."""
    return F.one_hot(_checked(labels, states), states).double()


def _checked(labels: Tensor, states: int) -> Tensor:
    """The labels as int64. InputError if any is not a state."""
    if labels.is_floating_point() or not bool(((labels >= 0) & (labels < states)).all()):
        raise InputError(f"labels must be whole numbers from 0 to {states - 1}; count the classes of the data")
    return labels.long()


def _kl(q: Tensor, p: Tensor) -> Tensor:
    """KL(q ‖ p) over the last dimension; states with q = 0 contribute nothing, also where p = 0."""
    return (q * (torch.where(q > 0, q, 1.0).log() - torch.where(q > 0, p, 1.0).log())).sum(-1)
