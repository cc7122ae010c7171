"""Films of motions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_loaders.types import MAX_FPS, MIN_FPS
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from visualize.bodies.registry import Looks, surface_of
from visualize.drawing import style
from visualize.drawing.film_frame import Actor, Panel
from visualize.drawing.mosaic import ABREAST, check_count, grid, tiled
from visualize.encode import FASTEST, check, encode
from visualize.scene import scenes_of

Layout = Literal["side", "overlay"]
MAX_MOTIONS: dict[Layout, int] = {"side": ABREAST, "overlay": len(style.TINTS)}
"""Motions in a film."""


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
    """Write a film, .mp4 or .gif, of a motion with its goals, or of several.

    goals: of all motions, or of each. titles: of each; by default what tells them apart. layout: each in a picture of
    its own beside the others, or all on one floor, each in its own tint, with the goals of the first. looks: the body,
    by default capsules of flat colours. size: width and height in pixels of a picture, even numbers. fps: pictures a
    second, by default the first motion's own; other rates show the body in between its frames. A motion that ends
    before the others stands still. progress: is told before each picture what share of them is done, 0 to 1, in place
    of a bar on the terminal; if it raises, nothing is written. Holds one picture at a time in memory.
    Raises InputError for what cannot be made.
    """
    several = [motions] if isinstance(motions, Motion) else list(motions)
    check_count(len(several), most=MAX_MOTIONS[layout])
    check_size(size)
    rate = min(several[0].fps, FASTEST.get(Path(path).suffix.lower(), np.inf)) if fps is None else fps
    check(path, rate)
    for motion in several:
        if not MIN_FPS <= motion.fps <= MAX_FPS:
            possible = f"{MIN_FPS:g} to {MAX_FPS:g}"
            raise InputError(f"a motion of {motion.fps:g} frames a second cannot be shown, {possible} can; convert it")
    tints = style.TINTS if layout == "overlay" else [None] * len(several)
    actors = [
        Actor(scene, tint, surface_of(motion, looks or Looks(), fps=rate))
        for motion, scene, tint in zip(several, scenes_of(several, goals, titles), tints, strict=False)
    ]
    panels = [Panel(actors, size)] if layout == "overlay" else [Panel([actor], size) for actor in actors]
    times = np.arange(int(max(actor.scene.seconds for actor in actors) * rate + 1e-6) + 1) / rate
    samples = film(panels, np.linspace(0, times[-1], 5).tolist())
    rows, columns = grid(len(panels))
    whole = (columns * size[0], rows * size[1])
    with ExitStack() as after:
        for panel in panels:
            after.callback(panel.close)
        if progress is None:
            seen: Iterable[float] = after.enter_context(tqdm(times.tolist(), desc="film", unit="frame", leave=False))
        else:
            seen = _told(times.tolist(), progress)
        encode(film(panels, seen), path, size=whole, fps=rate, samples=samples)


def check_size(size: tuple[int, int]) -> None:
    """InputError for a width and height in pixels that no picture of a film has."""
    if any(side < 64 or side > 4096 or side % 2 for side in size):
        raise InputError(
            f"a film of {size[0]}x{size[1]} pixels cannot be made; give even numbers from 64 to 4096 (--size)"
        )


def _told(times: Sequence[float], progress: Callable[[float], None]) -> Iterator[float]:
    for k, time in enumerate(times):
        progress(k / len(times))
        yield time


def film(panels: Sequence[Panel], times: Iterable[float]) -> Iterator[NDArray[np.uint8]]:
    """The pictures (height, width, 3) of all panels side by side, one for each time in seconds."""
    for time in times:
        yield tiled([panel.at(time) for panel in panels])
