"""Metrics of control on errors and paths whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from motion_diffusion.errors import InputError
from sample.evaluation.control_metrics import (
    THRESHOLDS,
    average_error,
    location_error,
    trajectory_diversity,
    trajectory_error,
)

# Two motions, of 2 and 4 key frames. Beyond 20 cm: both motions, 1 of 2 and 1 of 4 key frames (20 cm is not beyond).
# Beyond 50 cm: the second, none of 2 and 1 of 4. Means 0.2 and 0.25.
ERRORS = [torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.6, 0.1, 0.1])]


def test_by_hand():
    assert [trajectory_error(ERRORS, threshold) for threshold in THRESHOLDS] == [1, 0.5]
    assert [location_error(ERRORS, threshold) for threshold in THRESHOLDS] == [(1 / 2 + 1 / 4) / 2, (0 + 1 / 4) / 2]
    assert average_error(ERRORS) == pytest.approx((0.2 + 0.25) / 2)


def test_equal_numbers_of_key_frames_are_one_heap():
    errors = torch.rand(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for threshold in THRESHOLDS:
        assert location_error(list(errors), threshold) == pytest.approx(np.mean(errors.numpy() > threshold))
        assert trajectory_error(list(errors), threshold) == np.mean(errors.numpy().max(1) > threshold)
    assert average_error(list(errors)) == pytest.approx(errors.mean().item())


def test_a_motion_that_is_not_a_number_is_off():
    errors = [torch.tensor([0.0, float("nan")]), torch.tensor([0.0, 0.0])]
    assert trajectory_error(errors, 0.2) == 0.5
    assert location_error(errors, 0.2) == 0.25
    assert np.isnan(average_error(errors))


@pytest.mark.parametrize("errors", [[], [torch.tensor([0.1]), torch.zeros(0)]])
def test_nothing_to_measure_is_refused(errors):
    for measured in (average_error, lambda e: trajectory_error(e, 0.2), lambda e: location_error(e, 0.2)):
        with pytest.raises(InputError, match="key frame"):
            measured(errors)


def test_trajectory_diversity_by_hand():
    """Two motions that stand 2 m apart are each 1 m from their mean; two that are the same are 0 m from it."""
    apart = torch.zeros(2, 30, 2)
    apart[1, :, 0] = 2.0
    assert trajectory_diversity([apart]) == 1
    assert trajectory_diversity([apart, apart[:1].expand(2, -1, -1)[:, :7]]) == 0.5


def test_trajectory_diversity_is_the_root_of_the_variance():
    paths = [torch.randn(r, f, 2, generator=torch.Generator().manual_seed(r)).cumsum(1) for r, f in ((30, 50), (4, 80))]
    expected = [np.sqrt(path.double().numpy().var(axis=0).sum(-1).mean()) for path in paths]
    assert trajectory_diversity(paths) == pytest.approx(np.mean(expected))
    assert trajectory_diversity([path + 7.0 for path in paths]) == pytest.approx(np.mean(expected), rel=1e-5)


def test_trajectory_diversity_of_nothing_is_refused():
    with pytest.raises(InputError, match="no paths"):
        trajectory_diversity([])
