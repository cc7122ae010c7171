"""Training-free guidance (TFG, Ye et al. 2024, arXiv 2409.15761), of which earlier methods are special settings.

With x̂0 the prediction at x_t, f the exponential of minus the distance to the goals (`GuidanceProblem.loss`, in m²) and
its smoothed form f̃(x) = mean over δ ~ N(0, I) of f(x + γ̄·σ_t·δ), a step from t to s is

    Δ_var  = ρ_t ∇_{x_t} log f̃(x̂0)                              (variance guidance, through the network)
    Δ_mean ← Δ_mean + μ_t ∇_{x̂0} log f̃(x̂0 + Δ_mean)             (mean guidance, N_iter times from 0)
    x_s    = Sample(x_t, x̂0, t) + Δ_var/√α_{t|s} + α_s·Δ_mean

(algorithm 1; α_{t|s} = (α_t/α_s)² is the paper's one-step α_t). Before the last of N_recur evaluations x_t is drawn
again from q(x_t | x_s). Since every sampler computes x_s = α_s·x̂0 + …·ε̂ + …, x̂0 + Δ_var/α_t + Δ_mean with ε̂ kept is
this step in each of them.

`weighting` states ρ_t and μ_t:

| | ρ_t | μ_t | ε̂ | |
|---|---|---|---|---|
| increase | ρ̄·α_{t\\|s} | μ̄·α_{t\\|s} | kept | TFG's best, up to a factor that ρ̄ and μ̄ contain |
| constant | ρ̄·√α_{t\\|s} | μ̄ | kept | x_s moves by ρ̄ times the gradient: DPS, LGD-MC, MPGD, FreeDoM |
| score | | μ̄ | follows x̂0 | ε̂ moves by ρ̄·σ_t times the gradient: UGD |
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from guidance.gradients import Loss, slope, with_pullback
from guidance.protocol import GuidanceProblem
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise, ancestral_step
from motion_diffusion.diffusion.schedule import Schedule, linear_combination
from motion_diffusion.errors import InputError
from motion_diffusion.option_ranges import Range

MAX_SCALE = 1e6

GradientScale = Annotated[float, Range(0, MAX_SCALE)]


@dataclass(frozen=True)
class TrainingFree:
    """Training-free guidance (TFG): gradients to x_t and to x̂0, steps repeated, goals smoothed."""

    differentiates: ClassVar[bool] = True

    rho: GradientScale = 4.0
    """ρ̄, strength of the gradient to x_t, through the network; 0: the network is not differentiated."""
    mu: GradientScale = 64.0
    """μ̄, strength of the gradient to x̂0. Good strengths depend on the goals; `search_strengths` finds them."""
    gamma: Annotated[float, Range(0, 10)] = 0.0
    """γ̄, standard deviation of the smoothing relative to the noise in x_t; 0: none."""
    iterations: Annotated[int, Range(1, 1000)] = 4
    """N_iter, steps along the gradient to x̂0."""
    recurrences: Annotated[int, Range(1, 100)] = 1
    """N_recur, how often each step is taken (time travel)."""
    samples: Annotated[int, Range(1, 1000)] = 4
    """Draws of the smoothing."""
    weighting: Literal["increase", "constant", "score"] = "increase"
    """ρ_t and μ_t over the steps: increasing towards the end (TFG), constant in x_s, or those of a score."""
    normalised: bool = False
    """Divide gradients by the root of the distance, as DPS does."""

    def __post_init__(self) -> None:
        if self.rho == self.mu == 0:
            raise InputError("--tfg.rho and --tfg.mu are both 0, which is no guidance; give one of them")

    @property
    def differentiates_denoiser(self) -> bool:
        """Whether there is a gradient to x_t."""
        return self.rho > 0

    @classmethod
    def dps(cls, scale: float) -> TrainingFree:
        """DPS (Chung et al. 2023): x_s moves by −ζ/‖y − A x̂0‖·∇_{x_t} ‖y − A x̂0‖², ζ = scale."""
        return cls(rho=scale, mu=0.0, weighting="constant", normalised=True)

    @classmethod
    def lgd(cls, scale: float, *, spread: float = 1.0, samples: int = 4) -> TrainingFree:
        """LGD-MC (Song et al. 2023): x_s moves by scale·∇_{x_t} log mean_i f(x̂0 + spread·σ_t·δ_i)."""
        return cls(rho=scale, mu=0.0, gamma=spread, samples=samples, weighting="constant")

    @classmethod
    def mpgd(cls, scale: float) -> TrainingFree:
        """MPGD without autoencoder (He et al. 2024): x̂0 moves by −scale·∇_{x̂0} L, and ε̂ is kept."""
        return cls(rho=0.0, mu=scale, iterations=1, weighting="constant")

    @classmethod
    def freedom(cls, scale: float, *, recurrences: int = 2) -> TrainingFree:
        """FreeDoM (Yu et al. 2023): x_s moves by −scale·∇_{x_t} L, and steps are repeated (time travel)."""
        return cls(rho=scale, mu=0.0, recurrences=recurrences, weighting="constant")

    @classmethod
    def ugd(cls, scale: float, backward: float, *, iterations: int = 4, recurrences: int = 2) -> TrainingFree:
        """UGD (Bansal et al. 2023): ε̂ moves by scale·σ_t·∇_{x_t} L − (α_t/σ_t)·Δ, and steps are repeated.

        Δ is found by `iterations` steps of size `backward` down L from x̂0.
        """
        return cls(rho=scale, mu=backward, iterations=iterations, recurrences=recurrences, weighting="score")

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The step of the module's docstring, and x_t drawn again `recurrences` − 1 times (time travel).

        x_t is drawn from q(x_t | x_s) for an ancestral x_s. The estimate is that at the last x_t, from which samplers
        continue. Where α_t = 0 nothing of the motion is in x_t, and the estimate is not guided.
        """
        schedule, windows = problem.schedule, problem.windows

        def guided(x: Tensor, t: int, s: int) -> Estimate:
            for _ in range(self.recurrences - 1):
                x_s, variance = ancestral_step(step(x, t, s), t, s, schedule)
                if s > 0:
                    x_s = linear_combination(1.0, x_s, variance**0.5, noise())
                fresh = float(schedule.posterior(t, s).step_variance) ** 0.5
                x = linear_combination(schedule.row(t)[0] / schedule.row(s)[0], x_s, fresh, noise())
            return step(x, t, s)

        def step(x: Tensor, t: int, s: int) -> Estimate:
            if schedule.row(t)[0] == 0:
                return denoise(x, t, s)
            loss = self._smoothed(problem.loss, t, schedule, noise)
            estimate, pullback = with_pullback(denoise, x, t, s, through=self.rho > 0)
            by_rho, by_mu = self._weights(t, s, schedule)
            x0 = estimate.x0
            moved = x0 - by_rho * pullback(downward(loss, x0)) if self.rho > 0 else x0
            change = torch.zeros_like(x0)
            for _ in range(self.iterations if self.mu > 0 else 0):
                change = change - by_mu * downward(loss, x0 + change)
            moved = moved + change
            if self.weighting == "score":
                return estimate.with_x0(moved, t, schedule)
            return estimate._replace(x0=moved)

        def downward(loss: Loss, x0: Tensor) -> Tensor:
            gradient, value = slope(loss, x0)
            if not self.normalised:
                return gradient
            return gradient / windows.of_windows(value.clamp_min(1e-12).sqrt())[:, None, None]

        return guided

    def _weights(self, t: int, s: int, schedule: Schedule) -> tuple[float, float]:
        """Factors by which the gradients to x_t and to x̂0 move x̂0."""
        (alpha_t, sigma_t), (alpha_s, _) = schedule.row(t), schedule.row(s)
        if self.weighting == "score":
            return self.rho * sigma_t**2 / alpha_t, self.mu
        if self.weighting == "constant":
            return self.rho / alpha_s, self.mu
        kept = alpha_t / alpha_s
        return self.rho * kept / alpha_s, self.mu * kept**2

    def _smoothed(self, loss: Loss, t: int, schedule: Schedule, noise: Noise) -> Loss:
        """−log f̃ for draws of this step; the loss itself without smoothing."""
        if self.gamma == 0:
            return loss
        alpha, sigma = schedule.row(t)
        draws = [self.gamma * sigma / math.hypot(alpha, sigma) * noise() for _ in range(self.samples)]

        def smoothed(x0: Tensor) -> Tensor:
            return math.log(len(draws)) - torch.stack([-loss(x0 + draw) for draw in draws]).logsumexp(0)

        return smoothed


SEARCH_START = TrainingFree(rho=0.25, mu=0.25, gamma=0.01)
"""Small strengths from which `search_strengths` begins."""


def search_strengths(
    score: Callable[[TrainingFree], float], start: TrainingFree = SEARCH_START, *, beam: int = 1, rounds: int = 10
) -> TrainingFree:
    """The settings with the highest score found by doubling ρ̄, μ̄ and γ̄ from small values (TFG, section 4).

    In every round one of the three is doubled, in each of the best `beam` settings so far. The search ends when no
    doubling is among the best. A strength of 0 remains 0, so the corners of TFG are searched likewise.

    Args:
        score: Of settings; higher is better. It should use few motions, with the same seeds each time.
        start: Settings with small strengths; the others remain as they are.
        beam: Settings that are kept.
        rounds: Maximum number of rounds.
    """
    scores = {start: score(start)}
    best = [start]
    for _ in range(rounds):
        for settings in best:
            for name, most in (("rho", MAX_SCALE), ("mu", MAX_SCALE), ("gamma", 10)):
                doubled = dataclasses.replace(settings, **{name: min(2 * getattr(settings, name), most)})
                if doubled not in scores:
                    scores[doubled] = score(doubled)
        before, best = best, sorted(scores, key=scores.__getitem__, reverse=True)[:beam]
        if best == before:
            break
    return best[0]
