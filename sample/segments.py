"""Several prompts on one timeline, and the windows in which a model generates them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from guidance.goals.goal_set import GoalSet, Segment
from motion_diffusion.body.skeleton import FPS, frame_of
from motion_diffusion.errors import InputError

OVERLAP = 20
"""Frames that neighbouring windows share; the minimum length of a segment."""


def frames_of(segments: Sequence[Segment]) -> int:
    """Total length of the segments in frames."""
    return sum(lengths_of(segments))


def lengths_of(segments: Sequence[Segment]) -> list[int]:
    """Length of each segment in frames. Ends are rounded, hence the total is that of the rounded duration."""
    ends = [0, *(frame_of(now) for now in accumulate(segment.seconds for segment in segments))]
    return [end - start for start, end in pairwise(ends)]


def is_stitched(segments: Sequence[Segment], longest: int) -> bool:
    """Whether the segments need several windows of up to `longest` frames; a single segment that fits does not."""
    return len(segments) > 1 or frames_of(segments) > longest


def resolve_segments(text: str, frames: int, goals: GoalSet, longest: int) -> tuple[str, int, GoalSet]:
    """Text, length and goals of a motion, for which its segments take precedence.

    A single segment that fits in `longest` frames is converted to text and length, so that every guidance method works.
    """
    if not goals.segments:
        return text, frames, goals
    frames = frames_of(goals.segments)
    if is_stitched(goals.segments, longest):
        return text, frames, goals
    return goals.segments[0].text, frames, goals.model_copy(update={"segments": []})


@dataclass(frozen=True)
class SegmentWindows:
    """Texts, first frames and lengths of the windows of one motion."""

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    def seeds(self, seed: int) -> list[int]:
        """A different seed for each window, derived from that of the motion."""
        return [seed + (k << 32) for k in range(len(self.texts))]


def segment_windows(segments: Sequence[Segment], longest: int) -> SegmentWindows:
    """The windows of segments: one for each, or several of the same text for those longer than a window.

    Windows extend beyond the ends of their segments by half an overlap, except at both ends of the motion.

    Args:
        segments: Prompts and durations.
        longest: Maximum length of a window in frames.

    Raises:
        InputError: If a segment is shorter than the overlap.
    """
    ends, texts = [0], []
    for number, (segment, frames) in enumerate(zip(segments, lengths_of(segments), strict=True), 1):
        if frames < OVERLAP:
            raise InputError(
                f"segment {number} lasts {segment.seconds:g} s; give it {OVERLAP / FPS:g} s or more, or join two"
            )
        parts = math.ceil(frames / (longest - OVERLAP)) if is_stitched(segments, longest) else 1
        first = ends[-1]
        ends += [first + round(frames * (i + 1) / parts) for i in range(parts)]
        texts += [segment.text] * parts
    half = OVERLAP // 2
    starts = [max(start - half, 0) for start in ends[:-1]]
    lengths = [min(end + half, ends[-1]) - start for start, end in zip(starts, ends[1:], strict=True)]
    return SegmentWindows(tuple(texts), tuple(starts), tuple(lengths))
