"""Comparison of models with the same goals, noise and settings: adherence, realism, time; at one strength or at many.

In the data bones have constant lengths, so what the network's own x̂0, before any fit of a body, does to them measures
exactly how far it is from the data: `bones_mm` is the largest range of a bone's length within a motion.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from guidance.analysis.runs import Chain, confidence
from guidance.analysis.style import band, interval_dot, label, legend, model_styles, panels, row_names
from guidance.analysis.table import Result, Row, columns, floats, group_by
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion_metrics import bone_length_range, fastest_root, foot_skating_ratio, root_jitter

MEASURED = ("error_cm", "within_20_cm", "bones_mm", "skating", "jitter", "fastest", "seconds")
"""Measured columns."""


def compare(chains: Sequence[Chain], goals: GoalSet, method: str, scale: float) -> Result:
    """Run the analysis: a row for each model with and without guidance. Bones and skating need a body, which models of
    paths lack.
    """
    ways: list[str] = ["none"] if method == "none" else ["none", method]
    rows = [_measured(chain, way, goals, scale) for chain in chains for way in ways]
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    return Result("compare", rows, f"compare ({what}):\n{table(rows)}")


def adherence(chains: Sequence[Chain], goals: GoalSet, method: str, scales: Sequence[float]) -> Result:
    """Measure every model at several strengths of the gradient, to compare models at equal error.

    Args:
        chains: One per model.
        goals: The goals.
        method: The guidance method.
        scales: Strengths; without guidance, strength 0, is measured in addition.
    """
    rows: list[Row] = []
    for chain in chains:
        rows.append({"scale": 0.0} | _measured(chain, "none", goals, 0.0))
        rows += [{"scale": scale} | _measured(chain, method, goals, scale) for scale in scales]
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    return Result("adherence", rows, f"adherence ({what}), by strength:\n{table(rows)}")


def _measured(chain: Chain, way: str, goals: GoalSet, scale: float) -> dict[str, str | float | int]:
    """Sample with one method, and measure the motions."""
    started = time.perf_counter()
    guide = None if way == "none" else chain.guide(goals, way, scale)
    final = chain.run(guide, words=f"{chain.model.name}, {way} {scale:g}").final
    seconds = time.perf_counter() - started
    joints = chain.model.representation.decode(final).cpu()
    observation = goals.observe(chain.frames).known_to(chain.model.representation)
    errors = torch.stack([observation.errors(motion) for motion in joints])
    measured = {
        "error_cm": 100 * errors.mean(1),
        "within_20_cm": (errors < 0.2).all(1).double(),
        "jitter": torch.tensor([root_jitter(motion) for motion in joints]),
        "fastest": torch.tensor([fastest_root(motion) for motion in joints]),
    }
    if chain.model.representation.whole_body:
        measured["bones_mm"] = 1000 * torch.tensor([bone_length_range(motion) for motion in joints])
        measured["skating"] = torch.tensor([foot_skating_ratio(motion) for motion in joints])
    row: dict[str, str | float | int] = {
        "model": chain.model.name, "prediction": chain.model.prediction.name, "guidance": way, "motions": len(joints),
    }  # fmt: skip
    for key in MEASURED:
        if key in measured:
            mean, spread = confidence(measured[key])
            row[key], row[f"{key}_95"] = mean.item(), spread.item()
    return row | {"seconds": seconds / len(joints)}


def table(rows: Sequence[Row]) -> str:
    """A plain-text table with a row for each model and method."""
    shown = [key for key in MEASURED if any(key in row for row in rows)]
    named = [key for key in ("model", "guidance", "scale") if key in rows[0]]
    lines = [[*named, *shown]]
    for row in rows:
        names = (f"{row[key]:g}" if key == "scale" else str(row[key]) for key in named)
        lines.append([*names, *(_cell(row, key) for key in shown)])
    return columns(lines)


def _cell(row: Row, key: str) -> str:
    if key not in row:
        return "-"
    return f"{float(row[key]):.3g}" + (f" ± {float(row[f'{key}_95']):.2g}" if f"{key}_95" in row else "")


SHOWN = {
    "error_cm": "mean error at the goals, cm",
    "within_20_cm": "within 20 cm of every goal",
    "bones_mm": "range of a bone's length, mm",
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


REALISM = {
    "bones_mm": "range of a bone's length, mm",
    "skating": "foot skating ratio",
    "jitter": "root jitter, m/s³",
}
"""Columns that are drawn against the error, and their axis labels."""


def adherence_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `adherence`: realism against the error at the goals; a line joins the strengths of a model."""
    shown = {column: words for column, words in REALISM.items() if rows[0].get(column, "") != ""}
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    guided = next((str(row["guidance"]) for row in rows if row["guidance"] != "none"), "none")
    strengths = sorted({float(row["scale"]) for row in rows})
    title = f"Realism at equal error  ({guided}, strengths {strengths[0]:g} to {strengths[-1]:g})"
    figure, axes = panels(1, len(shown), size=(4.2 * len(shown), 4.4), title=title)
    for axis, (column, words) in zip(axes, shown.items(), strict=True):
        for name, mine in group_by(rows, "model").items():
            band(axis, floats(mine, "error_cm"), floats(mine, column), floats(mine, f"{column}_95"), styles[name], name)
        axis.set_xscale("log")
        label(axis, title=words, x="mean error at the goals, cm", y=words)
    legend(axes[0])
    return figure
