"""An endless data set that needs no download: a figure that walks along random smooth ways and stands now and then.

The plan of a clip is a few stretches, each with a speed and a turn; the caption is told from what the plan came to, so
that its words are true; `gait.walk` makes the figure do it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.procedural.captions import MANNERS, SPEEDS, Segment, choose, walk_caption
from data_loaders.procedural.gait import Array, WalkStyle, walk
from data_loaders.types import Example
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import FPS

_MARGIN = 30  # frames planned before the first and after the last, so that a clip begins and ends in mid-walk
_EASE = 15  # frames over which speed and turning change from one stretch to the next
_STAND = 26  # frames of a stand, at least: some of them go into coming to a halt and setting off
_TIGHTEST = 0.75  # metres, the smallest radius of a turn
_CHANGES = {
    "long steps": ("stride", 1.18),
    "short steps": ("stride", 0.76),
    "arms swung": ("arms", 1.7),
    "arms still": ("arms", 0.1),
    "bent back": ("lean", 0.32),
    "bent knees": ("knees", 0.09),
    "feet apart": ("width", 0.15),
    "high steps": ("lift", 0.17),
}
"""The manners that have words: which number of the style they change, and to what."""
_TURNS = ((0, 3), (16, 40), (60, 115), (145, 190), (300, 360))  # degrees


@dataclass(frozen=True)
class ProceduralWalks:
    """Walks without end: `example(i)` is the same for the same seed and i. Lengths are min_frames…max_frames."""

    seed: int
    max_frames: int = 120
    min_frames: int = 40

    def __post_init__(self) -> None:
        if not 30 <= self.min_frames <= self.max_frames:
            raise ValueError(
                f"min_frames {self.min_frames} must be at least 30 and at most max_frames {self.max_frames}"
            )

    def example(self, index: int) -> Example:
        """Example number `index` (0 or more): joints (n, 22, 3) and a caption."""
        rng, frames = self._start(index)
        joints, text = procedural_walk(rng, frames=frames)
        return Example(joints, text)

    def frames(self, index: int) -> int:
        """The length of `example(index)`, without making it."""
        return self._start(index)[1]

    def _start(self, index: int) -> tuple[Generator, int]:
        rng = np.random.default_rng((self.seed, index))
        return rng, int(rng.integers(self.min_frames, self.max_frames + 1))


def procedural_walk(rng: Generator, *, frames: int) -> tuple[NDArray[np.float32], str]:
    """A random walk of `frames` frames and its caption.

    Returns joints (frames, 22, 3) float32 in metres, floor at y = 0, the first frame at the origin facing +z.
    """
    stretches = _plan(rng, frames)
    style, manner = _style(rng, [stretch.speed for stretch in stretches])
    speed, turning = _profiles(stretches)
    joints = walk(speed, turning, style)[_MARGIN : _MARGIN + frames]
    return to_origin(torch.from_numpy(joints)).numpy(), walk_caption(rng, stretches, manner)


def _plan(rng: Generator, frames: int) -> list[Segment]:
    """Stretches that fill the frames: walks of two to four seconds, with a stand before, between or after them."""
    plan: list[Segment] = []
    left = frames
    if frames >= 75 and rng.random() < 0.25:
        plan.append(Segment(int(rng.integers(18, 34)), 0.0, 0.0))
        left -= plan[-1].frames
    tier = choose(rng, tuple(SPEEDS))
    while left > 0:
        if plan and plan[-1].speed > 0 and left >= _STAND and rng.random() < 0.4:
            length = left if left < 60 else int(rng.integers(_STAND, 42))
            plan.append(Segment(length, 0.0, 0.0))
        else:
            length = int(rng.integers(38, 80))
            length = left if left - length < _STAND else length
            if plan and rng.random() < 0.35:
                tier = choose(rng, tuple(SPEEDS))
            speed = float(rng.uniform(*SPEEDS[tier]))
            plan.append(Segment(length, speed, _turn(rng, length / FPS, speed)))
        left -= plan[-1].frames
    return plan


def _turn(rng: Generator, seconds: float, speed: float) -> float:
    """A turn in radians, mostly none, a slight one, a quarter or a half, as far as the walk has room for it."""
    low, high = _TURNS[int(rng.choice(len(_TURNS), p=[0.36, 0.2, 0.28, 0.12, 0.04]))]
    most = min(0.9 * seconds * speed / _TIGHTEST, 1.5 * seconds)
    turn = min(np.radians(rng.uniform(low, high)), most)
    if np.radians(5) < turn < np.radians(14):  # neither straight nor to be seen as a turn
        turn = 0.0
    return float(turn * rng.choice([-1, 1]))


def _profiles(stretches: list[Segment]) -> tuple[Array, Array]:
    """Speed and turning (frames + 2 margins,) a second, eased from stretch to stretch; both 0 in stands."""
    frames = [stretch.frames for stretch in stretches]
    frames[0] += _MARGIN
    frames[-1] += _MARGIN
    kernel = np.hanning(_EASE + 2)[1:-1]
    speed, turning = (
        np.convolve(np.pad(np.repeat(values, frames), _EASE // 2, mode="edge"), kernel / kernel.sum(), mode="valid")
        for values in (
            [stretch.speed for stretch in stretches],
            [stretch.turn / stretch.frames * FPS for stretch in stretches],
        )
    )
    still = speed < 1e-9
    return np.where(still, 0.0, speed), np.where(still, 0.0, turning)


def _style(rng: Generator, speeds: list[float]) -> tuple[WalkStyle, str]:
    """A way of walking and words for it; the words are empty for an ordinary one."""
    style = WalkStyle(
        stride=float(rng.uniform(0.94, 1.05)),
        arms=float(rng.uniform(0.75, 1.2)),
        lean=float(rng.uniform(-0.02, 0.04)),
        width=float(rng.uniform(0.065, 0.085)),
        elbows=float(rng.uniform(0.15, 0.4)),
        toes_out=float(rng.uniform(0.05, 0.18)),
        lift=float(rng.uniform(0.06, 0.08)),
        phase=float(rng.uniform(0.0, 2.0)),
    )
    if rng.random() < 0.5:
        return style, ""
    names = tuple(name for name in MANNERS if name != "long steps" or max(speeds) < 1.5)
    name = choose(rng, names)
    changed, value = _CHANGES[name]
    return replace(style, **{changed: value}), choose(rng, MANNERS[name])
