"""Control metrics of errors and paths with known values, and means of single-motion metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from motion_diffusion.errors import InputError
from sample.evaluation.metrics import (
    THRESHOLDS,
    average_error,
    control_metrics,
    location_error,
    mean_motion_metrics,
    trajectory_diversity,
    trajectory_error,
)

# Two motions, of 2 and 4 key frames. Beyond 20 cm: both motions, 1 of 2 and 1 of 4 key frames (20 cm is not beyond).
# Beyond 50 cm: the second, none of 2 and 1 of 4. Means 0.2 and 0.25.
ERRORS = [torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.6, 0.1, 0.1])]


def test_control_metrics_by_hand():
    assert [trajectory_error(ERRORS, threshold) for threshold in THRESHOLDS] == [1, 0.5]
    assert [location_error(ERRORS, threshold) for threshold in THRESHOLDS] == [(1 / 2 + 1 / 4) / 2, (0 + 1 / 4) / 2]
    assert average_error(ERRORS) == pytest.approx((0.2 + 0.25) / 2)


def test_with_equal_numbers_of_key_frames_means_are_over_all():
    errors = torch.rand(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for threshold in THRESHOLDS:
        assert location_error(list(errors), threshold) == pytest.approx(np.mean(errors.numpy() > threshold))
        assert trajectory_error(list(errors), threshold) == np.mean(errors.numpy().max(1) > threshold)
    assert average_error(list(errors)) == pytest.approx(errors.mean().item())


def test_nan_counts_as_an_error():
    errors = [torch.tensor([0.0, float("nan")]), torch.tensor([0.0, 0.0])]
    assert trajectory_error(errors, 0.2) == 0.5
    assert location_error(errors, 0.2) == 0.25
    assert np.isnan(average_error(errors))


@pytest.mark.parametrize("errors", [[], [torch.tensor([0.1]), torch.zeros(0)]])
def test_motions_without_key_frames_are_refused(errors):
    for measured in (average_error, lambda e: trajectory_error(e, 0.2), lambda e: location_error(e, 0.2)):
        with pytest.raises(InputError, match="key frame"):
            measured(errors)


def test_trajectory_diversity_by_hand():
    """Two motions 2 m apart are each 1 m from their mean; two equal ones are 0 m from it."""
    apart = torch.zeros(2, 30, 2)
    apart[1, :, 0] = 2.0
    assert trajectory_diversity([apart]) == 1
    assert trajectory_diversity([apart, apart[:1].expand(2, -1, -1)[:, :7]]) == 0.5


def test_trajectory_diversity_is_a_standard_deviation():
    paths = [torch.randn(r, f, 2, generator=torch.Generator().manual_seed(r)).cumsum(1) for r, f in ((30, 50), (4, 80))]
    expected = [np.sqrt(path.double().numpy().var(axis=0).sum(-1).mean()) for path in paths]
    assert trajectory_diversity(paths) == pytest.approx(np.mean(expected))
    assert trajectory_diversity([path + 7.0 for path in paths]) == pytest.approx(np.mean(expected), rel=1e-5)


def test_trajectory_diversity_without_paths_is_refused():
    with pytest.raises(InputError, match="no paths"):
        trajectory_diversity([])


def test_metrics_by_name(walks):
    """Two motions with two key frames each, with errors of 0 and 30 cm, and of 60 and 10 cm."""
    figures = control_metrics([torch.tensor([0.0, 0.3]), torch.tensor([0.6, 0.1])])
    assert figures == pytest.approx(
        {
            "average error, cm": 25.0,
            "trajectory error, 20 cm": 1.0,
            "location error, 20 cm": 0.5,
            "trajectory error, 50 cm": 0.5,
            "location error, 50 cm": 0.25,
        }
    )
    assert control_metrics([]) == {}
    one, two = mean_motion_metrics(walks[:1]), mean_motion_metrics(walks[1:2])
    both = mean_motion_metrics(walks[:2])
    assert both == pytest.approx({name: (one[name] + two[name]) / 2 for name in one})
