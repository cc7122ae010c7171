"""Where the floor is under a motion that does not say so: its feet tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import BALL_HEIGHT, FPS, JOINTS

Array = NDArray[np.float64]

_TOES = [JOINTS.index("left_foot"), JOINTS.index("right_foot")]
_STILL = 0.25  # metres a second, of feet that stand


def on_the_floor(joints: Array) -> Array:
    """Joints (F, 22, 3), 20 frames a second, lifted or lowered as a whole so that standing feet are on the floor."""
    return joints + np.array([0.0, BALL_HEIGHT - standing_height(joints), 0.0])


def standing_height(joints: Array) -> float:
    """Height of the balls of the feet (F, 22, 3) where they stand lowest, 20 frames a second.

    Robust: a tenth of the times that they stand still is lower; a tenth of all times, if they hardly ever do.
    """
    toes = joints[:, _TOES]
    speeds = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * FPS
    still = ((toes[1:] + toes[:-1]) / 2)[speeds < _STILL][:, 1]
    return float(np.quantile(still if len(still) >= 5 else toes[..., 1], 0.1))
