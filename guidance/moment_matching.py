"""Moment matching posterior sampling (MMPS): the likelihood of the goals under the covariance of the prediction.

Given x_t, the motion is approximately N(x̂0, V), and the goals y = A x + σ_y·n have the likelihood

    ∇_{x_t} log p(y | x_t) ≈ (∂x̂0/∂x_t)ᵀ Aᵀ (σ_y² I + A V Aᵀ)⁻¹ (y − A x̂0)

with A the Jacobian of the observed joint positions at x̂0 (for the path of the root alone, positions are linear). Two
choices of V:

    jacobian:   V = (σ_t²/α_t) ∂x̂0/∂x_t, by Tweedie's second-order formula the covariance of an exact denoiser
                (MMPS: Rozet et al. 2024, arXiv 2405.13712, section 4.2; Boys et al. 2023 take its diagonal)
    isotropic:  V = r_t² I, r_t² = σ_t²/(α_t² + σ_t²)   (ΠGDM: Song et al. 2023)

MMPS moves the score of x_t by this gradient, hence x̂0 by (σ_t²/α_t) times it: on Gaussian data x̂0 becomes
E[x | x_t, y] exactly. ΠGDM adds α_s·α_t·r_t² times it to x_s (algorithm 1), hence α_t·r_t² times it to x̂0, ε̂ kept.
The linear system is solved by conjugate gradients; each product with the Jacobian's V is one backward pass through the
network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from guidance.goals.observation import Observation
from guidance.gradients import with_pullback
from guidance.protocol import GuidanceProblem
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise
from motion_diffusion.option_ranges import Range


@dataclass(frozen=True)
class MomentMatching:
    """Moment matching (MMPS): by the likelihood of the goals under the covariance of the predicted motion."""

    differentiates_denoiser: ClassVar[bool] = True

    covariance: Literal["jacobian", "isotropic"] = "jacobian"
    """Of the motion given x_t: from the network's Jacobian (MMPS), or equal for all features (ΠGDM)."""
    spread: Annotated[float, Range(0, 10, above=True)] = 0.01
    """σ_y in metres, the standard deviation with which goals are met; that of a goal of weight w is σ_y/√w."""
    iterations: Annotated[int, Range(1, 1000)] = 3
    """Conjugate-gradient steps, each a backward pass through the network with the Jacobian's covariance."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """x̂0 moved by the gradient of the module's docstring.

        Where α_t = 0 nothing of the motion is in x_t, and the estimate is not guided.
        """
        schedule, isotropic = problem.schedule, self.covariance == "isotropic"

        def guided(x: Tensor, t: int, s: int) -> Estimate:
            alpha, sigma = schedule.row(t)
            if alpha == 0:
                return denoise(x, t, s)
            estimate, pullback = with_pullback(denoise, x, t, s)
            seen = Linearised(problem, estimate.x0)
            variance = self.spread**2 / seen.wanted.weights.clamp_min(1e-9)[..., None]
            r = sigma**2 / (alpha**2 + sigma**2)

            def covariance(u: Tensor) -> Tensor:
                return r * u if isotropic else sigma**2 / alpha * pullback(u)

            def system(v: Tensor) -> Tensor:
                return variance * v + seen.forward(covariance(seen.transposed(v)))

            change = seen.transposed(conjugate_gradients(system, seen.missing, self.iterations))
            if isotropic:
                return estimate._replace(x0=estimate.x0 + alpha * r * pullback(change))
            return estimate.with_x0(estimate.x0 + covariance(change), t, schedule)

        return guided


class Linearised:
    """The observed joint positions A x0 (M, N, J, 3) of motions near x̂0 (B, F, D); zero where nothing is observed."""

    def __init__(self, problem: GuidanceProblem, x0: Tensor):
        with torch.enable_grad():
            self._near = x0.detach().requires_grad_()
            self._decoded = problem.joints(self._near)
            self._dual = torch.zeros_like(self._decoded).requires_grad_()
            (self._pulled,) = torch.autograd.grad(self._decoded, self._near, self._dual, create_graph=True)
        joints = self._decoded.detach()
        self.wanted: Observation = problem.target_for(joints)
        """Targets of the goals."""
        self.missing = self._seen(self.wanted.values - joints)
        """y − A x̂0 (M, N, J, 3) in metres."""

    def forward(self, u: Tensor) -> Tensor:
        """A u (M, N, J, 3) for u (B, F, D), which is the derivative of ⟨Aᵀ v, u⟩ with respect to v."""
        (moved,) = torch.autograd.grad(self._pulled, self._dual, grad_outputs=u, retain_graph=True)
        return self._seen(moved)

    def transposed(self, v: Tensor) -> Tensor:
        """Aᵀ v (B, F, D) for v (M, N, J, 3)."""
        (pulled,) = torch.autograd.grad(self._decoded, self._near, grad_outputs=self._seen(v), retain_graph=True)
        return pulled

    def _seen(self, joints: Tensor) -> Tensor:
        return torch.where(self.wanted.mask, joints, 0)


def conjugate_gradients(system: Callable[[Tensor], Tensor], right: Tensor, iterations: int) -> Tensor:
    """Solve system(v) = right for each motion (M, ...) by conjugate gradients from v = 0 (Hestenes & Stiefel 1952).

    The system is symmetric for an exact denoiser and only nearly so for a network: a motion for which it is not
    positive along the search direction keeps the solution that it has.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))

    solution, residual, direction = torch.zeros_like(right), right, right
    size = dot(residual, residual)
    going = size > 0
    for _ in range(iterations):
        image = system(direction)
        curvature = dot(direction, image)
        going = going & (curvature > 0)
        length = torch.where(going, size / torch.where(going, curvature, 1), 0)
        solution, residual = solution + length * direction, residual - length * image
        after = dot(residual, residual)
        going = going & (after > 0)
        direction = residual + torch.where(going, after / torch.where(going, size, 1), 0) * direction
        size = after
    return solution
