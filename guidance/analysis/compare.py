"""Comparison of models with the same goals, noise and settings: adherence, foot skating, jitter, time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from guidance.analysis.runs import Chain, confidence
from guidance.analysis.style import interval_dot, label, model_styles, panels, row_names
from guidance.analysis.table import Result, Row, columns, floats
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion_metrics import fastest_root, foot_skating_ratio, root_jitter

MEASURED = ("error_cm", "within_20_cm", "skating", "jitter", "fastest", "seconds")
"""Measured columns."""


def compare(chains: Sequence[Chain], goals: GoalSet, method: str, scale: float) -> Result:
    """Run the analysis: a row for each model with and without guidance. Skating needs feet, which models of paths
    lack.
    """
    rows: list[Row] = []
    ways: list[str] = ["none"] if method == "none" else ["none", method]
    for chain in chains:
        for way in ways:
            started = time.perf_counter()
            guide = None if way == "none" else chain.guide(goals, way, scale)
            final = chain.run(guide, words=f"{chain.model.name}, {way}").final
            seconds = time.perf_counter() - started
            joints = chain.model.representation.decode(final).cpu()
            rows.append(_measure(chain, way, joints, goals, seconds / len(joints)))
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    return Result("compare", rows, f"compare ({what}):\n{table(rows)}")


def _measure(chain: Chain, way: str, joints: torch.Tensor, goals: GoalSet, seconds: float) -> Row:
    body = joints.shape[-2] > 1
    observation = goals.observe(chain.frames).known_to(chain.model.representation)
    errors = torch.stack([observation.errors(motion) for motion in joints])
    measured = {
        "error_cm": 100 * errors.mean(1),
        "within_20_cm": (errors < 0.2).all(1).double(),
        "jitter": torch.tensor([root_jitter(motion) for motion in joints]),
        "fastest": torch.tensor([fastest_root(motion) for motion in joints]),
    } | ({"skating": torch.tensor([foot_skating_ratio(motion) for motion in joints])} if body else {})
    row: dict[str, str | float | int] = {
        "model": chain.model.name, "prediction": chain.model.prediction.name, "guidance": way, "motions": len(joints),
    }  # fmt: skip
    for key in MEASURED:
        if key in measured:
            mean, spread = confidence(measured[key])
            row[key], row[f"{key}_95"] = mean.item(), spread.item()
    return row | {"seconds": seconds}


def table(rows: Sequence[Row]) -> str:
    """A plain-text table with a row for each model and method."""
    shown = [key for key in MEASURED if any(key in row for row in rows)]
    lines = [["model", "guidance", *shown]]
    for row in rows:
        lines.append([str(row["model"]), str(row["guidance"]), *(_cell(row, key) for key in shown)])
    return columns(lines)


def _cell(row: Row, key: str) -> str:
    if key not in row:
        return "-"
    return f"{float(row[key]):.3g}" + (f" ± {float(row[f'{key}_95']):.2g}" if f"{key}_95" in row else "")


SHOWN = {
    "error_cm": "mean error at the goals, cm",
    "within_20_cm": "motions within 20 cm of every goal",
    "skating": "foot skating ratio",
    "jitter": "root jitter, m/s³",
    "fastest": "fastest root, m/s",
    "seconds": "seconds a motion",
}
"""Columns of the panels and their titles."""


def compare_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance compare`: markers are hollow for unguided motions."""
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    guided = [str(row["guidance"]) for row in rows if row["guidance"] != "none"]
    what = f"{', '.join(dict.fromkeys(guided)) or 'none'}, {rows[0]['motions']} motions a model"
    shown = [column for column in SHOWN if column in rows[0]]
    wide = (len(shown) + 1) // 2
    title = f"The same goals through several models  ({what}, 95 % intervals; hollow: unguided)"
    figure, axes = panels(2, wide, size=(11, 1.8 + 0.7 * len(rows)), title=title)
    names = [f"{row['model']}, {row['guidance']}" for row in rows]
    for place, (axis, column) in enumerate(zip(axes, shown, strict=False)):
        halves = floats(rows, f"{column}_95", least=0) if f"{column}_95" in rows[0] else [0.0] * len(rows)
        for i, (row, value, half) in enumerate(zip(rows, floats(rows, column), halves, strict=True)):
            interval_dot(axis, value, i, half, styles[str(row["model"])], filled=row["guidance"] != "none")
        row_names(axis, names, shown=place % wide == 0)
        left, right = axis.get_xlim()
        axis.set_xlim(min(left, -0.03 * right), right)
        label(axis, title=SHOWN[column])
    if "within_20_cm" in shown:
        axes[shown.index("within_20_cm")].set_xlim(-0.03, 1.03)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    return figure
