"""Cells of a study's grid, and the file with the measured row of each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError


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


def key_of(identity: dict[str, Any]) -> str:
    """Hash an identity to 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]


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
