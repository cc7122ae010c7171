"""Films of motions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, sqrt
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from guidance.goals import Goals
from motion_diffusion.files import atomic
from motion_diffusion.motion import Motion
from visualize import style
from visualize.camera import Camera, follow, view_from
from visualize.canvas import Canvas
from visualize.scene import Scene, paint_scene, scene_of


def pictures(scene: Scene, times: Sequence[float], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """A picture (height, width, 3) for each time in seconds, from a camera that follows the body."""
    canvas = Canvas(size)
    azimuth, targets = view_from(scene.joints), follow(scene.joints, scene.fps)
    clock = np.arange(len(targets)) / scene.fps
    reach = np.linalg.norm(np.ptp(scene.places[:, [0, 2]], axis=0))
    distance = 4.5 + 0.25 * min(float(reach), 8.0)  # the further the walk, the more of it is seen
    for time in times:
        target = np.array([np.interp(time, clock, axis) for axis in targets.T])
        canvas.clear()
        paint_scene(canvas, Camera(target, azimuth, distance, size), scene, time)
        yield canvas.image()


def write_film(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    *,
    goals: Goals | None = None,
    size: tuple[int, int] = (640, 480),
    fps: float | None = None,
) -> None:
    """Write a film (H.264 in mp4) of a motion with its goals, or of several side by side, all with the same goals.

    size: width and height in pixels of each motion's picture, even numbers. fps: pictures a second, by default the
    motion's own frames; other rates show the body in between them. A motion that ends before the others stands still.
    Shows a progress bar; holds one picture at a time in memory.
    Raises ValueError for a size or fps that cannot be.
    """
    several = [motions] if isinstance(motions, Motion) else list(motions)
    if not several:
        raise ValueError("no motion to film; give at least one")
    if any(side < 16 or side % 2 for side in size):
        raise ValueError(f"a film of {size[0]}x{size[1]} pixels cannot be made; give even numbers of at least 16")
    if fps is not None and not 1 <= fps <= 240:
        raise ValueError(f"a film of {fps:g} pictures a second cannot be made; give 1 to 240")
    scenes = [scene_of(motion, goals) for motion in several]
    rate = scenes[0].fps if fps is None else fps
    length = max(scene.seconds for scene in scenes)
    times = np.arange(int(length * rate + 1e-6) + 1) / rate
    columns = len(scenes) if len(scenes) <= 3 else ceil(sqrt(len(scenes)))
    rows = ceil(len(scenes) / columns)
    blank = np.full((size[1], size[0], 3), np.round(255 * style.rgb(style.BACKGROUND)), dtype=np.uint8)
    shots = [pictures(scene, times.tolist(), size) for scene in scenes]
    with atomic(path) as temporary, av.open(str(temporary), "w") as film:
        stream = film.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = columns * size[0], rows * size[1], "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20"}
        for views in tqdm(zip(*shots, strict=True), total=len(times), desc="film", unit="frame", leave=False):
            panels = [*views, *[blank] * (rows * columns - len(views))]
            rows_of = [np.concatenate(panels[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.concatenate(rows_of), format="rgb24")))
        film.mux(stream.encode())
