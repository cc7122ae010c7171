"""Clips cleaned before training: T-poses and defects thrown away, long takes cut, all of it reported.

One take gives several clips, or none. They belong to the part of the data that the take belongs to, and take along the
captions that are about them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from data_loaders.cleaning.cutting import MIN_PIECE_FRAMES, MIN_TAKE_FRAMES, split_take, trim_t_poses
from data_loaders.cleaning.defects import Defect, find_defects, runs
from data_loaders.retarget import start_at_origin
from data_loaders.types import Caption, Clip
from motion_diffusion.body.skeleton import FPS

MARGIN = 3
"""Frames before and after a defect that are thrown away with it."""
FLOOR_DEFECTS = ("the body floats, or is on something", "the floor is not level")
"""None of them in clips whose captions tell of ladders, stairs and stools, which have no floor at y = 0."""
_RAISED = re.compile(r"\b(?:climb|ladder|stair)|stool")


@dataclass(frozen=True)
class Cleaning:
    """What stays of a take, and why the rest does not."""

    pieces: tuple[tuple[int, int], ...]
    """Frames [start, end) of each, 1 to 10 s, in order; without a gap where nothing was thrown away between them."""
    dropped: tuple[Defect, ...]
    """What was thrown away; these may overlap."""


@dataclass(frozen=True, eq=False)
class CleanedClip:
    """The clips that a take became."""

    name: str
    frames: int
    """Of the take."""
    clips: tuple[Clip, ...]
    dropped: tuple[Defect, ...]

    @property
    def kept(self) -> int:
        """Frames that stay."""
        return sum(len(clip.joints) for clip in self.clips)

    def report(self) -> list[str]:
        """One line for each part that was thrown away: which take, which seconds, why."""
        return [f"{self.name}: {defect}" for defect in self.dropped]


@dataclass
class CleaningSummary:
    """Counts over the takes of a data set; printed, hours in and kept, and a line for each reason."""

    takes: int = 0
    clips: int = 0
    frames: int = 0
    kept: int = 0
    reasons: dict[str, list[int]] = field(default_factory=dict)
    """Of each reason, the frames that each finding covers; those of several reasons count for each."""

    def add(self, cleaned: CleanedClip) -> None:
        """Count one more take."""
        self.takes += 1
        self.clips += len(cleaned.clips)
        self.frames += cleaned.frames
        self.kept += cleaned.kept
        for defect in cleaned.dropped:
            self.reasons.setdefault(defect.reason, []).append(defect.end - defect.start)

    def __str__(self) -> str:
        hours, kept = (frames / FPS / 3600 for frames in (self.frames, self.kept))
        lines = [f"{self.takes} takes of {hours:.2f} hours became {self.clips} clips of {kept:.2f} hours"]
        for reason, lengths in sorted(self.reasons.items(), key=lambda item: -sum(item[1])):
            lines.append(f"{len(lengths):7} x {reason}, {sum(lengths) / FPS:.0f} s")
        return "\n".join(lines)


def clean_take(joints: NDArray[np.floating], events: Collection[int] = (), *, level: bool = True) -> Cleaning:
    """Clean and cut a take (F, 22, 3) in metres, y up, 20 frames per second.

    T- and A-poses go from both ends, then every defect with a margin, then what is shorter than 2 s between them. What
    stays is cut at quiet moments, or at events: frames at which something begins or ends. level: whether feet should be
    on the floor y = 0; on ladders, steps and stools they are not.
    """
    frames = len(joints)
    start, end = trim_t_poses(joints)
    dropped = [
        Defect("T-pose", first, last, (last - first) / FPS, "s")
        for first, last in ((0, start), (end, frames))
        if first < last
    ]
    found = [
        replace(defect, start=defect.start + start, end=defect.end + start)
        for defect in (find_defects(joints[start:end]) if start < end else ())
        if level or defect.reason not in FLOOR_DEFECTS
    ]
    good = np.zeros(frames, dtype=bool)
    good[start:end] = True
    for defect in found:
        good[max(defect.start - MARGIN, 0) : defect.end + MARGIN] = False
    pieces: list[tuple[int, int]] = []
    for first, last in runs(good):
        if last - first < (MIN_TAKE_FRAMES if (first, last) == (start, end) else MIN_PIECE_FRAMES):
            dropped.append(Defect("too short to stay", first, last, (last - first) / FPS, "s"))
            continue
        inside = [event - first for event in events if first < event < last]
        pieces += [(first + a, first + b) for a, b in split_take(joints[first:last], inside)]
    ordered = sorted([*dropped, *found], key=lambda defect: (defect.start, defect.end, defect.reason))
    return Cleaning(tuple(pieces), tuple(ordered))


def clean_clip(clip: Clip) -> CleanedClip:
    """Clean and cut a clip. Where its captions are about parts of it, the cuts are at their beginnings and ends.

    Pieces are called NAME_part1, NAME_part2 ... in the order of time; a clip that stays as it is keeps its name.
    """
    spans = [_span(caption, len(clip.joints)) for caption in clip.captions if caption.start or caption.end]
    events = sorted({round(time * FPS) for span in spans for time in span})
    level = not any(_RAISED.search(caption.text.lower()) for caption in clip.captions)
    cleaning = clean_take(clip.joints, events, level=level)
    if cleaning.pieces == ((0, len(clip.joints)),):
        return CleanedClip(clip.name, len(clip.joints), (clip,), cleaning.dropped)
    clips = tuple(
        replace(
            clip,
            name=f"{clip.name}_part{number}",
            joints=start_at_origin(clip.joints[start:end]),
            captions=_captions(clip, start, end),
        )
        for number, (start, end) in enumerate(cleaning.pieces, 1)
    )
    return CleanedClip(clip.name, len(clip.joints), clips, cleaning.dropped)


def _captions(clip: Clip, start: int, end: int) -> tuple[Caption, ...]:
    """The captions of frames [start, end): those of the whole clip, and those of which at least half is inside."""
    result = []
    for caption in clip.captions:
        if not (caption.start or caption.end):
            result.append(caption)
            continue
        first, last = _span(caption, len(clip.joints))
        inside = max(first, start / FPS), min(last, end / FPS)
        if 2 * (inside[1] - inside[0]) < last - first:
            continue
        whole = inside == (start / FPS, end / FPS)
        times = (0.0, 0.0) if whole else (inside[0] - start / FPS, inside[1] - start / FPS)
        result.append(replace(caption, start=times[0], end=times[1]))
    return tuple(result)


def _span(caption: Caption, frames: int) -> tuple[float, float]:
    """The seconds of a clip that a caption is about."""
    return caption.start, caption.end or frames / FPS
