"""Renewal of the numbers in docs/where-guidance-gets-undone.md; its text is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from guidance.analysis.table import Result
from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "where-guidance-gets-undone.md"
FIGURES = "figures"
"""Folder of the figures, in that of the page."""


def write_page(page: Path, results: Sequence[tuple[str, Result]]) -> list[Path]:
    """Save results as CSV files beside a page, and insert their conclusions into it.

    The conclusion of NAME replaces the content of the block

        <!-- NAME -->
        …
        <!-- /NAME -->

    Args:
        page: the Markdown file.
        results: names and results.

    Returns:
        The paths of the CSV files.

    Raises:
        InputError: if the page lacks a block; nothing is written then.
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
    with atomic(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return tables


def _markdown(result: Result) -> str:
    first, *table = result.conclusion.splitlines()
    fenced = "\n".join(["", "```", *table, "```", ""]) if table else "\n"
    return f"> {first}\n{fenced}".rstrip() + "\n"
