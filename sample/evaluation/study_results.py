"""Results of a study: the measurements of each cell of its grid in a file, and tables of them.

Tables have means with intervals, and comparisons with the same model's unguided motions.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from guidance.analysis.runs import confidence, ratio
from guidance.analysis.table import columns
from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError
from sample.evaluation.metrics import BONE_RANGE


@dataclass(frozen=True)
class Cell:
    """A cell of the grid."""

    model: str
    """Name of the model."""
    method: str
    """Guidance method."""
    density: float | None
    """Share of the frames that are key frames."""
    joints: str
    """Name of the group of joints given there."""


REAL = Cell("real clips", "-", None, "-")
"""Real clips."""


@dataclass(frozen=True)
class Row:
    """The measurements of a cell."""

    key: str
    """Hash of the identity."""
    cell: Cell
    prediction: str
    """Prediction type of the model; "" for real clips."""
    identity: dict[str, Any]
    """Everything that determines the figures."""
    figures: dict[str, list[float]]
    """A number for each motion, by name."""
    seconds: list[float]
    """Duration of each batch."""
    sizes: list[int]
    """Number of motions in each batch."""


class RowFile:
    """Rows by key, in a file with one line of JSON each. An incomplete last line is removed.

    Raises:
        InputError: A line is no row.
    """

    def __init__(self, path: Path):
        self.path = path
        self._rows: dict[str, Row] = {}
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = text.split("\n")
        if lines[-1]:  # the last line is incomplete
            with atomic(path) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")
        kind = TypeAdapter(Row)
        for number, line in enumerate(lines[:-1], 1):
            try:
                row = kind.validate_python(json.loads(line))
            except (ValueError, ValidationError):
                raise InputError(
                    f"{path}, line {number}, is no row of a study; take it out, or give another --out"
                ) from None
            self._rows[row.key] = row

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def add(self, row: Row) -> None:
        """Append a row and flush it to the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(row)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._rows[row.key] = row


ERROR, OFF = "average error, cm", "entries off by 20 cm"
SKATING, JITTER, ALL_JITTER = "foot skating ratio", "root jitter, m/s3", "joint jitter, m/s3"
SECONDS = "seconds a motion"
MORE_SKATING = "foot skating - unguided"
MORE_JITTER, MORE_ALL_JITTER = "root jitter / unguided", "joint jitter / unguided"
MORE_SECONDS = "seconds / unguided"

SHOWN = {
    ERROR: ("error, cm", 1, 2),
    OFF: ("off by 20 cm, %", 100, 1),
    SKATING: ("foot skating", 1, 3),
    MORE_SKATING: ("− unguided", 1, 3),
    JITTER: ("root jitter, m/s³", 1, 0),
    MORE_JITTER: ("/ unguided", 1, 2),
    ALL_JITTER: ("joint jitter, m/s³", 1, 0),
    MORE_ALL_JITTER: ("/ unguided", 1, 2),
    "bone length error, cm": ("bones off, cm", 1, 2),
    BONE_RANGE: ("bone range, mm", 1, 2),
    "action recognised": ("action, %", 100, 0),
    "fastest root, m/s": ("fastest root, m/s", 1, 2),
    SECONDS: ("s a motion", 1, 2),
    MORE_SECONDS: ("/ unguided", 1, 1),
}
"""Figures by their column in table.csv: heading in the printed table, factor of the printed number, and decimals."""

Number = tuple[float, float | None]
"""A mean, and half the width of its 95 % interval; None if it is of a single number."""


@dataclass(frozen=True)
class Line:
    """A line of the table: a cell and its measurements."""

    cell: Cell
    row: Row
    """Measurements of the cell."""
    reference: Row | None
    """Measurements of the same model's unguided motions for the same goals; None for those and for real clips."""
    command: str
    """The command that reproduces the cell."""

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """All figures, by name."""
        figures = self.tensors(self.row)
        result = {name: interval(*confidence(values), len(values)) for name, values in figures.items()}
        if BONE_RANGE in figures:
            result[BONE_RANGE] = figures[BONE_RANGE].max().item(), None  # the maximum, which a mean would hide
        if self.row.seconds:
            seconds = _seconds(self.row)
            result[SECONDS] = interval(*seconds, len(self.row.seconds))
            if self.reference is not None:
                result[MORE_SECONDS] = ((seconds[0] / _seconds(self.reference)[0]).item(), None)
        return result | compared([self])

    @property
    def motions(self) -> int:
        """Number of motions."""
        return len(self.row.figures[SKATING])

    def tensors(self, row: Row) -> dict[str, Tensor]:
        """The figures of the row or its reference, restricted to the motions of this cell, by name."""
        return {name: torch.tensor(row.figures[name][: self.motions]).double() for name in row.figures}


def _seconds(row: Row) -> tuple[Tensor, Tensor]:
    return ratio(torch.tensor(row.seconds).double(), torch.tensor(row.sizes).double())


def interval(mean: Tensor, half: Tensor, count: int) -> Number:
    """A mean with its interval, given half its width and the number of values."""
    return mean.item(), half.item() if count > 1 else None


def compared(lines: Sequence[Line]) -> dict[str, Number]:
    """Figures relative to the unguided motions, averaged over lines with the same motions before comparing them."""
    pairs = [(line.tensors(line.row), line.tensors(line.reference)) for line in lines if line.reference is not None]
    if not pairs:
        return {}

    def mean(name: str, which: int) -> Tensor:
        return torch.stack([pair[which][name] for pair in pairs]).mean(0)

    count = lines[0].motions
    return {
        MORE_SKATING: interval(*confidence(mean(SKATING, 0) - mean(SKATING, 1)), count),
        MORE_JITTER: interval(*ratio(mean(JITTER, 0), mean(JITTER, 1)), count),
        MORE_ALL_JITTER: interval(*ratio(mean(ALL_JITTER, 0), mean(ALL_JITTER, 1)), count),
    }


def table(lines: Sequence[Line]) -> list[list[str]]:
    """Headings and formatted numbers, a row for each cell of the grid."""
    result = [["model", "method", "frames given", "joints", "motions", *(heading for heading, *_ in SHOWN.values())]]
    for line in lines:
        density = "-" if line.cell.density is None else f"{100 * line.cell.density:g} %"
        words = [line.cell.model, line.cell.method, density, line.cell.joints, str(line.motions)]
        for name, (_, factor, decimals) in SHOWN.items():
            if name not in line.numbers:
                words.append("-")
                continue
            mean, half = line.numbers[name]
            shown = f"{factor * mean:z.{decimals}f}"
            words.append(shown if half is None else f"{shown} ± {factor * half:.{decimals}f}")
        result.append(words)
    return result


SUMMARISED = (ERROR, SKATING, MORE_SKATING, MORE_JITTER, MORE_ALL_JITTER, BONE_RANGE, "action recognised")
"""Figures of the summary."""


@dataclass(frozen=True)
class Summary:
    """A model with a guidance method: figures averaged over all densities and joints."""

    model: str
    method: str
    prediction: str
    cells: int
    """Number of cells averaged."""
    motions: int
    numbers: dict[str, Number]
    """Figures of `SUMMARISED`, and seconds, where they exist."""


def summaries(lines: Sequence[Line]) -> list[Summary]:
    """Summarise each model and guidance method, and the real clips. Intervals are over motions."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.cell.model, line.cell.method), []).append(line)
    result = []
    for (model, method), group in groups.items():
        each = [line.tensors(line.row) for line in group]
        numbers = compared(group)
        for name in (name for name in SUMMARISED if name in each[0]):
            numbers[name] = interval(*confidence(torch.stack([one[name] for one in each]).mean(0)), group[0].motions)
        sizes = [size for line in group for size in line.row.sizes]
        if sizes:
            numbers[SECONDS] = (sum(second for line in group for second in line.row.seconds) / sum(sizes), None)
        times = [line.numbers[MORE_SECONDS][0] for line in group if MORE_SECONDS in line.numbers]
        if times:
            numbers[MORE_SECONDS] = (sum(times) / len(times), None)
        result.append(Summary(model, method, group[0].row.prediction, len(group), group[0].motions, numbers))
    return result


def _heading(name: str) -> str:
    """The heading of a figure outside of the table, where it must name what it is compared with."""
    return name if name in (MORE_SKATING, MORE_JITTER, MORE_ALL_JITTER) else SHOWN[name][0]


def summary(lines: Sequence[Line]) -> list[list[str]]:
    """Headings and formatted numbers, a row for each model and method."""
    result = [["model", "method", "motions", *(_heading(name) for name in SUMMARISED), "time / unguided"]]
    for one in summaries(lines):
        words = [one.model, one.method, str(one.motions)]
        for name in SUMMARISED:
            _, factor, decimals = SHOWN[name]
            mean, half = one.numbers.get(name, (float("nan"), None))
            number = "-" if mean != mean else f"{factor * mean:z.{decimals}f}"
            words.append(number if half is None else f"{number} ± {factor * half:.{decimals}f}")
        result.append([*words, f"{one.numbers[MORE_SECONDS][0]:.2f}" if MORE_SECONDS in one.numbers else "-"])
    return result


def as_text(lines: Sequence[Line]) -> str:
    """Format the table for a terminal."""
    return columns(table(lines))


def as_markdown(lines: Sequence[Line]) -> str:
    """Format the summary, and the table with the command of each row, as Markdown."""
    rows = [
        [*words, again]
        for words, again in zip(table(lines), ["again", *(f"`{line.command}`" for line in lines)], strict=True)
    ]
    rows.insert(1, ["---"] * 4 + ["---:"] * (len(rows[0]) - 5) + ["---"])
    short = summary(lines)
    short.insert(1, ["---"] * 2 + ["---:"] * (len(short[0]) - 2))
    return (
        "## Over all densities and joints\n\n"
        + "".join(f"| {' | '.join(row)} |\n" for row in short)
        + "\n## Row by row\n\n"
        "Mean ± half the width of the 95 % interval over motions (seconds: over batches). Errors are over all given\n"
        "entries, a frame and a joint each. “Unguided” are the motions of the same model, clips and seeds; DIR is the\n"
        "folder of the clips.\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    )


def write_tables(lines: Sequence[Line], out: Path) -> None:
    """Write table.md, table.csv with all numbers and intervals (`_95`), and study.csv with those of the summaries."""
    with atomic(out / "table.md") as path:
        path.write_text(as_markdown(lines), encoding="utf-8")
    head = ["model", "prediction", "method", "density", "joints", "motions"]
    with atomic(out / "table.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*head, *_with_intervals(SHOWN), "again"])
        writer.writeheader()
        for line in lines:
            row = {**vars(line.cell), "prediction": line.row.prediction, "motions": line.motions, "again": line.command}
            writer.writerow(row | _formatted(line.numbers))
    head = ["model", "prediction", "method", "cells", "motions"]
    with atomic(out / "study.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*head, *_with_intervals([*SUMMARISED, SECONDS, MORE_SECONDS])])
        writer.writeheader()
        for one in summaries(lines):
            writer.writerow({name: getattr(one, name) for name in head} | _formatted(one.numbers))


def _with_intervals(names: Iterable[str]) -> list[str]:
    return [name + end for name in names for end in ("", "_95")]


def _formatted(numbers: Mapping[str, Number]) -> dict[str, str]:
    words: dict[str, str] = {}
    for name, (mean, half) in numbers.items():
        words |= {name: f"{mean:.6g}", f"{name}_95": "" if half is None else f"{half:.6g}"}
    return words
