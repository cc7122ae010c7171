"""Plot of evaluations: every metric, models side by side, beside the real clips."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from guidance.analysis.style import (
    FAINT_INK,
    INK,
    SMALL,
    LineStyle,
    interval_dot,
    label,
    literal,
    panels,
    row_names,
    styles_in_order,
)
from guidance.analysis.table import Row, floats, group_by
from motion_diffusion.errors import InputError

REAL, UNGUIDED = "real clips", "unguided"
CLIPS: dict[str, tuple[float, tuple[float, ...]]] = {REAL: (0, ()), "training clips": (0, (1.2, 1.8))}
"""Groups drawn as lines with these dashes: the clips themselves. Unguided motions are hollow."""

BETTER = {"FID": "↓", "R-precision": "↑", "matching score": "↓", "error": "↓", "skating": "↓", "seconds": "↓"}
"""Which direction is better, by a word in a metric's name; otherwise the value of real clips is best."""


def evaluation(rows: Sequence[Row]) -> Figure:
    """The figure of one or several figures.json. InputError if they were measured differently."""
    for means in ("evaluator", "data"):
        if len(different := group_by(rows, means)) > 1:
            raise InputError(f"evaluations with different {means} ({', '.join(different)}) cannot be compared")
    models, figures = group_by(rows, "model"), group_by(rows, "figure")
    groups = styles_in_order(group for group in group_by(rows, "group") if group not in CLIPS)
    columns = min(4, len(figures))
    lines = -(-len(figures) // columns)
    size = (3.0 * columns + 1, 1.2 + lines * (0.75 + len(models) * (0.16 + 0.16 * len(groups))))
    title = f"Evaluation by {rows[0]['evaluator']}: 95 % intervals over replications; ↓ less is better, ↑ more"
    figure, axes = panels(lines, columns, size=size, title=title)
    names = [f"{name}\n{of[0]['protocol']}, {of[0]['motions']} motions" for name, of in models.items()]
    for place, (axis, (words, measured)) in enumerate(zip(axes, figures.items(), strict=False)):
        of_model = group_by(measured, "model")
        for i, name in enumerate(models):
            _draw(axis, i, group_by(of_model.get(name, []), "group"), groups)
        row_names(axis, names, shown=place % columns == 0)
        label(axis, title=" ".join([words, *(arrow for word, arrow in BETTER.items() if word in words)]))
    for axis in axes[len(figures) :]:
        axis.set_visible(False)
    _legend(figure, groups)
    return figure


def _draw(axis: Axes, i: int, measured: dict[str, list[Row]], groups: dict[str, LineStyle]) -> None:
    """A model's row: its groups below each other, over its clips."""
    for clips, dashes in CLIPS.items():
        for row in measured.get(clips, []):
            (mean,), (half,) = floats([row], "mean"), floats([row], "half", least=0)
            axis.plot([mean, mean], [i - 0.5, i + 0.5], color=INK, linestyle=dashes, linewidth=1.2)
            if clips == REAL:
                axis.fill_betweenx(
                    [i - 0.5, i + 0.5], mean - half, mean + half, color=FAINT_INK, alpha=0.3, linewidth=0
                )
    for g, (group, style) in enumerate(groups.items()):
        for row in measured.get(group, []):
            (mean,), (half,) = floats([row], "mean"), floats([row], "half", least=0)
            interval_dot(axis, mean, i + 0.8 * ((g + 0.5) / len(groups) - 0.5), half, style, filled=group != UNGUIDED)


def _legend(figure: Figure, groups: dict[str, LineStyle]) -> None:
    entries = [Line2D([], [], color=INK, linestyle=dashes, label=clips) for clips, dashes in CLIPS.items()]
    for group, style in groups.items():
        inside = "white" if group == UNGUIDED else style.colour
        entry = Line2D(
            [], [], color=style.colour, linestyle="", marker=style.marker, markersize=7, label=literal(group)
        )
        entry.set_markerfacecolor(inside)
        entries.append(entry)
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=SMALL)
