"""Common style of all plots: hue, dashes and marker of each line, sizes of text and lines.

Hues are Okabe and Ito's, which are distinguishable with colour-vision deficiencies; dashes and markers distinguish
lines in greyscale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from motion_diffusion.errors import InputError

INK, FAINT_INK, GRID = "#2b303b", "#8b93a3", "#e1e5eb"
GOAL = "#009e73"
"""Text, secondary text, grid and goals: the colours of `visualize.drawing.style`, which is above this package."""
TITLE, HEADING, WORDS, SMALL = 11.0, 9.5, 8.5, 8.0
"""Font sizes in points: figure title, panel title, axis labels, and the rest."""
WIDTH = 1.8
"""Width of main lines, points."""


Place = Literal["best", "center", "upper right", "lower left"]
"""Position of a legend in its panel."""


@dataclass(frozen=True)
class LineStyle:
    """Style of a line and its markers."""

    colour: str
    dashes: tuple[float, ...]
    """Lengths on, off, …, in multiples of the line's width; () for a solid line."""
    marker: str

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...]]:
        """The dashes in matplotlib's format."""
        return (0, self.dashes)


LINE_STYLES = (
    LineStyle("#0072b2", (), "o"),
    LineStyle("#d55e00", (5, 1.5), "s"),
    LineStyle("#009e73", (1.2, 1.2), "^"),
    LineStyle("#cc79a7", (6, 1.5, 1.2, 1.5), "D"),
    LineStyle("#e69f00", (9, 3), "P"),
    LineStyle("#56b4e9", (2.5, 2.5), "X"),
    LineStyle("#000000", (9, 1.5, 1.2, 1.5, 1.2, 1.5), "v"),
)
"""In order of use. Okabe and Ito's yellow is illegible on white."""

PREDICTION_STYLES = dict(zip(("x0", "eps", "v", "score", "velocity", "mu"), LINE_STYLES, strict=False))
"""Style of each prediction type, the same in all figures."""

EXTRA_STYLES = (
    ((3, 1, 3, 4), "<"),
    ((12, 1.5), ">"),
    ((1.2, 3), "p"),
    ((7, 1.2, 3, 1.2), "*"),
    ((4, 4), "h"),
    ((1, 6), "d"),
)
"""Dashes and markers of further models of a prediction type, which share its hue."""


def styles_in_order(names: Iterable[str]) -> dict[str, LineStyle]:
    """A style for each name. InputError for more than can be distinguished."""
    different = list(dict.fromkeys(names))
    if len(different) > len(LINE_STYLES):
        raise InputError(
            f"{len(different)} lines cannot be told apart in a figure; draw {len(LINE_STYLES)} at once or fewer"
        )
    return dict(zip(different, LINE_STYLES, strict=False))


def model_styles(predictions: Mapping[str, str]) -> dict[str, LineStyle]:
    """Style of each model, given its prediction type by model name.

    The first model of a type has the type's style, others its hue with dashes and a marker of their own.

    Raises:
        InputError: for more models than can be distinguished.
    """
    result: dict[str, LineStyle] = {}
    further = iter(EXTRA_STYLES)
    for name, prediction in predictions.items():
        style = PREDICTION_STYLES.get(prediction, LINE_STYLES[-1])
        if style in result.values():
            dashes, marker = next(further, ((), ""))
            if not marker:
                raise InputError(f"{len(predictions)} models cannot be told apart in a figure; draw fewer at once")
            style = replace(style, dashes=dashes, marker=marker)
        result[name] = style
    return result


def panels(rows: int, columns: int, *, size: tuple[float, float], title: str) -> tuple[Figure, list[Axes]]:
    """A titled figure of the given size in inches, with its axes in reading order."""
    figure = Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(literal(title), fontsize=TITLE, color=INK)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for each in axes:
        each.grid(color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(which="both", colors=FAINT_INK, labelcolor=INK, labelsize=SMALL)
    return figure, axes


def literal(words: str) -> str:
    """Text without formulas: dollars are escaped, and a leading underscore does not hide it from a legend."""
    return (" " if words.startswith("_") else "") + words.replace("$", r"\$")


def label(axes: Axes, *, title: str, x: str = "", y: str = "") -> None:
    """Title and axis labels of a panel."""
    axes.set_title(literal(title), loc="left", fontsize=HEADING, color=INK)
    axes.set_xlabel(x, fontsize=WORDS, color=INK)
    axes.set_ylabel(y, fontsize=WORDS, color=INK)


def legend(axes: Axes, *, columns: int = 1, place: Place = "best") -> None:
    """A legend with lines long enough to show their dashes."""
    axes.legend(
        fontsize=SMALL, labelcolor=INK, handlelength=4.0, ncols=columns, loc=place, framealpha=0.85, edgecolor="none"
    )


def line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    style: LineStyle,
    name: str,
    *,
    width: float = WIDTH,
    every: int | None = None,
) -> None:
    """A line with markers at every `every`-th point (about eight by default), offset from those of the lines before."""
    every = every or (1 if len(x) <= 12 else -(-len(x) // 8))
    first = len(axes.lines) * max(1, every // len(LINE_STYLES)) % every
    axes.plot(
        x, y, color=style.colour, linestyle=style.linestyle, linewidth=width, label=literal(name), marker=style.marker,
        markersize=4.3 * width**0.5, markeredgecolor="white", markeredgewidth=0.5, markevery=(first, every),
    )  # fmt: skip


def band(
    axes: Axes, x: Sequence[float], y: Sequence[float], half: Sequence[float], style: LineStyle, name: str
) -> None:
    """A line with its interval y ± half."""
    line(axes, x, y, style, name)
    low, high = ([at + sign * by for at, by in zip(y, half, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=style.colour, alpha=0.18, linewidth=0)


def interval_dot(axes: Axes, x: float, y: float, half: float, style: LineStyle, *, filled: bool = True) -> None:
    """A marker with its horizontal interval x ± half."""
    axes.errorbar(
        x, y, xerr=half or None, color=style.colour, linestyle="", marker=style.marker, markersize=7,
        markeredgewidth=1.3, markerfacecolor=style.colour if filled else "white", capsize=3, elinewidth=1.3,
    )  # fmt: skip


def row_names(axes: Axes, names: Sequence[str], *, shown: bool) -> None:
    """One row per name from top to bottom, with few ticks on the x axis."""
    axes.set_yticks(range(len(names)), [literal(name) if shown else "" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def time_axis(axes: Axes, T: float) -> None:
    """An axis of t from noise (left) to data (right), the order of sampling."""
    axes.set_xlim(T * 1.01, -T * 0.01)


def percent_axis(axes: Axes) -> None:
    """Format the y axis in per cent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def reference_line(axes: Axes, y: float, *, dotted: bool = False) -> None:
    """A faint horizontal line at a reference value."""
    axes.axhline(y, color=FAINT_INK, linewidth=0.8, linestyle=":" if dotted else "-")
