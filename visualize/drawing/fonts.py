"""Letters of other scripts: fonts that have them, where the machine has such, and a plain sign for those none has."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, fontManager, get_font

UNKNOWN = "?"
"""In place of a letter that no font has."""
_WANTED = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC",
    "Noto Sans KR", "Source Han Sans", "WenQuanYi Zen Hei", "IPAGothic", "Hiragino Sans", "PingFang SC",
    "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Devanagari",
    "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol",
)  # fmt: skip


@cache
def families() -> list[str]:
    """Those of the fonts wanted that there are; a letter is of the first that has it."""
    there = {font.name for font in fontManager.ttflist}
    return [name for name in _WANTED if name in there]


def written(words: str, *, bold: bool = False) -> str:
    """Words in letters that there are."""
    known = _known(bold)
    return "".join(letter if ord(letter) in known else UNKNOWN for letter in " ".join(words.split()))


@cache
def _known(bold: bool) -> frozenset[int]:
    weight = "bold" if bold else "normal"
    files = [fontManager.findfont(FontProperties(family=[name], weight=weight)) for name in families()]
    return frozenset(code for file in files for code in get_font(file).get_charmap())
