"""Several prompts on one timeline: which windows a model makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guidance.goals import Segment
from motion_diffusion.errors import InputError
from motion_diffusion.skeleton import FPS

OVERLAP = 20
"""Frames that neighbouring windows share; a segment lasts at least as long."""


def frames_of(segments: Sequence[Segment]) -> int:
    """How many frames they last together."""
    return round(sum(segment.seconds for segment in segments) * FPS)


@dataclass(frozen=True)
class Windows:
    """Texts, first frames and lengths of the windows that make one motion."""

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    lengths: tuple[int, ...]


def windows(segments: Sequence[Segment], longest: int) -> Windows:
    """Every segment in one window, or in several of the same text if it is too long for one of `longest` frames.

    Windows go half an overlap beyond both ends, but for the first and the last one. InputError for segments that are
    shorter than the overlap.
    """
    ends, texts, now = [0], [], 0.0
    for number, segment in enumerate(segments, 1):
        now += segment.seconds
        frames = round(now * FPS) - ends[-1]
        if frames < OVERLAP:
            raise InputError(
                f"segment {number} lasts {segment.seconds:g} s; give it {OVERLAP / FPS:g} s or more, or join two"
            )
        parts = math.ceil(frames / (longest - OVERLAP))
        first = ends[-1]
        ends += [first + round(frames * (i + 1) / parts) for i in range(parts)]
        texts += [segment.text] * parts
    half = OVERLAP // 2
    starts = [max(start - half, 0) for start in ends[:-1]]
    lengths = [min(end + half, ends[-1]) - start for start, end in zip(starts, ends[1:], strict=True)]
    return Windows(tuple(texts), tuple(starts), tuple(lengths))
