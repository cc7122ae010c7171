"""Detection of defects in motion capture: jumps, flips, foot sliding, trembling, uneven floors, gaps, wrong units.

Each check computes one measure per frame, where larger is worse, and flags the frames above a limit. Limits were chosen
from the measures of clean clips, the 3,076 of Bandai-Namco (277,000 frames at 20 frames per second), and by inspection
of flagged frames in 5 hours of CMU's and Seoul National University's recordings. Each limit is followed by quantiles
over the frames of the clean clips: the median, the 99.9 % quantile, and the maximum. Two of these clips exceed a limit.

All measures are invariant to mirroring, and to rotation about the vertical and horizontal translation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from data_loaders.retarget import orthonormal_frame
from motion_diffusion.body.skeleton import BONE_LENGTHS, FEET, FPS, JOINTS, PARENTS, TOES

Array = NDArray[np.float64]

MAX_JUMP = 0.20
"""Metres between a joint and the cubic interpolation of the two frames before and after it. A body displaced in a
single frame deviates by half of the displacement. Clean: 0.003, 0.056, 0.131."""
MAX_PELVIS_JUMP = 0.05
"""Same for the pelvis, which cannot be accelerated like a hand. Clean: 0.0001, 0.010, 0.019."""
MAX_TURN = 60.0
"""Degrees of rotation of the pelvis per frame about any axis, 1200 degrees per second; a pirouette reaches two thirds
of that. Clean: 0.8, 13.7, 32.3."""
MAX_SLIDE = 0.16
"""Horizontal speed in m/s of the slower foot on the floor, the lower quartile over 2 s. Clean: 0.001, 0.088, 0.237 (the
start of a sprint and a pivot on one foot exceed the limit)."""
MAX_TREMBLING = 0.25
"""Ratio of fourth to first differences of a joint, medians over 1 s; alternation from frame to frame yields 0.5, white
noise on a joint at rest 0.37. Clean: 0, 0.082, 0.327 (very fast waving exceeds the limit)."""
MIN_TREMBLING = 0.004
"""Amplitude in metres below which trembling is ignored."""
MAX_HEIGHT = 0.12
"""Height in metres of the lowest joint above the floor, the 10 % quantile over 2 s. Clean: 0.044, 0.058, 0.059; the
balls of the feet in these clips are 3 cm higher than in others."""
MAX_FOOT_DEPTH, MAX_DEPTH = 0.05, 0.15
"""Depth in metres below the floor of feet, and of any joint, likewise. Hands of differently proportioned bodies sink in
when people push themselves up. Clean: -0.044, -0.042, -0.030, both."""
MAX_UNEVENNESS = 0.10
"""Range in metres of the height of the lowest joint within 3 s. Clean: 0.0003, 0.009, 0.021."""
MAX_FREEZE = 0.25
"""Seconds during which no joint moves by more than `STILL`. Clean: none."""
STILL = 1e-4
"""Metres per frame; the fastest joint exceeds 0.0007 in all but a thousandth of the clean frames."""
MAX_STRETCH = 0.01
"""Difference in metres between the length of a bone and its median over the motion. 0 after retargeting."""
MAX_SIZE = 1.35
"""Ratio of leg length to this body's, or its inverse. This body's legs are 0.82 m from hip to ankle."""
UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.3048)
"""Metres per unit for common units, which may be confused: metric ones, inch, foot."""
MIN_FRAMES = 20
"""Minimum number of frames of a motion that is checked."""
MAX_GAP = 10
"""Maximum number of frames between two findings of the same kind that are merged."""

_LEGS = [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("knee", "ankle")]
_LEG = float(BONE_LENGTHS[_LEGS].sum()) / 2
_MAX_FOOT_HEIGHT = 0.06  # above the lowest foot, of feet on the floor, in metres
_MIN_PELVIS_HEIGHT = 0.5  # above the lowest foot, of a body on its feet, in metres


@dataclass(frozen=True)
class Defect:
    """Frames [start, end) of a motion that are unsuitable for training."""

    reason: str
    start: int
    end: int
    figure: float
    """Largest value of the measure, in `unit`."""
    unit: str

    def __str__(self) -> str:
        """Description with the time span in seconds."""
        return f"{self.start / FPS:.2f} to {self.end / FPS:.2f} s: {self.reason} ({self.figure:.2g} {self.unit})"


@dataclass(frozen=True)
class Check:
    """Measure (F, 22, 3) → (F,) and its limit."""

    reason: str
    unit: str
    limit: float
    measure: Callable[[Array], Array]


def find_defects(joints: NDArray[np.floating]) -> list[Defect]:
    """Find all defects of a motion, in order of their start.

    Args:
        joints: (F, 22, 3) in metres, y up, at 20 frames per second. Motions shorter than `MIN_FRAMES` are not checked.
    """
    body: Array = joints.astype(np.float64)
    if len(body) < MIN_FRAMES:
        return []
    if sized := _wrong_size(body):
        return [sized]
    found = []
    for check in CHECKS:
        values = check.measure(body)
        for start, end in runs(values > check.limit, MAX_GAP):
            found.append(Defect(check.reason, start, end, float(values[start:end].max()), check.unit))
    return sorted(found, key=lambda defect: (defect.start, defect.end))


def runs(mask: NDArray[np.bool_], merged: int = 0) -> list[tuple[int, int]]:
    """Maximal intervals [start, end) in which a mask (F,) is true; intervals up to `merged` frames apart are merged."""
    edges = np.flatnonzero(np.diff(np.pad(mask, 1).astype(int))).tolist()
    result: list[tuple[int, int]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if result and start - result[-1][1] <= merged:
            start = result.pop()[0]
        result.append((start, end))
    return result


def jump(joints: Array) -> Array:
    """Largest distance (F,) in metres of a joint from the cubic interpolation of its neighbours in time."""
    return _fourth(joints).max(axis=1) / 6


def pelvis_jump(joints: Array) -> Array:
    """Distance (F,) in metres of the pelvis from the cubic interpolation of its neighbours in time."""
    return _fourth(joints[:, :1])[:, 0] / 6


def turn(joints: Array) -> Array:
    """Rotation (F,) in degrees of the pelvis from the previous or to the next frame, whichever is larger."""
    frame = orthonormal_frame(joints[:, 1] - joints[:, 2], joints[:, 3] - joints[:, 0])
    cosine = (np.einsum("fij,fij->f", frame[1:], frame[:-1]) - 1) / 2
    return _both_ends(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def slide(joints: Array) -> Array:
    """Horizontal speed (F,) in m/s of the slower foot on the floor, the lower quartile over 2 s.

    A foot is on the floor while its ball is within 6 cm of the lowest height of balls in these 2 s, and the pelvis is
    half a metre above that, since lying bodies may slide. Balls of feet rest for a quarter of the time on the floor,
    even in a sprint.
    """
    toes = joints[:, TOES]
    floor = _windowed(toes[..., 1].min(axis=1), 40, _least)[:, None]
    low = (toes[..., 1] - floor < _MAX_FOOT_HEIGHT) & (joints[:, :1, 1] - floor > _MIN_PELVIS_HEIGHT)
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * FPS
    slower = np.where(low[1:] & low[:-1], speed, np.inf).min(axis=1)
    slower = np.concatenate([slower, slower[-1:]])
    return _windowed(slower, 40, _lower_quartile)


def trembling(joints: Array) -> Array:
    """Largest ratio (F,) over joints of the fourth differences to the first differences."""
    fourth = np.pad(np.linalg.norm(np.diff(joints, n=4, axis=0), axis=-1) / 16, ((2, 2), (0, 0)), mode="edge")
    first = np.linalg.norm(np.diff(joints, axis=0, append=joints[-1:]), axis=-1)
    window = MIN_FRAMES
    size = np.median(sliding_window_view(fourth, window, axis=0), axis=-1)
    speed = sliding_window_view(first, window, axis=0).mean(axis=-1)
    ratio = np.where(size > MIN_TREMBLING, size / np.maximum(speed, 1e-6), 0.0).max(axis=1)
    return _centred(ratio, len(joints))


def height(joints: Array) -> Array:
    """Height (F,) in metres of the lowest joint above the floor, the 10 % quantile over 2 s.

    Negative if feet are below the floor; other joints below the floor count as height 0.
    """
    lowest = np.maximum(joints[..., 1].min(axis=1), 0.0)
    return _windowed(np.minimum(joints[:, FEET, 1].min(axis=1), lowest), 40, _low)


def foot_depth(joints: Array) -> Array:
    """Depth (F,) in metres of the lowest toe or ankle below the floor, the 10 % quantile over 2 s."""
    return -_windowed(joints[:, FEET, 1].min(axis=1), 40, _low)


def depth(joints: Array) -> Array:
    """Depth (F,) in metres of the lowest joint below the floor, the 10 % quantile over 2 s."""
    return -_windowed(joints[..., 1].min(axis=1), 40, _low)


def unevenness(joints: Array) -> Array:
    """Range (F,) in metres of the height of the lowest joint within 3 s."""
    level = height(joints)
    return _windowed(level, 60, _range)


def freeze(joints: Array) -> Array:
    """Duration (F,) in seconds of the standstill that a frame belongs to."""
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1)
    result = np.zeros(len(joints))
    for start, end in runs(steps < STILL):
        result[start : end + 1] = (end - start) / FPS
    return result


def stretch(joints: Array) -> Array:
    """Largest deviation (F,) in metres of a bone's length from its median."""
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    worst: Array = np.abs(lengths - np.median(lengths, axis=0)).max(axis=1)
    return worst


CHECKS = (
    Check("a joint jumps", "m", MAX_JUMP, jump),
    Check("the pelvis jumps", "m", MAX_PELVIS_JUMP, pelvis_jump),
    Check("the body flips", "degrees in a frame", MAX_TURN, turn),
    Check("standing feet slide", "m/s", MAX_SLIDE, slide),
    Check("joints tremble", "of their speed", MAX_TREMBLING, trembling),
    Check("the body floats, or is on something", "m above the floor", MAX_HEIGHT, height),
    Check("feet are below the floor", "m", MAX_FOOT_DEPTH, foot_depth),
    Check("joints are below the floor", "m", MAX_DEPTH, depth),
    Check("the floor is not level", "m within 3 s", MAX_UNEVENNESS, unevenness),
    Check("frozen", "s", MAX_FREEZE, freeze),
    Check("bones stretch", "m", MAX_STRETCH, stretch),
)


def _wrong_size(joints: Array) -> Defect | None:
    """Defect of a motion of a body that is much larger or smaller than this one, with the factor that corrects the
    unit.

    Lengths in inches that were read as centimetres need a factor of 2.54.
    """
    lengths = np.linalg.norm(joints[:, _LEGS] - joints[:, [PARENTS[joint] for joint in _LEGS]], axis=-1)
    legs = float(np.median(lengths.sum(axis=1))) / 2
    wanted = _LEG / max(legs, 1e-9)
    if 1 / MAX_SIZE <= wanted <= MAX_SIZE:
        return None
    factor = min((a / b for a in UNITS for b in UNITS), key=lambda factor: abs(np.log(factor / wanted)))
    remedy = f"multiply by {factor:.5g}" if abs(np.log(factor / wanted)) < np.log(MAX_SIZE) else "give its unit"
    return Defect(f"lengths are in another unit: {remedy}", 0, len(joints), legs, "m from hip to ankle")


def _fourth(joints: Array) -> Array:
    """Norms (F, J) of fourth differences at the middle of their five frames, 0 near the ends."""
    result = np.zeros(joints.shape[:2])
    result[2:-2] = np.linalg.norm(np.diff(joints, n=4, axis=0), axis=-1)
    return result


def _both_ends(steps: Array) -> Array:
    """Values (F - 1,) of steps as values (F,) of frames: the larger one of the adjacent steps."""
    padded = np.pad(steps, 1)
    return np.maximum(padded[1:], padded[:-1])


def _windowed(values: Array, window: int, reduce: Callable[[Array], Array]) -> Array:
    """Reduction (F,) of values over windows centred at each frame; near the ends over the first and last complete
    window.
    """
    windows = sliding_window_view(values, min(window, len(values)))
    return _centred(reduce(windows), len(values))


def _centred(values: Array, frames: int) -> Array:
    """Values (frames - window + 1,) of windows as values of frames, repeated near the ends."""
    before = (frames - len(values)) // 2
    return np.pad(values, (before, frames - len(values) - before), mode="edge")


def _least(windows: Array) -> Array:
    least: Array = windows.min(axis=-1)
    return least


def _low(windows: Array) -> Array:
    low: Array = np.quantile(windows, 0.1, axis=-1)
    return low


def _range(windows: Array) -> Array:
    spread: Array = np.ptp(windows, axis=-1)
    return spread


def _lower_quartile(windows: Array) -> Array:
    """Lower quartile of the finite values of each window (n, window); 0 where fewer than a quarter are finite."""
    finite = np.isfinite(windows)
    rank = (finite.sum(axis=-1) - 1) // 4
    quartile = np.take_along_axis(np.sort(windows, axis=-1), np.maximum(rank, 0)[:, None], axis=-1)[:, 0]
    return np.where(finite.mean(axis=-1) >= 0.25, quartile, 0.0)
