"""How well motions meet key frames, and how unlike the ways are that meet them: the metrics of GMD and OmniControl.

An error is the distance in metres of a joint from where it was to be at a key frame. Each motion brings a tensor (K,)
of them, one for each key frame and joint; K may differ. A share or mean is taken over each motion first, and then over
motions, as OmniControl does; with as many key frames in every motion, as in GMD, that is the share or mean of them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_diffusion.errors import InputError

THRESHOLDS = (0.2, 0.5)
"""Metres: what GMD counts as off. Most papers print the second alone."""


def trajectory_error(errors: Sequence[Tensor], threshold: float) -> float:
    """Share of motions with an error above threshold (m) at any key frame (GMD's strict form). NaN is above."""
    return _mean([(~(error <= threshold)).any() for error in _checked(errors)])


def location_error(errors: Sequence[Tensor], threshold: float) -> float:
    """Share of key frames with an error above threshold (m). NaN is above."""
    return _mean([(~(error <= threshold)).double().mean() for error in _checked(errors)])


def average_error(errors: Sequence[Tensor]) -> float:
    """Mean error in metres."""
    return _mean([error.double().mean() for error in _checked(errors)])


def trajectory_diversity(paths: Sequence[Tensor]) -> float:
    """How far the ways lie apart that were made from the same words and key frames, in metres (GMD).

    paths: for each prompt (R, F, 2), x and z of the pelvis in R motions. Of each prompt the root mean square, over
    motions and frames, of the distance from their mean path; of these the mean.
    """
    if not paths:
        raise InputError("no paths to measure the diversity of; give at least one prompt")
    centred = [path.double() - path.double().mean(0) for path in paths]
    return _mean([path.square().sum(-1).mean().sqrt() for path in centred])


def _mean(values: Sequence[Tensor]) -> float:
    return torch.stack([value.double() for value in values]).mean().item()


def _checked(errors: Sequence[Tensor]) -> Sequence[Tensor]:
    if not errors or any(error.numel() == 0 for error in errors):
        raise InputError("there is no motion, or one without key frames, to measure errors of; give each a key frame")
    return errors
