"""An AMC file, with its skeleton, on this project's body."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.formats.amc import read_amc
from data_loaders.skeleton_mapping import Axis, Floor, Mapping
from data_loaders.skeleton_motion import motion_of, on_this_body
from motion_diffusion.body.motion import Motion

DEFAULT_FPS = 120.0
"""Frames per second of CMU's and HDM05's recordings."""

_HDM05 = re.compile(r"HDM_.*_([0-9]{2,3})", re.IGNORECASE)


def frame_rate(path: Path) -> float:
    """Frames per second by the name of a file: HDM05's say them in the end (`HDM_bd_squat1Reps_001_120`), others have
    `DEFAULT_FPS`."""
    match = _HDM05.fullmatch(path.stem)
    return float(match[1]) if match else DEFAULT_FPS


def read_amc_joints(
    path: Path,
    mapping: Mapping | None = None,
    *,
    asf: Path | None = None,
    fps: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
    longest: float | None = None,
) -> NDArray[np.float64]:
    """An AMC file as joints (F, 22, 3) of this body at 20 frames a second, y up, where the file has them.

    Args:
        path: the motion.
        mapping: which bones' ends stand for this body's joints; by default the shipped one that fits.
        asf: its skeleton; by default the one that `formats.amc.find_asf` finds.
        fps: frames per second of the file; by default those of `frame_rate`.
        up: which axis points up; by default what the mapping says, else y.
        floor: where the floor is; by default what the mapping says, else under the feet.
        longest: seconds that it may last.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: that names the file.
    """
    amc = read_amc(path, asf, fps=fps or frame_rate(path), longest=longest)
    return on_this_body(path, amc, mapping, up=up, floor=floor)[0]


def read_amc_motion(
    path: Path, mapping: Mapping | None = None, *, up: Axis | None = None, longest: float | None = None
) -> Motion:
    """The same as a motion; its provenance says {"retargeted": true}, unless the skeleton is this very body."""
    joints, own = on_this_body(path, read_amc(path, fps=frame_rate(path), longest=longest), mapping, up=up)
    return motion_of(path, joints, retargeted=not own)
