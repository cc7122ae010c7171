"""A motion in one still: key poses with the goals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from visualize.bodies.mesh_renderer import MeshRenderer
from visualize.bodies.registry import Looks, Surface, surface_of
from visualize.drawing import style
from visualize.drawing.camera import Camera, fit, view_from
from visualize.drawing.canvas import Canvas
from visualize.drawing.film_frame import TOES, Actor, ground_of
from visualize.drawing.goal_targets import balls
from visualize.drawing.ground import paint_floor, paint_floor_marks, paint_prints, paint_track
from visualize.drawing.labels import EDGE, LINE, caption_lines, paint_caption, paint_labels
from visualize.drawing.stick_figure import Solids, body, faded, paint_solids, shadows
from visualize.scene import Scene, scene_of

ELEVATION, IN_A_ROW = np.radians(22), np.radians(12)
MOMENTS = 34
"""Units of height that the times of poses in a row take."""
_CLOSE, _APART = 0.3, 0.85  # metres from pose to pose: what is too little, and what it is then
_OVERHEAD = np.array([0, 0.2, 0])  # metres from the head's joint to its top


def draw_strip(
    motion: Motion,
    path: str | Path,
    *,
    goals: GoalSet | None = None,
    looks: Looks | None = None,
    title: str = "",
    poses: int = 8,
    size: tuple[int, int] = (1600, 640),
) -> None:
    """Draw `poses` moments of a motion along its way, with its goals, to a PNG of `size` pixels.

    The poses are spread evenly over the way; early ones are paler. Those of a motion without goals that stays where it
    is are spread over its time, and set in a row above their times. A motion of fewer frames has as many poses.
    """
    actor = Actor(scene_of(motion, goals, title=title), surface=surface_of(motion, looks or Looks(), fps=motion.fps))
    with atomic(path) as temporary:
        Image.fromarray(strip(actor, poses=poses, size=size)).save(temporary)


def strip(actor: Actor, *, poses: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture (height, width, 3) that draw_strip writes."""
    scene = actor.scene
    indices = key_frames(scene.joints, poses)
    poses = len(indices)
    azimuth, elevation = view_from(scene.joints, aside=70), ELEVATION
    apart = np.zeros((poses, 3))
    if stays(scene, poses):
        azimuth, elevation = view_from(scene.joints, aside=35), IN_A_ROW
        apart = in_a_row(scene.joints[indices, 0], azimuth)
        scene = replace(scene, prints=())
    joints = scene.joints[indices] + apart[:, None]
    goals = balls(scene, None)
    scale = 2  # painted larger and shrunk, for smooth edges
    big = (size[0] * scale, size[1] * scale)
    seen = [joints.reshape(-1, 3), joints[:, 15] + _OVERHEAD, goals.start]
    seen += [] if apart.any() else [scene.places * [1, 0, 1]]
    canvas, unit = Canvas(big), 1.35 * scale * min(size) / 640
    caption = caption_lines(canvas, scene.text, unit)
    words = (EDGE + LINE * (len(caption) + bool(scene.title))) * unit
    above, below = max(0.14, words / big[1]), 0.07 + (MOMENTS * unit / big[1] if apart.any() else 0)
    camera = fit(np.concatenate(seen), azimuth, big, elevation=elevation, above=above, below=below)
    ground = ground_of(camera, [actor])
    paleness = np.linspace(0, 0.62, poses)[::-1]
    bodies = [faded(body(pose), share) for pose, share in zip(joints, paleness, strict=True)]
    paint_floor(canvas, ground)
    for figure in (*bodies, goals):
        canvas.polygons(shadows(figure, ground), style.SHADOW)
    paint_prints(canvas, ground, scene, None)
    paint_floor_marks(canvas, ground, scene, None, unit)
    if apart.any():
        paint_moments(canvas, ground, joints, indices / scene.fps, unit)
    else:
        paint_track(canvas, ground, scene.joints[:, 0, [0, 2]], colour=style.WALKED, width=2.2 * unit)
    if actor.surface is None:
        paint_solids(canvas, camera, sum(bodies[1:], bodies[0]), goals, unit)
    else:
        vertices = [actor.surface.at(index / scene.fps) + move for index, move in zip(indices, apart, strict=True)]
        _paint_meshes(canvas, camera, actor.surface, vertices, paleness, goals)
    paint_labels(canvas, camera, [scene], np.inf, unit)
    paint_caption(canvas, caption, unit, title=scene.title)
    return np.asarray(Image.fromarray(canvas.image()).resize(size, Image.Resampling.LANCZOS))


def _paint_meshes(
    canvas: Canvas, camera: Camera, surface: Surface, poses: list[NDArray], paleness: NDArray, goals: Solids
) -> None:
    """A surface in several poses, each its vertices (V, 3), in colours that much paler."""
    count = len(surface.colours)
    faces = np.concatenate([surface.faces + count * pose for pose in range(len(poses))])
    colours = np.tile(surface.colours, (len(poses), 1))
    colours = style.mix(colours, style.rgb(style.BACKGROUND), paleness.repeat(count))
    renderer = MeshRenderer(faces, colours, canvas.size, smooth=1)
    renderer.paint(canvas, camera, np.concatenate(poses), goals)
    renderer.close()


def stays(scene: Scene, poses: int) -> bool:
    """Whether so many poses of a motion would stand in each other's place, and no goal says where they must be."""
    reach = np.linalg.norm(np.ptp(scene.joints[:, 0, [0, 2]], axis=0))
    return not scene.marks and poses > 1 and bool(reach < _CLOSE * (poses - 1))


def in_a_row(places: NDArray, azimuth: float) -> NDArray[np.float64]:
    """(n, 3) moves along the floor that set places (n, 3) in a row, left to right as seen from an azimuth."""
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    return _APART * np.arange(len(places))[:, None] * right - places * [1, 0, 1]


def paint_moments(canvas: Canvas, camera: Camera, poses: NDArray, times: NDArray, unit: float) -> None:
    """The seconds of poses (n, 22, 3) in a row, below their feet and shadows."""
    feet, _ = camera.project(poses[:, TOES].mean(axis=1) * [1, 0, 1])
    low = min(shadows(body(pose), camera)[..., 1].min() for pose in poses) - 6 * unit
    for (x, _), time in zip(feet, times, strict=True):
        canvas.text(f"{time:.1f} s", (x, max(low, 22 * unit)), size=13 * unit, across="center", up="top")


def key_frames(joints: NDArray, count: int) -> NDArray[np.int64]:
    """Up to `count` frames, all different, spread evenly over the way of the pelvis, with a little of the time in it,
    first and last too."""
    step = np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1)
    way = np.concatenate([[0.0], np.cumsum(step + 0.002)])
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], count) - 1e-9).clip(0, len(joints) - 1))
