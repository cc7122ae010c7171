"""The page of all analyses: blocks and numbers come from CSV files."""

from __future__ import annotations

import pytest

from guidance.analysis.page import FIGURES, PAGE, with_numbers, write_page
from guidance.analysis.table import Result
from motion_diffusion.errors import InputError


def test_write_page_is_atomic(tmp_path):
    result = Result("share", [{"t": 1, "value": 0.5}], "half\na table\nof two rows")
    page = tmp_path / "page.md"
    page.write_text("words\n<!-- share -->\nold\n<!-- /share -->\nmore words\n")
    with pytest.raises(InputError, match="no block <!-- other -->"):
        write_page(page, [("share", result), ("other", result)])
    assert "old" in page.read_text()
    assert not (tmp_path / "figures").exists()
    write_page(page, [("share", result)])
    text = page.read_text()
    assert text.startswith("words\n<!-- share -->\n> half\n\n```\na table\nof two rows\n```\n")
    assert text.endswith("<!-- /share -->\nmore words\n")
    (tmp_path / "other.md").write_text("half: <!--= share t=1 value .1f --><!--/-->")
    assert write_page(page, [("share", result)]) == [tmp_path / "figures" / "share.csv"]
    assert page.read_text() == text
    assert (tmp_path / "other.md").read_text().endswith(">0.5<!--/-->")
    assert (tmp_path / "figures" / "share.csv").read_text() == "t,value\n1,0.5\n"


ROWS = [
    {"model": "root x0", "t": 20, "kept": 0.951, "kept_95": 0.012},
    {"model": "root x0", "t": 118, "kept": 0.5},
    {"model": "b", "t": 118, "kept": 0.7},
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("model=root_x0 t=20 kept .0f%", "95 ± 1 %"),
        ("model=root_x0 t~100 kept .1f", "0.5"),
        ("model=b kept .0fcm", "70 cm"),
        ("t=118 kept .2f", "0.60 ± 1.27"),  # Student's t of one degree of freedom, 12.706, times 0.1
    ],
)
def test_numbers_of_sentences_are_taken_from_tables(tmp_path, query, expected):
    Result("a", ROWS, "").save(tmp_path)
    sentence = f"it keeps <!--= a {query} -->?<!--/--> of it"
    filled = with_numbers(sentence, tmp_path)
    assert filled == f"it keeps <!--= a {query} -->{expected}<!--/--> of it"
    assert with_numbers(filled, tmp_path) == filled


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("model=c kept .0f", "no row has model=c"),
        ("size=1 kept .0f", "no column size"),
        ("t=20 lost .0f", "column lost"),
    ],
)
def test_numbers_that_are_not_there_are_reported(tmp_path, query, words):
    Result("a", ROWS, "").save(tmp_path)
    with pytest.raises(InputError, match=words):
        with_numbers(f"<!--= a {query} -->?<!--/-->", tmp_path)


@pytest.mark.parametrize("page", sorted(PAGE.parent.glob("*.md")), ids=lambda page: page.name)
def test_pages_have_the_numbers_of_their_tables(page):
    text = page.read_text(encoding="utf-8")
    assert with_numbers(text, PAGE.parent / FIGURES) == text
