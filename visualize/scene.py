"""A motion with its goals at one moment, as a camera sees it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guidance.goals import Goals
from motion_diffusion.motion import Motion
from visualize import style
from visualize.camera import NEAR, Camera
from visualize.canvas import Canvas
from visualize.figure import Solids, body, floor, outlines, rings, shadows
from visualize.marks import Arrow, Dots, Line, Link, Mark, Sign, Zone, marks_of

_TILES = np.arange(-13, 13)
_FADE = (4.0, 10.0)  # metres from the target: where the floor begins to fade, and where it is gone
_MANY = 12  # with more goals than this they are not labelled


@dataclass(frozen=True)
class Scene:
    """joints: (frames, 22, 3) metres, at `fps` frames a second; marks: the goals to draw with them."""

    joints: NDArray
    fps: float
    text: str = ""
    marks: Sequence[Sign] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        return (len(self.joints) - 1) / self.fps

    @property
    def places(self) -> NDArray:
        """(n, 3) everywhere that the pelvis goes and the marks are, metres."""
        marks = [mark.places(self.joints, self.fps) for mark in self.marks]
        return np.concatenate([self.joints[:, 0], *marks])

    def at(self, time: float) -> NDArray:
        """(22, 3) joints at `time` seconds, straight between the frames on either side, held at the ends."""
        place = float(np.clip(time * self.fps, 0, len(self.joints) - 1))
        index = min(int(place), max(len(self.joints) - 2, 0))
        share = place - index
        return self.joints[index] * (1 - share) + self.joints[min(index + 1, len(self.joints) - 1)] * share


def scene_of(motion: Motion, goals: Goals | None) -> Scene:
    """A motion and its goals, ready to be drawn."""
    marks = [] if goals is None else marks_of(goals, seconds=motion.seconds)
    return Scene(motion.joints.detach().cpu().numpy(), motion.fps, motion.text, marks)


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


def due(mark: Sign, time: float | None) -> float:
    """0…1: how nearly the moment of a mark has come; 0 when it is a quarter of a second away or more."""
    if time is None:
        return 0.0
    return max(0.0, 1 - max(mark.time - time, time - mark.last, 0.0) / 0.25)


def balls(scene: Scene, time: float | None) -> Solids:
    """The marks in space, as balls in the colour of their joint's side; larger when they are due.

    Poses are small dots, and only when they are due or no moment is meant.
    """
    start, radii, joints = [], [], []
    for mark in scene.marks:
        if isinstance(mark, Mark) and not mark.on_floor and not mark.stays:
            start.append(mark.where(scene.joints, scene.fps)[None])
            radii.append(0.045 + 0.03 * due(mark, time))
            joints.append(mark.joint)
        elif isinstance(mark, Dots) and (time is None or due(mark, time)):
            start.append(mark.where(mark.time if time is None else time, scene.joints, scene.fps))
            radii += [0.028] * len(mark.joints)
            joints += mark.joints
    centres = np.concatenate(start).astype(np.float64) if start else np.zeros((0, 3))
    colours = np.array([style.rgb(style.side(joint)) for joint in joints]).reshape(-1, 3)
    return Solids(centres, centres, np.repeat(np.array(radii).reshape(-1, 1), 2, axis=1), colours)


def paint_links(canvas: Canvas, camera: Camera, scene: Scene, joints: NDArray, time: float, unit: float) -> None:
    """A line between two joints of a body (22, 3) while they should be at a distance from each other."""
    for mark in scene.marks:
        if isinstance(mark, Link) and due(mark, time):
            pixels, depth = camera.project(joints[list(mark.joints)].astype(np.float64))
            if depth.min() > NEAR:
                canvas.lines([pixels], style.GOAL_DUE, width=3 * unit, dashes=(1.5, 1.2))


def paint_solids(canvas: Canvas, camera: Camera, bodies: Solids, goals: Solids, unit: float) -> None:
    """Bodies and balls, the far ones first, each with a lighter side towards the light and a rim in light colour."""
    solids = bodies + goals
    shapes, depth = outlines(solids, camera)
    scale = camera.focal / np.maximum(depth, 0.1)
    shine = Solids(solids.start, solids.end, solids.radii * 0.5, solids.colours)
    bright, _ = outlines(shine, camera)
    bright = bright + (solids.radii.mean(axis=1) * scale)[:, None, None] * np.array([-0.22, 0.26])
    is_goal = np.arange(len(depth)) >= len(bodies.start)
    order = np.argsort(-depth)
    white = np.ones(3)
    corners = np.stack([shapes, bright], axis=1)[order].reshape(-1, *shapes.shape[1:])
    faces = np.stack([solids.colours, style.mix(solids.colours, white, 0.16)], axis=1)[order].reshape(-1, 3)
    rim = np.where(is_goal[:, None], style.rgb(style.GOAL), style.mix(solids.colours, white, 0.75))
    edges = np.stack([rim, style.mix(solids.colours, white, 0.16)], axis=1)[order].reshape(-1, 3)
    canvas.polygons(corners, faces, edges=edges, width=1.1 * unit)


def paint_scene(canvas: Canvas, camera: Camera, scene: Scene, time: float) -> None:
    """The whole picture of a moment: floor, shadow, the walk so far, goals, body, caption and clock."""
    unit = min(canvas.size) / 480
    joints = scene.at(time)
    figure, goals = body(joints), balls(scene, time)
    paint_floor(canvas, camera)
    canvas.polygons(shadows(figure, camera), style.SHADOW)
    canvas.polygons(shadows(goals, camera), style.SHADOW)
    walked = scene.joints[: int(time * scene.fps) + 1, 0]
    track = np.concatenate([walked, joints[:1]])[:, [0, 2]]
    paint_floor_marks(canvas, camera, scene, time, unit)
    paint_track(canvas, camera, track, colour=style.WALKED, width=2.2 * unit)
    paint_solids(canvas, camera, figure, goals, unit)
    paint_links(canvas, camera, scene, joints, time, unit)
    paint_labels(canvas, camera, scene, time, unit)
    paint_caption(canvas, scene.text, unit)
    paint_clock(canvas, scene, time, unit)


def paint_labels(canvas: Canvas, camera: Camera, scene: Scene, time: float, unit: float) -> None:
    """At each mark the second when it is due and, once that has passed, how far off the motion was."""
    placed = [mark for mark in scene.marks if isinstance(mark, Mark) and not mark.stays]
    for mark in placed if len(placed) <= _MANY else ():
        place = mark.where(scene.joints, scene.fps)
        if mark.on_floor:
            place[1] = 0.0
        pixel, depth = camera.project(place)
        if depth <= NEAR:
            continue
        words = f"{mark.time:.3g} s" if mark.last == mark.time else f"{mark.time:.3g}–{mark.last:.3g} s"
        if time > mark.last + 0.5 / scene.fps:
            words += f": {100 * mark.miss(scene.joints, scene.fps):.0f} cm off"
        under = mark.on_floor or pixel[1] > canvas.size[1] - 84 * unit  # above there is the caption
        away = 0.28 * np.sin(camera.elevation) if mark.on_floor else 0.09
        canvas.text(
            words,
            pixel + [0, (-1 if under else 1) * away * camera.focal / depth],
            size=11.5 * unit,
            colour=style.GOAL,
            across="center",
            up="top" if under else "bottom",
            bold=due(mark, time) > 0,
        )


def paint_caption(canvas: Canvas, text: str, unit: float) -> None:
    """A caption in the upper left corner, in up to three lines."""
    edge = 18 * unit
    for row, line in enumerate(textwrap.wrap(text, max(20, int((canvas.size[0] - 2 * edge) / (8.6 * unit))))[:3]):
        canvas.text(line, (edge, canvas.size[1] - edge - 21 * unit * row), size=16 * unit, up="top")


def paint_clock(canvas: Canvas, scene: Scene, time: float, unit: float) -> None:
    """The time, and a line of it with the moments of the goals, at the lower edge."""
    width, _ = canvas.size
    edge = 18 * unit
    left, right = edge + 52 * unit, width - edge
    canvas.text(f"{time:.1f} s", (edge, edge), size=13 * unit, up="center")

    def stretch(first: float, last: float, colour: str, thick: float) -> None:
        ends = [left + (right - left) * min(moment / max(scene.seconds, 1e-9), 1) for moment in (first, last)]
        canvas.lines([np.array([[ends[0], edge], [ends[1] + 0.5, edge]])], colour, width=thick * unit)

    stretch(0.0, scene.seconds, style.SHADOW, 3)
    stretch(0.0, time, style.WALKED, 3)
    for mark in scene.marks:
        if not isinstance(mark, Zone):
            stretch(mark.time, mark.last, style.GOAL, 8 if mark.last == mark.time else 1.5)
