"""The predicted clean path at successive t under guidance (GMD, figure 4): does it contract as t goes to 0?"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import torch
from matplotlib.axes import Axes
from torch import Tensor

from guidance.analysis.output import FAINT, GOAL, Result, Row, band, label, panels, time_axis
from guidance.analysis.runs import Chain, confidence
from guidance.goals import Goals
from motion_diffusion.errors import InputError


def evolution(chains: Sequence[Chain], goals: Goals, method: str, scale: float, *, drawn: int = 9) -> Result:
    """The analysis: for each model the first motion's x̂0 after guidance at `drawn` times, from above, and for all
    motions their mean distance to the goals over t.

    Contraction is how much of its nearest approach x̂0 loses again by t = 0, in metres.
    """
    observation = goals.observe(chains[0].frames)
    mask = observation.mask[:, 0][:, [0, 2]].all(-1)
    if not mask.any():
        raise InputError("no goal says where the pelvis should be; give way-points or a path")
    target = observation.values[mask][:, 0][:, [0, 2]]
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    figure, axes = panels(
        1, len(chains) + 1, size=(4.0 * (len(chains) + 1), 4.6), title=f"The predicted path  ({what})"
    )
    rows: list[Row] = []
    parts = []
    everything, highest = [target], 0.0
    colours = matplotlib.colormaps["viridis_r"]
    for axis, chain in zip(axes, chains, strict=False):
        name = chain.model.config.prediction
        guide = None if method == "none" else chain.guide(goals, method, scale)
        trace = chain.run(guide, words=f"{chain.model.name}, {method}")
        paths = torch.cat([chain.paths(trace.guided), chain.paths(trace.final)[None]])
        picked = sorted({round(i) for i in torch.linspace(0, len(paths) - 1, drawn).tolist()})
        for i in picked:
            way = paths[i, 0]
            if chain.times[i] < 0.9 * chain.model.schedule.T:  # before, x̂0 may be anywhere
                everything.append(way)
            colour = colours(0.12 + 0.88 * i / (len(paths) - 1))
            axis.plot(way[:, 0], way[:, 1], color=colour, linewidth=2.2 if i == len(paths) - 1 else 1.2)
            for frame, (x, z) in enumerate(way.tolist()):
                rows.append({"model": chain.model.name, "t": chain.times[i], "frame": frame, "x_m": x, "z_m": z})
        axis.plot(target[:, 0], target[:, 1], "o", markersize=11, color="none", markeredgecolor=GOAL, markeredgewidth=2)
        label(axis, title=f"{chain.model.name}: x̂0 from t = {chain.times[0]} (pale) to 0", x="x, m", y="z, m")
        miss = (paths[:, :, mask] - target.to(paths)).norm(dim=-1).mean(-1)
        mean, spread = confidence(miss)
        band(axes[-1], chain.times, mean, spread, prediction=name, name=chain.model.name)
        highest = max(highest, *(mean[i].item() for i, t in enumerate(chain.times) if t < 0.95 * chain.times[0]))
        lost, spread_of_lost = confidence(miss[-1] - miss.min(0).values)
        nearest = chain.times[int(mean.argmin())]
        parts.append(
            f"{chain.model.name}: nearest to the goals at t = {nearest} ({mean.min():.2f} m), ends {mean[-1]:.2f} m "
            f"off, contraction {lost:.2f} ± {spread_of_lost:.2f} m"
        )
    _frame(axes[:-1], torch.cat([way.cpu() for way in everything]))
    time_axis(axes[-1], chains[0].model.schedule.T)
    axes[-1].set_ylim(0, 1.15 * highest)
    axes[-1].axhline(0, color=FAINT, linewidth=0.8)
    label(axes[-1], title="distance of x̂0 to the goals", x="t", y="m")
    axes[-1].legend(fontsize=8, frameon=False)
    return Result("evolution", figure, rows, f"evolution ({what}): {'; '.join(parts)}.")


def _frame(axes: Sequence[Axes], places: Tensor) -> None:
    """The same square for all, seen from above: ahead (+z) is up and left (+x) is left."""
    low, high = places.min(0).values, places.max(0).values
    middle, half = (low + high) / 2, (high - low).max() / 2 + 0.2
    for axis in axes:
        axis.set_xlim(float(middle[0] + half), float(middle[0] - half))
        axis.set_ylim(float(middle[1] - half), float(middle[1] + half))
        axis.set_aspect("equal")
