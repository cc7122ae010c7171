"""A motion in one still: key poses with the goals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidance.goals import Goals
from motion_diffusion.files import atomic
from motion_diffusion.motion import Motion
from visualize import style
from visualize.camera import fit, view_from
from visualize.canvas import Canvas
from visualize.figure import Solids, body, shadows
from visualize.scene import (
    Scene,
    balls,
    paint_caption,
    paint_floor,
    paint_floor_marks,
    paint_labels,
    paint_solids,
    paint_track,
    scene_of,
)

ELEVATION = np.radians(22)


def draw_strip(
    motion: Motion, path: str | Path, *, goals: Goals | None = None, poses: int = 8, size: tuple[int, int] = (1600, 640)
) -> None:
    """Draw `poses` moments of a motion along its way, with its goals, to a PNG of `size` pixels.

    The poses are spread evenly over the way, or over the time of a motion that stays where it is; early ones are paler.
    """
    scene = scene_of(motion, goals)
    with atomic(path) as temporary:
        Image.fromarray(strip(scene, poses=poses, size=size)).save(temporary)


def strip(scene: Scene, *, poses: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture (height, width, 3) that draw_strip writes."""
    indices = key_frames(scene.joints, poses)
    joints = scene.joints[indices]
    goals = balls(scene, None)
    scale = 2  # painted larger and shrunk, for smooth edges
    big = (size[0] * scale, size[1] * scale)
    everything = np.concatenate([joints.reshape(-1, 3), goals.start, scene.places * [1, 0, 1]])
    camera = fit(everything, view_from(scene.joints, aside=70), big, elevation=ELEVATION)
    canvas, unit = Canvas(big), 1.35 * scale * min(size) / 640
    bodies = [faded(body(pose), 0.62 * (1 - place / max(poses - 1, 1))) for place, pose in enumerate(joints)]
    paint_floor(canvas, camera)
    for figure in (*bodies, goals):
        canvas.polygons(shadows(figure, camera), style.SHADOW)
    paint_floor_marks(canvas, camera, scene, None, unit)
    paint_track(canvas, camera, scene.joints[:, 0, [0, 2]], colour=style.WALKED, width=2.2 * unit)
    paint_solids(canvas, camera, sum(bodies[1:], bodies[0]), goals, unit)
    paint_labels(canvas, camera, scene, np.inf, unit)
    paint_caption(canvas, scene.text, unit)
    return np.asarray(Image.fromarray(canvas.image()).resize(size, Image.Resampling.LANCZOS))


def faded(solids: Solids, share: float) -> Solids:
    """The same in paler colours."""
    colours = style.mix(solids.colours, style.rgb(style.BACKGROUND), share)
    return Solids(solids.start, solids.end, solids.radii, colours)


def key_frames(joints: NDArray, count: int) -> NDArray[np.int64]:
    """(count,) frames spread evenly over the way of the pelvis, with a little of the time in it, first and last too."""
    step = np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1)
    way = np.concatenate([[0.0], np.cumsum(step + 0.002)])
    return np.searchsorted(way, np.linspace(0, way[-1], count) - 1e-9).clip(0, len(joints) - 1)
