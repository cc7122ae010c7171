"""Classifier-free guidance of words and of what is known of the motion (Ho & Salimans 2022).

With y(text, motion) the prediction given words and known positions, and ∅ for what is withheld,

    y = y(∅, ∅) + mask_scale·(y(∅, motion) − y(∅, ∅)) + text_scale·(y(text, motion) − y(∅, motion))

(for two conditions as in Brooks et al. 2023, eq. 3). A term of weight 0 is not computed: with both scales at 1 this is
the plain conditional model. All terms are computed in one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from motion_diffusion.diffusion.losses import Network, split
from motion_diffusion.diffusion.schedule import Level
from motion_diffusion.diffusion.variance import VarianceName


class Term(NamedTuple):
    """One of the predictions that are summed."""

    weight: float
    words: bool
    """Whether it is given the words."""
    motion: bool
    """Whether it is given what is known of the motion."""


def terms(text_scale: float, mask_scale: float, *, observed: bool) -> list[Term]:
    """The terms of the sum whose weight is not 0.

    Args:
        text_scale: Strength of the words.
        mask_scale: Strength of what is known of the motion.
        observed: Whether anything is known.
    """
    if not observed or mask_scale == 1:
        every = [Term(text_scale, True, True), Term(1 - text_scale, False, True)]
    else:
        every = [
            Term(text_scale, True, True),
            Term(mask_scale - text_scale, False, True),
            Term(1 - mask_scale, False, False),
        ]
    return [term for term in every if term.weight != 0]


def guided_network(network: Network, weights: Tensor, variance: VarianceName) -> Network:
    """The weighted sum of predictions, as a network.

    Args:
        network: Takes the terms one after the other in its batch, (P·B, F, D).
        weights: (P,) of the terms, where the network computes.
        variance: Its name; a learned one is that of the first term.
    """

    def guided(x: Tensor, level: Level) -> Tensor:
        y, w = split(network(x.repeat(len(weights), 1, 1), level), variance)
        y = torch.einsum("p,pbfd->bfd", weights.to(y), y.unflatten(0, (len(weights), -1)))
        return y if w is None else torch.cat([y, w[: len(x)]], dim=-1)

    return guided
