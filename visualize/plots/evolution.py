"""The predicted path at successive t under guidance, from above, and how far it is from the goals."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from visualize.drawing.style import GOAL
from visualize.plots.looks import band, label, legend, of_models, panels, time_axis
from visualize.plots.reading import Row, by, having, numbers

EARLY, HUGE = 0.9, 0.95
"""Shares of T: while t is greater, x̂0 may be anywhere, and its path or its distance need not be within the axes."""


def evolution(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance evolution`."""
    looks = of_models({str(row["model"]): str(row["prediction"]) for row in rows})
    models = by(rows, "model")
    first, T = rows[0], max([1.0, *numbers(rows, "t")])
    wide = len(models) + 1
    steps = len(having(next(iter(models.values())), "off_m")) - 1
    what = f"{first['guidance']}, {first['motions']} motions a model, {steps} steps"
    figure, axes = panels(1, wide, size=(4.0 * wide, 4.6), title=f"The predicted path  ({what})")
    colours = matplotlib.colormaps["viridis_r"]
    seen, highest = [], 0.0
    for axis, (name, mine) in zip(axes, models.items(), strict=False):
        ways = by(having(mine, "frame"), "t")
        for t, way in ways.items():
            x, z = numbers(way, "x_m"), numbers(way, "z_m")
            axis.plot(x, z, color=colours(1 - 0.88 * float(t) / T), linewidth=1.2 if float(t) else 2.4)
            seen += list(zip(x, z, strict=True)) if float(t) < EARLY * T else []
        goals = having(next(iter(ways.values()), []), "goal_x_m")
        goal_x, goal_z = numbers(goals, "goal_x_m"), numbers(goals, "goal_z_m")
        seen += list(zip(goal_x, goal_z, strict=True))
        axis.plot(goal_x, goal_z, "o", markersize=11, color="none", markeredgecolor=GOAL, markeredgewidth=2)
        label(axis, title=f"{name}: x̂0 from t = {T:g} (pale) to 0", x="x, m", y="z, m")
        off = having(mine, "off_m")
        t_axis, mean = numbers(off, "t"), numbers(off, "off_m")
        band(axes[-1], t_axis, mean, numbers(off, "off_95", least=0), looks[name], name)
        highest = max([highest, *(m for t, m in zip(t_axis, mean, strict=True) if t < HUGE * T)])
    if seen:
        _frame(axes[:-1], np.array(seen))
    time_axis(axes[-1], T)
    axes[-1].set_ylim(0, 1.15 * highest or 1)
    label(axes[-1], title="distance of x̂0 to the goals", x="t", y="m")
    legend(axes[-1])
    return figure


def _frame(axes: Sequence[Axes], places: np.ndarray) -> None:
    """The same square for all, seen from above: ahead (+z) is up and left (+x) is left."""
    low, high = places.min(0), places.max(0)
    middle, half = (low + high) / 2, (high - low).max() / 2 + 0.2
    for axis in axes:
        axis.set_xlim(middle[0] + half, middle[0] - half)
        axis.set_ylim(middle[1] - half, middle[1] + half)
        axis.set_aspect("equal")
