"""Raster canvas, text layout and tiling of pictures.

The canvas draws with matplotlib's Agg rasteriser and reuses its artists: a frame takes milliseconds, where a
three-dimensional matplotlib axes takes half a second.
"""

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
    """A raster picture that is painted back to front.

    `size` is (width, height) in pixels, and (0, 0) is the lower left corner.
    """

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
        """Fill the picture with the background colour."""
        pixels = np.asarray(self._renderer.buffer_rgba())
        pixels[:] = np.round(self._background * 255).astype(np.uint8)

    def polygons(
        self, corners: NDArray, faces: ArrayLike, *, edges: ArrayLike | None = None, width: float = 0.0
    ) -> None:
        """Paint filled polygons.

        Args:
            corners: (n, corners, 2) pixels.
            faces: fill colour: one, or (n, 3 or 4).
            edges: outline colour: one, or (n, 3 or 4); None draws no outline.
            width: outline width in pixels.
        """
        if len(corners):
            outline = "none" if edges is None else edges
            self._polygons.set(verts=corners, facecolors=faces, edgecolors=outline, linewidths=width * 0.72)
            self._polygons.draw(self._renderer)

    def lines(
        self, points: Sequence[NDArray], colours: ArrayLike, *, width: float, dashes: Sequence[float] = ()
    ) -> None:
        """Paint polylines.

        Args:
            points: polylines of shape (n, 2), pixels.
            colours: one colour, or one per line.
            width: line width in pixels.
            dashes: alternating lengths of dashes and gaps, in line widths; empty for solid lines.
        """
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
        """Paint one line of text with a halo in the background colour.

        Args:
            words: the text.
            at: (2,) position in pixels.
            size: font size in pixels.
            colour: of the letters.
            across: horizontal alignment: left, center or right.
            up: vertical alignment: bottom, baseline, center or top.
            bold: use the bold face.
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
        """Composite a picture over the canvas.

        Args:
            picture: (height, width, 4) with premultiplied alpha.
            left: column of its left edge, pixels.
            bottom: row of its lower edge, counted from the bottom, pixels.
        """
        high, wide, _ = picture.shape
        top = self.size[1] - bottom - high
        place = np.asarray(self._renderer.buffer_rgba())[top : top + high, left : left + wide, :3]
        ground = place.astype(np.uint16) * (255 - picture[..., 3:].astype(np.uint16)) // 255
        place[:] = np.minimum(ground + picture[..., :3], 255)

    def image(self) -> NDArray[np.uint8]:
        """Return a (height, width, 3) copy of the picture."""
        return np.asarray(self._renderer.buffer_rgba())[..., :3].copy()


def text_width(words: str, *, size: float, bold: bool = False) -> float:
    """Width in pixels of a line of text with font size `size` in pixels."""
    words, font = printable(words, bold=bold), _font(size, bold)
    return float(RendererAgg(8, 8, 100).get_text_width_height_descent(words, font, ismath=False)[0])


def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(family=font_families(), weight="bold" if bold else "normal", size=size * 0.72)


@lru_cache(maxsize=256)
def _letters(words: str, size: float, bold: bool) -> tuple[NDArray[np.float64], int]:
    """Rasterise a line of text.

    Returns:
        Coverage 0…1 of shape (height, width), and the number of rows below the baseline. The height is that of the
        tallest and deepest letters, hence the same for all texts of one size.
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
"""Margin between the picture's border and its text, and line height of a caption, in canvas units."""
_NARROW = 0.25  # width of the narrowest letters, relative to their height


@lru_cache(maxsize=256)
def wrap_text(words: str, room: float, *, size: float, bold: bool = False, most: int = 1) -> tuple[str, ...]:
    """Break text into lines of limited width.

    Args:
        words: the text; whitespace is collapsed.
        room: maximum width of a line, pixels.
        size: font size in pixels.
        bold: use the bold face.
        most: maximum number of lines; text that does not fit is replaced by "…".
    """
    words = " ".join(words.split())
    fits = int(most * room / (_NARROW * size)) + 1
    if len(words) > fits:  # measuring takes time proportional to the length
        words = f"{words[:fits]} …"
    if (wide := text_width(words, size=size, bold=bold)) <= room:
        return (words,) if words else ()
    return tuple(textwrap.wrap(words, max(8, int(0.95 * room / wide * len(words))), max_lines=most, placeholder=" …"))


def caption_lines(canvas: Canvas, text: str, unit: float) -> tuple[str, ...]:
    """Break a caption into at most three lines as wide as the canvas."""
    return wrap_text(text, canvas.size[0] - 2 * EDGE * unit, size=16 * unit, most=3)


def paint_caption(canvas: Canvas, lines: Sequence[str], unit: float, *, title: str = "") -> None:
    """Paint caption lines in the upper left corner, below an optional title."""
    size, edge = 16 * unit, EDGE * unit
    heading = wrap_text(title, canvas.size[0] - 2 * edge, size=size, bold=True)
    for row, line in enumerate([*heading, *lines]):
        at = (edge, canvas.size[1] - edge - LINE * unit * row)
        canvas.text(line, at, size=size, up="top", bold=row < len(heading))


def paint_title(canvas: Canvas, title: str, unit: float) -> None:
    """Paint the title of a frame at its lower edge, above the clock."""
    for line in wrap_text(title, canvas.size[0] - 2 * EDGE * unit, size=14 * unit, bold=True):
        canvas.text(line, (canvas.size[0] / 2, 31 * unit), size=14 * unit, across="center", bold=True)


def paint_legend(canvas: Canvas, entries: Sequence[tuple[str, str]], below: int, unit: float) -> None:
    """Paint titles, each beside a bar of its body's tint.

    Args:
        canvas: where to paint.
        entries: pairs of title and tint.
        below: number of caption lines above the legend.
        unit: pixels per canvas unit.
    """
    edge, size = EDGE * unit, 13 * unit
    for row, (title, tint) in enumerate(entries):
        y = canvas.size[1] - edge - 14 * unit - LINE * unit * (below + row)
        canvas.lines([np.array([[edge + 4 * unit, y], [edge + 16 * unit, y]])], tint, width=8 * unit)
        for line in wrap_text(title, canvas.size[0] - 2 * edge - 28 * unit, size=size):
            canvas.text(line, (edge + 28 * unit, y), size=size, up="center")


MAX_SIDE_BY_SIDE = 16
"""Maximum number of motions side by side in one picture."""


def check_count(count: int, *, most: int = MAX_SIDE_BY_SIDE) -> None:
    """Raise InputError unless `count` motions fit into one picture."""
    if not 1 <= count <= most:
        raise InputError(f"{count} motions do not go into one picture; give 1 to {most}, or make pages of key poses")


def grid_shape(count: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns for `count` pictures; by default up to three are in one row."""
    columns = columns or (count if count <= 3 else ceil(sqrt(count)))
    return ceil(count / columns), columns


def tile(pictures: Sequence[NDArray[np.uint8]], *, columns: int | None = None) -> NDArray[np.uint8]:
    """Arrange pictures of equal shape (height, width, 3) row by row on the grid of `grid_shape`."""
    rows, columns = grid_shape(len(pictures), columns)
    blank = np.full(pictures[0].shape, np.round(255 * style.rgb(style.BACKGROUND)), dtype=np.uint8)
    panels = [*pictures, *[blank] * (rows * columns - len(pictures))]
    return np.concatenate([np.concatenate(panels[row * columns :][:columns], axis=1) for row in range(rows)])
