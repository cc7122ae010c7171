"""Noise schedules: x_t = α_t·x0 + σ_t·ε, with data at t = 0 and (nearly) pure noise at t = T.

A schedule is a float64 table of α and σ over t = 0 … T, and the curve that the table samples at u = t/T, with its
derivatives. Samplers and losses use nothing but two rows of the table. Steps may go from any t to any s < t, so a
respaced chain needs no table of its own: with

    a = α_t / α_s,   σ²_{t|s} = σ_t² − a²·σ_s²

the posterior of x_s given x_t and x0 is Gaussian with mean A·x_t + B·x0 and variance β̃,

    A = a·σ_s² / σ_t²,   B = α_s·σ²_{t|s} / σ_t²,   β̃ = σ²_{t|s}·σ_s² / σ_t²

(Ho et al. 2020, eq. 7, for the variance-preserving case; Kingma et al. 2021, appendix A, in general). Flow matching is
the rectified schedule with velocity as prediction type, not another process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from motion_diffusion.errors import InputError

Scalar = float | Tensor
"""A float for one time, or a float64 tensor for several that broadcasts over their motions."""


class Point(NamedTuple):
    """A point of a curve (α, σ) over u = t/T, and its derivatives with respect to u."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor


Curve = Callable[[Tensor], Point]
"""u (...,) in [0, 1], float64 → α, σ, α̇, σ̇, each (...,)."""


class Level(NamedTuple):
    """The noise level at a time t ≥ 1: α, σ, their derivatives with respect to u = t/T, and A, B of the step to t −
    1.
    """

    alpha: Scalar
    sigma: Scalar
    d_alpha: Scalar
    d_sigma: Scalar
    A: Scalar
    B: Scalar

    @property
    def snr(self) -> Scalar:
        """The signal-to-noise ratio α²/σ²."""
        return (self.alpha / self.sigma) ** 2


class Posterior(NamedTuple):
    """q(x_s | x_t, x0) = N(A·x_t + B·x0, β̃), and σ²_{t|s}, the variance of x_t given x_s."""

    A: Scalar
    B: Scalar
    variance: Scalar
    step_variance: Scalar


@dataclass(frozen=True)
class Schedule:
    """Float64 tables of T + 1 entries for t = 0 … T; entry 0 is the data (α = 1, σ = 0).

    Raises:
        InputError: if the signal-to-noise ratio does not decrease with every t.
    """

    name: str
    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    """dα/du with u = t/T."""
    d_sigma: Tensor
    curve: Curve
    """The curve that the table samples, for any u in [0, 1]."""

    def __post_init__(self) -> None:
        if len(self.alpha) < 2 or (self.alpha[0].item(), self.sigma[0].item()) != (1.0, 0.0):
            raise InputError(
                f"{self.name} schedule: entry 0 must be the data, alpha = 1 and sigma = 0, and T at least 1"
            )
        if bool((self.alpha < 0).any()):
            raise InputError(f"{self.name} schedule: alpha must not be negative")
        falls = self.alpha[1:] * self.sigma[:-1] < self.alpha[:-1] * self.sigma[1:]
        if not bool(falls.all()):
            t = int((~falls).nonzero()[0, 0]) + 1
            raise InputError(
                f"{self.name} schedule: its signal-to-noise ratio does not fall from t = {t - 1} to {t}; "
                "alpha / sigma must fall with every step"
            )

    @property
    def T(self) -> int:
        """The last time, at which sampling starts."""
        return len(self.alpha) - 1

    def has_table_of(self, other: Schedule) -> bool:
        """Whether both tables are equal."""
        columns = ("alpha", "sigma", "d_alpha", "d_sigma")
        return all(torch.equal(getattr(self, column), getattr(other, column)) for column in columns)

    @property
    def prior_std(self) -> float:
        """√(α_T² + σ_T²), the standard deviation of x_T on data of unit variance, from which samplers start; 1 if
        variance-preserving.
        """
        return math.hypot(*self.row(self.T))

    def at(self, t: Tensor | int, like: Tensor | None = None) -> Level:
        """The level at t ≥ 1: floats for an int; for times (B,), float64 tensors that broadcast over like (B, ...)."""
        alpha, sigma, d_alpha, d_sigma = self._rows(t, like, "alpha", "sigma", "d_alpha", "d_sigma")
        A, B, _, _ = self.posterior(t, t - 1, like)
        return Level(alpha, sigma, d_alpha, d_sigma, A, B)

    def row(self, t: int) -> tuple[float, float]:
        """(α_t, σ_t) as Python floats, which are float64."""
        return self._floats["alpha"][t], self._floats["sigma"][t]

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """The forward process: x_t = α_t·x0 + σ_t·ε."""
        alpha, sigma = self._rows(t, x0, "alpha", "sigma")
        return linear_combination(alpha, x0, sigma, eps)

    def posterior(self, t: Tensor | int, s: Tensor | int, like: Tensor | None = None) -> Posterior:
        """q(x_s | x_t, x0) for 0 ≤ s < t ≤ T, in float64: floats for ints, otherwise as `at` returns them."""
        if isinstance(t, int) and isinstance(s, int) and not 0 <= s < t <= self.T:
            raise InputError(f"a step goes from t to s with 0 <= s < t <= {self.T}, got t = {t}, s = {s}")
        alpha_t, sigma_t = self._rows(t, like, "alpha", "sigma")
        alpha_s, sigma_s = self._rows(s, like, "alpha", "sigma")
        a = alpha_t / alpha_s
        step_variance = sigma_t**2 - a**2 * sigma_s**2
        A = a * sigma_s**2 / sigma_t**2
        return Posterior(
            A, alpha_s * step_variance / sigma_t**2, step_variance * (sigma_s / sigma_t) ** 2, step_variance
        )

    def times(self, steps: int, *, first: int | None = None, shift: float = 1.0) -> list[int]:
        """The respaced chain: steps + 1 integer times from `first` (default T) down to 0.

        Args:
            steps: number of steps.
            first: the first time.
            shift: above 1, more of the times are at high noise, below at low noise: for evenly spaced u from 1 to 0,
                t / first = shift·u / (1 + (shift − 1)·u) (Esser et al. 2024, arXiv 2403.03206, eq. 23). At 1 times are
                evenly spaced.

        Raises:
            InputError: unless 1 ≤ steps ≤ first.
        """
        first = self.T if first is None else first
        if not 1 <= steps <= first:
            raise InputError(f"steps must be between 1 and {first}, got {steps}")
        left = [1 - i / steps for i in range(steps + 1)]
        times = [round(first * shift * u / (1 + (shift - 1) * u)) for u in left]
        return [max(min(t, first - i), steps - i) for i, t in enumerate(times)]  # so that no two are equal

    def _rows(self, t: Tensor | int, like: Tensor | None, *tables: str) -> list[Scalar]:
        if isinstance(t, int):
            return [self._floats[table][t] for table in tables]
        shape = (-1,) + (1,) * (like.ndim - 1 if like is not None else 0)
        index = t.to(self.alpha.device)
        return [getattr(self, table)[index].view(shape) for table in tables]

    @cached_property
    def _floats(self) -> dict[str, list[float]]:
        """The tables as Python floats, since samplers access single rows at every step."""
        return {table: getattr(self, table).tolist() for table in ("alpha", "sigma", "d_alpha", "d_sigma")}


def vector(number: Scalar, like: Tensor) -> Tensor:
    """A coefficient as (B,) numbers, one for each of the motions `like` (B, ...)."""
    return number.to(like).flatten() if isinstance(number, Tensor) else like.new_full((len(like),), number)


def cast(number: Scalar, like: Tensor) -> Scalar:
    """Convert a float64 coefficient to the dtype and device of the tensor it multiplies."""
    return number.to(like) if isinstance(number, Tensor) else number


def linear_combination(a: Scalar, x: Tensor, b: Scalar, y: Tensor) -> Tensor:
    """a·x + b·y in as few passes over memory as possible."""
    if isinstance(b, Tensor):
        return cast(a, x) * x + cast(b, y) * y
    return torch.add(x if a == 1.0 else cast(a, x) * x, y, alpha=b)


def from_curve(name: str, curve: Curve, T: int) -> Schedule:
    """A schedule whose table is the curve at u = t/T for t = 1 … T."""
    _check(name, T)
    point = curve(torch.arange(1, T + 1, dtype=torch.float64) / T)
    data = (1.0, 0.0, point.d_alpha[0].item(), point.d_sigma[0].item())
    tables = [torch.cat([column.new_tensor([first]), column]) for first, column in zip(data, point, strict=True)]
    alpha, sigma, d_alpha, d_sigma = tables
    return Schedule(name, alpha, sigma, d_alpha, d_sigma, curve)


def from_betas(name: str, betas: Tensor, curve: Curve) -> Schedule:
    """The variance-preserving schedule with one-step noise β_1 … β_T: ᾱ_t = Π(1 − β), α = √ᾱ, σ = √(1 − ᾱ).

    With the angle φ = atan2(σ, α) of the table and φ̇ of the curve, α̇ = −σ·φ̇ and σ̇ = α·φ̇.
    """
    if not bool(((betas > 0) & (betas < 1)).all()):
        raise InputError(f"{name} schedule with T = {len(betas)}: every beta must lie in (0, 1); use more steps")
    log_alpha_bar = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-betas).cumsum(0)])
    alpha, sigma = (0.5 * log_alpha_bar).exp(), (-torch.expm1(log_alpha_bar)).sqrt()
    point = curve(torch.arange(1, len(betas) + 1, dtype=torch.float64) / len(betas))
    turn = point.alpha * point.d_sigma - point.sigma * point.d_alpha  # φ̇, since α² + σ² = 1
    turn = torch.cat([turn[:1], turn])
    return Schedule(name, alpha, sigma, -sigma * turn, alpha * turn, curve)


def _check(name: str, T: int) -> None:
    if T < 1:
        raise InputError(f"{name} schedule: T must be at least 1, got {T}")


_S = 0.008  # Nichol & Dhariwal's offset, without which β_1 would be too small


def cosine(T: int = 1000) -> Schedule:
    """Nichol & Dhariwal 2021, eq. 17: ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + 0.008)/1.008 · π/2), β capped at 0.999."""
    _check("cosine", T)
    f = [math.cos((t / T + _S) / (1 + _S) * math.pi / 2) ** 2 for t in range(T + 1)]
    betas = torch.tensor([min(1 - f[t] / f[t - 1], 0.999) for t in range(1, T + 1)], dtype=torch.float64)
    return from_betas("cosine", betas, _cosine_curve)


def _cosine_curve(u: Tensor) -> Point:
    rate = math.pi / 2 / (1 + _S)
    angle, first = rate * (u + _S), rate * _S
    alpha, d_alpha = angle.cos() / math.cos(first), -rate * angle.sin() / math.cos(first)
    sigma = ((angle - first).sin() * (angle + first).sin()).sqrt() / math.cos(first)
    return Point(alpha, sigma, d_alpha, -alpha * d_alpha / sigma)


def linear(T: int = 1000) -> Schedule:
    """Ho et al. 2020: β from 1e-4 to 0.02 at T = 1000, scaled by 1000/T so that any T approximates the same process."""
    _check("linear", T)
    betas = torch.linspace(0.1 / T, 20.0 / T, max(T, 2), dtype=torch.float64)[-T:]  # for T = 1 too, β_T is the last
    return from_betas("linear", betas, _linear_curve)


def _linear_curve(u: Tensor) -> Point:
    """The limit T → ∞: α̇ = −½·β(u)·α with β(u) = 0.1 + 19.9·u (Song et al. 2021, eq. 33)."""
    alpha = (-0.05 * u - 4.975 * u**2).exp()
    sigma = (-torch.expm1(-0.1 * u - 9.95 * u**2)).sqrt()
    d_alpha = -0.5 * (0.1 + 19.9 * u) * alpha
    return Point(alpha, sigma, d_alpha, -alpha * d_alpha / sigma)


def rectified(T: int = 1000) -> Schedule:
    """Rectified flow (Liu et al. 2023; Lipman et al. 2023): α = 1 − u, σ = u; α_T = 0."""
    return from_curve("rectified", lambda u: Point(1 - u, u, -torch.ones_like(u), torch.ones_like(u)), T)


def variance_exploding(T: int = 1000) -> Schedule:
    """Song et al. 2021: α = 1, σ = 0.01·5000^u, from 0.01 to 50; the last step removes the remaining noise at once."""
    ratio = math.log(5000)

    def curve(u: Tensor) -> Point:
        sigma = 0.01 * (ratio * u).exp()
        return Point(torch.ones_like(u), sigma, torch.zeros_like(u), ratio * sigma)

    return from_curve("variance-exploding", curve, T)


SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "cosine": cosine,
    "linear": linear,
    "rectified": rectified,
    "variance-exploding": variance_exploding,
}
"""The schedules by their names in a model's config; yours can be added."""
