"""Reading of the files behind plots: metrics of trainings, and results of evaluations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from guidance.analysis.table import Row
from motion_diffusion.errors import InputError


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
    for number, line in enumerate(_text(path).split("\n")[:-1], 1):
        values = _object(line, f"{path}, line {number}")
        rows.append(about | {k: v for k, v in values.items() if not isinstance(v, float) or math.isfinite(v)})
    if not rows:
        raise InputError(f"{path} has no lines yet; train longer")
    return rows


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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text ({error}); give another file") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON ({error}); mend it") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} is no JSON object; mend it")
    return value
