"""Tables of numbers: results of analyses, their CSV files, and columns of rows."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError

Row = Mapping[str, Any]
"""A row of a table by column name; numbers may be strings, as in CSV files."""


@dataclass(frozen=True)
class Result:
    """A finished analysis: name, rows and conclusion."""

    name: str
    rows: Sequence[Row]
    conclusion: str
    """One or more sentences, with the settings of the run."""

    def save(self, out: Path, name: str | None = None) -> Path:
        """Write the rows as NAME.csv into a folder, by default under the result's own name. Returns the path."""
        path = out / f"{name or self.name}.csv"
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in self.rows for key in row)))
            writer.writeheader()
            for row in self.rows:
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        return path


def columns(lines: Sequence[Sequence[str]]) -> str:
    """A plain-text table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


MAX_VALUE = 1e100
"""Largest value that can be drawn."""


def floats(rows: Sequence[Row], column: str, *, least: float = -MAX_VALUE) -> list[float]:
    """A column as floats. InputError for missing or invalid numbers, and for those below `least`."""
    result = []
    for cell in (row.get(column, "") for row in rows):
        try:
            value = float(cell)
        except (TypeError, ValueError):
            value = math.nan
        if not least <= value <= MAX_VALUE:
            at_least = f" of {least:g} or more" if least > -MAX_VALUE else ""
            raise InputError(f"column {column} has {cell!r} where a number{at_least} belongs; mend it")
        result.append(value)
    return result


def rows_with(rows: Sequence[Row], column: str) -> list[Row]:
    """Rows with a value in a column."""
    return [row for row in rows if row.get(column, "") != ""]


def group_by(rows: Sequence[Row], column: str) -> dict[str, list[Row]]:
    """Rows grouped by the value of a column, in order of first appearance."""
    result: dict[str, list[Row]] = {}
    for row in rows:
        result.setdefault(str(row[column]), []).append(row)
    return result


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file. InputError if it is invalid or empty."""
    rows: list[Row] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file, strict=True)
            for row in lines:
                if None in row or None in row.values():
                    raise InputError(f"{path}, line {lines.line_num}: not as many cells as columns; write it anew")
                rows.append(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no CSV file ({error}); give one") from None
    if not rows:
        raise InputError(f"{path} has no rows; write it anew")
    return rows
