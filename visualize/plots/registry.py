"""Registry of plots: the figure of a file is determined by its name or its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import matplotlib
from matplotlib.figure import Figure

from guidance.analysis.compare import adherence_figure, compare_figure
from guidance.analysis.crossed_lines import crossed_lines_figure
from guidance.analysis.evolution import evolution_figure
from guidance.analysis.hook import hook_figure
from guidance.analysis.share import share_figure
from guidance.analysis.survival import answering_figure, exact_figure, frozen_figure
from guidance.analysis.table import Row, read_table
from guidance.analysis.token_size import token_sizes_figure
from guidance.analysis.trainings import trainings_figure
from guidance.analysis.truth import truth_figure
from guidance.analysis.undoing import undoing_figure
from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError
from visualize.plots.results import evaluation, read_evaluation, read_metrics, training
from visualize.plots.study import study

Draw = Callable[[Sequence[Row]], Figure]

TABLES: dict[Draw, set[str]] = {
    share_figure: {"schedule", "std", "t", "s", "alpha", "snr"},
    hook_figure: {"schedule", "error", "t", "prediction", "untouched", "clipped", "share_clipped"},
    frozen_figure: {"schedule", "t", "x0_to_0", "x0_left_at_0"},
    exact_figure: {"schedule", "steps", "samples", "data", "prediction", "t", "kept"},
    answering_figure: {"model", "prediction", "push", "t", "motions", "kept", "kept_95", "by_network"},
    undoing_figure: {"model", "prediction", "guidance", "motions", "t", "push_m", "back_m", "undone", "way"},
    evolution_figure: {"model", "prediction", "guidance", "motions", "t", "frame", "x_m", "z_m", "goal_x_m", "off_m"},
    adherence_figure: {"model", "prediction", "guidance", "motions", "scale", "error_cm", "jitter"},
    compare_figure: {"model", "prediction", "guidance", "motions", "error_cm", "seconds"},
    truth_figure: {"world", "method", "sampler", "steps", "size", "distance", "nearest", "inside_50", "inside_90"},
    trainings_figure: {"prediction", "seed", "steps", "error_1", "kept_shift_460", "contraction_m", "undone"},
    crossed_lines_figure: {"dimensions", "skip", "prediction", "scale", "on_target", "off"},
    token_sizes_figure: {"frames_per_token", "dimension", "intrinsic", "skip", "prediction", "t", "expected", "error"},
    study: {"model", "prediction", "method", "cells", "average error, cm", "seconds a motion"},
}
"""The figure of a CSV file, by columns that no other kind of file has all of."""

METRICS, EVALUATION = "metrics.jsonl", "figures.json"
"""Names of the files of runs and of evaluations; all files of a kind make one figure."""

Ending = Literal["png", "svg"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)


def draw(paths: Iterable[Path], out: Path, endings: Sequence[Ending] = ENDINGS) -> list[Path]:
    """Draw the figures of files, and of the files in folders that have one.

    The figure of a CSV file has its name; that of runs is `loss`, that of evaluations `evaluation`.

    Args:
        paths: files or folders.
        out: folder for the figures.
        endings: file formats.

    Returns:
        The paths of the figures.

    Raises:
        InputError: for a file that has no figure or cannot be read; nothing is written then.
    """
    tables: list[Path] = []
    runs: list[Path] = []
    evaluations: list[Path] = []
    for path in dict.fromkeys(_files(paths)):
        (evaluations if path.name == EVALUATION else runs if path.suffix == ".jsonl" else tables).append(path)
    figures: dict[str, Figure] = {}
    for path in tables:
        if path.stem in figures:
            raise InputError(f"{path}: the figure of another file has this name; draw it into another --out")
        rows = read_table(path)
        figures[path.stem] = _made(_of_table(path, rows), rows, path)
    if runs:
        lines = [row for name, path in _named(runs).items() for row in _of_run(path, name)]
        figures["loss"] = _made(training, lines, *runs)
    if evaluations:
        measured = [row for name, path in _named(evaluations).items() for row in read_evaluation(path, name)]
        figures["evaluation"] = _made(evaluation, measured, *evaluations)
    return [path for name, figure in figures.items() for path in save(figure, out, name, endings)]


def save(figure: Figure, out: Path, name: str, endings: Sequence[Ending] = ENDINGS) -> list[Path]:
    """Write a figure as NAME.png, NAME.svg …, reproducibly to the byte. Returns the paths."""
    written = []
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        for ending in endings:
            path = out / f"{name}.{ending}"
            with atomic(path) as temporary:
                figure.savefig(temporary, format=ending, metadata={"Date": None} if ending == "svg" else None)
            figure.set_layout_engine("none")  # it is laid out now
            written.append(path)
    return written


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given, and the files with figures in folders; for folders without any, those in their subfolders."""
    for path in paths:
        if not path.exists():
            raise InputError(f"no file {path}; give a CSV file, {METRICS}, {EVALUATION}, or a folder that holds them")
        if not path.is_dir():
            yield path
            continue
        inner = sorted(folder for folder in path.iterdir() if folder.is_dir())
        found = _drawn(path) or [file for folder in inner for file in _drawn(folder)]
        if not found:
            raise InputError(f"{path} has no {METRICS}, {EVALUATION} or CSV file that is drawn; give a folder that has")
        yield from found


def _drawn(folder: Path) -> list[Path]:
    """Files in a folder that have a figure."""
    named = [folder / name for name in (METRICS, EVALUATION) if (folder / name).is_file()]
    return named + [table for table in sorted(folder.glob("*.csv")) if _kinds(read_table(table)[0])]


def _kinds(row: Row) -> list[Draw]:
    return [kind for kind, columns in TABLES.items() if columns <= row.keys()]


def _of_table(path: Path, rows: Sequence[Row]) -> Draw:
    kinds = _kinds(rows[0])
    if not kinds:
        columns = ", ".join(list(rows[0])[:6])
        raise InputError(
            f"{path}: there is no figure of the columns {columns} …; give the CSV of an analysis or study, "
            f"{EVALUATION} of an evaluation or {METRICS} of a run"
        )
    return kinds[0]


def _of_run(path: Path, name: str) -> list[Row]:
    rows = read_metrics(path, name)
    if not any("x0_error_q" in column for row in rows for column in row):
        raise InputError(f"{path} has no errors by quarter of t; give the {METRICS} of a model's training")
    return rows


def _made(kind: Draw, rows: Sequence[Row], *paths: Path) -> Figure:
    try:
        return kind(rows)
    except InputError as error:
        raise InputError(f"{', '.join(map(str, paths))}: {error}") from None


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by the names of their folders, or by their full paths where the names are not unique."""
    folders = [path.resolve().parent for path in paths]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    return dict(zip(names, paths, strict=True))
