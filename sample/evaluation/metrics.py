"""Metrics of motions without embeddings: control metrics at key frames (GMD, OmniControl), and single-motion metrics.

The control error of a motion is a tensor (K,) of distances in metres, one for each key frame and joint, between the
target and the achieved position; K may differ between motions. Shares and means are taken over each motion first, and
then over motions, as in OmniControl; with equally many key frames in every motion, as in GMD, this is the share or mean
over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from motion_diffusion.body.motion_metrics import (
    bone_length_error,
    bone_length_range,
    fastest_root,
    foot_skating_ratio,
    joint_jitter,
    root_jitter,
)
from motion_diffusion.errors import InputError

THRESHOLDS = (0.2, 0.5)
"""Thresholds of GMD in metres. Most papers report only the second."""

BONE_RANGE = "range of a bone's length, mm"

MOTION_METRICS: dict[str, Callable[[Tensor], float]] = {
    "foot skating ratio": foot_skating_ratio,
    "root jitter, m/s3": root_jitter,
    "joint jitter, m/s3": joint_jitter,
    "bone length error, cm": lambda joints: 100 * bone_length_error(joints),
    BONE_RANGE: lambda joints: 1000 * bone_length_range(joints),
    "fastest root, m/s": fastest_root,
}
"""Metrics of a single motion (F, 22, 3), by name."""


def trajectory_error(errors: Sequence[Tensor], threshold: float) -> float:
    """Share of motions with an error above threshold (m) at any key frame (GMD's strict form). NaN counts as above."""
    return _mean([(~(error <= threshold)).any() for error in _checked(errors)])


def location_error(errors: Sequence[Tensor], threshold: float) -> float:
    """Share of key frames with an error above threshold (m). NaN counts as above."""
    return _mean([(~(error <= threshold)).double().mean() for error in _checked(errors)])


def average_error(errors: Sequence[Tensor]) -> float:
    """Mean error in metres."""
    return _mean([error.double().mean() for error in _checked(errors)])


def trajectory_diversity(paths: Sequence[Tensor]) -> float:
    """Spread of the paths of motions with the same text and key frames, in metres (GMD).

    Args:
        paths: For each prompt (R, F, 2), x and z of the pelvis in R motions.

    Returns:
        Mean over prompts of the root mean square, over motions and frames, of the distance from the mean path.

    Raises:
        InputError: There are no paths.
    """
    if not paths:
        raise InputError("no paths to measure the diversity of; give at least one prompt")
    centred = [path.double() - path.double().mean(0) for path in paths]
    return _mean([path.square().sum(-1).mean().sqrt() for path in centred])


def control_metrics(errors: Sequence[Tensor]) -> dict[str, float]:
    """All control metrics by name, of errors (K,) in metres; none without motions with key frames."""
    if not errors:
        return {}
    result = {"average error, cm": 100 * average_error(errors)}
    for metres in THRESHOLDS:
        result[f"trajectory error, {100 * metres:.0f} cm"] = trajectory_error(errors, metres)
        result[f"location error, {100 * metres:.0f} cm"] = location_error(errors, metres)
    return result


def mean_motion_metrics(motions: Sequence[Tensor]) -> dict[str, float]:
    """Means of the single-motion metrics over motions (F, 22, 3), by name."""
    return {name: sum(map(metric, motions)) / len(motions) for name, metric in MOTION_METRICS.items()}


def _mean(values: Sequence[Tensor]) -> float:
    return torch.stack([value.double() for value in values]).mean().item()


def _checked(errors: Sequence[Tensor]) -> Sequence[Tensor]:
    if not errors or any(error.numel() == 0 for error in errors):
        raise InputError("there is no motion, or one without key frames, to measure errors of; give each a key frame")
    return errors
