"""Goals in space: balls where joints should be, and lines between those that should keep a distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import PARENTS
from visualize.drawing import style
from visualize.drawing.camera import NEAR, Camera
from visualize.drawing.canvas import Canvas
from visualize.drawing.goal_glyphs import Dots, Link, Mark, Sign
from visualize.drawing.stick_figure import Solids
from visualize.scene import Scene

_NOTHING = Solids(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3)))


def due(mark: Sign, time: float | None) -> float:
    """0…1: how nearly the moment of a mark has come; 0 when it is a quarter of a second away or more."""
    if time is None:
        return 0.0
    return max(0.0, 1 - max(mark.time - time, time - mark.last, 0.0) / 0.25)


def balls(scene: Scene, time: float | None) -> Solids:
    """The marks in space, as balls in the colour of their joint's side; larger when they are due.

    Poses are small dots, joined by thin bones where both ends of one are wanted, and only when they are due or no
    moment is meant.
    """
    parts = [_NOTHING]
    for mark in scene.marks:
        if isinstance(mark, Mark) and not mark.on_floor and not mark.stays:
            place = mark.where(scene.joints, scene.fps)[None]
            parts.append(_balls(place, 0.045 + 0.03 * due(mark, time), [mark.joint]))
        elif isinstance(mark, Dots) and (time is None or due(mark, time)):
            places = mark.where(mark.time if time is None else time, scene.joints, scene.fps)
            parts += [_balls(places, 0.028, mark.joints), _bones(places, mark.joints)]
    return sum(parts[1:], parts[0])


def _balls(centres: NDArray, radius: float, joints: Sequence[int]) -> Solids:
    colours = np.array([style.rgb(style.side(joint)) for joint in joints])
    return Solids(centres, centres, np.full((len(centres), 2), radius), colours)


def _bones(places: NDArray, joints: Sequence[int]) -> Solids:
    """Thin bones between those of some joints, at places (joints, 3), whose parent is among them too."""
    at = dict(zip(joints, places, strict=True))
    ends = [(at[PARENTS[joint]], place) for joint, place in at.items() if PARENTS[joint] in at]
    if not ends:
        return _NOTHING
    start, end = np.array(ends).swapaxes(0, 1)
    return Solids(start, end, np.full((len(ends), 2), 0.014), np.tile(style.rgb(style.GOAL), (len(ends), 1)))


def paint_links(canvas: Canvas, camera: Camera, scene: Scene, joints: NDArray, time: float, unit: float) -> None:
    """A line between two joints of a body (22, 3) while they should be at a distance from each other."""
    for mark in scene.marks:
        if isinstance(mark, Link) and due(mark, time):
            pixels, depth = camera.project(joints[list(mark.joints)].astype(np.float64))
            if depth.min() > NEAR:
                canvas.lines([pixels], style.GOAL_DUE, width=3 * unit, dashes=(1.5, 1.2))
