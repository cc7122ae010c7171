"""The network's share of each sampling step: that of its output, and of x_t, in the posterior mean μ.

With the coefficients of a prediction type (see `motion_diffusion.diffusion.prediction`) a step of ancestral sampling is
μ = c_x·x_t + c_y·y. GMD (Karunratanakul et al. 2023, appendix A) compares |c_y| for x0 and ε; here all types are
compared, on any schedule and chain, also weighted by the actual size of the two terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from guidance.analysis.style import (
    FAINT_INK,
    PREDICTION_STYLES,
    SMALL,
    label,
    legend,
    line,
    panels,
    percent_axis,
    time_axis,
)
from guidance.analysis.table import Result, Row, floats
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction, defined_on
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError


def shares(
    schedule: Schedule, times: list[int], std: float = 1.0, predictions: dict[str, Prediction] = PREDICTIONS
) -> list[Row]:
    """Coefficients and shares for each step of a chain.

    Args:
        schedule: the noise schedule.
        times: the chain, descending.
        std: standard deviation of the data, whose mean is 0.
        predictions: the prediction types.

    Returns:
        A row for each step: α, σ, SNR, and for each prediction type NAME: NAME_cx and NAME_cy, the coefficients;
        NAME_share, |c_y| / (|c_x| + |c_y|); NAME_weighted, the same with both multiplied by the root mean square of x_t
        and y.
    """
    if not std > 0:
        raise InputError(f"std is {std}; give the standard deviation of the data, a positive number")
    rows: list[Row] = []
    for t, s in pairwise(times):
        level = schedule.at(t)
        A, B = (float(c) for c in schedule.posterior(t, s)[:2])
        alpha, sigma = float(level.alpha), float(level.sigma)
        row: dict[str, str | float | int] = {
            "schedule": schedule.name, "std": std, "t": t, "s": s,
            "alpha": alpha, "sigma": sigma, "snr": float(level.snr),
        }  # fmt: skip
        for name, prediction in predictions.items():
            c_x, c_y = (float(c) for c in prediction.mean_coefficients(level, A, B))
            p, q = (float(c) for c in prediction.row(level))
            of_x = abs(c_x) * float(np.hypot(alpha * std, sigma))
            of_y = abs(c_y) * float(np.hypot(p * std, q))
            row |= {
                f"{name}_cx": c_x,
                f"{name}_cy": c_y,
                f"{name}_share": abs(c_y) / (abs(c_x) + abs(c_y)),
                f"{name}_weighted": of_y / (of_x + of_y),
            }
        rows.append(row)
    return rows


def crossing(rows: Sequence[Row], falling: str, other: str) -> float | None:
    """The t at which |falling| − |other| changes sign, interpolated between steps; None if it does not."""
    t = np.array([row["t"] for row in rows], dtype=float)
    gap = np.array([abs(float(row[falling])) - abs(float(row[other])) for row in rows])
    change = np.nonzero(np.sign(gap[:-1]) != np.sign(gap[1:]))[0]
    if len(change) == 0:
        return None
    i = int(change[-1])
    return float(t[i] + (t[i + 1] - t[i]) * gap[i] / (gap[i] - gap[i + 1]))


def share(schedule: Schedule, steps: int, std: float = 1.0) -> Result:
    """Run the analysis: coefficients, shares and weighted shares over t, for every prediction type defined on the
    schedule.
    """
    allowed = defined_on(schedule)
    rows = shares(schedule, schedule.times(steps), std, allowed)
    what = f"{schedule.name} schedule, T = {schedule.T}, {steps} steps, data of standard deviation {std:g}"
    crossed = crossing(rows, "x0_cy", "eps_cy") if "eps" in allowed else None
    return Result("share", rows, _conclusion(what, rows, allowed, crossed))


def _conclusion(what: str, rows: list[Row], allowed: dict[str, Prediction], crossed: float | None) -> str:
    middle, last = min(rows, key=lambda row: abs(float(row["t"]) - float(rows[0]["t"]) / 2)), rows[-1]
    parts = [
        f"{name} {100 * float(rows[0][f'{name}_share']):.2f} % at t = {rows[0]['t']}, "
        f"{100 * float(middle[f'{name}_share']):.2f} % at {middle['t']}, "
        f"{100 * float(last[f'{name}_share']):.2f} % at {last['t']}"
        for name in ("x0", "eps", "v")
        if name in allowed
    ]
    crossing_words = f"; x0 and eps have the same weight at t = {crossed:.1f}, where SNR = 1" if crossed else ""
    return f"share of the network's output in mu ({what}): {'; '.join(parts)}{crossing_words}."


LEAST = 1e-12
"""Smaller values are drawn as this on logarithmic axes."""


def share_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance share`."""
    first, t = rows[0], floats(rows, "t")
    names = [name for name in PREDICTION_STYLES if f"{name}_cy" in first]
    what = f"{first['schedule']} schedule, T = {t[0]:g}, {len(t)} steps, data of standard deviation {first['std']}"
    figure, axes = panels(2, 2, size=(11, 7.5), title=f"Whose is the step?  ({what})")
    for axis, column, title, y in (
        (axes[0], "cy", "The network's coefficient in μ", "|c_y|"),
        (axes[1], "cx", "The coefficient of x_t in μ", "|c_x|"),
        (axes[2], "share", "The network's share by coefficients", "|c_y| / (|c_x| + |c_y|)"),
        (axes[3], "weighted", "The network's share by size", "share of the root mean square"),
    ):
        for name in names:
            values = [max(abs(value), LEAST) for value in floats(rows, f"{name}_{column}")]
            line(axis, t, values, PREDICTION_STYLES[name], name)
        axis.set_yscale("log")
        if column in ("share", "weighted"):
            axis.set_ylim(1e-4, 1.3)
            percent_axis(axis)
        else:
            axis.set_ylim(1e-5 if column == "cy" else 1e-2, 60)
        time_axis(axis, t[0])
        label(axis, title=title, x="t (sampling goes to the right)", y=y)
    alpha = floats(rows, "alpha")
    for other, words, side in (("eps", "SNR = 1", "left"), ("score", "α = σ² = {:.3f}", "right")):
        at = crossing(rows, "x0_cy", f"{other}_cy") if {"x0", other} <= set(names) else None
        if at is not None:
            words = words.format(np.interp(at, t[::-1], alpha[::-1]))
            for axis in axes:
                axis.axvline(at, color=FAINT_INK, linewidth=0.9, linestyle=":")
            axes[0].text(at, 30, f" {words} \n t = {at:.0f} ", fontsize=SMALL, color=FAINT_INK, ha=side, va="top")
    legend(axes[0], columns=3, place="lower left")
    return figure
