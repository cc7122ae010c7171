"""What is left in the end of a push given at t: with the network frozen, with an exact one, and with real ones."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from visualize.plots.looks import (
    LOOKS,
    PREDICTIONS,
    WIDTH,
    band,
    even,
    label,
    legend,
    line,
    of_models,
    panels,
    time_axis,
)
from visualize.plots.reading import Row, by, having, numbers

PUSHES = {"shift": "whole path shifted", "ramp": "path turned aside: 0 at its start"}
"""What a push of each shape is called."""


def frozen(rows: Sequence[Row]) -> Figure:
    """A push that the network does not answer."""
    T = numbers(rows, "t")[0]
    ends = sorted({int(column.rsplit("_", 1)[1]) for column in rows[0] if "_left_at_" in column})
    what = f"{rows[0]['schedule']} schedule, T = {T:g}, {len(rows)} steps"
    title = f"A push that the network does not answer  ({what})"
    figure, axes = panels(1, len(ends), size=(11, 4.2), title=title)
    for axis, end in zip(axes, ends, strict=True):
        for name in (name for name in PREDICTIONS if f"{name}_left_at_{end}" in rows[0]):
            column = f"{name}_left_at_{end}"
            pushed = having(rows, column)
            line(axis, numbers(pushed, "t"), numbers(pushed, column), PREDICTIONS[name], name)
        axis.set_ylim(-0.03, 1.08)
        time_axis(axis, T)
        label(axis, title=f"left at t = {end}", x="t at which the clean motion is pushed", y="share of the push")
    legend(axes[0])
    return figure


def exact(rows: Sequence[Row]) -> Figure:
    """A push that an exact network answers: one curve, whatever is predicted, on which the markers take turns."""
    data, T = by(rows, "data"), max(numbers(rows, "t"))
    what = f"{rows[0]['schedule']} schedule, T = {T:g}, {rows[0]['steps']} steps, {rows[0]['samples']} samples"
    title = f"A push that an exact network answers  ({what})"
    looks = of_models({str(row["prediction"]): str(row["prediction"]) for row in rows})
    figure, axes = panels(1, len(data), size=(11, 4.2), title=title)
    for axis, (words, of_data) in zip(axes, data.items(), strict=True):
        types = by(of_data, "prediction")
        for name, mine in types.items():
            line(axis, numbers(mine, "t"), numbers(mine, "kept"), looks[name], name, every=len(types))
        axis.set_ylim(bottom=min(-0.03, min(numbers(of_data, "kept")) - 0.03))
        time_axis(axis, T)
        label(axis, title=words, x="t at which the clean motion is pushed", y="share of the push left at t = 0")
    legend(axes[0])
    return figure


def answering(rows: Sequence[Row]) -> Figure:
    """A push that real networks answer, and how much of what is left of it is their doing."""
    shapes = by(rows, "push")
    looks = of_models({str(row["model"]): str(row["prediction"]) for row in rows})
    title = f"A push that the network answers  ({', '.join(looks)}; {rows[0]['motions']} motions each)"
    figure, axes = panels(2, len(shapes), size=(11, 7.6), title=title)
    for column, (shape, pushed) in enumerate(shapes.items()):
        left, network = axes[column], axes[len(shapes) + column]
        models = by(pushed, "model")
        if "exact_gaussian" in rows[0]:
            any_model = next(iter(models.values()))
            line(left, numbers(any_model, "t"), numbers(any_model, "exact_gaussian"), LOOKS[-1], "exact, Gaussian data",
                 width=WIDTH / 1.5)  # fmt: skip
        for name, mine in models.items():
            t, half = numbers(mine, "t"), numbers(mine, "kept_95", least=0)
            band(left, t, numbers(mine, "kept"), half, looks[name], name)
            band(network, t, numbers(mine, "by_network"), half, looks[name], name)
        label(left, title=f"left at t = 0: {PUSHES.get(shape, shape)}", x="t of the push", y="share of the push")
        label(network, title="… of it the network's doing", x="t of the push", y="left − kept by arithmetic")
    for axis in axes:
        even(axis, 0)
        time_axis(axis, max(numbers(rows, "t")))
    legend(axes[0])
    return figure
