"""Prediction types: the quantity that the network is trained to predict.

A prediction type is a row (p, q): the target is y = p·x0 + q·ε. Together with x_t = α·x0 + σ·ε it is a 2 × 2 system
with determinant D = α·q − σ·p, and everything follows from its solution:

    x0 = (q·x_t − σ·y) / D,   ε = (α·y − p·x_t) / D,   ‖ŷ − y‖² = (D/σ)²·‖x̂0 − x0‖²

The last equation gives the weight that a plain squared error on y puts on the error of x0: 1 for x0, SNR = α²/σ² for ε,
SNR + 1 for v on a variance-preserving schedule. Inserted into a step x_s = A·x_t + B·x0, the solution gives the parts
of the step that come from the network and from x_t:

    x_s = c_x·x_t + c_y·y,   c_x = A + B·q/D,   c_y = −B·σ/D

Inserted into the flow ẋ = α̇·x0 + σ̇·ε it gives the probability-flow ODE of the type, ẋ = (α̇·q − σ̇·p)/D·x + (W/D)·y
with W = α·σ̇ − σ·α̇.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.diffusion.schedule import Level, Scalar, Schedule, linear_combination
from motion_diffusion.errors import InputError

Row = Callable[[Level], tuple[Scalar, Scalar]]


MAX_NOISE_RATIO = 50.0
"""σ/α at which sampling of ε and score predictions starts, and up to which the weight "capped" is that of v."""


@dataclass(frozen=True)
class Prediction:
    """One prediction type. Coefficients are computed in float64 and cast to the motions (B, ...) they multiply."""

    name: str
    row: Row

    def target(self, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
        """y = p·x0 + q·ε."""
        p, q = self.row(level)
        return linear_combination(p, x0, q, eps)

    def determinant(self, level: Level) -> Scalar:
        """D = α·q − σ·p. InputError where it is 0: there y does not determine x0 and ε."""
        p, q = self.row(level)
        D = level.alpha * q - level.sigma * p
        if bool((D == 0).any() if isinstance(D, Tensor) else D == 0):
            blind = "the noise where sigma = 0" if self.name == "x0" else "the motion where alpha = 0"
            raise InputError(f"{self.name} says nothing of {blind}; predict v or velocity there")
        return D

    def to_x0(self, y: Tensor, x_t: Tensor, level: Level) -> Tensor:
        """The clean motion that the prediction y implies at x_t. InputError where it implies none."""
        D = self.determinant(level)
        return linear_combination(self.row(level)[1] / D, x_t, -level.sigma / D, y)

    def to_eps(self, y: Tensor, x_t: Tensor, level: Level) -> Tensor:
        """The noise that the prediction y implies at x_t. InputError where it implies none."""
        D = self.determinant(level)
        return linear_combination(level.alpha / D, y, -self.row(level)[0] / D, x_t)

    def weight(self, level: Level) -> Scalar:
        """(D/σ)²: the weight that a squared error on y puts on the squared error of x0."""
        return (self.determinant(level) / level.sigma) ** 2

    def mean_coefficients(self, level: Level, A: Scalar, B: Scalar) -> tuple[Scalar, Scalar]:
        """(c_x, c_y) of a step A·x_t + B·x0 = c_x·x_t + c_y·y from this level, such as a posterior mean.

        B/D is computed first, since both may be tiny near t = T.
        """
        share = B / self.determinant(level)
        return A + share * self.row(level)[1], -share * level.sigma

    def flow_coefficients(self, level: Level) -> tuple[Scalar, Scalar]:
        """(f_x, f_y) of the probability-flow ODE dx/du = f_x·x + f_y·y, u = t/T."""
        p, q = self.row(level)
        D = self.determinant(level)
        W = level.alpha * level.d_sigma - level.sigma * level.d_alpha
        return (level.d_alpha * q - level.d_sigma * p) / D, W / D

    def size(self, level: Level) -> Scalar:
        """√(p² + q²): the root mean square of y on data of unit variance."""
        p, q = self.row(level)
        return (p**2 + q**2) ** 0.5

    def first(self, schedule: Schedule) -> int:
        """The time at which sampling starts: T; for ε and score the last time with σ/α ≤ `MAX_NOISE_RATIO`.

        Their x̂0 = (x_t − σ·ε̂)/α has σ/α times the error of ε̂: beyond that ratio it is meaningless, and x_t is noise
        anyway.
        """
        p, _ = self.row(schedule.at(schedule.T))
        if p != 0:
            return schedule.T
        return int((schedule.sigma <= MAX_NOISE_RATIO * schedule.alpha).nonzero()[-1])

    def check(self, schedule: Schedule) -> None:
        """Raise InputError if y does not determine x0 at some time of the schedule, as ε and score where α = 0."""
        if schedule.row(schedule.T)[0] == 0:
            try:
                self.determinant(schedule.at(schedule.T))
            except InputError as error:
                raise InputError(f"{schedule.name} schedule ends in pure noise: {error}") from None


def _one(level: Level) -> Scalar:
    return torch.ones_like(level.alpha) if isinstance(level.alpha, Tensor) else 1.0


PREDICTIONS: dict[str, Prediction] = {
    prediction.name: prediction
    for prediction in (
        Prediction("x0", lambda level: (_one(level), 0 * _one(level))),
        Prediction("eps", lambda level: (0 * _one(level), _one(level))),
        Prediction("v", lambda level: (-level.sigma, level.alpha)),  # Salimans & Ho 2022
        Prediction("score", lambda level: (0 * _one(level), -1 / level.sigma)),  # ∇ log p(x_t | x0)
        Prediction("velocity", lambda level: (level.d_alpha, level.d_sigma)),  # Lipman et al. 2023
        Prediction("mu", lambda level: (level.A * level.alpha + level.B, level.A * level.sigma)),  # Ho et al. 2020
    )
}
"""The prediction types by name, to which others can be added. They are the clean motion, the noise, v = α·ε − σ·x0, the
score −ε/σ, the flow's velocity α̇·x0 + σ̇·ε, and the posterior mean of x_{t−1}.
"""


def defined_on(schedule: Schedule) -> dict[str, Prediction]:
    """The prediction types, by name, that determine x0 at every time of a schedule."""
    defined = {}
    for name, prediction in PREDICTIONS.items():
        try:
            prediction.check(schedule)
        except InputError:
            continue
        defined[name] = prediction
    return defined
