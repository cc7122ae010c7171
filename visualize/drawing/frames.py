"""Seconds of a motion as its frames."""

from __future__ import annotations


def frame_at(time: float, fps: float, frames: int) -> int:
    """Index of the frame nearest to `time` seconds in a motion of so many frames."""
    return min(max(round(time * fps), 0), frames - 1)


def during(first: float, last: float, fps: float, frames: int) -> slice:
    """The frames from one second to another."""
    return slice(frame_at(first, fps, frames), frame_at(last, fps, frames) + 1)
