"""Samplers: short loops from noise to motion that depend only on the schedule and a denoiser.

A denoiser is a function `denoise(x_t, t, s) -> Estimate`: its estimate of the clean motion and of the noise in x_t,
when the sampler is about to step from t to s. Every guidance method takes a denoiser and returns a denoiser. A function
that changes x̂0 is a `Hook`, and mean and ε̂ are computed from its result: for the model's own clipping, and by
`with_hook`.

All samplers have the same signature: x is noise at the first of `times` (B, ...); times descend to 0, as returned by
`schedule.times`; noise draws z for those that need it; on_step is called with (t, estimate) after the denoising of each
step. They return the sample at the last time, shaped like x. They differ in how they step:

| sampler | a step | order | network calls |
|---|---|---|---|
| ancestral | posterior mean of x̂0, and noise with the posterior's or the network's own variance | 1 | 1 |
| ddim | x̂0 and ε̂ recombined at s, a share η of the noise redrawn | 1 | 1 |
| dpm_solver | ddim with x̂0 extrapolated from its last two values (DPM-Solver++(2M); η = 1: its SDE form) | 2* | 1 |
| heun | the mean of the flow's directions at both ends of the step | 2† | 2 |

(* on times evenly spaced in log α/σ. On times evenly spaced in t, as from `schedule.times`, it is between 1 and 2. † on
the rectified and variance-exploding schedules. On the linear and cosine ones, with times evenly spaced in t, the last
step to the data is long in log α/σ, and the order falls from 1.6 at 16 steps to 1.1 at 512.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

from torch import Tensor

from motion_diffusion.diffusion.schedule import Schedule, linear_combination
from motion_diffusion.errors import InputError


class Estimate(NamedTuple):
    """A denoiser's estimate at x_t: the clean motion x0 and the corresponding noise eps, both shaped like x_t.

    Samplers and outer methods continue from this pair, never from x_t beside it: a method that changes the noisy motion
    within a step (recurrence), or part of its noise, returns the pair of the new one, α_t·x0 + σ_t·eps.
    """

    x0: Tensor
    eps: Tensor
    variance: Tensor | float | None = None
    """Variance of the ancestral step to s, if the model has its own; None: the posterior's β̃."""

    def with_x0(self, x0: Tensor, t: int, schedule: Schedule) -> Estimate:
        """The estimate of the same noisy motion with another clean motion: eps moves by −(α_t/σ_t)·(change of x0)."""
        alpha, sigma = schedule.row(t)
        return self._replace(x0=x0, eps=linear_combination(1.0, self.eps, -alpha / sigma, x0 - self.x0))

    def detached(self) -> Estimate:
        """The same estimate without the graph of its computation."""
        variance = self.variance.detach() if isinstance(self.variance, Tensor) else self.variance
        return Estimate(self.x0.detach(), self.eps.detach(), variance)


Denoise = Callable[[Tensor, int, int], Estimate]
Hook = Callable[[Tensor, int, int], Tensor]
"""(x̂0, t, s) → the x̂0 to continue with: a clip, a projection, imputed goals."""
Noise = Callable[[], Tensor]
"""Draws standard normal noise of the shape of the motions being sampled."""
OnStep = Callable[[int, Estimate], None]


class Sampler(Protocol):
    """The signature of samplers; see the module's docstring."""

    def __call__(
        self,
        denoise: Denoise,
        x: Tensor,
        schedule: Schedule,
        times: Sequence[int],
        *,
        noise: Noise | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor: ...


def estimate_from_x0(
    x0: Tensor, x_t: Tensor, t: int, schedule: Schedule, variance: Tensor | float | None = None
) -> Estimate:
    """The estimate with clean motion x0, whose noise is eps = (x_t − α_t·x0) / σ_t."""
    alpha, sigma = schedule.row(t)
    return Estimate(x0, linear_combination(1 / sigma, x_t, -alpha / sigma, x0), variance)


def with_hook(denoise: Denoise, hook: Hook, schedule: Schedule) -> Denoise:
    """A denoiser whose x̂0 passes through a hook before it is used: mean and ε̂ both follow the new x̂0.

    While the hook leaves x̂0 unchanged, this equals the direct formula of every prediction type; otherwise the mean
    moves by B·(new − old), whatever the network predicts.
    """

    def hooked(x: Tensor, t: int, s: int) -> Estimate:
        estimate = denoise(x, t, s)
        return estimate.with_x0(hook(estimate.x0, t, s), t, schedule)

    return hooked


def clip(bound: Tensor) -> Hook:
    """A hook that clamps x̂0 to ±bound, feature by feature; bound broadcasts."""
    low = -bound
    return lambda x0, t, s: x0.clamp(low, bound)


def dynamic_threshold(bound: Tensor, quantile: float = 0.995) -> Hook:
    """Dynamic thresholding (Imagen, Saharia et al. 2022, section 2.3) for features of different ranges.

    x̂0 (B, ...) is scaled down, each motion as a whole, until the given quantile of |x̂0|/bound is at most 1, and the
    rest is clipped. Motions within the bound are unchanged.
    """

    def threshold(x0: Tensor, t: int, s: int) -> Tensor:
        relative = x0 / bound
        most = relative.abs().flatten(1).quantile(quantile, dim=1).clamp_min(1.0)
        most = most.view(-1, *[1] * (x0.ndim - 1))
        return relative.clamp(-most, most) / most * bound

    return threshold


def ancestral_step(estimate: Estimate, t: int, s: int, schedule: Schedule) -> tuple[Tensor, Tensor | float]:
    """Mean A·x_t + B·x̂0 and variance Σ of an ancestral step, Σ the estimate's own or β̃; the step to 0 has none.

    The mean is computed as α_s·x̂0 + √(σ_s² − β̃)·ε̂, which is the same for an ε̂ that corresponds to x̂0 and correct for
    one that was replaced by fresh noise.
    """
    (alpha_s, sigma_s), small = schedule.row(s), schedule.posterior(t, s).variance
    mean = linear_combination(alpha_s, estimate.x0, (sigma_s**2 - small) ** 0.5, estimate.eps)
    return mean, 0.0 if s == 0 else small if estimate.variance is None else estimate.variance


def ancestral(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    *,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, algorithm 2): x_s = A·x_t + B·x̂0 + √Σ·z; see `ancestral_step`."""
    noise = require_noise(noise, "ancestral sampling")
    for t, s in pairwise(times):
        estimate = denoise(x, t, s)
        if on_step is not None:
            on_step(t, estimate)
        x, variance = ancestral_step(estimate, t, s, schedule)
        if s > 0:
            x = linear_combination(1.0, x, variance**0.5, noise())
    return x


def ddim(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    *,
    eta: float = 0.0,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12): x_s = α_s·x̂0 + √(σ_s² − η²β̃)·ε̂ + η√β̃·z; η = 1 is ancestral with β̃."""
    return dpm_solver(denoise, x, schedule, times, eta=eta, order=1, noise=noise, on_step=on_step)


def dpm_solver(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    *,
    eta: float = 0.0,
    order: Literal[1, 2] = 2,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), and with η = 1 its SDE form; the last step is of first order.

        x_s = α_s·x̂0 + √(σ_s² − η²β̃)·ε̂ + η√β̃·z + B·(x̂0 − x̂0_before)/(2r),   r = h_before / h

    with B the coefficient of x̂0 in the step and h = λ_s − λ_t the step in λ = log α/σ.
    """
    if not 0 <= eta <= 1:
        raise InputError(f"eta is {eta}; give a number from 0 (no fresh noise) to 1 (ancestral)")
    if eta > 0:
        noise = require_noise(noise, "sampling with eta > 0")
    before: tuple[Tensor, float] | None = None
    for t, s in pairwise(times):
        estimate = denoise(x, t, s)
        if on_step is not None:
            on_step(t, estimate)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.row(t), schedule.row(s)
        fresh = eta**2 * float(schedule.posterior(t, s).variance)
        kept = (sigma_s**2 - fresh) ** 0.5
        x = linear_combination(alpha_s, estimate.x0, kept, estimate.eps)
        if order == 2 and s > 0:
            h = math.log(alpha_s / sigma_s) - (math.log(alpha_t / sigma_t) if alpha_t > 0 else -math.inf)
            if before is not None:
                x = x + (alpha_s - alpha_t * kept / sigma_t) * h / (2 * before[1]) * (estimate.x0 - before[0])
            before = (estimate.x0, h)
        if fresh > 0 and noise is not None:
            x = linear_combination(1.0, x, fresh**0.5, noise())
    return x


def heun(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    times: Sequence[int],
    *,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Heun's method on the probability-flow ODE; the last step is DDIM's, since there is no estimate at 0.

    In polar coordinates, r = √(α² + σ²) and φ = atan2(σ, α), x/r = cos φ·x0 + sin φ·ε moves along dφ by v = cos φ·ε −
    sin φ·x0, on any schedule, and no coefficient is large. (In σ/α, as in Karras et al. 2022, the first step of the
    cosine schedule would have length 2·10⁴.) A DDIM step predicts, the mean of both directions corrects.
    """
    for i, (t, s) in enumerate(pairwise(times)):
        estimate = denoise(x, t, s)
        if on_step is not None:
            on_step(t, estimate)
        alpha_s, sigma_s = schedule.row(s)
        predicted = linear_combination(alpha_s, estimate.x0, sigma_s, estimate.eps)
        if i + 2 == len(times):
            return predicted
        there = denoise(predicted, s, times[i + 2])
        (_, phi_t), (r_s, phi_s) = (_polar(*schedule.row(time)) for time in (t, s))
        begin = linear_combination(math.cos(phi_t), estimate.x0, math.sin(phi_t), estimate.eps)
        half = (phi_s - phi_t) / 2
        x = r_s * (begin + half * (_turning(estimate, phi_t) + _turning(there, phi_s)))
    return x


def ddim_inversion(denoise: Denoise, x0: Tensor, schedule: Schedule, times: Sequence[int]) -> Tensor:
    """The noise from which DDIM generates x0, to first order: DDIM run upwards.

    Each step uses the estimate at its lower end; the first step, from 0, where there is none, adds no noise.

    Args:
        denoise: the denoiser.
        x0: (B, ...) clean motions.
        schedule: the noise schedule.
        times: descending, as for sampling.
    """
    *between, first, zero = times
    x = schedule.row(first)[0] * x0
    below = zero
    for s, t in pairwise([first, *between[::-1]]):
        estimate = denoise(x, s, below)
        alpha_t, sigma_t = schedule.row(t)
        x, below = linear_combination(alpha_t, estimate.x0, sigma_t, estimate.eps), s
    return x


def _polar(alpha: float, sigma: float) -> tuple[float, float]:
    return math.hypot(alpha, sigma), math.atan2(sigma, alpha)


def _turning(estimate: Estimate, phi: float) -> Tensor:
    return linear_combination(math.cos(phi), estimate.eps, -math.sin(phi), estimate.x0)


def require_noise(noise: Noise | None, who: str) -> Noise:
    """The source of noise; InputError if there is none."""
    if noise is None:
        raise InputError(f"{who} needs a source of noise; give noise=")
    return noise


SamplerName = Literal["ancestral", "ddim", "dpm++2m", "sde-dpm++2m", "heun"]
SAMPLERS: dict[SamplerName, Sampler] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm++2m": dpm_solver,
    "sde-dpm++2m": partial(dpm_solver, eta=1.0),
    "heun": heun,
}
"""The samplers by their names on the command line."""
