"""Words on a picture: at the goals, the caption, the clock, and what is what."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from visualize.drawing import style
from visualize.drawing.camera import NEAR, Camera
from visualize.drawing.canvas import Canvas, width_of
from visualize.drawing.goal_glyphs import Mark, Zone
from visualize.drawing.goal_targets import due
from visualize.scene import Scene

EDGE, LINE = 18, 21
"""Units from the edge of a picture to its words, and from one line of a caption to the next."""
_MANY = 12  # with more goals than this they are not labelled
_NARROW = 0.25  # of their height: the width of the narrowest letters


def paint_labels(canvas: Canvas, camera: Camera, scenes: Sequence[Scene], time: float, unit: float) -> None:
    """At each mark of the first scene the second when it is due and, once that has passed, how far off each scene's
    motion was. Words that would lie over others move aside."""
    lead = scenes[0]
    placed = [mark for mark in lead.marks if isinstance(mark, Mark) and not mark.stays]
    size = 11.5 * unit
    taken: list[tuple[NDArray, NDArray]] = []
    for mark in placed if len(placed) <= _MANY else ():
        place = mark.where(lead.joints, lead.fps)
        if mark.on_floor:
            place[1] = 0.0
        pixel, depth = camera.project(place)
        if depth <= NEAR:
            continue
        words = f"{mark.time:.3g} s" if mark.last == mark.time else f"{mark.time:.3g}–{mark.last:.3g} s"
        if time > mark.last + 0.5 / lead.fps:
            words += f": {missed(mark, scenes)}"
        away = (0.28 * np.sin(camera.elevation) if mark.on_floor else 0.09) * camera.focal / depth
        high, low = canvas.size[1] - 84 * unit, 44 * unit + size + away  # beyond are the caption and the clock
        under = pixel[1] > high or (mark.on_floor and pixel[1] > low)
        step = -1 if under else 1
        reach = np.array([0.6 * len(words), 1.3]) * size  # of another's middle, within which it would lie over these
        at = pixel + [0, step * away]
        if 0 <= pixel[0] <= canvas.size[0]:  # in the picture, so that its words are too
            at[0] = np.clip(at[0], reach[0] / 2, canvas.size[0] - reach[0] / 2)
        while any((np.abs(at - other) < (reach + extent) / 2).all() for other, extent in taken):
            at[1] += step * size / 2
        taken.append((at, reach))
        canvas.text(
            words,
            at,
            size=size,
            colour=style.GOAL,
            across="center",
            up="top" if under else "bottom",
            bold=due(mark, time) > 0,
        )


def missed(mark: Mark, scenes: Sequence[Scene]) -> str:
    """By how far each scene's motion missed a mark, or a dash where it ends before."""
    if not any(scene.reaches(mark) for scene in scenes):
        return "beyond the end"
    miss = [f"{100 * mark.miss(of.joints, of.fps):.0f}" if of.reaches(mark) else "–" for of in scenes]
    return f"{', '.join(miss)} cm off"


@lru_cache(maxsize=256)
def lines_of(words: str, room: float, *, size: float, bold: bool = False, most: int = 1) -> tuple[str, ...]:
    """Words `size` pixels high in up to `most` lines, none longer than `room` pixels; "…" is for what does not fit."""
    words = " ".join(words.split())
    fits = int(most * room / (_NARROW * size)) + 1
    if len(words) > fits:  # measuring takes as long as words are
        words = f"{words[:fits]} …"
    if (wide := width_of(words, size=size, bold=bold)) <= room:
        return (words,) if words else ()
    return tuple(textwrap.wrap(words, max(8, int(0.95 * room / wide * len(words))), max_lines=most, placeholder=" …"))


def caption_lines(canvas: Canvas, text: str, unit: float) -> tuple[str, ...]:
    """The up to three lines of a caption."""
    return lines_of(text, canvas.size[0] - 2 * EDGE * unit, size=16 * unit, most=3)


def paint_caption(canvas: Canvas, lines: Sequence[str], unit: float, *, title: str = "") -> None:
    """The lines of a caption in the upper left corner, below a title if there is one."""
    size, edge = 16 * unit, EDGE * unit
    heading = lines_of(title, canvas.size[0] - 2 * edge, size=size, bold=True)
    for row, line in enumerate([*heading, *lines]):
        at = (edge, canvas.size[1] - edge - LINE * unit * row)
        canvas.text(line, at, size=size, up="top", bold=row < len(heading))


def paint_title(canvas: Canvas, title: str, unit: float) -> None:
    """What a picture of a film shows, at its lower edge, above the clock."""
    for line in lines_of(title, canvas.size[0] - 2 * EDGE * unit, size=14 * unit, bold=True):
        canvas.text(line, (canvas.size[0] / 2, 31 * unit), size=14 * unit, across="center", bold=True)


def paint_legend(canvas: Canvas, entries: Sequence[tuple[str, str]], below: int, unit: float) -> None:
    """Titles, each beside a bar in its body's tint, under so many lines of a caption."""
    edge, size = EDGE * unit, 13 * unit
    for row, (title, tint) in enumerate(entries):
        y = canvas.size[1] - edge - 14 * unit - LINE * unit * (below + row)
        canvas.lines([np.array([[edge + 4 * unit, y], [edge + 16 * unit, y]])], tint, width=8 * unit)
        for line in lines_of(title, canvas.size[0] - 2 * edge - 28 * unit, size=size):
            canvas.text(line, (edge + 28 * unit, y), size=size, up="center")


def paint_clock(canvas: Canvas, scene: Scene, time: float, unit: float) -> None:
    """The time, and a line of it with the moments of the goals, on a pale band at the lower edge; it stops where the
    motion does."""
    time = min(time, scene.seconds)
    width, _ = canvas.size
    edge = EDGE * unit
    band = np.array([[0, 0], [width, 0], [width, 1.6 * edge], [0, 1.6 * edge]])
    canvas.polygons(band[None], [*style.rgb(style.BACKGROUND), 0.8])
    left, right = edge + 52 * unit, width - edge
    canvas.text(f"{time:.1f} s", (edge, edge), size=13 * unit, up="center")

    def stretch(first: float, last: float, colour: str, thick: float) -> None:
        ends = [left + (right - left) * min(moment / max(scene.seconds, 1e-9), 1) for moment in (first, last)]
        canvas.lines([np.array([[ends[0], edge], [ends[1] + 0.5, edge]])], colour, width=thick * unit)

    stretch(0.0, scene.seconds, style.SHADOW, 3)
    stretch(0.0, time, style.WALKED, 3)
    for mark in scene.marks:
        if not isinstance(mark, Zone) and mark.time <= scene.seconds + 0.5 / scene.fps:
            stretch(mark.time, mark.last, style.GOAL, 8 if mark.last == mark.time else 1.5)
