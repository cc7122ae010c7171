"""Plot of training runs: squared error of x̂0 by quarter of t, on training and on held-out examples."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from guidance.analysis.style import label, legend, line, model_styles, panels
from guidance.analysis.table import Row, floats, group_by, rows_with

QUARTERS = ("first quarter of t: little noise", "second quarter", "third quarter", "last quarter: nearly all noise")


def training(rows: Sequence[Row]) -> Figure:
    """The figure of metrics.jsonl of one or several runs."""
    runs = group_by(rows, "run")
    styles = model_styles({name: str(of[0]["prediction"]) for name, of in runs.items()})
    title = "Squared error of x̂0 on held-out examples (with markers) and in training (thin)"
    figure, axes = panels(2, 2, size=(11, 7.5), title=title)
    for quarter, axis in enumerate(axes, 1):
        for name, style in styles.items():
            column = f"x0_error_q{quarter}"
            trained, held_out = rows_with(runs[name], column), rows_with(runs[name], f"held_out_{column}")
            steps, errors = floats(trained, "step"), floats(trained, column)
            axis.plot(steps, errors, color=style.colour, linestyle=style.linestyle, linewidth=0.8, alpha=0.5)
            line(axis, floats(held_out, "step"), floats(held_out, f"held_out_{column}"), style, name)
        axis.set_yscale("log")
        label(axis, title=QUARTERS[quarter - 1], x="step", y="squared error of x̂0, standardised")
    legend(axes[0])
    return figure
