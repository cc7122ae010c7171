"""Cleaning of clips before training: removal of T-poses and defects, cutting of long takes, and a report.

A take becomes several clips, or none. They belong to the same split as the take and inherit the captions that describe
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_loaders.captions.label_phrases import part_boundaries
from data_loaders.cleaning.cutting import MIN_PIECE_FRAMES, MIN_TAKE_FRAMES, split_take, trim_t_poses
from data_loaders.cleaning.defects import Defect, find_defects, runs
from data_loaders.retarget import start_at_origin
from data_loaders.types import Caption, Clip
from motion_diffusion.body.skeleton import FPS, frame_of

MARGIN = 3
"""Frames removed before and after a defect."""
FLOOR_DEFECTS = ("the body floats, or is on something", "the floor is not level")
"""Defects that are ignored in clips whose captions mention ladders, stairs or stools, which have no floor at y = 0."""
_RAISED = re.compile(r"\b(?:climb|ladder|stair)|stool")


@dataclass(frozen=True)
class Cleaning:
    """Result of cleaning a take."""

    pieces: tuple[tuple[int, int], ...]
    """Frames [start, end) of each piece of 1 to 10 s in order, contiguous where nothing was removed between them."""
    dropped: tuple[Defect, ...]
    """What was removed; defects may overlap."""


@dataclass(frozen=True, eq=False)
class CleanedClip:
    """Clips made from a take."""

    name: str
    frames: int
    """Number of frames of the take."""
    clips: tuple[Clip, ...]
    dropped: tuple[Defect, ...]

    @property
    def kept(self) -> int:
        """Number of frames that are kept."""
        return sum(len(clip.joints) for clip in self.clips)

    def report(self) -> list[str]:
        """One line per removed part: the take, the time span and the reason."""
        return [f"{self.name}: {defect}" for defect in self.dropped]


@dataclass
class CleaningSummary:
    """Statistics over the takes of a data set. The string lists the durations before and after, and each reason."""

    takes: int = 0
    clips: int = 0
    frames: int = 0
    kept: int = 0
    reasons: dict[str, list[int]] = field(default_factory=dict)
    """Numbers of frames of the findings of each reason; frames with several reasons count for each."""

    def add(self, cleaned: CleanedClip) -> None:
        """Add a take."""
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


def clean_take(
    joints: NDArray[np.floating], events: Collection[int] = (), *, boundaries: Collection[int] = (), level: bool = True
) -> Cleaning:
    """Clean and cut a take.

    T- and A-poses are removed from both ends, then every defect with a margin, then remainders of less than 2 s. The
    rest is cut at boundaries, and what is still longer than 10 s at quiet moments, or at events.

    Args:
        joints: (F, 22, 3) in metres, y up, at 20 frames per second.
        events: Frames at which an action begins or ends.
        boundaries: Frames at which the take is cut in any case, unless a piece would be shorter than 2 s.
        level: Whether feet should be on the floor y = 0, which is not the case on ladders, stairs and stools.
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
        cuts = [first]
        for boundary in sorted(boundaries):
            if cuts[-1] + MIN_PIECE_FRAMES <= boundary <= last - MIN_PIECE_FRAMES:
                cuts.append(boundary)
        for begin, stop in pairwise([*cuts, last]):
            inside = [event - begin for event in events if begin < event < stop]
            pieces += [(begin + a, begin + b) for a, b in split_take(joints[begin:stop], inside)]
    ordered = sorted([*dropped, *found], key=lambda defect: (defect.start, defect.end, defect.reason))
    return Cleaning(tuple(pieces), tuple(ordered))


def clean_clip(clip: Clip) -> CleanedClip:
    """Clean and cut a clip. If captions have time spans, it is cut at their beginnings and ends.

    A clip whose label is an action that goes down and up, like sitting down and standing up, is cut while the body is
    up and while it is down.

    Pieces are named NAME_part1, NAME_part2 ... in order of time; an unchanged clip keeps its name.
    """
    spans = [_span(caption, len(clip.joints)) for caption in clip.captions if caption.start or caption.end]
    events = sorted({frame_of(time) for span in spans for time in span})
    level = not any(_RAISED.search(caption.text.lower()) for caption in clip.captions)
    labels = {caption.text.lower() for caption in clip.captions if not (caption.start or caption.end)}
    boundaries = {frame for label in labels for frame in part_boundaries(label, clip.joints)}
    cleaning = clean_take(clip.joints, events, boundaries=boundaries, level=level)
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


def report_removed(read: Iterable[Clip | CleanedClip | str], write: Callable[[str], object]) -> Iterator[Clip | str]:
    """Iterate over the clips that are left after cleaning, and report what was removed.

    Args:
        read: Cleaned clips; others, and messages about broken ones, are passed on.
        write: Called with a line for each removed part, and in the end with the summary.
    """
    total = CleaningSummary()
    for clip in read:
        if not isinstance(clip, CleanedClip):
            yield clip
            continue
        total.add(clip)
        for line in clip.report():
            write(f"thrown away: {line}")
        yield from clip.clips
    if total.takes:
        write(str(total))


def _captions(clip: Clip, start: int, end: int) -> tuple[Caption, ...]:
    """Captions of frames [start, end): those of the whole clip, and those of which at least half is inside."""
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
    """Time span in seconds that a caption describes."""
    return caption.start, caption.end or frames / FPS
