"""Gradients that guidance follows: of the distance to the goals, and through the network to x_t."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from motion_diffusion.diffusion.samplers import Denoise, Estimate

Loss = Callable[[Tensor], Tensor]
"""x̂0 (B, F, D) → (M,), such as `GuidanceProblem.loss`."""
Pullback = Callable[[Tensor], Tensor]
"""u ↦ (∂x̂0/∂x_t)ᵀ u, both (B, F, D): a vector–Jacobian product of the denoiser."""


def slope(loss: Loss, x0: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of a loss with respect to x̂0 (B, F, D), and the loss (M,)."""
    with torch.enable_grad():
        near = x0.detach().requires_grad_()
        value = loss(near)
        (gradient,) = torch.autograd.grad(value.sum(), near)
    return gradient, value.detach()


def with_pullback(denoise: Denoise, x: Tensor, t: int, s: int, *, through: bool = True) -> tuple[Estimate, Pullback]:
    """The estimate at x_t (B, F, D), without a graph, and its vector–Jacobian product.

    Args:
        denoise: The denoiser.
        x: x_t.
        t: Its time.
        s: The next time.
        through: Whether to differentiate the denoiser; otherwise the product is u itself, the gradient to x̂0.
    """
    with torch.set_grad_enabled(through):
        x = x.detach().requires_grad_(through)
        estimate = denoise(x, t, s)

    def pullback(u: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(estimate.x0, x, grad_outputs=u, retain_graph=True)
        return gradient

    return estimate.detached(), pullback if through else lambda u: u
