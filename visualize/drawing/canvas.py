"""TODO."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, sqrt

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import IdentityTransform
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter

from motion_diffusion.errors import InputError
from visualize.drawing import style
from visualize.drawing.style import font_families, printable


class Canvas:
    """`size` is width and height in pixels; (0, 0) is the lower left corner. What is painted later covers the rest."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100)
        self._renderer = FigureCanvasAgg(figure).get_renderer()
        self._polygons, self._lines = PolyCollection([]), LineCollection([])
        for artist in (self._polygons, self._lines):
            artist.set_figure(figure)
            artist.set_transform(IdentityTransform())
        self._background = np.array([*style.rgb(style.BACKGROUND), 1.0])
        self.clear()

    def clear(self) -> None:
        """Start a new picture."""
        pixels = np.asarray(self._renderer.buffer_rgba())
        pixels[:] = np.round(self._background * 255).astype(np.uint8)

    def polygons(
        self, corners: NDArray, faces: ArrayLike, *, edges: ArrayLike | None = None, width: float = 0.0
    ) -> None:
        """Paint polygons (n, corners, 2). faces, edges: a colour or (n, 3 or 4) of them; width of edges in pixels."""
        if len(corners):
            outline = "none" if edges is None else edges
            self._polygons.set(verts=corners, facecolors=faces, edgecolors=outline, linewidths=width * 0.72)
            self._polygons.draw(self._renderer)

    def lines(
        self, points: Sequence[NDArray], colours: ArrayLike, *, width: float, dashes: Sequence[float] = ()
    ) -> None:
        """Paint polylines, each (n, 2). colours: one or one a line; width in pixels; dashes on, off, … in widths."""
        if len(points):
            self._lines.set(segments=points, linewidths=width * 0.72, linestyles=(0, dashes) if dashes else "solid")
            self._lines.set(colors=colours, capstyle="butt" if dashes else "round", joinstyle="round")
            self._lines.draw(self._renderer)

    def text(
        self,
        words: str,
        at: ArrayLike,
        *,
        size: float,
        colour: str = style.INK,
        across: str = "left",
        up: str = "baseline",
        bold: bool = False,
    ) -> None:
        """Paint one line of words `size` pixels high, with a halo in the background's colour so that it can be read.

        across: left, center or right; up: bottom, baseline, center or top: the part of the words that lies `at` (2,).
        """
        cover, below = _letters(words, round(size, 1), bold)
        high, wide = cover.shape
        x, y = np.asarray(at, dtype=float)
        left = round(x - {"left": 0, "center": wide / 2, "right": wide}[across])
        top = round(self.size[1] - y - {"top": 0, "center": high / 2, "baseline": high - below, "bottom": high}[up])
        pixels = np.asarray(self._renderer.buffer_rgba())[..., :3]
        inside = np.s_[max(-top, 0) : max(self.size[1] - top, 0), max(-left, 0) : max(self.size[0] - left, 0)]
        place = pixels[max(top, 0) : max(top + high, 0), max(left, 0) : max(left + wide, 0)]
        letters = cover[inside][..., None]
        halo = 0.8 * maximum_filter(cover, size=5)[inside][..., None]
        ground = place * (1 - halo) + 255 * self._background[:3] * halo
        place[:] = np.round(ground * (1 - letters) + 255 * style.rgb(colour) * letters)

    def blend(self, picture: NDArray[np.uint8], left: int, bottom: int) -> None:
        """Paint a picture (high, wide, 4), its colours already times how much they cover, the last of the four."""
        high, wide, _ = picture.shape
        top = self.size[1] - bottom - high
        place = np.asarray(self._renderer.buffer_rgba())[top : top + high, left : left + wide, :3]
        ground = place.astype(np.uint16) * (255 - picture[..., 3:].astype(np.uint16)) // 255
        place[:] = np.minimum(ground + picture[..., :3], 255)

    def image(self) -> NDArray[np.uint8]:
        """(height, width, 3) copy of what has been painted."""
        return np.asarray(self._renderer.buffer_rgba())[..., :3].copy()


def text_width(words: str, *, size: float, bold: bool = False) -> float:
    """Pixels that a line of words `size` pixels high takes."""
    words, font = printable(words, bold=bold), _font(size, bold)
    return float(RendererAgg(8, 8, 100).get_text_width_height_descent(words, font, ismath=False)[0])


def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(family=font_families(), weight="bold" if bold else "normal", size=size * 0.72)


@lru_cache(maxsize=256)
def _letters(words: str, size: float, bold: bool) -> tuple[NDArray[np.float64], int]:
    """How much of each pixel the words cover, 0…1 (high, wide), and how many rows lie below their baseline.

    The height is that of the tallest and deepest letters, so that lines of different words stand level.
    """
    words, font, pad = printable(words, bold=bold), _font(size, bold), 3
    wide = round(text_width(words, size=size, bold=bold)) + 2 * pad
    below, above = round(0.25 * size) + pad, round(size) + pad
    renderer = RendererAgg(wide, above + below, 100)
    context = renderer.new_gc()
    context.set_foreground("black")
    renderer.draw_text(context, pad, above, words, font, 0, ismath=False)
    return np.asarray(renderer.buffer_rgba())[..., 3] / 255, below


EDGE, LINE = 18, 21
"""Units from the edge of a picture to its words, and from one line of a caption to the next."""
_NARROW = 0.25  # of their height: the width of the narrowest letters


@lru_cache(maxsize=256)
def wrap_text(words: str, room: float, *, size: float, bold: bool = False, most: int = 1) -> tuple[str, ...]:
    """Words `size` pixels high in up to `most` lines, none longer than `room` pixels; "…" is for what does not fit."""
    words = " ".join(words.split())
    fits = int(most * room / (_NARROW * size)) + 1
    if len(words) > fits:  # measuring takes as long as words are
        words = f"{words[:fits]} …"
    if (wide := text_width(words, size=size, bold=bold)) <= room:
        return (words,) if words else ()
    return tuple(textwrap.wrap(words, max(8, int(0.95 * room / wide * len(words))), max_lines=most, placeholder=" …"))


def caption_lines(canvas: Canvas, text: str, unit: float) -> tuple[str, ...]:
    """The up to three lines of a caption."""
    return wrap_text(text, canvas.size[0] - 2 * EDGE * unit, size=16 * unit, most=3)


def paint_caption(canvas: Canvas, lines: Sequence[str], unit: float, *, title: str = "") -> None:
    """The lines of a caption in the upper left corner, below a title if there is one."""
    size, edge = 16 * unit, EDGE * unit
    heading = wrap_text(title, canvas.size[0] - 2 * edge, size=size, bold=True)
    for row, line in enumerate([*heading, *lines]):
        at = (edge, canvas.size[1] - edge - LINE * unit * row)
        canvas.text(line, at, size=size, up="top", bold=row < len(heading))


def paint_title(canvas: Canvas, title: str, unit: float) -> None:
    """What a picture of a film shows, at its lower edge, above the clock."""
    for line in wrap_text(title, canvas.size[0] - 2 * EDGE * unit, size=14 * unit, bold=True):
        canvas.text(line, (canvas.size[0] / 2, 31 * unit), size=14 * unit, across="center", bold=True)


def paint_legend(canvas: Canvas, entries: Sequence[tuple[str, str]], below: int, unit: float) -> None:
    """Titles, each beside a bar in its body's tint, under so many lines of a caption."""
    edge, size = EDGE * unit, 13 * unit
    for row, (title, tint) in enumerate(entries):
        y = canvas.size[1] - edge - 14 * unit - LINE * unit * (below + row)
        canvas.lines([np.array([[edge + 4 * unit, y], [edge + 16 * unit, y]])], tint, width=8 * unit)
        for line in wrap_text(title, canvas.size[0] - 2 * edge - 28 * unit, size=size):
            canvas.text(line, (edge + 28 * unit, y), size=size, up="center")


MAX_SIDE_BY_SIDE = 16
"""Motions side by side."""


def check_count(count: int, *, most: int = MAX_SIDE_BY_SIDE) -> None:
    """InputError if so many motions cannot be seen in one picture."""
    if not 1 <= count <= most:
        raise InputError(f"{count} motions do not go into one picture; give 1 to {most}, or make pages of key poses")


def grid_shape(count: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns for so many pictures; up to three are in one row if not told otherwise."""
    columns = columns or (count if count <= 3 else ceil(sqrt(count)))
    return ceil(count / columns), columns


def tile(pictures: Sequence[NDArray[np.uint8]], *, columns: int | None = None) -> NDArray[np.uint8]:
    """Pictures of one size (height, width, 3) in one, row by row, see `grid`."""
    rows, columns = grid_shape(len(pictures), columns)
    blank = np.full(pictures[0].shape, np.round(255 * style.rgb(style.BACKGROUND)), dtype=np.uint8)
    panels = [*pictures, *[blank] * (rows * columns - len(pictures))]
    return np.concatenate([np.concatenate(panels[row * columns :][:columns], axis=1) for row in range(rows)])
