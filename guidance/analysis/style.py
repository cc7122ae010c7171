"""How every figure looks: what is shown in which hue, dashes and marker, and how large words and lines are.

Hues are Okabe and Ito's, which colour-blind readers tell apart; dashes and markers do it where there are no hues.
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
"""Points of a figure's title, a panel's title, words beside axes, and the rest."""
WIDTH = 1.8
"""Of a line that matters, in points."""


Place = Literal["best", "center", "upper right", "lower left"]
"""Of a legend in its panel."""


@dataclass(frozen=True)
class LineStyle:
    """What one thing looks like wherever it is shown."""

    colour: str
    dashes: tuple[float, ...]
    """Lengths on, off, …, in widths of the line; () for none."""
    marker: str

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...]]:
        """As matplotlib takes it."""
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
"""In the order in which they are taken. Okabe and Ito's yellow cannot be read on white."""

PREDICTION_STYLES = dict(zip(("x0", "eps", "v", "score", "velocity", "mu"), LINE_STYLES, strict=False))
"""The look of each prediction type, the same in all figures."""

EXTRA_STYLES = (
    ((3, 1, 3, 4), "<"),
    ((12, 1.5), ">"),
    ((1.2, 3), "p"),
    ((7, 1.2, 3, 1.2), "*"),
    ((4, 4), "h"),
    ((1, 6), "d"),
)
"""Dashes and markers of further models of one type, which share its hue."""


def styles_in_order(names: Iterable[str]) -> dict[str, LineStyle]:
    """A look for each name. InputError for more than can be told apart."""
    different = list(dict.fromkeys(names))
    if len(different) > len(LINE_STYLES):
        raise InputError(
            f"{len(different)} lines cannot be told apart in a figure; draw {len(LINE_STYLES)} at once or fewer"
        )
    return dict(zip(different, LINE_STYLES, strict=False))


def model_styles(predictions: Mapping[str, str]) -> dict[str, LineStyle]:
    """The look of each model by name, given what each predicts: that of its type for the first of a type, and for
    others its hue with dashes and a marker of their own. InputError for more than can be told apart."""
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
    """A figure of so many inches with its axes in reading order, and a title."""
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
    """Words as they are: dollars begin no formula, and a first underscore does not hide them from a legend."""
    return (" " if words.startswith("_") else "") + words.replace("$", r"\$")


def label(axes: Axes, *, title: str, x: str = "", y: str = "") -> None:
    """Words for a panel."""
    axes.set_title(literal(title), loc="left", fontsize=HEADING, color=INK)
    axes.set_xlabel(x, fontsize=WORDS, color=INK)
    axes.set_ylabel(y, fontsize=WORDS, color=INK)


def legend(axes: Axes, *, columns: int = 1, place: Place = "best") -> None:
    """What is what, with lines long enough for their dashes to be seen."""
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
    """A line with its markers on some points (each `every`, by default so that eight or so are seen), not on those
    where the lines before it have theirs."""
    every = every or (1 if len(x) <= 12 else -(-len(x) // 8))
    first = len(axes.lines) * max(1, every // len(LINE_STYLES)) % every
    axes.plot(
        x, y, color=style.colour, linestyle=style.linestyle, linewidth=width, label=literal(name), marker=style.marker,
        markersize=4.3 * width**0.5, markeredgecolor="white", markeredgewidth=0.5, markevery=(first, every),
    )  # fmt: skip


def band(
    axes: Axes, x: Sequence[float], y: Sequence[float], half: Sequence[float], style: LineStyle, name: str
) -> None:
    """A line, and its interval y ± half."""
    line(axes, x, y, style, name)
    low, high = ([at + sign * by for at, by in zip(y, half, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=style.colour, alpha=0.18, linewidth=0)


def interval_dot(axes: Axes, x: float, y: float, half: float, style: LineStyle, *, filled: bool = True) -> None:
    """A marker with its interval x ± half across."""
    axes.errorbar(
        x, y, xerr=half or None, color=style.colour, linestyle="", marker=style.marker, markersize=7,
        markeredgewidth=1.3, markerfacecolor=style.colour if filled else "white", capsize=3, elinewidth=1.3,
    )  # fmt: skip


def row_names(axes: Axes, names: Sequence[str], *, shown: bool) -> None:
    """A row for each name from above down, and not more numbers across than there is room for."""
    axes.set_yticks(range(len(names)), [literal(name) if shown else "" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def time_axis(axes: Axes, T: float) -> None:
    """t from noise (left) to data (right), as sampling goes."""
    axes.set_xlim(T * 1.01, -T * 0.01)


def percent_axis(axes: Axes) -> None:
    """Shares up the side, in per cent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def reference_line(axes: Axes, y: float, *, dotted: bool = False) -> None:
    """A faint line across, at what is neither more nor less."""
    axes.axhline(y, color=FAINT_INK, linewidth=0.8, linestyle=":" if dotted else "-")
