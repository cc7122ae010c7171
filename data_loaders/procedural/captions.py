"""Random captions of planned walks, consistent with the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from data_loaders.captions.templates import NUMBER_WORDS
from motion_diffusion.body.skeleton import FPS

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
