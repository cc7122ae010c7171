"""Prediction types: what the network is asked for.

A prediction type is a row (p, q): the target is y = p·x0 + q·ε. Together with x_t = α·x0 + σ·ε it is a 2 × 2 system
with determinant D = α·q − σ·p, and everything follows from its solution:

    x0 = (q·x_t − σ·y) / D,   ε = (α·y − p·x_t) / D,   ‖ŷ − y‖² = (D/σ)²·‖x̂0 − x0‖²

The last one says which weight a plain squared error on y puts on the error of x0: 1 for x0, SNR = α²/σ² for ε,
SNR + 1 for v on a variance-preserving schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Row = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Prediction:
    """One prediction type. All methods take α and σ as tensors that broadcast against the motions (B, ...)."""

    name: str
    row: Row

    def target(self, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """y = p·x0 + q·ε."""
        p, q = self.row(alpha, sigma)
        return p * x0 + q * eps

    def determinant(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """D = α·q − σ·p."""
        p, q = self.row(alpha, sigma)
        return alpha * q - sigma * p

    def to_x0(self, y: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The clean motion that the prediction y implies at x_t."""
        _, q = self.row(alpha, sigma)
        return (q * x_t - sigma * y) / self.determinant(alpha, sigma)

    def to_eps(self, y: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The noise that the prediction y implies at x_t."""
        p, _ = self.row(alpha, sigma)
        return (alpha * y - p * x_t) / self.determinant(alpha, sigma)

    def weight(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(D/σ)²: the weight that a squared error on y puts on the squared error of x0."""
        return (self.determinant(alpha, sigma) / sigma) ** 2


PREDICTIONS = {
    prediction.name: prediction
    for prediction in (
        Prediction("x0", lambda alpha, sigma: (alpha.new_ones(()), alpha.new_zeros(()))),
        Prediction("eps", lambda alpha, sigma: (alpha.new_zeros(()), alpha.new_ones(()))),
        Prediction("v", lambda alpha, sigma: (-sigma, alpha)),  # Salimans & Ho 2022
    )
}
"""The prediction types by name: the clean motion, the noise, and v = α·ε − σ·x0."""
