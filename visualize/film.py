"""Films of motions: frames of one or several bodies, written as MP4 (H.264) or GIF with PyAV.

Frames are rendered and encoded one after the other; memory does not grow with the film's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from data_loaders.types import MAX_FPS, MIN_FPS
from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from visualize.bodies.mesh_renderer import MeshRenderer
from visualize.bodies.surface import Looks, Surface, make_surface
from visualize.drawing import style
from visualize.drawing.camera import Camera, follow_targets, framing_distance, view_azimuth
from visualize.drawing.canvas import (
    MAX_SIDE_BY_SIDE,
    Canvas,
    caption_lines,
    check_count,
    grid_shape,
    paint_caption,
    paint_legend,
    paint_title,
    tile,
)
from visualize.drawing.layers import (
    goal_solids,
    paint_clock,
    paint_floor,
    paint_floor_goals,
    paint_footprints,
    paint_labels,
    paint_links,
    paint_track,
)
from visualize.drawing.stick_figure import Solids, paint_solids, shadows, stick_figure
from visualize.scene import Actor, Scene, floor_camera, make_scenes, recorded_goals

Layout = Literal["side", "overlay"]
MAX_MOTIONS: dict[Layout, int] = {"side": MAX_SIDE_BY_SIDE, "overlay": len(style.TINTS)}
"""Maximum number of motions in a film."""


def write_film(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    *,
    goals: GoalSet | Sequence[GoalSet] | None = None,
    titles: Sequence[str] | None = None,
    layout: Layout = "side",
    looks: Looks | None = None,
    size: tuple[int, int] = (640, 480),
    fps: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a film (.mp4 or .gif) of one or several motions.

    Args:
        motions: one or several.
        path: of the film; its suffix selects the format.
        goals: of all motions, or one set per motion.
        titles: one per motion; by default what distinguishes them.
        layout: "side" gives each motion a panel of its own, "overlay" puts all on one floor, each in its own tint, with
            the goals of the first.
        looks: the body; by default a stick figure.
        size: width and height of a panel in pixels, even numbers.
        fps: frames per second, by default that of the first motion. Other rates interpolate. A motion that ends before
            the others stands still.
        progress: called before each frame with the finished share, 0 to 1, instead of a progress bar. If it raises, no
            file is written.

    Raises:
        InputError: for a number of motions, size, frame rate or file name that is not possible.
    """
    several = [motions] if isinstance(motions, Motion) else list(motions)
    check_count(len(several), most=MAX_MOTIONS[layout])
    check_size(size)
    rate = min(several[0].fps, MAX_FILM_FPS.get(Path(path).suffix.lower(), np.inf)) if fps is None else fps
    check_film(path, rate)
    for motion in several:
        if not MIN_FPS <= motion.fps <= MAX_FPS:
            possible = f"{MIN_FPS:g} to {MAX_FPS:g}"
            raise InputError(f"a motion of {motion.fps:g} frames a second cannot be shown, {possible} can; convert it")
    tints = style.TINTS if layout == "overlay" else [None] * len(several)
    actors = [
        Actor(scene, tint, make_surface(motion, looks or Looks(), fps=rate))
        for motion, scene, tint in zip(several, make_scenes(several, goals, titles), tints, strict=False)
    ]
    panels = (
        [FrameRenderer(actors, size)] if layout == "overlay" else [FrameRenderer([actor], size) for actor in actors]
    )
    times = np.arange(int(max(actor.scene.seconds for actor in actors) * rate + 1e-6) + 1) / rate
    samples = render_frames(panels, np.linspace(0, times[-1], 5).tolist())
    rows, columns = grid_shape(len(panels))
    whole = (columns * size[0], rows * size[1])
    with ExitStack() as after:
        for panel in panels:
            after.callback(panel.close)
        if progress is None:
            steps: Iterable[float] = after.enter_context(tqdm(times.tolist(), desc="film", unit="frame", leave=False))
        else:
            steps = _reporting(times.tolist(), progress)
        encode(render_frames(panels, steps), path, size=whole, fps=rate, samples=samples)


def render(motion: Motion, path: str | Path) -> None:
    """Write a motion with the goals that it was generated with, as a film, a picture or a file for other programs.

    Args:
        motion: the motion.
        path: .mp4 or .gif for a film, .png for key poses, .bvh, .glb, .npz (AMASS layout) or .csv for other programs.
            An existing file is replaced.

    Raises:
        InputError: for another suffix, or if the goals of the motion are invalid.
    """
    from visualize.export.formats import ENDINGS, export
    from visualize.stills import draw_strip

    ending = Path(path).suffix.lower()
    if ending in ENDINGS:
        export(motion, path)
    elif ending == ".png":
        draw_strip(motion, path, goals=recorded_goals(motion))
    else:
        write_film(motion, path, goals=recorded_goals(motion))


def check_size(size: tuple[int, int]) -> None:
    """Raise InputError for a width and height in pixels that a film cannot have."""
    if any(side < 64 or side > 4096 or side % 2 for side in size):
        raise InputError(
            f"a film of {size[0]}x{size[1]} pixels cannot be made; give even numbers from 64 to 4096 (--size)"
        )


def _reporting(times: Sequence[float], progress: Callable[[float], None]) -> Iterator[float]:
    for k, time in enumerate(times):
        progress(k / len(times))
        yield time


def render_frames(panels: Sequence[FrameRenderer], times: Iterable[float]) -> Iterator[NDArray[np.uint8]]:
    """Render all panels side by side at each time in seconds, as pictures (height, width, 3)."""
    for time in times:
        yield tile([panel.render(time) for panel in panels])


_OVERHEAD = 0.25  # metres above the head joint that must be in the picture


class FrameRenderer:
    """Renders frames of one actor with its title, or of several with a legend; the goals are those of the first.

    The camera follows the mean pelvis. Either all actors have a surface or none has one.
    """

    def __init__(self, actors: Sequence[Actor], size: tuple[int, int]) -> None:
        """Choose the camera for all frames.

        Args:
            actors: one or several.
            size: width and height in pixels.
        """
        self._actors, self._canvas, self._unit = actors, Canvas(size), min(size) / 480
        self._surfaces = [actor.surface for actor in actors if actor.surface]
        self._mesh = _joined_mesh(self._surfaces, [actor.tint for actor in actors], size) if self._surfaces else None
        lead = max((actor.scene for actor in actors), key=lambda scene: scene.seconds)
        self._clock = np.arange(len(lead.joints)) / lead.fps
        joints = np.stack([[actor.scene.at(time) for time in self._clock] for actor in actors], axis=1)
        self._azimuth = view_azimuth(joints[:, 0])
        self._targets = follow_targets(joints.mean(axis=1), lead.fps)
        places = np.concatenate([actor.scene.visible_points[:, [0, 2]] for actor in actors])
        reach = float(np.linalg.norm(np.ptp(places, axis=0)))
        points = np.concatenate([joints, joints[:, :, 15:16] + [0, _OVERHEAD, 0]], axis=2).reshape(len(joints), -1, 3)
        least = 4.5 + 0.25 * min(reach, 8.0)  # a longer path is shown from farther away
        self._distance = framing_distance(points, self._targets, self._azimuth, size, least=least)

    def render(self, time: float) -> NDArray[np.uint8]:
        """Render the picture (height, width, 3) at `time` seconds."""
        target = np.array([np.interp(time, self._clock, axis) for axis in self._targets.T])
        camera = Camera(target, self._azimuth, self._distance, self._canvas.size)
        self._canvas.clear()
        self._paint(camera, time)
        return self._canvas.image()

    def close(self) -> None:
        """Free the mesh renderer; nothing can be rendered afterwards."""
        if self._mesh:
            self._mesh.close()

    def _paint(self, camera: Camera, time: float) -> None:
        canvas, unit, actors = self._canvas, self._unit, self._actors
        scenes = [actor.scene for actor in actors]
        poses = [scene.at(time) for scene in scenes]
        figures = [stick_figure(pose, actor.tint) for pose, actor in zip(poses, actors, strict=True)]
        goals, ground = goal_solids(scenes[0], time), floor_camera(camera, actors)
        paint_floor(canvas, ground)
        for figure in (*figures, goals):
            canvas.polygons(shadows(figure, ground), style.SHADOW)
        for actor in actors:
            paint_footprints(canvas, ground, actor.scene, time, tint=actor.tint)
        paint_floor_goals(canvas, ground, scenes[0], time, unit)
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
        """Paint the caption and the title or, for tinted bodies, a legend with the texts where these differ."""
        same = len({scene.text for scene in scenes}) == 1
        lines = caption_lines(self._canvas, scenes[0].text if same else "", self._unit)
        paint_caption(self._canvas, lines, self._unit)
        if any(actor.tint for actor in self._actors):
            titles = [scene.title if same else scene.full_title for scene in scenes]
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


def _joined_mesh(
    surfaces: Sequence[Surface], tints: Sequence[str | None], size: tuple[int, int], *, smooth: int = 2
) -> MeshRenderer:
    """Renderer of several surfaces together, each in its tint or its own colours."""
    starts = np.cumsum([0, *(len(surface.colours) for surface in surfaces)])
    faces = [surface.faces + start for surface, start in zip(surfaces, starts, strict=False)]
    colours = [
        np.tile(style.rgb(tint), (len(surface.colours), 1)) if tint else surface.colours
        for surface, tint in zip(surfaces, tints, strict=True)
    ]
    return MeshRenderer(np.concatenate(faces), np.concatenate(colours), size, smooth=smooth)


Picture = NDArray[np.uint8]
FILM_ENDINGS = (".mp4", ".gif")
MAX_FILM_FPS = {".mp4": 240.0, ".gif": 50.0}
"""Maximum frames per second by format: GIF times are in hundredths of a second, and viewers slow down below two."""


def check_film(path: str | Path, fps: float) -> str:
    """Check the name and the frame rate of a film.

    Returns:
        The path's suffix in lower case.

    Raises:
        InputError: for another suffix, or a rate that the format cannot have.
    """
    ending = Path(path).suffix.lower()
    if ending not in FILM_ENDINGS:
        raise InputError(f"{path}: a film ends in {' or '.join(FILM_ENDINGS)}; choose another name")
    if not 1 <= fps <= MAX_FILM_FPS[ending]:
        raise InputError(
            f"a {ending} of {fps:g} pictures a second cannot be made; give 1 to {MAX_FILM_FPS[ending]:g} (--fps)"
        )
    return ending


def encode(
    pictures: Iterable[Picture],
    path: str | Path,
    *,
    size: tuple[int, int],
    fps: float,
    samples: Iterable[Picture],
) -> None:
    """Encode pictures (height, width, 3) as a film, atomically.

    Args:
        pictures: frames in order.
        path: of the film; its suffix selects the format.
        size: width and height in pixels, even numbers.
        fps: frames per second.
        samples: a few of the frames, from which the palette of a GIF is computed.

    Raises:
        InputError: as `check_film`.
    """
    ending = check_film(path, fps)
    rate = Fraction(fps).limit_denominator(1001)
    with atomic(path) as temporary:
        if ending == ".mp4":
            _write_mp4(pictures, temporary, size, rate)
        else:
            _write_gif(pictures, temporary, size, rate, make_palette(list(samples)))


def _write_mp4(pictures: Iterable[Picture], path: Path, size: tuple[int, int], rate: Fraction) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=rate)
        stream.options = {
            "preset": "veryfast",
            "crf": "22",
            "x264-params": "mbtree=0",
        }  # mbtree makes the output non-deterministic
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for picture in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())


def _write_gif(
    pictures: Iterable[Picture], path: Path, size: tuple[int, int], rate: Fraction, palette: Image.Image
) -> None:
    """Write a GIF without dithering: colours are flat, and regions that do not change stay identical."""
    colours = np.full((256, 4), 255, dtype=np.uint8)  # alpha, red, green, blue
    listed = np.array(palette.getpalette(), dtype=np.uint8).reshape(-1, 3)
    colours[: len(listed), 1:] = listed
    with av.open(str(path), "w") as film:
        stream = film.add_stream("gif", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "pal8"
        for picture in pictures:
            indices = np.asarray(Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE))
            indexed: Any = (indices, colours)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(indexed, format="pal8")))
        film.mux(stream.encode())


def make_palette(samples: Sequence[Picture]) -> Image.Image:
    """Median-cut palette of 255 colours for pictures (height, width, 3); one entry is left for transparency."""
    return Image.fromarray(np.concatenate(samples)).quantize(255, method=Image.Quantize.MEDIANCUT)
