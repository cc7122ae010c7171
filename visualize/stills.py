"""Stills: a pose strip of one motion, and contact sheets of many."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from data_loaders.load_motion import ENDINGS, read_motion
from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import TOES
from motion_diffusion.errors import InputError
from visualize.bodies.mesh_renderer import MeshRenderer
from visualize.bodies.surface import Looks, Surface, make_surface
from visualize.drawing import style
from visualize.drawing.camera import Camera, fit_camera, view_azimuth
from visualize.drawing.canvas import EDGE, LINE, Canvas, caption_lines, paint_caption, tile
from visualize.drawing.layers import (
    goal_solids,
    paint_floor,
    paint_floor_goals,
    paint_footprints,
    paint_labels,
    paint_track,
)
from visualize.drawing.stick_figure import Solids, fade, paint_solids, shadows, stick_figure
from visualize.scene import Actor, Scene, floor_camera, make_scene, recorded_goals, short_names

STRIP_ELEVATION, ROW_ELEVATION = np.radians(22), np.radians(12)
TIMES_HEIGHT = 34
"""Height in canvas units of the row of times below poses set in a row."""
_CLOSE, _APART = 0.3, 0.85  # metres between poses: minimum along a path, and spacing in a row
_HEAD_TOP = np.array([0, 0.2, 0])  # metres from the head joint to the crown


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
    """Draw key poses of a motion along its path, with its goals, to a PNG.

    The poses are evenly spaced along the path; early ones are paler. A motion without goals that stays in place has its
    poses spaced in time and set in a row above their times.

    Args:
        motion: to draw.
        path: of the PNG.
        goals: to draw with it.
        looks: the body; by default a stick figure.
        title: above the caption.
        poses: number of poses; at most one per frame.
        size: width and height in pixels.
    """
    actor = Actor(
        make_scene(motion, goals, title=title), surface=make_surface(motion, looks or Looks(), fps=motion.fps)
    )
    with atomic(path) as temporary:
        Image.fromarray(render_strip(actor, poses=poses, size=size)).save(temporary)


def render_strip(actor: Actor, *, poses: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Render the picture (height, width, 3) that `draw_strip` writes."""
    scene = actor.scene
    indices = key_frames(scene.joints, poses)
    poses = len(indices)
    azimuth, elevation = view_azimuth(scene.joints, aside=70), STRIP_ELEVATION
    apart = np.zeros((poses, 3))
    if poses_overlap(scene, poses):
        azimuth, elevation = view_azimuth(scene.joints, aside=35), ROW_ELEVATION
        apart = row_offsets(scene.joints[indices, 0], azimuth)
        scene = replace(scene, footprints=())
    joints = scene.joints[indices] + apart[:, None]
    goals = goal_solids(scene, None)
    scale = 2  # supersampling factor
    big = (size[0] * scale, size[1] * scale)
    visible = [joints.reshape(-1, 3), joints[:, 15] + _HEAD_TOP, goals.start]
    visible += [] if apart.any() else [scene.visible_points * [1, 0, 1]]
    canvas, unit = Canvas(big), 1.35 * scale * min(size) / 640
    caption = caption_lines(canvas, scene.text, unit)
    words = (EDGE + LINE * (len(caption) + bool(scene.title))) * unit
    above, below = max(0.14, words / big[1]), 0.07 + (TIMES_HEIGHT * unit / big[1] if apart.any() else 0)
    camera = fit_camera(np.concatenate(visible), azimuth, big, elevation=elevation, above=above, below=below)
    ground = floor_camera(camera, [actor])
    paleness = np.linspace(0, 0.62, poses)[::-1]
    bodies = [fade(stick_figure(pose), share) for pose, share in zip(joints, paleness, strict=True)]
    paint_floor(canvas, ground)
    for figure in (*bodies, goals):
        canvas.polygons(shadows(figure, ground), style.SHADOW)
    paint_footprints(canvas, ground, scene, None)
    paint_floor_goals(canvas, ground, scene, None, unit)
    if apart.any():
        paint_times(canvas, ground, joints, indices / scene.fps, unit)
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
    """Paint a surface in several poses.

    Args:
        canvas: where to paint.
        camera: of the picture.
        surface: faces and colours.
        poses: vertices (V, 3) of each pose.
        paleness: (poses,) share of the background in each pose's colours.
        goals: balls to paint with them.
    """
    count = len(surface.colours)
    faces = np.concatenate([surface.faces + count * pose for pose in range(len(poses))])
    colours = np.tile(surface.colours, (len(poses), 1))
    colours = style.mix(colours, style.rgb(style.BACKGROUND), paleness.repeat(count))
    renderer = MeshRenderer(faces, colours, canvas.size, smooth=1)
    renderer.paint(canvas, camera, np.concatenate(poses), goals)
    renderer.close()


def poses_overlap(scene: Scene, poses: int) -> bool:
    """Whether `poses` poses of a motion would overlap, and no goal fixes their positions."""
    reach = np.linalg.norm(np.ptp(scene.joints[:, 0, [0, 2]], axis=0))
    return not scene.glyphs and poses > 1 and bool(reach < _CLOSE * (poses - 1))


def row_offsets(places: NDArray, azimuth: float) -> NDArray[np.float64]:
    """Offsets (n, 3) along the floor that arrange positions (n, 3) in a row, left to right as seen from an azimuth."""
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    return _APART * np.arange(len(places))[:, None] * right - places * [1, 0, 1]


def paint_times(canvas: Canvas, camera: Camera, poses: NDArray, times: NDArray, unit: float) -> None:
    """Paint the times of poses (n, 22, 3) in a row, below their feet and shadows."""
    feet, _ = camera.project(poses[:, TOES].mean(axis=1) * [1, 0, 1])
    low = min(shadows(stick_figure(pose), camera)[..., 1].min() for pose in poses) - 6 * unit
    for (x, _), time in zip(feet, times, strict=True):
        canvas.text(f"{time:.1f} s", (x, max(low, 22 * unit)), size=13 * unit, across="center", up="top")


def key_frames(joints: NDArray, count: int) -> NDArray[np.int64]:
    """Up to `count` distinct frames, first and last included, evenly spaced along the pelvis path, with a small weight
    on time."""
    step = np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1)
    way = np.concatenate([[0.0], np.cumsum(step + 0.002)])
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], count) - 1e-9).clip(0, len(joints) - 1))


MOTIONS_PER_PAGE = 24
"""Motions on one sheet, in two columns if there are more than four."""
_THUMBNAIL_SIZE = (800, 340)
_THUMBNAIL_POSES = 6
_THUMBNAIL_GAP = 4  # pixels between pictures


def motion_files(given: Sequence[Path]) -> list[Path]:
    """Resolve files and folders of motions to a list of files, sorted naturally within each folder.

    Raises:
        InputError: for a folder without motions.
    """
    found: list[Path] = []
    for path in given:
        inside = [file for file in path.rglob("*") if file.suffix.lower() in ENDINGS] if os.path.isdir(path) else [path]
        if not inside:
            raise InputError(f"no motions in {path}; give a folder with {', '.join(ENDINGS)} files")
        found += sorted(inside, key=_natural_key)
    return found


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort key under which 2 comes before 10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]


def draw_contact_sheet(
    files: Sequence[Path],
    path: str | Path,
    *,
    goals: GoalSet | None = None,
    titles: Sequence[str] | None = None,
    looks: Looks | None = None,
    page: int = 1,
) -> str:
    """Draw one page of `MOTIONS_PER_PAGE` motions to a PNG. Only the motions of that page are read.

    Args:
        files: of all motions.
        path: of the PNG.
        goals: of all motions; by default those that each was generated with.
        titles: one per file; by default the file names.
        looks: the body; by default a stick figure.
        page: counted from 1.

    Returns:
        A one-line summary.

    Raises:
        InputError: for a page that does not exist.
    """
    pages = -(-len(files) // MOTIONS_PER_PAGE)
    if not 1 <= page <= pages:
        raise InputError(f"page {page}: {len(files)} motions are on {pages} page(s); give 1 to {pages}")
    names = list(titles) if titles is not None else short_names(files)
    shown = slice((page - 1) * MOTIONS_PER_PAGE, page * MOTIONS_PER_PAGE)
    named = list(zip(files, names, strict=True))[shown]
    with tqdm(named, desc="sheet", unit="motion", leave=False) as progress:
        thumbnails = [_thumbnail(file, name, goals, looks or Looks()) for file, name in progress]
    with atomic(path) as temporary:
        Image.fromarray(tile(thumbnails, columns=1 if len(thumbnails) <= 4 else 2)).save(temporary)
    return f"{path}: {len(thumbnails)} of {len(files)} motions" + (f", page {page} of {pages}" if pages > 1 else "")


def _thumbnail(file: Path, name: str, goals: GoalSet | None, looks: Looks) -> NDArray[np.uint8]:
    motion = read_motion(file, own_rate=True, body_models=looks.body_models)
    scene = make_scene(motion, goals or recorded_goals(motion, file), title=name)
    picture = render_strip(
        Actor(scene, surface=make_surface(motion, looks, fps=motion.fps)), poses=_THUMBNAIL_POSES, size=_THUMBNAIL_SIZE
    ).copy()
    picture[-_THUMBNAIL_GAP:], picture[:, -_THUMBNAIL_GAP:] = 255, 255
    return picture
