"""What lies on the floor: tiles, footprints, the walk, and the goals that are places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visualize.drawing import style
from visualize.drawing.camera import NEAR, Camera
from visualize.drawing.canvas import Canvas
from visualize.drawing.goal_glyphs import Arrow, Line, Mark, Zone
from visualize.drawing.goal_targets import due
from visualize.drawing.stick_figure import capsules, floor, rings
from visualize.scene import Scene

_TILES = np.arange(-13, 13)
_FADE = (4.0, 10.0)  # metres from the target: where the floor begins to fade, and where it is gone


def paint_floor(canvas: Canvas, camera: Camera) -> None:
    """A chequered floor of one-metre tiles that fades into the background."""
    middle = np.floor(camera.target[[0, 2]])
    x, z = np.meshgrid(_TILES + middle[0], _TILES + middle[1], indexing="ij")
    corners = np.stack([x, z], axis=-1)[(x + z) % 2 == 0][:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    away = np.linalg.norm(corners.mean(axis=1) - camera.target[[0, 2]], axis=-1) * 5.0 / max(camera.distance, 5.0)
    _, depth = camera.project(np.insert(corners, 1, 0.0, axis=-1))
    seen = (depth.min(axis=1) > NEAR) & (away < _FADE[1])
    fade = np.clip((away - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)[seen]
    canvas.polygons(floor(corners[seen], camera), style.mix(style.rgb(style.TILE), style.rgb(style.BACKGROUND), fade))


def paint_track(
    canvas: Canvas, camera: Camera, points: NDArray, *, colour: str, width: float, dashes: Sequence[float] = ()
) -> None:
    """A line along points (n, 2), (x, z) in metres on the floor."""
    pixels, depth = camera.project(np.insert(points.astype(np.float64), 1, 0.0, axis=-1))
    runs = np.split(pixels, np.flatnonzero(depth <= NEAR))
    canvas.lines([run for run in runs if len(run) > 1], colour, width=width, dashes=dashes)


def paint_prints(canvas: Canvas, camera: Camera, scene: Scene, time: float | None, *, tint: str | None = None) -> None:
    """The footprints up to now, those of feet that stand now stronger; all of them if no time is given.

    tint: their colour; without it, that of each foot's side.
    """
    prints = [step for step in scene.prints if time is None or step.time <= time + 1e-6]
    if not prints:
        return
    ball, heel = np.stack([step.ball for step in prints]), np.stack([step.heel for step in prints])
    _, depth = camera.project(np.insert(ball, 1, 0.0, axis=-1))
    away = ball - heel
    toe = ball + 0.05 * away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
    stands = np.array([time is not None and time <= step.last + 1e-6 for step in prints])
    colours = np.array([style.rgb(tint or style.side(step.toe)) for step in prints])
    colours = style.mix(colours, style.rgb(style.BACKGROUND), np.where(stands, 0.35, 0.72))
    shapes = floor(capsules(heel, toe, np.tile([0.045, 0.055], (len(prints), 1))), camera)
    canvas.polygons(shapes[depth > NEAR], colours[depth > NEAR])


def paint_floor_marks(canvas: Canvas, camera: Camera, scene: Scene, time: float | None, unit: float) -> None:
    """Zones to stay out of, lines to walk, rings to stand in and arrows to face along.

    time: seconds, to show what moves where it is, and to highlight what is due; None: nothing is.
    """
    for mark in scene.marks:
        if isinstance(mark, Zone):
            paint_zone(canvas, camera, mark, scene, time, unit)
    for mark in scene.marks:
        glow = due(mark, time)
        colour = style.GOAL_DUE if glow else style.GOAL
        if isinstance(mark, Line):
            points = np.array(mark.points, dtype=float)
            paint_track(canvas, camera, points, colour=style.GOAL_PALE, width=9 * unit)
            paint_track(canvas, camera, points, colour=style.GOAL, width=2.6 * unit, dashes=(2.2, 1.6))
            if time is not None and mark.time <= time <= mark.last:
                ring(canvas, camera, mark.at(time)[None], 0.13, 0.05, style.GOAL_DUE)
        elif isinstance(mark, Arrow) and (glow or time is None):
            paint_arrow(canvas, camera, mark.where(scene.joints, scene.fps), mark.ahead, colour, unit)
        elif isinstance(mark, Mark):
            place = mark.where(scene.joints, scene.fps)[None, [0, 2]]
            if mark.on_floor and not mark.stays:
                ring(canvas, camera, place, 0.20 + 0.06 * glow, 0.055, colour)
                ring(canvas, camera, place, 0.05 + 0.09 * glow, 0.0, colour)
            elif mark.stays:
                ring(canvas, camera, place, 0.11 + 0.03 * glow, 0.03, colour)
            else:
                ring(canvas, camera, place, 0.07, 0.02, style.GOAL)


def paint_zone(canvas: Canvas, camera: Camera, zone: Zone, scene: Scene, time: float | None, unit: float) -> None:
    """An obstacle on the floor: where it is now while it is there; in a still, all the places where it comes."""
    if time is not None and not zone.time - 1e-6 <= time <= zone.last + 1e-6:
        return
    for moment in zone.moments(scene.seconds) if time is None else [time]:
        outline = zone.outline(moment)
        _, depth = camera.project(np.insert(outline, 1, 0.0, axis=-1))
        if depth.min() > NEAR:
            face = style.mix(style.rgb(style.OBSTACLE), style.rgb(style.BACKGROUND), 0.45)
            edge = style.rgb(style.OBSTACLE)
            canvas.polygons(floor(outline, camera)[None], face[None], edges=edge[None], width=2 * unit)


def paint_arrow(canvas: Canvas, camera: Camera, place: NDArray, ahead: NDArray, colour: str, unit: float) -> None:
    """An arrow on the floor from place (2,) along a unit vector (2,), both x and z."""
    aside = np.array([ahead[1], -ahead[0]])
    tip = place + Arrow.LENGTH * ahead
    wings = [tip - 0.14 * ahead + side * 0.1 * aside for side in (-1, 1)]
    for line in (np.stack([place + 0.25 * ahead, tip]), np.stack([wings[0], tip, wings[1]])):
        paint_track(canvas, camera, line, colour=colour, width=3.2 * unit)


def ring(canvas: Canvas, camera: Camera, place: NDArray, radius: float, width: float, colour: str) -> None:
    """A ring on the floor around place (1, 2), seen in perspective; a disc if its width is 0."""
    _, depth = camera.project(np.array([place[0, 0], 0.0, place[0, 1]]))
    if depth > NEAR:
        outer = floor(rings(place, np.array([radius])), camera)[0]
        if width:
            inner = floor(rings(place, np.array([radius - width])), camera)[0]
            outer = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
        canvas.polygons(outer[None], colour)
