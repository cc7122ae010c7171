"""What every analysis leaves behind: a figure (PNG and SVG), the numbers in it (CSV), and a conclusion."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from motion_diffusion.files import atomic

Row = Mapping[str, str | float | int]

COLOURS = {
    "x0": "#1f78c8",
    "eps": "#e2711d",
    "v": "#009e73",
    "score": "#b03a7b",
    "velocity": "#8a6d3b",
    "mu": "#5b6478",
}
"""The hue of each prediction type in every figure (after Okabe and Ito)."""

DASHES: dict[str, tuple[float, tuple[float, ...]]] = {
    "x0": (0, ()),
    "eps": (0, (5, 1.5)),
    "v": (0, (1.2, 1.2)),
    "score": (0, (6, 1.5, 1.2, 1.5)),
    "velocity": (0, (9, 3)),
    "mu": (0, (2.5, 2.5)),
}
"""And its dashes, for print without colour."""

INK = "#2b303b"
FAINT = "#8b93a3"
GOAL = "#009e73"


@dataclass(frozen=True)
class Result:
    """A finished analysis: its name, its figure, its numbers and its conclusion."""

    name: str
    figure: Figure
    rows: Sequence[Row]
    conclusion: str
    """A sentence or more, with what it was run on."""

    def save(self, out: Path, name: str | None = None) -> list[Path]:
        """Write NAME.png, NAME.svg and NAME.csv into a folder, by default under its own name. Returns their paths."""
        name = name or self.name
        written = []
        with matplotlib.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "path"}):
            for ending in ("png", "svg"):
                path = out / f"{name}.{ending}"
                metadata = {"Date": None} if ending == "svg" else None  # the same numbers make the same file
                with atomic(path) as temporary:
                    self.figure.savefig(temporary, format=ending, metadata=metadata)
                self.figure.set_layout_engine("none")  # it is laid out now
                written.append(path)
        path = out / f"{name}.csv"
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in self.rows for key in row)))
            writer.writeheader()
            for row in self.rows:
                writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        return [*written, path]


def columns(lines: Sequence[Sequence[str]]) -> str:
    """A table in plain text: every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def panels(rows: int, columns: int, *, size: tuple[float, float], title: str) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with its axes in reading order, and a title."""
    figure = Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, color=INK)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for each in axes:
        each.grid(color="#e1e5eb", linewidth=0.8)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(colors=FAINT, labelsize=8)
    return figure, axes


def label(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Words for a panel."""
    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
    axes.set_xlabel(x, fontsize=8.5, color=INK)
    axes.set_ylabel(y, fontsize=8.5, color=INK)


def band(axes: Axes, t: Sequence[int], mean: Tensor, spread: Tensor, *, prediction: str, name: str) -> None:
    """A line in the style of its prediction type, with the band mean ± spread. mean, spread: (N,)."""
    colour = COLOURS[prediction]
    axes.plot(t, mean, color=colour, linestyle=DASHES[prediction], linewidth=1.8, label=name)
    axes.fill_between(t, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)


def time_axis(axes: Axes, T: int) -> None:
    """t from noise (left) to data (right), as sampling goes."""
    axes.set_xlim(T * 1.01, -T * 0.01)
