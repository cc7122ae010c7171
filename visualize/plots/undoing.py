"""Where guidance gets undone: what it pushed at each step, and what the network took back."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from visualize.plots.looks import band, even, label, legend, of_models, panels, time_axis
from visualize.plots.reading import Row, by, having, numbers

SHOWN = {
    "push_m": ("push_95", "Pushed in this step", "m towards the goals"),
    "back_m": ("back_95", "… and taken back by the network's next answer", "m away from the goals"),
    "undone": ("undone_95", "Share of all pushes so far that was taken back", "share"),
    "way": ("way_95", "x̂0 after guidance (at t = 0: the motion)", "share of the way to the goals"),
}
"""A panel's column: that of half its interval, and what it is called."""


def undoing(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance undoing`."""
    looks = of_models({str(row["model"]): str(row["prediction"]) for row in rows})
    models = by(rows, "model")
    first, T = rows[0], max(numbers(rows, "t"))
    steps = len(next(iter(models.values()))) - 1
    what = f"{first['guidance']}, {first['motions']} motions a model, {steps} steps"
    figure, axes = panels(2, 2, size=(11, 7.6), title=f"Where guidance gets undone  ({what})")
    for axis, (column, (half, words, y)) in zip(axes, SHOWN.items(), strict=True):
        for name, mine in models.items():
            shown = having(mine, column)
            band(axis, numbers(shown, "t"), numbers(shown, column), numbers(shown, half, least=0), looks[name], name)
        even(axis, 0)
        time_axis(axis, T)
        label(axis, title=words, x="t", y=y)
    least = min(numbers(having(rows, "undone"), "undone"), default=0)
    axes[2].set_ylim(max(-1, min(0, least) - 0.03), 1.2)
    even(axes[3], 1, dotted=True)
    legend(axes[0])
    return figure
