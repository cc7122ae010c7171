"""Distillation: a student learns to take in one step what its teacher takes in several.

For a time t of the student's few sampling times and its successor s, the teacher takes K steps of DDIM from x_t to x_s
with classifier-free guidance. One DDIM step from x_t, x_s = α_s·x̃0 + (σ_s/σ_t)·(x_t − α_t·x̃0), arrives at the same x_s
for

    x̃0 = (x_s − (σ_s/σ_t)·x_t) / (α_s − α_t·σ_s/σ_t),

which is the student's target in place of x0 (progressive distillation, Salimans & Ho 2022, with the guidance of Meng et
al. 2023 at one strength). The student is sampled by DDIM in just these steps, without the second network call of
classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from motion_diffusion.body.representation import Observed
from motion_diffusion.diffusion.schedule import linear_combination
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel, Shift
from motion_diffusion.option_ranges import Range
from motion_diffusion.sampling import sampling_times


@dataclass(frozen=True)
class DistillationOptions:
    """Distil a model into one that needs few steps."""

    teacher: str | None = None
    """Shipped model or run directory whose steps the new model learns, starting from its weights."""
    steps: Annotated[int, Range(1, 100)] = 8
    """Sampling steps of the new model."""
    substeps: Annotated[int, Range(1, 100)] = 4
    """Steps of the teacher in each of them."""
    shift: Shift = 1.0
    """How the new model's times are spaced, see `Schedule.times`."""
    text_scale: Annotated[float, Range(0.0, 100.0)] = 1.5
    """Strength of the text in the teacher's steps, which becomes part of the new model."""


@dataclass(frozen=True, eq=False)
class Distillation:
    """The targets that a teacher sets.

    Raises:
        InputError: If the teacher has fewer times than these steps need.
    """

    teacher: MotionModel
    options: DistillationOptions
    times: Tensor = field(init=False)
    """(N + 1,) sampling times of the student, from noise to 0."""

    def __post_init__(self) -> None:
        times = sampling_times(self.teacher, self.options.steps, self.options.shift)
        if min(t - s for t, s in pairwise(times)) < self.options.substeps:
            raise InputError(
                f"--distillation.steps {self.options.steps} of {self.options.substeps} substeps are more than the "
                f"teacher's {times[0]} times; give fewer"
            )
        object.__setattr__(self, "times", torch.tensor(times))
        self.teacher.eval().requires_grad_(False)

    @torch.no_grad()
    def target(
        self,
        x0: Tensor,
        eps: Tensor,
        t: Tensor,
        texts: Sequence[str],
        frames: Tensor,
        hide: Tensor,
        observed: Observed | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Replace clean motions and noise by the teacher's.

        Args:
            x0: (B, F, D) clean motions.
            eps: (B, F, D) noise.
            t: (B,) times, on the CPU; each is raised to the next of the student's times.
            texts: B prompts.
            frames: (B, F) bool, which frames exist.
            hide: (B,) bool, whose prompts the student does not see; the teacher's steps are without text there.
            observed: Observed positions, for models with masks.

        Returns:
            The student's times (B,), and x̃0 and ε̃ (B, F, D), with α_t·x̃0 + σ_t·ε̃ the noisy motion of x0 and eps.
        """
        teacher, schedule = self.teacher, self.teacher.schedule
        after = (self.times[None] >= t[:, None]).sum(1) - 1
        t, s = self.times[after], self.times[after + 1]
        x_t = schedule.add_noise(x0, eps, t)
        hidden = torch.cat([hide, torch.ones_like(hide)])
        both = None if observed is None else (observed[0].repeat(2, 1, 1, 1), observed[1].repeat(2, 1, 1, 1))
        condition = teacher.condition(list(texts) * 2, frames.repeat(2, 1), hide=hidden, observed=both)
        bound, w, K = teacher.representation.bound.to(x0), self.options.text_scale, self.options.substeps
        x, now = x_t, t
        for k in range(K):
            following = t - (t - s) * (k + 1) // K
            level = schedule.at(now.repeat(2), x.repeat(2, 1, 1))
            y, y_empty = teacher.network(condition, x.repeat(2, 1, 1), level).chunk(2)
            level = schedule.at(now, x)
            x0_hat = teacher.prediction.to_x0(linear_combination(w, y, 1 - w, y_empty), x, level).clamp(-bound, bound)
            noise = linear_combination(1 / level.sigma, x, -level.alpha / level.sigma, x0_hat)
            x, now = schedule.add_noise(x0_hat, noise, following), following
        (alpha_t, sigma_t), (alpha_s, sigma_s) = ((schedule.alpha[u], schedule.sigma[u]) for u in (t, s))
        ratio = sigma_s / sigma_t
        scale = alpha_s - alpha_t * ratio
        new_x0 = linear_combination(_column(1 / scale), x, _column(-ratio / scale), x_t)
        new_eps = linear_combination(_column(1 / sigma_t), x_t, _column(-alpha_t / sigma_t), new_x0)
        return t, new_x0 * frames[..., None], new_eps * frames[..., None]


def _column(values: Tensor) -> Tensor:
    """(B,) → (B, 1, 1)."""
    return values[:, None, None]
