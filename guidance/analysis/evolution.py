"""Evolution of the predicted clean path over t under guidance (GMD, figure 4): does it contract as t goes to 0?"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from guidance.analysis.runs import Chain, confidence
from guidance.analysis.style import GOAL, band, label, legend, model_styles, panels, time_axis
from guidance.analysis.table import Result, Row, floats, group_by, rows_with
from guidance.goals.goal_set import GoalSet
from motion_diffusion.errors import InputError


def evolution(chains: Sequence[Chain], goals: GoalSet, method: str, scale: float, *, drawn: int = 9) -> Result:
    """Run the analysis for every model.

    Rows with a frame contain the first motion's x̂0 after guidance at `drawn` times, seen from above, with the goals
    (`goal`); rows without a frame the mean distance of all motions to the goals at every t (`off`). Contraction is the
    distance in metres that x̂0 loses again between its nearest approach and t = 0, in the row of t = 0.
    """
    observation = goals.observe(chains[0].frames)
    mask = observation.mask[:, 0][:, [0, 2]].all(-1)
    if not mask.any():
        raise InputError("no goal says where the pelvis should be; give way-points or a path")
    target = observation.values[:, 0][:, [0, 2]]
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    rows: list[dict[str, str | float | int]] = []
    parts = []
    for chain in chains:
        model = chain.model
        guide = None if method == "none" else chain.guide(goals, method, scale)
        trace = chain.run(guide, words=f"{model.name}, {method}")
        paths = torch.cat([chain.paths(trace.guided), chain.paths(trace.final)[None]])
        about: dict[str, str | float | int] = {
            "model": model.name, "prediction": model.prediction.name, "guidance": method,
            "motions": chain.z.shape[1],
        }  # fmt: skip
        for i in sorted({round(i) for i in torch.linspace(0, len(paths) - 1, drawn).tolist()}):
            for frame, (x, z) in enumerate(paths[i, 0].tolist()):
                row = about | {"t": chain.times[i], "frame": frame, "x_m": x, "z_m": z}
                goal_x, goal_z = target[frame].tolist()
                rows.append(row | {"goal_x_m": goal_x, "goal_z_m": goal_z} if mask[frame] else row)
        miss = (paths[:, :, mask] - target[mask].to(paths)).norm(dim=-1).mean(-1)
        mean, spread = confidence(miss)
        for t, off, half in zip(chain.times, mean.tolist(), spread.tolist(), strict=True):
            rows.append(about | {"t": t, "off_m": off, "off_95": half})
        lost, spread_of_lost = confidence(contraction(miss))
        rows[-1] = rows[-1] | {"contraction_m": lost.item(), "contraction_m_95": spread_of_lost.item()}
        nearest = chain.times[int(mean.argmin())]
        parts.append(
            f"{model.name}: nearest to the goals at t = {nearest} ({mean.min():.2f} m), ends {mean[-1]:.2f} m "
            f"off, contraction {lost:.2f} ± {spread_of_lost:.2f} m"
        )
    return Result("evolution", rows, f"evolution ({what}): {'; '.join(parts)}.")


def contraction(off: Tensor) -> Tensor:
    """Distance (B,) that motions lose again after their nearest approach, from their distances at all times (N, B)."""
    return off[-1] - off.min(0).values


EARLY, HUGE = 0.9, 0.95
"""Shares of T: at larger t, x̂0 may be anywhere, and its path or its distance may exceed the axes."""


def evolution_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance evolution`."""
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    models = group_by(rows, "model")
    first, T = rows[0], max([1.0, *floats(rows, "t")])
    wide = len(models) + 1
    steps = len(rows_with(next(iter(models.values())), "off_m")) - 1
    what = f"{first['guidance']}, {first['motions']} motions a model, {steps} steps"
    figure, axes = panels(1, wide, size=(4.0 * wide, 4.6), title=f"The predicted path  ({what})")
    colours = matplotlib.colormaps["viridis_r"]
    seen, highest = [], 0.0
    for axis, (name, mine) in zip(axes, models.items(), strict=False):
        ways = group_by(rows_with(mine, "frame"), "t")
        for t, way in ways.items():
            x, z = floats(way, "x_m"), floats(way, "z_m")
            axis.plot(x, z, color=colours(1 - 0.88 * float(t) / T), linewidth=1.2 if float(t) else 2.4)
            seen += list(zip(x, z, strict=True)) if float(t) < EARLY * T else []
        goals = rows_with(next(iter(ways.values()), []), "goal_x_m")
        goal_x, goal_z = floats(goals, "goal_x_m"), floats(goals, "goal_z_m")
        seen += list(zip(goal_x, goal_z, strict=True))
        axis.plot(goal_x, goal_z, "o", markersize=11, color="none", markeredgecolor=GOAL, markeredgewidth=2)
        label(axis, title=f"{name}: x̂0 from t = {T:g} (pale) to 0", x="x, m", y="z, m")
        off = rows_with(mine, "off_m")
        t_axis, mean = floats(off, "t"), floats(off, "off_m")
        band(axes[-1], t_axis, mean, floats(off, "off_95", least=0), styles[name], name)
        highest = max([highest, *(m for t, m in zip(t_axis, mean, strict=True) if t < HUGE * T)])
    if seen:
        _frame(axes[:-1], np.array(seen))
    time_axis(axes[-1], T)
    axes[-1].set_ylim(0, 1.15 * highest or 1)
    label(axes[-1], title="distance of x̂0 to the goals", x="t", y="m")
    legend(axes[-1])
    return figure


def _frame(axes: Sequence[Axes], places: np.ndarray) -> None:
    """The same square for all panels, seen from above: ahead (+z) is up and left (+x) is left."""
    low, high = places.min(0), places.max(0)
    middle, half = (low + high) / 2, (high - low).max() / 2 + 0.2
    for axis in axes:
        axis.set_xlim(middle[0] + half, middle[0] - half)
        axis.set_ylim(middle[1] - half, middle[1] + half)
        axis.set_aspect("equal")
