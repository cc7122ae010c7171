"""Plot of a guidance study: how well each method meets goals, against its cost in realism and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from guidance.analysis.style import (
    FAINT_INK,
    INK,
    LINE_STYLES,
    SMALL,
    LineStyle,
    label,
    literal,
    model_styles,
    panels,
    reference_line,
)
from guidance.analysis.table import Row, floats, group_by, rows_with
from motion_diffusion.errors import InputError

ERROR, SECONDS = "average error, cm", "seconds a motion"
COSTS = {
    "foot skating - unguided": (0.0, "Feet: less is better", "foot skating ratio, above unguided"),
    "joint jitter / unguided": (1.0, "Smoothness: 1 is as smooth as unguided", "joint jitter / unguided"),
}
"""Columns of the panels: value of unguided motions, title and axis label."""

FLOOR = 1e-2
"""cm: smaller errors count as none."""


def study(rows: Sequence[Row]) -> Figure:
    """The figure of study.csv. Hues and letters beside markers are methods, shapes are models."""
    points = [
        {**row, **{column: cost for column, (cost, _, _) in COSTS.items() if row.get(column, "") == ""}}
        for row in rows_with(rows, ERROR)
    ]  # the cost of unguided motions relative to themselves
    if not points:
        raise InputError("no row has an error at goals; give the study.csv of python -m sample.evaluate --study")
    methods = [method for method in group_by(points, "method") if method != "none"]
    hues = {"none": FAINT_INK} | {method: LINE_STYLES[i % len(LINE_STYLES)].colour for i, method in enumerate(methods)}
    models = model_styles({str(point["model"]): str(point["prediction"]) for point in points})
    title = "What guidance reaches and costs: means over densities and joints, 95 % intervals over motions"
    figure, axes = panels(2, 1, size=(10.5, 8.5), title=title)
    places = _places(points, methods)
    for axis, (column, (cost, words, y)) in zip(axes, COSTS.items(), strict=True):
        for point, place in zip(points, places, strict=True):
            _draw(axis, point, place, column, hues[str(point["method"])], models[str(point["model"])])
        reference_line(axis, cost, dotted=True)
        _error_axis(axis, places)
        axis.margins(y=0.12)
        _name_exact(axis, points, places, methods)
        label(axis, title=words, x="average error at what is given, cm", y=y)
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[1].yaxis.set_major_formatter("{x:g}")
    axes[1].yaxis.set_minor_locator(NullLocator())
    _legend(figure, hues, models, floats(points, SECONDS))
    return figure


def _places(points: Sequence[Row], methods: Sequence[str]) -> list[float]:
    """Positions on the axis of errors; those below the floor are placed side by side in a band to its left."""
    places = floats(points, ERROR)
    small = [i for i, error in enumerate(places) if error < FLOOR]
    small.sort(key=lambda i: ["none", *methods].index(str(points[i]["method"])))
    for order, i in enumerate(small):
        places[i] = FLOOR * 10 ** (-1 + 0.9 * (order + 0.5) / len(small))
    return places


def _name_exact(axis: Axes, points: Sequence[Row], places: Sequence[float], methods: Sequence[str]) -> None:
    """Write the letters of each method above its markers in the band."""
    for method in methods:
        its = [x for point, x in zip(points, places, strict=True) if point["method"] == method and x < FLOOR]
        if its:
            x, above = (its[0] * its[-1]) ** 0.5, axis.get_xaxis_transform()
            axis.text(x, 0.97, letters(method), transform=above, fontsize=SMALL, color=INK, ha="center", va="top")


def letters(method: str) -> str:
    """First letters of the parts of a method; empty for none."""
    return "" if method == "none" else "+".join(part[:1] for part in method.split("+"))


def area(seconds: float) -> float:
    """Area of a marker: ten times the seconds per motion have three times the area, from a millisecond to a quarter
    hour.
    """
    return 110.0 * min(max(seconds, 1e-3), 1e3) ** 0.5


def _draw(axis: Axes, point: Row, x: float, column: str, colour: str, style: LineStyle) -> None:
    """A marker with its intervals, clipped to the axes, and letters outside of the band."""
    (y,), (seconds,) = floats([point], column), floats([point], SECONDS)
    half, up = (sum(floats(rows_with([point], name), name, least=0)) for name in (f"{ERROR}_95", f"{column}_95"))
    across = [[x - max(x - half, FLOOR)], [half]] if x >= FLOOR else None
    down = max(0, min(up, 0.9 * y)) if column.endswith("/ unguided") else up
    axis.errorbar(x, y, xerr=across, yerr=[[down], [up]], color=colour, linewidth=1, alpha=0.5, zorder=2)
    axis.scatter(x, y, s=area(seconds), marker=style.marker, color=colour, edgecolor="white", zorder=3)
    if x >= FLOOR:
        words = letters(str(point["method"]))
        axis.annotate(words, (x, y), (7, 4), textcoords="offset points", fontsize=SMALL, color=INK, zorder=4)


def _error_axis(axis: Axes, places: Sequence[float]) -> None:
    """A logarithmic axis in centimetres, with a band for errors below the floor."""
    exact = any(place < FLOOR for place in places)
    axis.set_xscale("log")
    axis.set_xlim(FLOOR / 10 if exact else FLOOR, 2 * max(10.0, *places))
    ticks = [10.0**k for k in range(-2, 6) if 10.0**k <= axis.get_xlim()[1]]
    words = [f"{tick:g}" for tick in ticks]
    if exact:
        axis.axvspan(FLOOR / 10, FLOOR, color="#f1f3f6", zorder=0)
        ticks, words = [FLOOR / 10**0.5, *ticks[1:]], [f"below {FLOOR:g}", *words[1:]]
    axis.set_xticks(ticks, words)
    axis.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, hues: Mapping[str, str], models: Mapping[str, LineStyle], seconds: Sequence[float]) -> None:
    """Colours, markers and sizes beside the panels."""

    def entry(words: str, marker: str = "o", colour: str = INK, size: float = 8) -> Line2D:
        return Line2D([], [], linestyle="", label=literal(words), marker=marker, markersize=size, color=colour)

    entries = [entry("guided by", marker="")]
    entries += [entry(f"{m}  ({letters(m)})" if letters(m) else m, colour=hue) for m, hue in hues.items()]
    entries += [entry("model", marker=""), *(entry(name, style.marker) for name, style in models.items())]
    entries.append(entry("seconds a motion", marker=""))
    shown = dict.fromkeys(float(f"{s:.1g}") for s in (min(seconds), max(seconds)))
    entries += [entry(f"{s:g}", colour=FAINT_INK, size=area(s) ** 0.5) for s in shown]
    legend = figure.legend(handles=entries, loc="outside right center", frameon=False, fontsize=SMALL, labelspacing=0.9)
    for one, words in zip(entries, legend.get_texts(), strict=True):
        words.set_fontweight("bold" if one.get_marker() == "" else "normal")
