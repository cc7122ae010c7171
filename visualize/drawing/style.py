"""Colours and sizes that all pictures share. Left is blue, right is orange, goals are green (Okabe and Ito's hues,
told apart by colour-blind readers too)."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
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
"""Of the heads and hands of meshes that wear a suit."""

TINTS = ("#16324f", "#c64a00", "#56a5dc", "#f0d24a")
"""Of whole bodies that are seen together: dark to light, so that they are told apart without colours too."""


def rgb(colour: str) -> NDArray[np.float64]:
    """(3,) red, green and blue in 0…1."""
    return np.array(to_rgb(colour))


def mix(colour: NDArray[np.float64], other: NDArray[np.float64], share: NDArray[np.float64] | float) -> NDArray:
    """`colour` with `share` (0…1) of it replaced by `other`; the arguments broadcast, colours along the last axis."""
    return colour + (other - colour) * np.asarray(share)[..., None]


def side(joint: int) -> str:
    """The colour of a joint's side of the body."""
    name = JOINTS[joint]
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE


def suit(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V, 3) colours of a mesh whose joints carry shares (V, 22) of each vertex: those of the sides, but a bare head
    and bare hands."""
    bare = ("neck", "head", "left_wrist", "right_wrist")
    worn = np.array([rgb(CLAY if name in bare else side(joint)) for joint, name in enumerate(JOINTS)])
    return mix(shares @ worn, np.ones(3), 0.1)
