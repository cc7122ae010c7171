"""The list of public names is the one that its script writes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import motion_diffusion as md

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(DOCS / "api.py"))


def test_every_public_name_has_one_place(script):
    names = [name for group in script["GROUPS"].values() for name in group]
    assert sorted(names) == sorted(md.__all__)


def test_page_is_up_to_date(script):
    """Otherwise run python docs/api.py."""
    assert (DOCS / "api.md").read_text(encoding="utf-8") == script["page"]()


def test_signatures_are_those_of_the_source(script):
    def move(where: md.Waypoint, *, by: float | None = None, how=print) -> md.Motion: ...

    written = "move(where: md.Waypoint, *, by: float | None = None, how=…) -> md.Motion"
    assert script["signature"]("move", move) == [written]
