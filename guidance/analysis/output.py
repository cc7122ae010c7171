"""What every analysis leaves behind: numbers, of which `visualize.plots` makes its figure, and a conclusion."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_diffusion.atomic_io import atomic

Row = Mapping[str, str | float | int]


@dataclass(frozen=True)
class Result:
    """A finished analysis: its name, its numbers and its conclusion."""

    name: str
    rows: Sequence[Row]
    conclusion: str
    """A sentence or more, with what it was run on."""

    def save(self, out: Path, name: str | None = None) -> Path:
        """Write the rows into a folder as NAME.csv, by default under the result's own name. Returns its path."""
        path = out / f"{name or self.name}.csv"
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in self.rows for key in row)))
            writer.writeheader()
            for row in self.rows:
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        return path


def columns(lines: Sequence[Sequence[str]]) -> str:
    """A table in plain text: every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)
