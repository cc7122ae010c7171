"""The variational bound on −log p(x0), term by term, and the rate and distortion it implies.

    −log p(x0) ≤ KL(q(x_T | x0) ‖ p(x_T)) + Σ_{s>0} KL(q(x_s | x_t, x0) ‖ p(x_s | x_t)) − log p(x0 | x_t)|_{s=0}

over any chain of times from T to 0 (Ho et al. 2020, eq. 5), in nats per feature of a frame. A bound on a density has no
natural zero: halving the unit of the data subtracts log 2. For data that are multiples of a bin width the last term is
the probability of the bin, and the bound a code length, also available in bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from motion_diffusion.diffusion.samplers import Denoise, Noise
from motion_diffusion.diffusion.schedule import Schedule, cast
from motion_diffusion.diffusion.variance import small_variance
from motion_diffusion.errors import InputError


def gaussian_kl(mean_q: Tensor, log_var_q: Tensor, mean_p: Tensor, log_var_p: Tensor) -> Tensor:
    """KL(q ‖ p) of two Gaussians, elementwise, in nats."""
    return 0.5 * (
        log_var_p - log_var_q + torch.exp(log_var_q - log_var_p) + (mean_q - mean_p).square() / log_var_p.exp() - 1
    )


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """−log N(x; mean, var), elementwise, in nats."""
    return 0.5 * (math.log(2 * math.pi) + log_var + (x - mean).square() / log_var.exp())


def discretised_nll(
    x: Tensor, mean: Tensor, log_var: Tensor, bin_width: float, limits: tuple[float, float] | None = None
) -> Tensor:
    """−log of the probability of the bin around x under N(mean, var), in nats (Ho et al. 2020, eq. 13).

    Bins are bin_width wide and centred on x. limits: the lowest and highest possible value; their bins are open.
    """
    std = (0.5 * log_var).exp()
    low, high = (x - bin_width / 2 - mean) / std, (x + bin_width / 2 - mean) / std
    if limits is not None:
        low = low.masked_fill(x <= limits[0] + bin_width / 4, -torch.inf)
        high = high.masked_fill(x >= limits[1] - bin_width / 4, torch.inf)
    flip = low + high > 0  # differences of probabilities are accurate in the lower tail
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return -(upper + torch.log(-torch.expm1(lower - upper)))


def bound_term(
    x0: Tensor,
    x_t: Tensor,
    x0_hat: Tensor,
    log_var: Tensor,
    schedule: Schedule,
    t: Tensor | int,
    s: Tensor | int,
    *,
    nll: Callable[[Tensor, Tensor, Tensor], Tensor] = gaussian_nll,
) -> Tensor:
    """The term of the step from t to s, elementwise, in nats: a KL divergence, or −log p(x0 | x_t) where s = 0.

    Args:
        x0: (B, ...) clean motions.
        x_t: (B, ...) noisy motions.
        x0_hat: (B, ...) predicted clean motions.
        log_var: log Σ of p(x_s | x_t), broadcastable.
        schedule: the noise schedule.
        t: time, an int or (B,) on the CPU.
        s: time to step to, likewise.
        nll: the negative log-likelihood of the last step.
    """
    A, B, variance, _ = schedule.posterior(t, s, x0)
    A, B = cast(A, x0), cast(B, x0)
    last = torch.as_tensor(s == 0)
    log_var = log_var.expand(x0.shape)
    mean_p = A * x_t + B * x0_hat
    at_end = nll(x0, mean_p, log_var) if bool(last.any()) else None
    if bool(last.all()):
        assert at_end is not None
        return at_end
    log_var_q = torch.as_tensor(variance, dtype=torch.float64).clamp_min(1e-300).log().to(x0)
    kl = gaussian_kl(A * x_t + B * x0, log_var_q, mean_p, log_var)
    if at_end is None:
        return kl
    return torch.where(last.view(-1, *[1] * (x0.ndim - 1)).to(x0.device), at_end, kl)


def prior_term(x0: Tensor, schedule: Schedule) -> Tensor:
    """KL(q(x_T | x0) ‖ N(0, α_T² + σ_T²)), elementwise, in nats: what is left of x0 in x_T.

    The prior is the distribution from which samplers start: N(0, 1) on variance-preserving schedules.
    """
    alpha, sigma = schedule.row(schedule.T)
    log_var = x0.new_full((), 2 * math.log(sigma))
    return gaussian_kl(alpha * x0, log_var, torch.zeros_like(x0), x0.new_full((), 2 * math.log(schedule.prior_std)))


@dataclass(frozen=True)
class Bound:
    """The bound of each sample over a chain, averaged over its features, in nats."""

    times: list[int]
    """t of each term, descending."""
    terms: Tensor
    """(B, N): the term of each step, in the order of times."""
    prior: Tensor
    """(B,)"""
    x0_errors: Tensor
    """(B, N): the squared error of x̂0 at each t."""

    @property
    def total(self) -> Tensor:
        """(B,): the bound."""
        return self.prior + self.terms.sum(1)

    @property
    def bits(self) -> Tensor:
        """(B,): the bound in bits; a code length if computed with a bin width."""
        return self.total / math.log(2)

    def rate_distortion(self) -> tuple[Tensor, Tensor]:
        """Progressive coding (Ho et al. 2020, section 4.3), averaged over samples.

        Returns:
            Nats transmitted until x_t is known, and the root mean squared error of x̂0 at that point, each (N,), in the
            order of times.
        """
        sent = torch.cat([self.terms.new_zeros(len(self.terms), 1), self.terms[:, :-1]], dim=1).cumsum(1)
        return (self.prior[:, None] + sent).mean(0), self.x0_errors.mean(0).sqrt()


@torch.no_grad()
def variational_bound(
    denoise: Denoise,
    x0: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    *,
    noise: Noise,
    frames: Tensor | None = None,
    bin_width: float | None = None,
    limits: tuple[float, float] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Bound:
    """Estimate the bound on x0 over a chain of times, with one draw of noise per term.

    The variance of p is that of the estimates, or fixed small.

    Args:
        denoise: the denoiser.
        x0: (B, ...) clean motions.
        schedule: the noise schedule.
        times: the chain, descending from T to 0.
        noise: source of noise.
        frames: (B, F) bool, which frames of x0 (B, F, D) count.
        bin_width: for discretised data, see `discretised_nll`.
        limits: for discretised data, see `discretised_nll`.
        on_step: called with t after each term.

    Raises:
        InputError: if the chain does not lead from T to 0.
    """
    if len(times) < 2 or times[0] != schedule.T or times[-1] != 0:
        raise InputError(f"the bound needs a chain from T = {schedule.T} to 0, got {times[:1]} … {times[-1:]}")
    mask = x0.new_ones(()) if frames is None else frames[..., None].to(x0)
    count = mask.expand(x0.shape).flatten(1).sum(1)

    def average(values: Tensor) -> Tensor:
        return (values * mask).flatten(1).sum(1) / count

    def nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        if bin_width is None:
            return gaussian_nll(x, mean, log_var)
        return discretised_nll(x, mean, log_var, bin_width, limits)

    terms, errors = [], []
    for t, s in pairwise(times):
        x_t = schedule.add_noise(x0, noise(), t)
        estimate = denoise(x_t, t, s)
        variance = small_variance(schedule, t, s) if estimate.variance is None else estimate.variance
        log_var = torch.as_tensor(variance).to(x0).log()
        terms.append(average(bound_term(x0, x_t, estimate.x0, log_var, schedule, t, s, nll=nll)))
        errors.append(average((estimate.x0 - x0).square()))
        if on_step is not None:
            on_step(t)
    return Bound(list(times[:-1]), torch.stack(terms, 1), average(prior_term(x0, schedule)), torch.stack(errors, 1))
