"""Whose is the step? The network's coefficient and its share in μ over t, for every prediction type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from guidance.analysis.share import crossing
from visualize.drawing.style import FAINT_INK
from visualize.plots.looks import PREDICTIONS, SMALL, label, legend, line, panels, percent, time_axis
from visualize.plots.reading import Row, numbers

LEAST = 1e-12
"""Less is drawn as this, on axes of logarithms."""


def share(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance share`."""
    first, t = rows[0], numbers(rows, "t")
    names = [name for name in PREDICTIONS if f"{name}_cy" in first]
    what = f"{first['schedule']} schedule, T = {t[0]:g}, {len(t)} steps, data of standard deviation {first['std']}"
    figure, axes = panels(2, 2, size=(11, 7.5), title=f"Whose is the step?  ({what})")
    for axis, column, title, y in (
        (axes[0], "cy", "The network's coefficient in μ", "|c_y|"),
        (axes[1], "cx", "The coefficient of x_t in μ", "|c_x|"),
        (axes[2], "share", "The network's share by coefficients", "|c_y| / (|c_x| + |c_y|)"),
        (axes[3], "weighted", "The network's share by size", "share of the root mean square"),
    ):
        for name in names:
            values = [max(abs(value), LEAST) for value in numbers(rows, f"{name}_{column}")]
            line(axis, t, values, PREDICTIONS[name], name)
        axis.set_yscale("log")
        if column in ("share", "weighted"):
            axis.set_ylim(1e-4, 1.3)
            percent(axis)
        else:
            axis.set_ylim(1e-5 if column == "cy" else 1e-2, 60)
        time_axis(axis, t[0])
        label(axis, title=title, x="t (sampling goes to the right)", y=y)
    alpha = numbers(rows, "alpha")
    for other, words, side in (("eps", "SNR = 1", "left"), ("score", "α = σ² = {:.3f}", "right")):
        at = crossing(rows, "x0_cy", f"{other}_cy") if {"x0", other} <= set(names) else None
        if at is not None:
            words = words.format(np.interp(at, t[::-1], alpha[::-1]))
            for axis in axes:
                axis.axvline(at, color=FAINT_INK, linewidth=0.9, linestyle=":")
            axes[0].text(at, 30, f" {words} \n t = {at:.0f} ", fontsize=SMALL, color=FAINT_INK, ha=side, va="top")
    legend(axes[0], columns=3, place="lower left")
    return figure
