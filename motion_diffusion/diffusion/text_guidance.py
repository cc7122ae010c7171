"""Classifier-free guidance of words and of what is known of the motion (Ho & Salimans 2022).

With y(text, motion) the prediction given words and known positions, and ∅ for what is withheld,

    y = y(∅, ∅) + mask_scale·(y(∅, motion) − y(∅, ∅)) + text_scale·(y(text, motion) − y(∅, motion))

(for two conditions as in Brooks et al. 2023, eq. 3). A term of weight 0 is not computed: with both scales at 1 this is
the plain conditional model. All terms are computed in one batch. `text_refinement` has what may be done beside the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from motion_diffusion.diffusion.losses import Network, split
from motion_diffusion.diffusion.schedule import Level
from motion_diffusion.diffusion.variance import VarianceName

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
