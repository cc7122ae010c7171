"""Defects of captured motion: jumps, flips, sliding feet, trembling, a floor that is not level, gaps, wrong units.

Each check measures one number per frame, of which more is worse, and flags the frames above a limit. The limits are
chosen by what is measured in clips that are known to be clean, the 3,076 of Bandai-Namco (277,000 frames at 20 frames
per second), and by the look of what lies above in 5 hours of CMU's and Seoul National University's captures. Beside
each limit stand quantiles over the frames of the clean clips: the median, the 99.9 % quantile, and the maximum. Two
of these clips have frames above a limit.

All measures are the same for a motion that is mirrored, or turned or shifted along the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from data_loaders.augment import TOES
from motion_diffusion.body.skeleton import BONE_LENGTHS, FEET, FPS, JOINTS, PARENTS

Array = NDArray[np.float64]

MAX_JUMP = 0.20
"""Metres from a joint to where a cubic through the two frames before and after it has it: half a step of a body that is
elsewhere from one frame to the next. Clean: 0.003, 0.056, 0.131."""
MAX_PELVIS_JUMP = 0.05
"""The same of the pelvis, which nobody can throw as they do a hand. Clean: 0.0001, 0.010, 0.019."""
MAX_TURN = 60.0
"""Degrees by which the pelvis turns from one frame to the next, about any axis: 1200 degrees per second; a pirouette
has two thirds of that. Clean: 0.8, 13.7, 32.3."""
MAX_SLIDE = 0.16
"""m/s along the floor of the slower of the feet that are down, the lower quartile over 2 s. Clean: 0.001, 0.088, 0.237
(the beginning of a sprint, and a pivot on one foot are above)."""
MAX_TREMBLING = 0.25
"""Fourth differences of a joint over its first differences, medians over 1 s; an alternation from frame to frame has
0.5, white noise on a joint at rest 0.37. Clean: 0, 0.082, 0.327 (a hand that waves very fast is above)."""
MIN_TREMBLING = 0.004
"""Metres of amplitude below which nothing trembles."""
MAX_HEIGHT = 0.12
"""Metres from the floor to the lowest joint, where it is lowest in 2 s (the 10 % quantile). Clean: 0.044, 0.058, 0.059;
the balls of the feet in these clips are 3 cm higher than in others."""
MAX_FOOT_DEPTH, MAX_DEPTH = 0.05, 0.15
"""Metres below the floor of toes and ankles, and of any other joint, likewise: hands of bodies with other arms sink in
where people push themselves up. Clean: -0.044, -0.042, -0.030, both."""
MAX_UNEVENNESS = 0.10
"""Metres by which the height of the lowest joint changes within 3 s. Clean: 0.0003, 0.009, 0.021."""
MAX_FREEZE = 0.25
"""Seconds in which no joint moves by more than `STILL`. Clean: none at all."""
STILL = 1e-4
"""Metres from frame to frame; the joint that moves most does by 0.0007 in all but a thousandth of clean frames."""
MAX_STRETCH = 0.01
"""Metres between the length of a bone and its median over the motion. 0 after retargeting."""
MAX_SIZE = 1.35
"""Ratio of the legs' length to this body's, or the other way round. This body's are 0.82 m from hip to ankle."""
UNITS = (1.0, 0.1, 0.01, 0.001, 0.0254, 0.3048)
"""Metres in units that files are in: metric, inches, feet. One may be taken for another."""
MIN_FRAMES = 20
"""Frames of a motion in which defects are looked for, at least."""
MAX_GAP = 10
"""Frames between two findings of the same kind, at most, that are told as one."""

_LEGS = [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("knee", "ankle")]
_LEG = float(BONE_LENGTHS[_LEGS].sum()) / 2
_LOW = 0.06  # metres above the lowest, of feet that are down
_UPRIGHT = 0.5  # metres from there to the pelvis of a body on its feet


@dataclass(frozen=True)
class Defect:
    """Frames [start, end) of a motion that are not fit to be learned from."""

    reason: str
    start: int
    end: int
    figure: float
    """The worst value of what was measured, in `unit`."""
    unit: str

    def __str__(self) -> str:
        """In words, with the seconds."""
        return f"{self.start / FPS:.2f} to {self.end / FPS:.2f} s: {self.reason} ({self.figure:.2g} {self.unit})"


@dataclass(frozen=True)
class Check:
    """A measure (F, 22, 3) → (F,) and its limit."""

    reason: str
    unit: str
    limit: float
    measure: Callable[[Array], Array]


def find_defects(joints: NDArray[np.floating]) -> list[Defect]:
    """All defects of a motion (F, 22, 3) in metres, y up, 20 frames per second, in the order of their start.

    Motions of fewer than `MIN_FRAMES` are too short to tell, and have none.
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
    """Stretches [start, end) of a mask (F,) that are true; those with up to so many frames between them are one."""
    edges = np.flatnonzero(np.diff(np.pad(mask, 1).astype(int))).tolist()
    result: list[tuple[int, int]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if result and start - result[-1][1] <= merged:
            start = result.pop()[0]
        result.append((start, end))
    return result


def jump(joints: Array) -> Array:
    """(F,) metres: the farthest that any joint is from where its neighbours in time put it."""
    return _fourth(joints).max(axis=1) / 6


def pelvis_jump(joints: Array) -> Array:
    """(F,) metres: the same of the pelvis."""
    return _fourth(joints[:, :1])[:, 0] / 6


def turn(joints: Array) -> Array:
    """(F,) degrees that the pelvis turns by from or to the frame, about any axis."""
    left = _unit(joints[:, 1] - joints[:, 2])
    up = joints[:, 3] - joints[:, 0]
    up = _unit(up - (up * left).sum(-1, keepdims=True) * left)
    frame = np.stack([left, up, np.cross(left, up)], axis=-1)
    cosine = (np.einsum("fij,fij->f", frame[1:], frame[:-1]) - 1) / 2
    return _both_ends(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def slide(joints: Array) -> Array:
    """(F,) m/s: how fast the slower of the feet on the floor slides, where 2 s around have a floor at all.

    A foot is on the floor while its toe is within 6 cm of the lowest that toes are in these 2 s, and the pelvis half a
    metre above it: who lies may slide. Toes rest for a quarter of the time that they are so low, even in a sprint.
    """
    toes = joints[:, TOES]
    floor = _windowed(toes[..., 1].min(axis=1), 40, _least)[:, None]
    low = (toes[..., 1] - floor < _LOW) & (joints[:, :1, 1] - floor > _UPRIGHT)
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * FPS
    slower = np.where(low[1:] & low[:-1], speed, np.inf).min(axis=1)
    slower = np.concatenate([slower, slower[-1:]])
    return _windowed(slower, 40, _lower_quartile)


def trembling(joints: Array) -> Array:
    """(F,) without unit: fourth differences of the joint that trembles most, over its first differences."""
    fourth = np.pad(np.linalg.norm(np.diff(joints, n=4, axis=0), axis=-1) / 16, ((2, 2), (0, 0)), mode="edge")
    first = np.linalg.norm(np.diff(joints, axis=0, append=joints[-1:]), axis=-1)
    window = MIN_FRAMES
    size = np.median(sliding_window_view(fourth, window, axis=0), axis=-1)
    speed = sliding_window_view(first, window, axis=0).mean(axis=-1)
    ratio = np.where(size > MIN_TREMBLING, size / np.maximum(speed, 1e-6), 0.0).max(axis=1)
    return _centred(ratio, len(joints))


def height(joints: Array) -> Array:
    """(F,) metres above the floor of what is lowest of the body, where it is lowest within 2 s.

    Below 0 if feet are below the floor; of other joints that are, none counts as lower than the floor.
    """
    lowest = np.maximum(joints[..., 1].min(axis=1), 0.0)
    return _windowed(np.minimum(joints[:, FEET, 1].min(axis=1), lowest), 40, _low)


def foot_depth(joints: Array) -> Array:
    """(F,) metres below the floor of the lowest toe or ankle, where it is lowest within 2 s."""
    return -_windowed(joints[:, FEET, 1].min(axis=1), 40, _low)


def depth(joints: Array) -> Array:
    """(F,) metres below the floor of the lowest joint, likewise."""
    return -_windowed(joints[..., 1].min(axis=1), 40, _low)


def unevenness(joints: Array) -> Array:
    """(F,) metres by which the height of what is lowest changes within 3 s."""
    level = height(joints)
    return _windowed(level, 60, _range)


def freeze(joints: Array) -> Array:
    """(F,) seconds for which nothing has moved and will not move."""
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1)
    result = np.zeros(len(joints))
    for start, end in runs(steps < STILL):
        result[start : end + 1] = (end - start) / FPS
    return result


def stretch(joints: Array) -> Array:
    """(F,) metres by which the bone that stretches most differs from its median length."""
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
    """The defect of a whole motion of a body much larger or smaller than this one, with the factor that its unit needs.

    Lengths in inches that were read as centimetres need 2.54.
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
    """(F, J) sizes of fourth differences at the middle of their five frames, 0 where there are none."""
    result = np.zeros(joints.shape[:2])
    result[2:-2] = np.linalg.norm(np.diff(joints, n=4, axis=0), axis=-1)
    return result


def _both_ends(steps: Array) -> Array:
    """Values (F - 1,) of steps as those (F,) of the frames at both of their ends."""
    padded = np.pad(steps, 1)
    return np.maximum(padded[1:], padded[:-1])


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _windowed(values: Array, window: int, reduce: Callable[[Array], Array]) -> Array:
    """(F,) values reduced over windows centred at each frame; near the ends, over the first and the last whole one."""
    windows = sliding_window_view(values, min(window, len(values)))
    return _centred(reduce(windows), len(values))


def _centred(values: Array, frames: int) -> Array:
    """Values (frames - window + 1,) of windows as those of frames, those near the ends repeated."""
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
    """Of the finite values (n, window) of each window, 0 where there are fewer than a quarter of them."""
    finite = np.isfinite(windows)
    rank = (finite.sum(axis=-1) - 1) // 4
    quartile = np.take_along_axis(np.sort(windows, axis=-1), np.maximum(rank, 0)[:, None], axis=-1)[:, 0]
    return np.where(finite.mean(axis=-1) >= 0.25, quartile, 0.0)
