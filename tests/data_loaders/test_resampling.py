"""Other frame rates: polynomials that cubics can follow are met, and the length is what it says."""

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from data_loaders.retarget import resample


@pytest.mark.parametrize("fps", [8.0, 12.5, 20.0, 30.0, 59.94, 120.0])
@pytest.mark.parametrize("frames", [1, 2, 3, 50])
def test_a_parabola(fps, frames):
    """Catmull-Rom curves go through parabolas; in the first and the last step they go straight-ended instead."""
    time = np.arange(frames) / fps
    values = np.stack([2 * time - 3 * time**2, 5 + 0 * time], axis=-1)
    out = resample(values, fps)
    new = np.arange(len(out)) / 20
    assert new[-1] <= time[-1] + 1e-6 < new[-1] + 1 / 20 + 2e-6
    inside = (new >= time[min(1, frames - 1)]) & (new <= time[max(frames - 2, 0)])
    np.testing.assert_allclose(out[inside, 0], (2 * new - 3 * new**2)[inside], atol=1e-9)
    np.testing.assert_allclose(out[:, 1], 5)
    np.testing.assert_allclose(out[0], values[0])


def test_against_scipy():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 4, 3))
    slopes = np.empty_like(values)
    slopes[1:-1] = (values[2:] - values[:-2]) / 2
    slopes[0], slopes[-1] = (values[1] - values[0]) / 2, (values[-1] - values[-2]) / 2
    curve = CubicHermiteSpline(np.arange(40), values, slopes)
    np.testing.assert_allclose(resample(values, 30.0), curve(np.arange(0, 39.0001, 1.5)), atol=1e-12)


def test_the_same_rate_changes_nothing():
    values = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(resample(values, 20.0), values, atol=1e-12)
