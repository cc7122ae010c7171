"""The page of all analyses: its tables and the numbers in its sentences come from the CSV files beside it.

A block shows the conclusion of the result NAME:

    <!-- NAME -->
    …
    <!-- /NAME -->

A number in a sentence states where it comes from:

    <!--= NAME key=value key~value COLUMN FORMAT -->85 ± 1 %<!--/-->

It is taken from NAME.csv, from the rows that have these values, or for ~ the nearest number. Of several rows it is the
mean. ± is the interval of the column COLUMN_95 (or without _m before _95), or of several rows that of their mean.
FORMAT is a format of Python's, with a unit behind it: % and cm multiply by 100.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from guidance.analysis.runs import confidence
from guidance.analysis.table import Result, Row, floats, read_table, rows_with
from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "where-guidance-gets-undone.md"
FIGURES = "figures"
"""Folder of the figures, in that of the page."""

_NUMBER = re.compile(r"(<!--= (\S+) ((?:\S+[=~]\S+ )*)(\S+) (\.\d[efg])(%|cm|) -->)(.*?)(<!--/-->)", re.DOTALL)


def write_page(page: Path, results: Sequence[tuple[str, Result]]) -> list[Path]:
    """Save results as CSV files beside a page, insert their conclusions, and fill in the numbers of all pages there.

    Args:
        page: The Markdown file.
        results: Names and results.

    Returns:
        The paths of the CSV files.

    Raises:
        InputError: If the page lacks a block; nothing is written then. If a number is not in its file.
    """
    if not page.is_file():
        raise FileNotFoundError(f"no page {page}; give --page the page to renew")
    text = page.read_text(encoding="utf-8")
    for name, result in results:
        block = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
        if not block.search(text):
            raise InputError(
                f"{page} has no block <!-- {name} --> … <!-- /{name} -->; put one where its numbers belong"
            )
        text = block.sub(lambda match, result=result: f"{match[1]}{_markdown(result)}{match[2]}", text)  # type: ignore[misc]
    tables = [result.save(page.parent / FIGURES, name) for name, result in results]
    for path in (page, *(other for other in sorted(page.parent.glob("*.md")) if other != page)):
        before = text if path == page else path.read_text(encoding="utf-8")
        if path == page or _NUMBER.search(before):
            with atomic(path) as temporary:
                temporary.write_text(with_numbers(before, page.parent / FIGURES), encoding="utf-8")
    return tables


def _markdown(result: Result) -> str:
    first, *table = result.conclusion.splitlines()
    fenced = "\n".join(["", "```", *table, "```", ""]) if table else "\n"
    return f"> {first}\n{fenced}".rstrip() + "\n"


def with_numbers(text: str, folder: Path) -> str:
    """The text with the numbers of its sentences from the CSV files of a folder. InputError if one is not there."""

    table = cache(lambda name: read_table(folder / f"{name}.csv"))

    def filled(match: re.Match[str]) -> str:
        opening, name, conditions, column, form, unit, _, closing = match.groups()
        rows = table(name)
        try:
            value = _number(_chosen(rows, conditions.split()), column, form, unit)
        except InputError as error:
            raise InputError(f"{opening}: {error}") from None
        return f"{opening}{value}{closing}"

    return _NUMBER.sub(filled, text)


def _chosen(rows: Sequence[Row], conditions: Sequence[str]) -> list[Row]:
    """Rows that fulfil conditions "key=value" or "key~number"."""
    chosen = list(rows)
    for condition in conditions:
        key, sign, value = re.split("([=~])", condition, maxsplit=1)
        if not all(key in row for row in chosen):
            raise InputError(f"there is no column {key}; choose from {', '.join(rows[0])}")
        if sign == "~":
            value = str(min({row[key] for row in chosen}, key=lambda cell: abs(float(cell) - float(value))))
        chosen = [row for row in chosen if row[key].replace(" ", "_") == value]
        if not chosen:
            raise InputError(f"no row has {condition}; renew the file, or change the condition")
    return chosen


def _number(rows: Sequence[Row], column: str, form: str, unit: str) -> str:
    """The mean of a column with its interval, over the rows that have a value there."""
    rows = rows_with(rows, column) or rows
    values, size = torch.tensor(floats(rows, column), dtype=torch.float64), 100 if unit else 1
    mean, half = confidence(values)
    if len(rows) == 1:
        spread = next((name for name in (f"{column}_95", f"{column.removesuffix('_m')}_95") if rows[0].get(name)), None)
        half = torch.tensor(floats(rows, spread)[0] if spread else 0.0)
    interval = f" ± {size * half.item():{form}}" if half else ""
    return f"{size * mean.item():{form}}{interval}{f' {unit}' * bool(unit)}"
