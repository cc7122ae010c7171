"""The rows of a study: what a cell of its grid is, and the file that keeps what was measured of each."""

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
    """A model, a way of guiding, a share of the frames and the joints that are given there."""

    model: str
    method: str
    density: float | None
    joints: str


REAL = Cell("real clips", "-", None, "-")
"""The clips themselves."""


@dataclass(frozen=True)
class Row:
    """What was measured of a cell."""

    key: str
    """Of everything that determines the figures."""
    cell: Cell
    prediction: str
    """What its model predicts; "" for real clips."""
    identity: dict[str, Any]
    """What the key was made of."""
    figures: dict[str, list[float]]
    """By name, a number for each motion."""
    seconds: list[float]
    """That each batch took, and how many motions ..."""
    sizes: list[int]
    """... it had."""


def key_of(identity: dict[str, Any]) -> str:
    """Sixteen hex digits for everything that determines a cell's figures."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]


class Rows:
    """Rows by key, as they stand in a file with a line each. A line that was cut off by a kill is dropped."""

    def __init__(self, path: Path):
        self.path = path
        self._rows: dict[str, Row] = {}
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = text.split("\n")
        if lines[-1]:  # the last line has no end
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
        """Append a row, and make sure that it is on the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(row)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._rows[row.key] = row
