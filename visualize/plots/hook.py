"""Through x̂0 or not? What a clip of x̂0 does to the mean, and that nothing else does."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from visualize.plots.looks import WIDTH, label, legend, line, of_models, panels, time_axis
from visualize.plots.reading import Row, by, numbers

LEAST = 1e-17
"""Less is drawn as this, on an axis of logarithms."""


def hook(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance hook`."""
    first, T = rows[0], max(numbers(rows, "t"))
    types = by(rows, "prediction")
    looks = of_models({name: name for name in types})
    steps = len(next(iter(types.values())))
    error = 100 * numbers(rows, "error")[0]
    what = f"{first['schedule']} schedule, T = {T:g}, {steps} steps, outputs off by {error:g} %"
    figure, axes = panels(1, 2, size=(11, 4.4), title=f"Through x̂0 or not?  ({what})")
    for column, width in (("clipped", WIDTH), ("untouched", WIDTH / 2)):
        for name, mine in types.items():
            values = [max(value, LEAST) for value in numbers(mine, column)]
            line(axes[0], numbers(mine, "t"), values, looks[name], f"{name}, x̂0 {column}", width=width)
    for name, mine in types.items():
        clipped = [100 * value for value in numbers(mine, "share_clipped")]
        line(axes[1], numbers(mine, "t"), clipped, looks[name], name)
    axes[0].set_yscale("log")
    for axis, title, y_words in (
        (axes[0], "mean through x̂0 against the direct formula", "difference of μ"),
        (axes[1], "numbers of x̂0 that the clip to [−1, 1] changes", "%"),
    ):
        time_axis(axis, T)
        label(axis, title=title, x="t (sampling goes to the right)", y=y_words)
        legend(axis, place="center" if axis is axes[0] else "upper right")
    return figure
