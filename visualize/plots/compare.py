"""The same goals through several models: what was reached and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from visualize.plots.looks import dot, label, names_down, of_models, panels
from visualize.plots.reading import Row, numbers

SHOWN = {
    "error_cm": "mean error at the goals, cm",
    "within_20_cm": "motions within 20 cm of every goal",
    "skating": "foot skating ratio",
    "jitter": "root jitter, m/s³",
    "fastest": "fastest root, m/s",
    "seconds": "seconds a motion",
}
"""A panel's column, and what it is called."""


def compare(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance compare`: markers are hollow for unguided motions."""
    looks = of_models({str(row["model"]): str(row["prediction"]) for row in rows})
    guided = [str(row["guidance"]) for row in rows if row["guidance"] != "none"]
    what = f"{', '.join(dict.fromkeys(guided)) or 'none'}, {rows[0]['motions']} motions a model"
    shown = [column for column in SHOWN if column in rows[0]]
    wide = (len(shown) + 1) // 2
    title = f"The same goals through several models  ({what}, 95 % intervals; hollow: unguided)"
    figure, axes = panels(2, wide, size=(11, 1.8 + 0.7 * len(rows)), title=title)
    names = [f"{row['model']}, {row['guidance']}" for row in rows]
    for place, (axis, column) in enumerate(zip(axes, shown, strict=False)):
        halves = numbers(rows, f"{column}_95", least=0) if f"{column}_95" in rows[0] else [0.0] * len(rows)
        for i, (row, value, half) in enumerate(zip(rows, numbers(rows, column), halves, strict=True)):
            dot(axis, value, i, half, looks[str(row["model"])], filled=row["guidance"] != "none")
        names_down(axis, names, shown=place % wide == 0)
        left, right = axis.get_xlim()
        axis.set_xlim(min(left, -0.03 * right), right)
        label(axis, title=SHOWN[column])
    if "within_20_cm" in shown:
        axes[shown.index("within_20_cm")].set_xlim(-0.03, 1.03)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    return figure
