"""Colours and fonts of all pictures.

Left is blue, right is orange, and goals are green: the colour-blind-safe hues of Okabe and Ito.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties, fontManager, get_font
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import JOINTS

BACKGROUND = "#f7f8fa"
TILE = "#e9ecf1"
SHADOW = "#ccd2dc"
INK = "#2b303b"
FAINT_INK = "#8b93a3"
WALKED = "#4c566a"
GOAL = "#009e73"
GOAL_DUE = "#00c893"
GOAL_PALE = "#b9e4d7"
OBSTACLE = "#b5659b"
LEFT = "#1f78c8"
RIGHT = "#e2711d"
MIDDLE = "#5b6478"
CLAY = "#dccabb"
"""Colour of bare skin (head and hands) on meshes whose body is drawn as a suit."""
TINTS = ("#16324f", "#c64a00", "#56a5dc", "#f0d24a")
"""Body colours of overlaid motions, from dark to light: distinguishable by luminance alone."""


def rgb(colour: str) -> NDArray[np.float64]:
    """Convert a colour name or hex code to red, green and blue in 0…1, shape (3,)."""
    return np.array(to_rgb(colour))


def mix(colour: NDArray[np.float64], other: NDArray[np.float64], share: NDArray[np.float64] | float) -> NDArray:
    """Blend two colours linearly.

    Args:
        colour: (..., 3), 0…1.
        other: (..., 3), 0…1.
        share: (...), 0…1: the weight of `other`. All arguments broadcast.
    """
    return colour + (other - colour) * np.asarray(share)[..., None]


def side_colour(joint: int) -> str:
    """Colour of the body side (left, right or middle) on which a joint lies."""
    name = JOINTS[joint]
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE


def suit_colours(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vertex colours of a mesh: the colour of its side, with bare neck, head and hands.

    Args:
        shares: (V, 22) skinning weight of every joint at every vertex.

    Returns:
        (V, 3) colours in 0…1.
    """
    bare = ("neck", "head", "left_wrist", "right_wrist")
    worn = np.array([rgb(CLAY if name in bare else side_colour(joint)) for joint, name in enumerate(JOINTS)])
    return mix(shares @ worn, np.ones(3), 0.1)


UNKNOWN = "?"
"""Replacement for characters that no installed font contains."""
_WANTED = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC",
    "Noto Sans KR", "Source Han Sans", "WenQuanYi Zen Hei", "IPAGothic", "Hiragino Sans", "PingFang SC",
    "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Devanagari",
    "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol",
)  # fmt: skip


@cache
def font_families() -> list[str]:
    """Installed font families in order of preference; a character is taken from the first one that contains it."""
    there = {font.name for font in fontManager.ttflist}
    return [name for name in _WANTED if name in there]


def printable(words: str, *, bold: bool = False) -> str:
    """Collapse whitespace and replace the characters that no installed font contains by `UNKNOWN`."""
    known = _known(bold)
    return "".join(letter if ord(letter) in known else UNKNOWN for letter in " ".join(words.split()))


@cache
def _known(bold: bool) -> frozenset[int]:
    weight = "bold" if bold else "normal"
    files = [fontManager.findfont(FontProperties(family=[name], weight=weight)) for name in font_families()]
    return frozenset(code for file in files for code in get_font(file).get_charmap())
