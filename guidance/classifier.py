"""Classifier guidance: x̂0 moves down the gradient of the squared distance to the goals, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from guidance.gradients import slope, with_pullback
from guidance.protocol import GuidanceProblem
from guidance.windows import Windows
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise
from motion_diffusion.option_ranges import Range, check_interval

MAX_STEP = 1e3
"""Maximum step of a line search, relative to its trial step."""

Scale = Annotated[float, Range(0, 1e6, above=True)]
"""Strength of a gradient."""


@dataclass(frozen=True)
class Classifier:
    """Classifier guidance: by the gradient of the squared distance to the goals."""

    differentiates: ClassVar[bool] = True

    through: Literal["network", "x0"] = "network"
    """Gradient with respect to x_t, through the network (GMD; a goal at one frame affects all), or to x̂0 (cheap)."""
    scaling: Literal["search", "variance", "score"] = "search"
    """Length of a step: to the minimum of the distance along the gradient (search), or scale times the variance of the
    step (GMD) or of x_t (score guidance), but never beyond that minimum."""
    scale: Scale = 100.0
    """Strength of the gradient with scaling variance or score (GMD: 100)."""
    inner: Annotated[int, Range(0, 1000)] = 3
    """Further conjugate-gradient steps of x̂0 at every sampling step."""
    begin: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Share of the diffusion time at which guidance begins."""
    end: Annotated[float, Range(0, 1, below=True)] = 0.0
    """Share of the diffusion time at which guidance ends."""

    def __post_init__(self) -> None:
        check_interval("--classifier", self.begin, self.end)

    @property
    def differentiates_denoiser(self) -> bool:
        """Whether the gradient goes through the network."""
        return self.through == "network"

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """Classifier guidance (Dhariwal & Nichol 2021) as in GMD: the mean of x_s moves by −scale·β̃·∇ loss(x̂0(x_t)).

        The gradient goes through the denoiser to x_t, or only to x̂0. The mean is A·x_t + B·x̂0 with β̃/B = σ_s²/α_s (see
        `schedule`), so moving x̂0 by d = −scale·(σ_s²/α_s)·∇ moves the mean just so, whatever the prediction type and
        stride. Score guidance uses σ_t²/α_t instead.

        Near t = T these factors are large, and the gradient through a real network is not as small as it should be;
        near 0 they vanish, and guidance cannot restore what the network undoes. Therefore x̂0 moves along d at most to
        the minimum of the loss, λ·d, found from the parabola through the loss and its slope at x̂0 and the loss at x̂0
        + d (exact for a quadratic loss), and with scaling "search" exactly there, whatever the length of d. Every
        motion has its own λ. Where α_t = 0, as at the beginning of the rectified schedule, the score says nothing of x̂0
        and is not guided.
        """
        schedule, windows = problem.schedule, problem.windows

        def descend(x0: Tensor, uphill: Tensor, direction: Tensor, loss: Tensor, most: float) -> Tensor:
            """x̂0 + λ·direction, λ ≤ most; the derivative there follows from uphill, the gradient of the loss at x̂0."""
            along = windows.of_motions((uphill * direction).flatten(1).sum(1))
            rise = problem.loss(x0 + direction) - loss - along
            share = torch.where(rise > 0, (-along / (2 * rise)).clamp(0, most), (along < 0).to(along))
            return x0 + windows.of_windows(share)[:, None, None] * direction

        def long_enough(direction: Tensor, uphill: Tensor, loss: Tensor) -> Tensor:
            """The direction at about the length of the step, where the parabola is well determined."""
            along = windows.of_motions((uphill * direction).flatten(1).sum(1))
            return direction * windows.of_windows(loss / along.abs().clamp_min(1e-12))[:, None, None]

        def guided(x: Tensor, t: int, s: int) -> Estimate:
            T = schedule.T
            alpha, sigma = schedule.row(s if self.scaling == "variance" else t)
            if not self.end * T < t <= self.begin * T or (self.scaling == "score" and alpha == 0):
                return denoise(x, t, s)
            estimate, pullback = with_pullback(denoise, x, t, s, through=self.through == "network")
            size = None if self.scaling == "search" else self.scale * sigma**2 / alpha
            x0 = estimate.x0
            uphill, loss = slope(problem.loss, x0)
            gradient = pullback(uphill)
            if size is None:
                moved = descend(x0, uphill, long_enough(-gradient, uphill, loss), loss, MAX_STEP)
            else:
                moved = descend(x0, uphill, -size * gradient, loss, 1.0)
            before, direction = None, torch.zeros_like(moved)
            for _ in range(self.inner):
                uphill, loss = slope(problem.loss, moved)
                direction = _conjugate(uphill, before, direction, windows)
                moved, before = descend(moved, uphill, long_enough(direction, uphill, loss), loss, MAX_STEP), uphill
            return estimate.with_x0(moved, t, schedule)

        return guided


def _conjugate(uphill: Tensor, before: Tensor | None, direction: Tensor, windows: Windows) -> Tensor:
    """The next direction after one at which the gradient was `before` (Polak & Ribière 1969, β clamped at 0).

    Goals act on positions and on velocities, which are of very different scale: plain descent would zigzag.
    """
    if before is None:
        return -uphill
    turned = windows.of_motions((uphill * (uphill - before)).flatten(1).sum(1))
    share = turned / windows.of_motions(before.square().flatten(1).sum(1)).clamp_min(1e-20)
    return windows.of_windows(share.clamp_min(0))[:, None, None] * direction - uphill
