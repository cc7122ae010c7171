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
from visualize.drawing.style import FAINT_INK, INK

GRID = "#e1e5eb"
TITLE, HEADING, WORDS, SMALL = 11.0, 9.5, 8.5, 8.0
"""Points of a figure's title, a panel's title, words beside axes, and the rest."""
WIDTH = 1.8
"""Of a line that matters, in points."""


Place = Literal["best", "center", "upper right", "lower left"]
"""Of a legend in its panel."""


@dataclass(frozen=True)
class Look:
    """What one thing looks like wherever it is shown."""

    colour: str
    dashes: tuple[float, ...]
    """Lengths on, off, …, in widths of the line; () for none."""
    marker: str

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...]]:
        """As matplotlib takes it."""
        return (0, self.dashes)


LOOKS = (
    Look("#0072b2", (), "o"),
    Look("#d55e00", (5, 1.5), "s"),
    Look("#009e73", (1.2, 1.2), "^"),
    Look("#cc79a7", (6, 1.5, 1.2, 1.5), "D"),
    Look("#e69f00", (9, 3), "P"),
    Look("#56b4e9", (2.5, 2.5), "X"),
    Look("#000000", (9, 1.5, 1.2, 1.5, 1.2, 1.5), "v"),
)
"""In the order in which they are taken. Okabe and Ito's yellow cannot be read on white."""

PREDICTIONS = dict(zip(("x0", "eps", "v", "score", "velocity", "mu"), LOOKS, strict=False))
"""The look of each prediction type, the same in all figures."""

FURTHER = (
    ((3, 1, 3, 4), "<"),
    ((12, 1.5), ">"),
    ((1.2, 3), "p"),
    ((7, 1.2, 3, 1.2), "*"),
    ((4, 4), "h"),
    ((1, 6), "d"),
)
"""Dashes and markers of further models of one type, which share its hue."""


def in_order(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name. InputError for more than can be told apart."""
    different = list(dict.fromkeys(names))
    if len(different) > len(LOOKS):
        raise InputError(f"{len(different)} lines cannot be told apart in a figure; draw {len(LOOKS)} at once or fewer")
    return dict(zip(different, LOOKS, strict=False))


def of_models(predictions: Mapping[str, str]) -> dict[str, Look]:
    """The look of each model by name, given what each predicts: that of its type for the first of a type, and for
    others its hue with dashes and a marker of their own. InputError for more than can be told apart."""
    result: dict[str, Look] = {}
    further = iter(FURTHER)
    for name, prediction in predictions.items():
        look = PREDICTIONS.get(prediction, LOOKS[-1])
        if look in result.values():
            dashes, marker = next(further, ((), ""))
            if not marker:
                raise InputError(f"{len(predictions)} models cannot be told apart in a figure; draw fewer at once")
            look = replace(look, dashes=dashes, marker=marker)
        result[name] = look
    return result


def panels(rows: int, columns: int, *, size: tuple[float, float], title: str) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with its axes in reading order, and a title."""
    figure = Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(plain(title), fontsize=TITLE, color=INK)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for each in axes:
        each.grid(color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(which="both", colors=FAINT_INK, labelcolor=INK, labelsize=SMALL)
    return figure, axes


def plain(words: str) -> str:
    """Words as they are: dollars begin no formula, and a first underscore does not hide them from a legend."""
    return (" " if words.startswith("_") else "") + words.replace("$", r"\$")


def label(axes: Axes, *, title: str, x: str = "", y: str = "") -> None:
    """Words for a panel."""
    axes.set_title(plain(title), loc="left", fontsize=HEADING, color=INK)
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
    look: Look,
    name: str,
    *,
    width: float = WIDTH,
    every: int | None = None,
) -> None:
    """A line with its markers on some points (each `every`, by default so that eight or so are seen), not on those
    where the lines before it have theirs."""
    every = every or (1 if len(x) <= 12 else -(-len(x) // 8))
    first = len(axes.lines) * max(1, every // len(LOOKS)) % every
    axes.plot(
        x, y, color=look.colour, linestyle=look.linestyle, linewidth=width, label=plain(name), marker=look.marker,
        markersize=4.3 * width**0.5, markeredgecolor="white", markeredgewidth=0.5, markevery=(first, every),
    )  # fmt: skip


def band(axes: Axes, x: Sequence[float], y: Sequence[float], half: Sequence[float], look: Look, name: str) -> None:
    """A line, and its interval y ± half."""
    line(axes, x, y, look, name)
    low, high = ([at + sign * by for at, by in zip(y, half, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=look.colour, alpha=0.18, linewidth=0)


def dot(axes: Axes, x: float, y: float, half: float, look: Look, *, filled: bool = True) -> None:
    """A marker with its interval x ± half across."""
    axes.errorbar(
        x, y, xerr=half or None, color=look.colour, linestyle="", marker=look.marker, markersize=7, markeredgewidth=1.3,
        markerfacecolor=look.colour if filled else "white", capsize=3, elinewidth=1.3,
    )  # fmt: skip


def names_down(axes: Axes, names: Sequence[str], *, shown: bool) -> None:
    """A row for each name from above down, and not more numbers across than there is room for."""
    axes.set_yticks(range(len(names)), [plain(name) if shown else "" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def time_axis(axes: Axes, T: float) -> None:
    """t from noise (left) to data (right), as sampling goes."""
    axes.set_xlim(T * 1.01, -T * 0.01)


def percent(axes: Axes) -> None:
    """Shares up the side, in per cent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def even(axes: Axes, y: float, *, dotted: bool = False) -> None:
    """A faint line across, at what is neither more nor less."""
    axes.axhline(y, color=FAINT_INK, linewidth=0.8, linestyle=":" if dotted else "-")
