"""Layers of a picture of a scene: floor, footprints, goals with their labels, and the clock.

Times are in seconds; `time=None` draws a still, in which no moment is highlighted. `unit` is the number of pixels per
canvas unit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import PARENTS
from visualize.drawing import style
from visualize.drawing.camera import NEAR, Camera
from visualize.drawing.canvas import EDGE, Canvas
from visualize.drawing.goal_glyphs import (
    Glyph,
    HeadingGlyph,
    JointGlyph,
    ObstacleGlyph,
    PathGlyph,
    PoseGlyph,
    RelationGlyph,
    due_weight,
)
from visualize.drawing.stick_figure import Solids, capsule_outlines, circles, project_floor
from visualize.scene import Footprint, Scene

SHOWN = 120.0
"""Seconds for which footprints stay and goals are shown before and after they are due, so that a frame of a long film
takes no longer than one of a short film.
"""
_TILES = np.arange(-13, 13)
_FADE = (4.0, 10.0)  # metres from the target: start and end of the floor's fading


def paint_floor(canvas: Canvas, camera: Camera) -> None:
    """Paint a chequered floor of one-metre tiles that fades into the background."""
    middle = np.floor(camera.target[[0, 2]])
    x, z = np.meshgrid(_TILES + middle[0], _TILES + middle[1], indexing="ij")
    corners = np.stack([x, z], axis=-1)[(x + z) % 2 == 0][:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    away = np.linalg.norm(corners.mean(axis=1) - camera.target[[0, 2]], axis=-1) * 5.0 / max(camera.distance, 5.0)
    _, depth = camera.project(np.insert(corners, 1, 0.0, axis=-1))
    visible = (depth.min(axis=1) > NEAR) & (away < _FADE[1])
    fade = np.clip((away - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)[visible]
    canvas.polygons(
        project_floor(corners[visible], camera), style.mix(style.rgb(style.TILE), style.rgb(style.BACKGROUND), fade)
    )


def paint_track(
    canvas: Canvas, camera: Camera, points: NDArray, *, colour: str, width: float, dashes: Sequence[float] = ()
) -> None:
    """Paint a line along floor points (n, 2), x and z in metres."""
    pixels, depth = camera.project(np.insert(points.astype(np.float64), 1, 0.0, axis=-1))
    runs = np.split(pixels, np.flatnonzero(depth <= NEAR))
    canvas.lines([run for run in runs if len(run) > 1], colour, width=width, dashes=dashes)


def _begun(step: Footprint) -> float:
    return step.time


def _shown(scene: Scene, time: float | None) -> list[Glyph]:
    """The goals of a scene that are near in time."""
    return [glyph for glyph in scene.glyphs if time is None or glyph.time - SHOWN <= time <= glyph.last + SHOWN]


def paint_footprints(
    canvas: Canvas, camera: Camera, scene: Scene, time: float | None, *, tint: str | None = None
) -> None:
    """Paint the footprints up to now; those in contact are stronger.

    Args:
        canvas: where to paint.
        camera: of the floor.
        scene: whose footprints.
        time: seconds; None for all footprints.
        tint: their colour; by default that of each foot's side.
    """
    footprints = scene.footprints
    if time is not None:
        first = bisect_left(footprints, time - SHOWN, key=_begun)
        footprints = footprints[first : bisect_right(footprints, time + 1e-6, key=_begun)]
    if not footprints:
        return
    ball, heel = np.stack([step.ball for step in footprints]), np.stack([step.heel for step in footprints])
    _, depth = camera.project(np.insert(ball, 1, 0.0, axis=-1))
    away = ball - heel
    toe = ball + 0.05 * away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
    stands = np.array([time is not None and time <= step.last + 1e-6 for step in footprints])
    colours = np.array([style.rgb(tint or style.side_colour(step.toe)) for step in footprints])
    colours = style.mix(colours, style.rgb(style.BACKGROUND), np.where(stands, 0.35, 0.72))
    shapes = project_floor(capsule_outlines(heel, toe, np.tile([0.045, 0.055], (len(footprints), 1))), camera)
    canvas.polygons(shapes[depth > NEAR], colours[depth > NEAR])


def paint_floor_goals(canvas: Canvas, camera: Camera, scene: Scene, time: float | None, unit: float) -> None:
    """Paint goals on the floor: obstacles, paths, rings for way-points and arrows for headings."""
    glyphs = _shown(scene, time)
    for glyph in glyphs:
        if isinstance(glyph, ObstacleGlyph):
            paint_obstacle(canvas, camera, glyph, scene, time, unit)
    for glyph in glyphs:
        glow = due_weight(glyph, time)
        colour = style.GOAL_DUE if glow else style.GOAL
        if isinstance(glyph, PathGlyph):
            points = np.array(glyph.points, dtype=float)
            paint_track(canvas, camera, points, colour=style.GOAL_PALE, width=9 * unit)
            paint_track(canvas, camera, points, colour=style.GOAL, width=2.6 * unit, dashes=(2.2, 1.6))
            if time is not None and glyph.time <= time <= glyph.last:
                paint_ring(canvas, camera, glyph.at(time)[None], 0.13, 0.05, style.GOAL_DUE)
        elif isinstance(glyph, HeadingGlyph) and (glow or time is None):
            paint_heading(canvas, camera, glyph.where(scene.joints, scene.fps), glyph.ahead, colour, unit)
        elif isinstance(glyph, JointGlyph):
            place = glyph.where(scene.joints, scene.fps)[None, [0, 2]]
            if glyph.on_floor and not glyph.stays:
                paint_ring(canvas, camera, place, 0.20 + 0.06 * glow, 0.055, colour)
                paint_ring(canvas, camera, place, 0.05 + 0.09 * glow, 0.0, colour)
            elif glyph.stays:
                paint_ring(canvas, camera, place, 0.11 + 0.03 * glow, 0.03, colour)
            else:
                paint_ring(canvas, camera, place, 0.07, 0.02, style.GOAL)


def paint_obstacle(
    canvas: Canvas, camera: Camera, zone: ObstacleGlyph, scene: Scene, time: float | None, unit: float
) -> None:
    """Paint an obstacle where it is at `time`; in a still, at all its `moments`."""
    if time is not None and not zone.time - 1e-6 <= time <= zone.last + 1e-6:
        return
    for moment in zone.moments(scene.seconds) if time is None else [time]:
        outline = zone.outline(moment)
        _, depth = camera.project(np.insert(outline, 1, 0.0, axis=-1))
        if depth.min() > NEAR:
            face = style.mix(style.rgb(style.OBSTACLE), style.rgb(style.BACKGROUND), 0.45)
            edge = style.rgb(style.OBSTACLE)
            canvas.polygons(project_floor(outline, camera)[None], face[None], edges=edge[None], width=2 * unit)


def paint_heading(canvas: Canvas, camera: Camera, place: NDArray, ahead: NDArray, colour: str, unit: float) -> None:
    """Paint an arrow on the floor from `place` (2,) along the unit vector `ahead` (2,), both x and z."""
    aside = np.array([ahead[1], -ahead[0]])
    tip = place + HeadingGlyph.LENGTH * ahead
    wings = [tip - 0.14 * ahead + side * 0.1 * aside for side in (-1, 1)]
    for line in (np.stack([place + 0.25 * ahead, tip]), np.stack([wings[0], tip, wings[1]])):
        paint_track(canvas, camera, line, colour=colour, width=3.2 * unit)


def paint_ring(canvas: Canvas, camera: Camera, place: NDArray, radius: float, width: float, colour: str) -> None:
    """Paint a ring on the floor around `place` (1, 2); a disc if its width is 0."""
    _, depth = camera.project(np.array([place[0, 0], 0.0, place[0, 1]]))
    if depth > NEAR:
        outer = project_floor(circles(place, np.array([radius])), camera)[0]
        if width:
            inner = project_floor(circles(place, np.array([radius - width])), camera)[0]
            outer = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
        canvas.polygons(outer[None], colour)


_NOTHING = Solids(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3)))


def goal_solids(scene: Scene, time: float | None) -> Solids:
    """Joint targets as balls in the colour of the joint's side, larger when due.

    Poses are small balls, with thin bones between joints that both have a target; they are shown when due, and in
    stills.
    """
    parts = [_NOTHING]
    for glyph in _shown(scene, time):
        if isinstance(glyph, JointGlyph) and not glyph.on_floor and not glyph.stays:
            place = glyph.where(scene.joints, scene.fps)[None]
            parts.append(_balls(place, 0.045 + 0.03 * due_weight(glyph, time), [glyph.joint]))
        elif isinstance(glyph, PoseGlyph) and (time is None or due_weight(glyph, time)):
            places = glyph.where(glyph.time if time is None else time, scene.joints, scene.fps)
            parts += [_balls(places, 0.028, glyph.joints), _bones(places, glyph.joints)]
    return sum(parts[1:], parts[0])


def _balls(centres: NDArray, radius: float, joints: Sequence[int]) -> Solids:
    colours = np.array([style.rgb(style.side_colour(joint)) for joint in joints])
    return Solids(centres, centres, np.full((len(centres), 2), radius), colours)


def _bones(places: NDArray, joints: Sequence[int]) -> Solids:
    """Thin bones between joints at `places` (joints, 3) whose parent is among them."""
    at = dict(zip(joints, places, strict=True))
    ends = [(at[PARENTS[joint]], place) for joint, place in at.items() if PARENTS[joint] in at]
    if not ends:
        return _NOTHING
    start, end = np.array(ends).swapaxes(0, 1)
    return Solids(start, end, np.full((len(ends), 2), 0.014), np.tile(style.rgb(style.GOAL), (len(ends), 1)))


def paint_links(canvas: Canvas, camera: Camera, scene: Scene, joints: NDArray, time: float, unit: float) -> None:
    """Paint a line between the two joints of each relation that is due, on a body (22, 3)."""
    for glyph in _shown(scene, time):
        if isinstance(glyph, RelationGlyph) and due_weight(glyph, time):
            pixels, depth = camera.project(joints[list(glyph.joints)].astype(np.float64))
            if depth.min() > NEAR:
                canvas.lines([pixels], style.GOAL_DUE, width=3 * unit, dashes=(1.5, 1.2))


_MANY = 12  # more goals than this are not labelled


def paint_labels(canvas: Canvas, camera: Camera, scenes: Sequence[Scene], time: float, unit: float) -> None:
    """Label each joint target of the first scene with its time and, afterwards, with the error of every scene's motion.

    Labels that would overlap move aside.
    """
    lead = scenes[0]
    placed = [glyph for glyph in lead.glyphs if isinstance(glyph, JointGlyph) and not glyph.stays]
    size = 11.5 * unit
    taken: list[tuple[NDArray, NDArray]] = []
    for glyph in placed if len(placed) <= _MANY else ():
        place = glyph.where(lead.joints, lead.fps)
        if glyph.on_floor:
            place[1] = 0.0
        pixel, depth = camera.project(place)
        if depth <= NEAR:
            continue
        words = f"{glyph.time:.3g} s" if glyph.last == glyph.time else f"{glyph.time:.3g}–{glyph.last:.3g} s"
        if time > glyph.last + 0.5 / lead.fps:
            words += f": {miss_text(glyph, scenes)}"
        away = (0.28 * np.sin(camera.elevation) if glyph.on_floor else 0.09) * camera.focal / depth
        high, low = canvas.size[1] - 84 * unit, 44 * unit + size + away  # limits of caption and clock
        under = pixel[1] > high or (glyph.on_floor and pixel[1] > low)
        step = -1 if under else 1
        reach = np.array([0.6 * len(words), 1.3]) * size  # extent of the label
        at = pixel + [0, step * away]
        if 0 <= pixel[0] <= canvas.size[0]:  # keep the label of a visible goal in the picture
            at[0] = np.clip(at[0], reach[0] / 2, canvas.size[0] - reach[0] / 2)
        while any((np.abs(at - other) < (reach + extent) / 2).all() for other, extent in taken):
            at[1] += step * size / 2
        taken.append((at, reach))
        canvas.text(
            words,
            at,
            size=size,
            colour=style.GOAL,
            across="center",
            up="top" if under else "bottom",
            bold=due_weight(glyph, time) > 0,
        )


def miss_text(glyph: JointGlyph, scenes: Sequence[Scene]) -> str:
    """Errors of each scene's motion at a goal, with a dash where the motion ends before the goal."""
    if not any(scene.covers(glyph) for scene in scenes):
        return "beyond the end"
    miss = [f"{100 * glyph.miss(of.joints, of.fps):.0f}" if of.covers(glyph) else "–" for of in scenes]
    return f"{', '.join(miss)} cm off"


def paint_clock(canvas: Canvas, scene: Scene, time: float, unit: float) -> None:
    """Paint the time and a time line with the goals' intervals, on a pale band at the lower edge."""
    time = min(time, scene.seconds)
    width, _ = canvas.size
    edge = EDGE * unit
    band = np.array([[0, 0], [width, 0], [width, 1.6 * edge], [0, 1.6 * edge]])
    canvas.polygons(band[None], [*style.rgb(style.BACKGROUND), 0.8])
    left, right = edge + 52 * unit, width - edge
    canvas.text(f"{time:.1f} s", (edge, edge), size=13 * unit, up="center")

    def stretch(first: float, last: float, colour: str, thick: float) -> None:
        ends = [left + (right - left) * min(moment / max(scene.seconds, 1e-9), 1) for moment in (first, last)]
        canvas.lines([np.array([[ends[0], edge], [ends[1] + 0.5, edge]])], colour, width=thick * unit)

    stretch(0.0, scene.seconds, style.SHADOW, 3)
    stretch(0.0, time, style.WALKED, 3)
    for glyph in scene.glyphs:
        if not isinstance(glyph, ObstacleGlyph) and glyph.time <= scene.seconds + 0.5 / scene.fps:
            stretch(glyph.time, glyph.last, style.GOAL, 8 if glyph.last == glyph.time else 1.5)
