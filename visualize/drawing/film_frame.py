"""One picture of a film: bodies on one floor, with goals, words and clock, seen by a camera that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visualize.bodies.mesh_renderer import MeshRenderer
from visualize.bodies.registry import Surface
from visualize.drawing import style
from visualize.drawing.camera import Camera, follow, framing, view_from
from visualize.drawing.canvas import Canvas
from visualize.drawing.goal_targets import balls, paint_links
from visualize.drawing.ground import paint_floor, paint_floor_marks, paint_prints, paint_track
from visualize.drawing.labels import caption_lines, paint_caption, paint_clock, paint_labels, paint_legend, paint_title
from visualize.drawing.stick_figure import SOLE, Solids, body, paint_solids, shadows
from visualize.scene import Scene

TOES = (10, 11)
_SINKS = (-0.03, 0.1)
_OVERHEAD = 0.25  # metres from the head's joint up to what should be in the picture


@dataclass(frozen=True)
class Actor:
    """Who moves in a scene. tint: the colour of the whole body; without it, each side has its own. surface: its skin;
    without one, it is painted as capsules."""

    scene: Scene
    tint: str | None = None
    surface: Surface | None = None

    @property
    def sinks(self) -> float:
        """Metres by which its soles lie below y = 0 when it stands, negative above; a few centimetres at most."""
        level = float(np.quantile(self.scene.joints[:, TOES, 1].min(axis=1), 0.05))
        return float(np.clip((self.surface.sole if self.surface else SOLE) - level, *_SINKS))


def ground_of(camera: Camera, actors: Sequence[Actor]) -> Camera:
    """The camera through which to paint a floor that touches the actors' soles: skins differ in how thick these are."""
    return replace(camera, target=camera.target + [0, max(actor.sinks for actor in actors), 0])


def mesh_of(
    surfaces: Sequence[Surface], tints: Sequence[str | None], size: tuple[int, int], *, smooth: int = 2
) -> MeshRenderer:
    """What draws surfaces together, each in its tint or its own colours."""
    starts = np.cumsum([0, *(len(surface.colours) for surface in surfaces)])
    faces = [surface.faces + start for surface, start in zip(surfaces, starts, strict=False)]
    colours = [
        np.tile(style.rgb(tint), (len(surface.colours), 1)) if tint else surface.colours
        for surface, tint in zip(surfaces, tints, strict=True)
    ]
    return MeshRenderer(np.concatenate(faces), np.concatenate(colours), size, smooth=smooth)


class Panel:
    """Pictures of one actor with its title, or of several with a legend; the goals are those of the first.

    size: width and height in pixels. Surfaces are drawn for all actors or for none.
    """

    def __init__(self, actors: Sequence[Actor], size: tuple[int, int]) -> None:
        self._actors, self._canvas, self._unit = actors, Canvas(size), min(size) / 480
        self._surfaces = [actor.surface for actor in actors if actor.surface]
        self._mesh = mesh_of(self._surfaces, [actor.tint for actor in actors], size) if self._surfaces else None
        lead = max((actor.scene for actor in actors), key=lambda scene: scene.seconds)
        self._clock = np.arange(len(lead.joints)) / lead.fps
        joints = np.stack([[actor.scene.at(time) for time in self._clock] for actor in actors], axis=1)
        self._azimuth = view_from(joints[:, 0])
        self._targets = follow(joints.mean(axis=1), lead.fps)
        places = np.concatenate([actor.scene.places[:, [0, 2]] for actor in actors])
        reach = float(np.linalg.norm(np.ptp(places, axis=0)))
        points = np.concatenate([joints, joints[:, :, 15:16] + [0, _OVERHEAD, 0]], axis=2).reshape(len(joints), -1, 3)
        least = 4.5 + 0.25 * min(reach, 8.0)  # the further the walk, the more of it is seen
        self._distance = framing(points, self._targets, self._azimuth, size, least=least)

    def at(self, time: float) -> NDArray[np.uint8]:
        """The picture (height, width, 3) of a moment in seconds."""
        target = np.array([np.interp(time, self._clock, axis) for axis in self._targets.T])
        camera = Camera(target, self._azimuth, self._distance, self._canvas.size)
        self._canvas.clear()
        self._paint(camera, time)
        return self._canvas.image()

    def close(self) -> None:
        """Give back what draws its meshes; no more pictures can be had."""
        if self._mesh:
            self._mesh.close()

    def _paint(self, camera: Camera, time: float) -> None:
        canvas, unit, actors = self._canvas, self._unit, self._actors
        scenes = [actor.scene for actor in actors]
        poses = [scene.at(time) for scene in scenes]
        figures = [body(pose, actor.tint) for pose, actor in zip(poses, actors, strict=True)]
        goals, ground = balls(scenes[0], time), ground_of(camera, actors)
        paint_floor(canvas, ground)
        for figure in (*figures, goals):
            canvas.polygons(shadows(figure, ground), style.SHADOW)
        for actor in actors:
            paint_prints(canvas, ground, actor.scene, time, tint=actor.tint)
        paint_floor_marks(canvas, ground, scenes[0], time, unit)
        for actor, pose in zip(actors, poses, strict=True):
            walked = actor.scene.joints[: int(time * actor.scene.fps + 1e-6) + 1, 0]
            track = np.concatenate([walked, pose[:1]])[:, [0, 2]]
            paint_track(canvas, ground, track, colour=actor.tint or style.WALKED, width=2.2 * unit)
        self._paint_bodies(camera, figures, goals, time)
        paint_links(canvas, camera, scenes[0], poses[0], time, unit)
        paint_labels(canvas, camera, scenes, time, unit)
        paint_clock(canvas, max(scenes, key=lambda scene: scene.seconds), time, unit)
        self._paint_words(scenes)

    def _paint_words(self, scenes: Sequence[Scene]) -> None:
        """The caption, and the title or, in tints, a legend, which also says what each is if that is not the same."""
        same = len({scene.text for scene in scenes}) == 1
        lines = caption_lines(self._canvas, scenes[0].text if same else "", self._unit)
        paint_caption(self._canvas, lines, self._unit)
        if any(actor.tint for actor in self._actors):
            titles = [scene.title if same else scene.told for scene in scenes]
            entries = zip(titles, [actor.tint or style.MIDDLE for actor in self._actors], strict=True)
            paint_legend(self._canvas, list(entries), len(lines), self._unit)
        else:
            paint_title(self._canvas, scenes[0].title, self._unit)

    def _paint_bodies(self, camera: Camera, figures: Sequence[Solids], goals: Solids, time: float) -> None:
        if self._mesh:
            vertices = np.concatenate([surface.at(time) for surface in self._surfaces])
            self._mesh.paint(self._canvas, camera, vertices, goals)
        else:
            paint_solids(self._canvas, camera, sum(figures[1:], figures[0]), goals, self._unit)
