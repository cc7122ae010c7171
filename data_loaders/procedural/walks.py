"""Endless data set of walks along random smooth paths with occasional stops, generated without any download.

The plan of a clip consists of segments with a speed and a turn each. `gait.walk` animates it, and the caption is
composed from the same plan, so that it is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.captions.templates import NUMBER_WORDS
from data_loaders.procedural.gait import Array, WalkStyle, walk
from data_loaders.types import Caption, Clip, Example, Split
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import FPS

HELD_OUT_SEEDS = 1_000_003
"""Added to the seed of a training to obtain that of its held-out walks."""

SPEEDS = {"slow": (0.5, 0.75), "even": (0.95, 1.35), "fast": (1.6, 1.95)}
"""Ranges of speed in m/s with their own adverbs."""

MANNERS = {
    "long steps": ("with long strides", "taking long steps", "with big steps"),
    "short steps": ("with short steps", "taking small steps", "with little steps"),
    "arms swung": ("swinging the arms widely", "with arms swinging", "with a big arm swing"),
    "arms still": ("with the arms held still", "keeping the arms still", "with arms hanging down"),
    "bent back": ("bent forward", "leaning forward", "hunched over"),
    "bent knees": ("with bent knees", "crouching a little", "with knees bent"),
    "feet apart": ("with feet wide apart", "with a wide gait", "with legs apart"),
    "high steps": ("lifting the feet high", "stepping high", "raising the feet high"),
}
"""Manners of walking and their phrases, which follow a verb."""

_WHO = ("a person", "someone", "a figure", "the person", "a human", "somebody")
_WALKS = {
    "slow": ("walks slowly", "strolls", "ambles", "walks at a slow pace", "slowly walks", "saunters"),
    "even": ("walks", "walks", "walks at a normal pace", "walks calmly", "is walking", "takes a walk"),
    "fast": ("walks quickly", "walks fast", "walks briskly", "quickly walks", "hurries", "walks at a fast pace"),
}
_PACES = {
    "slow": ("slowly", "at a slow pace"),
    "even": ("calmly", "at a normal pace"),
    "fast": ("quickly", "briskly", "fast"),
}
_WAYS = {
    "straight": ("forward", "straight ahead", "in a straight line", "forwards", ""),
    "slight": ("in a gentle curve to the {side}", "curving slightly to the {side}", "veering a little to the {side}"),
    "quarter": ("in a curve to the {side}", "turning {side}", "turning to the {side}", "in an arc to the {side}"),
    "half": ("in a half circle to the {side}", "turning around to the {side}", "making a u-turn to the {side}"),
    "circle": ("in a circle to the {side}", "{clock} in a circle", "in a full circle to the {side}"),
}
_ONWARD = {
    "straight": ("goes straight on", "continues straight ahead", "walks on in a straight line"),
    "slight": ("veers slightly to the {side}", "bends a little to the {side}", "drifts to the {side}"),
    "quarter": ("turns {side}", "turns to the {side}", "curves to the {side}", "takes a {side} turn"),
    "half": ("turns around to the {side}", "makes a u-turn to the {side}", "turns back over the {side}"),
    "circle": ("walks in a circle to the {side}", "goes round in a circle to the {side}"),
}
_PACE_CHANGES = {True: ("speeds up", "walks faster", "gets faster"), False: ("slows down", "walks more slowly")}
_STANDS = ("stands still", "stands for a moment", "stands in place", "waits a moment")
_PAUSES = ("stops", "pauses", "stops for a moment", "pauses for a moment", "comes to a stop")
_STOPS = ("stops", "comes to a halt", "stops and stands still", "stands still", "comes to a stop")
_AGAIN = ("walks on", "sets off again", "continues", "starts walking again")

_MARGIN = 30  # frames planned before and after the clip, so that it begins and ends in mid-walk
_EASE = 15  # frames over which speed and turning change between segments
_MIN_STAND = 26  # frames of standing, some of which are spent stopping and starting
_MIN_RADIUS = 0.75  # of a turn, in metres
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
"""Parameter of the style that each manner changes, and its value."""
_TURNS = ((0, 3), (16, 40), (60, 115), (145, 190), (300, 360))  # degrees


@dataclass(frozen=True)
class Segment:
    """Part of a planned walk.

    Attributes:
        frames: Number of frames.
        speed: Speed in m/s, 0 for standing.
        turn: Turn in radians, positive to the left.
    """

    frames: int
    speed: float
    turn: float


@dataclass(frozen=True)
class ProceduralWalks:
    """Endless generated walks.

    Examples depend only on seed and index and have min_frames to max_frames frames.

    Raises:
        ValueError: If `min_frames` is less than 30 or more than `max_frames`.
    """

    seed: int
    max_frames: int = 120
    min_frames: int = 40

    def __post_init__(self) -> None:
        if not 30 <= self.min_frames <= self.max_frames:
            raise ValueError(
                f"min_frames {self.min_frames} must be at least 30 and at most max_frames {self.max_frames}"
            )

    def example(self, index: int) -> Example:
        """Example with an index of 0 or more: joints (n, 22, 3) and a caption."""
        rng, frames = self._start(index)
        joints, text = procedural_walk(rng, frames=frames)
        return Example(joints, text)

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`, without generating it."""
        return self._start(index)[1]

    def _start(self, index: int) -> tuple[Generator, int]:
        rng = np.random.default_rng((self.seed, index))
        return rng, int(rng.integers(self.min_frames, self.max_frames + 1))


def walk_clips(count: int, *, seed: int = 0) -> list[Clip]:
    """The first training examples of a seed as clips, and as many held-out ones as test clips.

    Args:
        count: Number of clips of each part.
        seed: Seed of a training on procedural data.
    """
    parts: list[tuple[Split, int]] = [("train", seed), ("test", seed + HELD_OUT_SEEDS)]
    return [
        Clip(f"walk-{walks}-{index}", example.joints, split, (Caption(example.text),))
        for split, walks in parts
        for index, example in enumerate(map(ProceduralWalks(walks).example, range(count)))
    ]


def procedural_walk(rng: Generator, *, frames: int) -> tuple[NDArray[np.float32], str]:
    """Generate a random walk and its caption.

    Args:
        rng: Source of randomness.
        frames: Number of frames.

    Returns:
        Joints (frames, 22, 3) float32 in metres, the floor at y = 0, the first frame at the origin and facing +z; and
        the caption.
    """
    segments = _plan(rng, frames)
    style, manner = _style(rng, [segment.speed for segment in segments])
    speed, turning = _profiles(segments)
    joints = walk(speed, turning, style)[_MARGIN : _MARGIN + frames]
    return to_origin(torch.from_numpy(joints)).numpy(), walk_caption(rng, segments, manner)


def _plan(rng: Generator, frames: int) -> list[Segment]:
    """Random segments that fill the frames: walks of two to four seconds, with stops before, between or after."""
    plan: list[Segment] = []
    left = frames
    if frames >= 75 and rng.random() < 0.25:
        plan.append(Segment(int(rng.integers(18, 34)), 0.0, 0.0))
        left -= plan[-1].frames
    tier = choose(rng, tuple(SPEEDS))
    while left > 0:
        if plan and plan[-1].speed > 0 and left >= _MIN_STAND and rng.random() < 0.4:
            length = left if left < 60 else int(rng.integers(_MIN_STAND, 42))
            plan.append(Segment(length, 0.0, 0.0))
        else:
            length = int(rng.integers(38, 80))
            length = left if left - length < _MIN_STAND else length
            if plan and rng.random() < 0.35:
                tier = choose(rng, tuple(SPEEDS))
            speed = float(rng.uniform(*SPEEDS[tier]))
            plan.append(Segment(length, speed, _turn(rng, length / FPS, speed)))
        left -= plan[-1].frames
    return plan


def _turn(rng: Generator, seconds: float, speed: float) -> float:
    """Random turn in radians: none, slight, a quarter, a half or a full circle, as far as the walk has room for it."""
    low, high = _TURNS[int(rng.choice(len(_TURNS), p=[0.36, 0.2, 0.28, 0.12, 0.04]))]
    most = min(0.9 * seconds * speed / _MIN_RADIUS, 1.5 * seconds)
    turn = min(np.radians(rng.uniform(low, high)), most)
    if np.radians(5) < turn < np.radians(14):  # neither straight nor a visible turn
        turn = 0.0
    return float(turn * rng.choice([-1, 1]))


def _profiles(segments: list[Segment]) -> tuple[Array, Array]:
    """Speed in m/s and turning in rad/s, (frames + 2 margins,) each, smoothed between segments, 0 while standing."""
    frames = [segment.frames for segment in segments]
    frames[0] += _MARGIN
    frames[-1] += _MARGIN
    kernel = np.hanning(_EASE + 2)[1:-1]
    speed, turning = (
        np.convolve(np.pad(np.repeat(values, frames), _EASE // 2, mode="edge"), kernel / kernel.sum(), mode="valid")
        for values in (
            [segment.speed for segment in segments],
            [segment.turn / segment.frames * FPS for segment in segments],
        )
    )
    still = speed < 1e-9
    return np.where(still, 0.0, speed), np.where(still, 0.0, turning)


def _style(rng: Generator, speeds: list[float]) -> tuple[WalkStyle, str]:
    """Random style of walking and a phrase for it, which is empty for an ordinary style."""
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


def choose(rng: Generator, options: Sequence[str]) -> str:
    """Uniformly random choice."""
    return options[int(rng.integers(len(options)))]


def walk_caption(rng: Generator, segments: Sequence[Segment], manner: str) -> str:
    """Compose a caption that describes each segment; the manner is attached to the first walk."""
    clauses = []
    pace = kind = ""  # of the last walk
    standing = False
    for index, segment in enumerate(segments):
        if segment.speed == 0:
            options = _STANDS if not pace else _STOPS if index + 1 == len(segments) else _PAUSES
            clauses.append(choose(rng, options))
            standing = True
            continue
        now, last, kind = _pace(segment.speed), kind, _kind(segment.turn)
        if not pace:
            words = [choose(rng, _WALKS[now]), choose(rng, _WAYS[kind]), manner]
            if rng.random() < 0.4:
                words[1:] = words[:0:-1]
            if len(segments) == 1 and kind == "straight" and rng.random() < 0.4:
                words.append(f"for about {NUMBER_WORDS[round(segment.speed * segment.frames / FPS)]} metres")
        elif standing:
            words = [choose(rng, _AGAIN), "" if now == pace else choose(rng, _PACES[now]), choose(rng, _WAYS[kind])]
        elif now != pace:
            faster = list(SPEEDS).index(now) > list(SPEEDS).index(pace)
            words = [
                choose(rng, _PACE_CHANGES[faster]),
                "" if kind == "straight" else "and " + choose(rng, _ONWARD[kind]),
            ]
        elif kind == last == "straight":
            continue
        else:
            words = [choose(rng, _ONWARD[kind])]
        side, clock = ("left", "counterclockwise") if segment.turn > 0 else ("right", "clockwise")
        clauses.append(" ".join(word for word in words if word).format(side=side, clock=clock))
        pace, standing = now, False
    return choose(rng, _WHO) + " " + _join(rng, clauses)


def _join(rng: Generator, clauses: Sequence[str]) -> str:
    """Clauses in order as one sentence."""
    text = clauses[0]
    for clause in clauses[1:-1]:
        text += choose(rng, (", ", ", then ")) + clause
    if len(clauses) > 1:
        text += choose(rng, (", then ", " and then ", " and ", ", and then ")) + clauses[-1]
    return text


def _pace(speed: float) -> str:
    """Nearest range of `SPEEDS`."""
    return min(SPEEDS, key=lambda name: abs(speed - sum(SPEEDS[name]) / 2))


def _kind(turn: float) -> str:
    """Category of a turn in radians, a key of `_WAYS`."""
    degrees = abs(np.degrees(turn))
    for kind, most in (("straight", 9), ("slight", 50), ("quarter", 130), ("half", 250)):
        if degrees < most:
            return kind
    return "circle"
