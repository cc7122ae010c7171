"""Several prompts on one timeline: which windows a model makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from guidance.goals.goal_set import GoalSet, Segment
from motion_diffusion.body.skeleton import FPS, frame_of
from motion_diffusion.errors import InputError

OVERLAP = 20
"""Frames that neighbouring windows share; a segment lasts at least as long."""


def frames_of(segments: Sequence[Segment]) -> int:
    """How many frames they last together."""
    return sum(lengths_of(segments))


def lengths_of(segments: Sequence[Segment]) -> list[int]:
    """How many frames each lasts."""
    ends = [0, *(frame_of(now) for now in accumulate(segment.seconds for segment in segments))]
    return [end - start for start, end in pairwise(ends)]


def woven(segments: Sequence[Segment], longest: int) -> bool:
    """Whether a motion of these is woven from windows of `longest` frames; a single one that fits is not."""
    return len(segments) > 1 or frames_of(segments) > longest


def said(text: str, frames: int, goals: GoalSet, longest: int) -> tuple[str, int, GoalSet]:
    """Text, frames and goals of a motion: what its segments say comes first, and a single one that fits in `longest`
    frames is a text and a length like any other, so that every way of guiding goes with it."""
    if not goals.segments:
        return text, frames, goals
    frames = frames_of(goals.segments)
    if woven(goals.segments, longest):
        return text, frames, goals
    return goals.segments[0].text, frames, goals.model_copy(update={"segments": []})


@dataclass(frozen=True)
class SegmentWindows:
    """Texts, first frames and lengths of the windows that make one motion."""

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    def seeds(self, seed: int) -> list[int]:
        """One for each, so that every window has noise of its own."""
        return [seed + (k << 32) for k in range(len(self.texts))]


def segment_windows(segments: Sequence[Segment], longest: int) -> SegmentWindows:
    """Every segment in one window, or in several of the same text if it is too long for one of `longest` frames.

    Windows go half an overlap beyond both ends, but for the first and the last one. InputError for segments that are
    shorter than the overlap.
    """
    ends, texts = [0], []
    for number, (segment, frames) in enumerate(zip(segments, lengths_of(segments), strict=True), 1):
        if frames < OVERLAP:
            raise InputError(
                f"segment {number} lasts {segment.seconds:g} s; give it {OVERLAP / FPS:g} s or more, or join two"
            )
        parts = math.ceil(frames / (longest - OVERLAP)) if woven(segments, longest) else 1
        first = ends[-1]
        ends += [first + round(frames * (i + 1) / parts) for i in range(parts)]
        texts += [segment.text] * parts
    half = OVERLAP // 2
    starts = [max(start - half, 0) for start in ends[:-1]]
    lengths = [min(end + half, ends[-1]) - start for start, end in zip(starts, ends[1:], strict=True)]
    return SegmentWindows(tuple(texts), tuple(starts), tuple(lengths))
