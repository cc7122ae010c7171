"""Classifier-free guidance of words and of what is known of the motion (Ho & Salimans 2022), and its refinements.

With y(text, motion) the prediction given words and known positions, and ∅ for what is withheld,

    y = y(∅, ∅) + mask_scale·(y(∅, motion) − y(∅, ∅)) + text_scale·(y(text, motion) − y(∅, motion))

(for two conditions as in Brooks et al. 2023, eq. 3). A term of weight 0 is not computed: with both scales at 1 this is
the plain conditional model. All terms are computed in one batch.

With x̂0_c and x̂0_u the predictions with words and without, Δ = x̂0_c − x̂0_u and w the text scale, plain guidance is
x̂0 = x̂0_c + (w − 1)·Δ. Refined,

    interval    w acts for end·T < t ≤ begin·T, and elsewhere the plain conditional model
                (Kynkäänniemi et al. 2024, arXiv 2404.07724)
    APG         Δ̄ = Δ + β·Δ̄_before;  Δ̄ ← Δ̄·min(1, r/‖Δ̄‖);  x̂0 = x̂0_c + (w − 1)·(Δ̄_⊥ + η·Δ̄_∥),
                parts orthogonal and parallel to x̂0_c (Sadat et al. 2024, arXiv 2410.02416, algorithm 1)
    SPG         x̂0 ← x̂0 + w_s·(x̂0 − smooth(x̂0)): away from a weak model, which is the same prediction smoothed over
                time; after Jeon 2025, arXiv 2503.02577, whose weak model costs further network calls
    CFG++       x_s = α_s·x̂0 + σ_s·ε̂_u: the noise is that of the prediction without words, and w lies in [0, 1]
                (Chung et al. 2024, arXiv 2406.08070)

Inner products and norms are those of one motion over the frames that it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from motion_diffusion.body.heading import gaussian
from motion_diffusion.diffusion.losses import Network, split
from motion_diffusion.diffusion.samplers import Denoise, Estimate
from motion_diffusion.diffusion.schedule import Level
from motion_diffusion.diffusion.variance import VarianceName
from motion_diffusion.option_ranges import Range, check_interval

Terms = tuple[Tensor, Tensor | None]
"""Predictions (P, B, F, D) of all terms, and the variance parameters (B, F, D) of the first, if they are learned."""


class Term(NamedTuple):
    """One of the predictions that are summed."""

    weight: float
    words: bool
    """Whether it is given the words."""
    motion: bool
    """Whether it is given what is known of the motion."""


def terms(text_scale: float, mask_scale: float, *, observed: bool, pair: bool = False) -> list[Term]:
    """The terms of the sum whose weight is not 0.

    Args:
        text_scale: Strength of the words.
        mask_scale: Strength of what is known of the motion.
        observed: Whether anything is known.
        pair: Whether the first two terms, with words and without, are needed whatever their weights.
    """
    if not observed or mask_scale == 1:
        every = [Term(text_scale, True, True), Term(1 - text_scale, False, True)]
    else:
        every = [
            Term(text_scale, True, True),
            Term(mask_scale - text_scale, False, True),
            Term(1 - mask_scale, False, False),
        ]
    return [term for i, term in enumerate(every) if term.weight != 0 or (pair and i < 2)]


def each_term(network: Network, count: int, variance: VarianceName) -> Callable[[Tensor, Level], Terms]:
    """The predictions of all terms at x_t.

    Args:
        network: Takes the terms one after the other in its batch, (P·B, F, D).
        count: P.
        variance: Its name; a learned one is that of the first term.

    Returns:
        A function of x_t (B, F, D) and its level: predictions (P, B, F, D), and variance parameters (B, F, D) or None.
    """

    def predictions(x: Tensor, level: Level) -> Terms:
        y, w = split(network(x.repeat(count, 1, 1), level), variance)
        return y.unflatten(0, (count, -1)), None if w is None else w[: len(x)]

    return predictions


def weighted_sum(weights: Tensor, y: Tensor) -> Tensor:
    """Σ_p weights_p·y_p for weights (P,) and predictions (P, B, F, D)."""
    return torch.einsum("p,pbfd->bfd", weights.to(y), y)


@dataclass(frozen=True)
class TextGuidance:
    """How the words steer, beside their strength; by default as in plain classifier-free guidance."""

    begin: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Share of the diffusion time at which the words' guidance begins; before it, the plain conditional model."""
    end: Annotated[float, Range(0, 1, below=True)] = 0.0
    """Share of the diffusion time at which it ends."""
    parallel: Annotated[float, Range(0, 1)] = 1.0
    """η of APG: share that is kept of the guidance's part parallel to the conditional prediction; 0: none."""
    momentum: Annotated[float, Range(-1, 1, above=True, below=True)] = 0.0
    """β of APG, share of the guidance of the step before; APG takes a negative one, such as -0.5."""
    threshold: Annotated[float | None, Range(0, 1000, above=True)] = None
    """r of APG, the largest root mean square of the guidance over a motion's normalised features; none by default."""
    smooth_weight: Annotated[float, Range(0, 100)] = 0.0
    """w_s of SPG, strength of the guidance away from the same prediction smoothed over time."""
    smooth_frames: Annotated[float, Range(0, 60, above=True)] = 2.0
    """Sigma in frames of SPG's Gaussian over time."""
    unconditional_noise: bool = False
    """Continue with the noise of the prediction without words (CFG++); choose a text scale in [0, 1] with it."""

    def __post_init__(self) -> None:
        check_interval("--text-guidance", self.begin, self.end)

    @property
    def always(self) -> bool:
        """Whether the words' guidance acts at all times."""
        return (self.begin, self.end) == (1.0, 0.0)

    @property
    def projects(self) -> bool:
        """Whether the guidance is changed as in APG."""
        return self.parallel != 1 or self.momentum != 0 or self.threshold is not None

    @property
    def pair(self) -> bool:
        """Whether the predictions with words and without are needed one by one."""
        return self.projects or self.unconditional_noise

    def within(self, refined: Denoise, plain: Denoise, T: int) -> Denoise:
        """The refined denoiser inside the interval, the plain conditional one outside."""

        def chosen(x: Tensor, t: int, s: int) -> Estimate:
            return (refined if self.end * T < t <= self.begin * T else plain)(x, t, s)

        return chosen


PLAIN = TextGuidance()
"""Classifier-free guidance without refinement."""


class Refinement:
    """x̂0 (B, F, D) refined as `TextGuidance` says, for one run of a sampler or several.

    Args:
        options: What is to be done.
        frames: (B, F) bool, the frames that exist.
        text_scale: w.
    """

    def __init__(self, options: TextGuidance, frames: Tensor, text_scale: float):
        self._options, self._scale, self._frames = options, text_scale, frames
        self._time = math.inf
        self._before: Tensor | float = 0.0
        self._now: Tensor | float = 0.0

    def __call__(self, x0: Tensor, pair: Tensor | None, t: int) -> Tensor:
        """The refined x̂0.

        Args:
            x0: (B, F, D) of plain guidance.
            pair: x̂0_c and x̂0_u, (2, B, F, D), needed where `TextGuidance.pair`.
            t: The time.
        """
        if self._options.projects and pair is not None:
            conditional, unconditional = pair
            change = conditional - unconditional
            x0 = x0 + (self._scale - 1) * (self._projected(change, conditional, t) - change)
        if self._options.smooth_weight > 0:
            x0 = x0 + self._options.smooth_weight * (x0 - self._smoothed(x0))
        return x0

    def _projected(self, change: Tensor, conditional: Tensor, t: int) -> Tensor:
        """Δ̄_⊥ + η·Δ̄_∥."""
        change = change + self._options.momentum * self._average_before(t)
        self._now = change.detach()
        if self._options.threshold is not None:
            count = self._frames.sum(1) * change.shape[-1]
            size = (self._dot(change, change) / count[:, None, None]).sqrt()
            change = change * (self._options.threshold / size.clamp_min(1e-12)).clamp(max=1)
        share = self._dot(change, conditional) / self._dot(conditional, conditional).clamp_min(1e-12)
        return change - (1 - self._options.parallel) * share * conditional

    def _average_before(self, t: int) -> Tensor | float:
        """Δ̄ of the step before t. A step may be evaluated several times, and an earlier time begins a new run."""
        if t != self._time:
            self._before = self._now if t < self._time else 0.0
            self._time = t
        return self._before

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Inner products (B, 1, 1) over the frames that exist."""
        return (a * b * self._frames[..., None]).sum((1, 2), keepdim=True)

    def _smoothed(self, x0: Tensor) -> Tensor:
        """x̂0 filtered over time, each motion with its last frame repeated beyond its end."""
        last = self._frames.sum(1, keepdim=True) - 1
        index = torch.minimum(torch.arange(x0.shape[1], device=x0.device).expand(len(x0), -1), last)
        return gaussian(x0.gather(1, index[..., None].expand_as(x0)), self._options.smooth_frames)
