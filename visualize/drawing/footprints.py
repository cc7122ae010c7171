"""Footprints: where and when the feet of a motion stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from motion_diffusion.body.foot_contacts import detect_contacts
from motion_diffusion.body.skeleton import ANKLES, FPS, TOES


@dataclass(frozen=True)
class Print:
    """From `time` to `last` seconds the foot whose toe is the joint `toe` stands on its `ball` (x, z), in metres.

    heel: x and z of the ankle meanwhile.
    """

    time: float
    last: float
    toe: int
    ball: NDArray[np.float64]
    heel: NDArray[np.float64]


def prints_of(joints: NDArray, fps: float) -> list[Print]:
    """Where the feet of a motion (frames, 22, 3) stand, in the order of time."""
    joints = joints.astype(np.float64)
    if fps != FPS and len(joints) > 1:
        clock = np.arange(len(joints)) / fps
        joints = make_interp_spline(clock, joints, k=1)(np.arange(0, clock[-1] + 1e-6, 1 / FPS))
    ankles = dict(zip(TOES, ANKLES, strict=True))
    stands = [stand for stand in detect_contacts(torch.from_numpy(joints)) if stand.joint in ankles]
    return [
        Print(
            stand.start / FPS,
            (stand.end - 1) / FPS,
            stand.joint,
            stand.place.numpy()[[0, 2]],
            joints[stand.start : stand.end, ankles[stand.joint]].mean(axis=0)[[0, 2]],
        )
        for stand in sorted(stands, key=lambda stand: stand.start)
    ]
