"""Metrics of trainings and results of evaluations: reading of their files, and their figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from guidance.analysis.style import (
    FAINT_INK,
    INK,
    SMALL,
    LineStyle,
    interval_dot,
    label,
    legend,
    line,
    literal,
    model_styles,
    panels,
    row_names,
    styles_in_order,
)
from guidance.analysis.table import Row, floats, group_by, rows_with
from motion_diffusion.errors import InputError, parse_json


def read_metrics(path: Path, name: str) -> list[Row]:
    """Read metrics.jsonl of a run.

    An incomplete last line, which is being written, and values that are not finite are left out.

    Args:
        path: the file. Its prediction type is taken from config.json in the same folder.
        name: name of the run.

    Returns:
        A row for each line, with columns `run` and `prediction` added.

    Raises:
        InputError: for lines that are not JSON objects.
    """
    rows: list[Row] = []
    config = path.with_name("config.json")
    of_model = _object(config.read_text(encoding="utf-8"), str(config)) if config.is_file() else {}
    about = {"run": name, "prediction": of_model.get("prediction", "")}
    for number, entry in enumerate(_text(path).split("\n")[:-1], 1):
        values = _object(entry, f"{path}, line {number}")
        rows.append(about | {k: v for k, v in values.items() if not isinstance(v, float) or math.isfinite(v)})
    if not rows:
        raise InputError(f"{path} has no lines yet; train longer")
    return rows


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


def read_evaluation(path: Path, name: str) -> list[Row]:
    """Read figures.json of an evaluation.

    Args:
        path: the file.
        name: name of the model.

    Returns:
        A row for each figure of each group: model, group, figure, mean, half (of the 95 % interval), motions, protocol,
        evaluator, data.
    """
    content = _object(_text(path), str(path))
    if missing := [key for key in ("num", "protocol", "evaluator", "data", "figures") if key not in content]:
        raise InputError(f"{path} is no result of an evaluation, it has no {', '.join(missing)}; give a figures.json")
    about = {
        "model": name,
        "motions": content["num"],
        **{key: content[key] for key in ("protocol", "evaluator", "data")},
    }
    try:
        rows: list[Row] = [
            about | {"group": group, "figure": figure, "mean": float(mean), "half": float(half)}
            for group, figures in content["figures"].items()
            for figure, (mean, half) in figures.items()
        ]
    except (TypeError, ValueError, AttributeError):
        wanted = 'figures that are {"group": {"figure": [mean, half of the interval]}}'
        raise InputError(f"{path} is no result of an evaluation, it has no {wanted}; give a figures.json") from None
    if not rows:
        raise InputError(f"{path} has no figures; evaluate anew")
    return rows


REAL, UNGUIDED = "real clips", "unguided"
CLIPS: dict[str, tuple[float, tuple[float, ...]]] = {REAL: (0, ()), "training clips": (0, (1.2, 1.8))}
"""Groups drawn as lines with these dashes: the clips themselves. Unguided motions are hollow."""
BETTER = {"FID": "↓", "R-precision": "↑", "matching score": "↓", "error": "↓", "skating": "↓", "seconds": "↓"}
"""Which direction is better, by a word in a metric's name; otherwise the value of real clips is best."""


def evaluation(rows: Sequence[Row]) -> Figure:
    """The figure of one or several figures.json. InputError if they were measured differently."""
    for means in ("evaluator", "data"):
        if len(different := group_by(rows, means)) > 1:
            raise InputError(f"evaluations with different {means} ({', '.join(different)}) cannot be compared")
    models, figures = group_by(rows, "model"), group_by(rows, "figure")
    groups = styles_in_order(group for group in group_by(rows, "group") if group not in CLIPS)
    columns = min(4, len(figures))
    lines = -(-len(figures) // columns)
    size = (3.0 * columns + 1, 1.2 + lines * (0.75 + len(models) * (0.16 + 0.16 * len(groups))))
    title = f"Evaluation by {rows[0]['evaluator']}: 95 % intervals over replications; ↓ less is better, ↑ more"
    figure, axes = panels(lines, columns, size=size, title=title)
    names = [f"{name}\n{of[0]['protocol']}, {of[0]['motions']} motions" for name, of in models.items()]
    for place, (axis, (words, measured)) in enumerate(zip(axes, figures.items(), strict=False)):
        of_model = group_by(measured, "model")
        for i, name in enumerate(models):
            _draw(axis, i, group_by(of_model.get(name, []), "group"), groups)
        row_names(axis, names, shown=place % columns == 0)
        label(axis, title=" ".join([words, *(arrow for word, arrow in BETTER.items() if word in words)]))
    for axis in axes[len(figures) :]:
        axis.set_visible(False)
    _legend(figure, groups)
    return figure


def _draw(axis: Axes, i: int, measured: dict[str, list[Row]], groups: dict[str, LineStyle]) -> None:
    """A model's row: its groups below each other, over its clips."""
    for clips, dashes in CLIPS.items():
        for row in measured.get(clips, []):
            (mean,), (half,) = floats([row], "mean"), floats([row], "half", least=0)
            axis.plot([mean, mean], [i - 0.5, i + 0.5], color=INK, linestyle=dashes, linewidth=1.2)
            if clips == REAL:
                axis.fill_betweenx(
                    [i - 0.5, i + 0.5], mean - half, mean + half, color=FAINT_INK, alpha=0.3, linewidth=0
                )
    for g, (group, style) in enumerate(groups.items()):
        for row in measured.get(group, []):
            (mean,), (half,) = floats([row], "mean"), floats([row], "half", least=0)
            interval_dot(axis, mean, i + 0.8 * ((g + 0.5) / len(groups) - 0.5), half, style, filled=group != UNGUIDED)


def _legend(figure: Figure, groups: dict[str, LineStyle]) -> None:
    entries = [Line2D([], [], color=INK, linestyle=dashes, label=clips) for clips, dashes in CLIPS.items()]
    for group, style in groups.items():
        inside = "white" if group == UNGUIDED else style.colour
        entry = Line2D(
            [], [], color=style.colour, linestyle="", marker=style.marker, markersize=7, label=literal(group)
        )
        entry.set_markerfacecolor(inside)
        entries.append(entry)
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=SMALL)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text ({error}); give another file") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = parse_json(text.encode(), "it holds numbers by name")
    except InputError as error:
        raise InputError(f"{where} {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} is no JSON object; mend it")
    return value
