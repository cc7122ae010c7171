"""A study as a figure: how well goals are met against what that costs in realism and in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from guidance.analysis.output import FAINT, INK, label, panels
from guidance.analysis.runs import confidence, ratio
from motion_diffusion.files import atomic
from sample.study_table import ERROR, MORE_ALL_JITTER, MORE_SKATING, Line, Number, against, interval

FLOOR = 1e-2
"""cm: smaller errors are as good as none."""

TITLE = "What guidance reaches and costs: means over densities and joints, 95 % intervals over motions"

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a6d3b", "#5b6478")
"""Of methods, in the order in which they were asked for (Okabe and Ito); none is grey."""

MARKERS = {"x0": "o", "eps": "s", "v": "^", "score": "D", "velocity": "P", "mu": "X"}
"""The marker of each prediction type."""


@dataclass(frozen=True)
class Point:
    """A model guided in one way: means over its densities and joints."""

    model: str
    method: str
    prediction: str
    error: Number
    more: dict[str, Number]
    seconds: float


def points(lines: Sequence[Line]) -> list[Point]:
    """All models and ways of guiding. An interval is over motions, each with its mean over densities and joints."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line.row.sizes:  # not the real clips
            groups.setdefault((line.cell.model, line.cell.method), []).append(line)
    result = []
    for (model, method), group in groups.items():
        errors = torch.stack([line.tensors(line.row)[ERROR] for line in group]).mean(0)
        seconds = torch.tensor([s for line in group for s in line.row.seconds])
        sizes = torch.tensor([n for line in group for n in line.row.sizes])
        more = against(group) or {MORE_SKATING: (0.0, None), MORE_ALL_JITTER: (1.0, None)}
        error = interval(*confidence(errors), len(errors))
        prediction = group[0].row.prediction
        result.append(Point(model, method, prediction, error, more, ratio(seconds, sizes)[0].item()))
    return result


def area(seconds: float) -> float:
    """Of a marker: a motion of ten times the seconds has three times the area."""
    return 110.0 * math.sqrt(max(seconds, 1e-3))


def draw_study(lines: Sequence[Line], path: Path) -> None:
    """The figure, as PNG."""
    every = points(lines)
    figure, axes = panels(2, 1, size=(10.5, 8.5), title=TITLE)
    methods = [method for method in dict.fromkeys(p.method for p in every) if method != "none"]
    hues = {"none": FAINT} | {method: HUES[i % len(HUES)] for i, method in enumerate(methods)}
    models = {p.model: p.prediction for p in every}
    hollow = {m for i, m in enumerate(models) if models[m] in list(models.values())[:i]}
    places = _places(every)
    rows = (
        (MORE_SKATING, 0.0, "Feet: less is better", "foot skating ratio, above unguided"),
        (MORE_ALL_JITTER, 1.0, "Smoothness: 1 is as smooth as unguided", "joint jitter / unguided"),
    )
    for axis, (name, even, title, words) in zip(axes, rows, strict=True):
        for point, place in zip(every, places, strict=True):
            _draw(axis, point, place, name, hues[point.method], filled=point.model not in hollow)
        axis.axhline(even, color=FAINT, linewidth=0.8, linestyle=":")
        _error_axis(axis, places)
        label(axis, title=title, x="average error at what is given, cm", y=words)
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[1].yaxis.set_major_formatter("{x:g}")
    axes[1].yaxis.set_minor_locator(NullLocator())
    _legend(figure, hues, models, hollow, [p.seconds for p in every])
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")


def _places(every: Sequence[Point]) -> list[float]:
    """Where each is on the axis of errors; those below the floor side by side in a band to its left."""
    methods = [point.method for point in every]
    small = sorted((i for i, p in enumerate(every) if p.error[0] < FLOOR), key=lambda i: methods.index(methods[i]))
    places = [point.error[0] for point in every]
    for order, i in enumerate(small):
        places[i] = FLOOR * 10 ** (-1 + 0.9 * (order + 0.5) / len(small))
    return places


def _draw(axis: Axes, point: Point, x: float, name: str, colour: str, *, filled: bool) -> None:
    """A marker with its intervals, as far as they are within the axis."""
    half, (y, dy) = point.error[1] or 0.0, point.more[name]
    across = None if x < FLOOR else [[x - max(x - half, FLOOR)], [half]]
    up = None if dy is None else [[min(dy, 0.9 * y) if name == MORE_ALL_JITTER else dy], [dy]]
    axis.errorbar(x, y, xerr=across, yerr=up, color=colour, linewidth=1, alpha=0.5, zorder=2)
    axis.scatter(
        x, y, s=area(point.seconds), marker=MARKERS[point.prediction], zorder=3, alpha=0.9, linewidth=1.2,
        color=colour if filled else "white", edgecolor="white" if filled else colour,
    )  # fmt: skip


def _error_axis(axis: Axes, places: Sequence[float]) -> None:
    """Centimetres by their logarithm, and a band for errors that are as good as none."""
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


def _legend(
    figure: Figure, hues: dict[str, str], models: dict[str, str], hollow: set[str], seconds: Sequence[float]
) -> None:
    """Colours, markers and sizes beside the panels."""

    def dot(words: str, marker: str = "o", colour: str = INK, *, size: float = 8, fill: str | None = None) -> Line2D:
        fill = colour if fill is None else fill
        return Line2D(
            [], [], linestyle="", label=words, marker=marker, markersize=size, color=colour, markerfacecolor=fill
        )

    entries = [dot("guided by", marker="")] + [dot(method, colour=hue) for method, hue in hues.items()]
    entries.append(dot("model", marker=""))
    for model, prediction in models.items():
        fill = "white" if model in hollow else INK
        entries.append(dot(f"{model} ({prediction})", MARKERS[prediction], fill=fill))
    entries.append(dot("seconds a motion", marker=""))
    shown = dict.fromkeys(float(f"{s:.1g}") for s in (min(seconds), max(seconds)))
    entries += [dot(f"{s:g}", colour=FAINT, size=area(s) ** 0.5) for s in shown]
    legend = figure.legend(handles=entries, loc="outside right center", frameon=False, fontsize=8.5, labelspacing=0.9)
    for entry, words in zip(entries, legend.get_texts(), strict=True):
        words.set_fontweight("bold" if entry.get_marker() == "" else "normal")
