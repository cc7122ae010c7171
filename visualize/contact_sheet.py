"""Many motions on one sheet: key poses of each, with its name and caption."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from data_loaders.load_motion import ENDINGS, read_motion
from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError
from visualize.bodies.registry import Looks, surface_of
from visualize.drawing.film_frame import Actor
from visualize.drawing.mosaic import tiled
from visualize.drawing.titles import goals_of, names_of
from visualize.pose_strip import strip
from visualize.scene import scene_of

PER_PAGE = 24
"""Motions on a sheet, in two columns if there are more than four."""
_SIZE = (800, 340)
_POSES = 6
_GAP = 4  # pixels between two


def motion_files(given: Sequence[Path]) -> list[Path]:
    """The files of motions that are given, or are in folders that are, by name; InputError for a folder without any."""
    found: list[Path] = []
    for path in given:
        inside = [file for file in path.rglob("*") if file.suffix.lower() in ENDINGS] if os.path.isdir(path) else [path]
        if not inside:
            raise InputError(f"no motions in {path}; give a folder with {', '.join(ENDINGS)} files")
        found += sorted(inside, key=_in_order)
    return found


def _in_order(path: Path) -> list[tuple[int, str]]:
    """What to sort names by, so that 2 comes before 10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]


def draw_sheet(
    files: Sequence[Path],
    path: str | Path,
    *,
    goals: GoalSet | None = None,
    titles: Sequence[str] | None = None,
    looks: Looks | None = None,
    page: int = 1,
) -> str:
    """Draw a page of motions, `PER_PAGE` on each, to a PNG; what to say of it.

    goals: of all motions; by default those that each was made with. titles: by default the files' names.
    Only the page's files are read. Raises InputError for a page that there is not.
    """
    pages = -(-len(files) // PER_PAGE)
    if not 1 <= page <= pages:
        raise InputError(f"page {page}: {len(files)} motions are on {pages} page(s); give 1 to {pages}")
    names = list(titles) if titles is not None else names_of(files)
    shown = slice((page - 1) * PER_PAGE, page * PER_PAGE)
    named = list(zip(files, names, strict=True))[shown]
    with tqdm(named, desc="sheet", unit="motion", leave=False) as seen:
        thumbnails = [_thumbnail(file, name, goals, looks or Looks()) for file, name in seen]
    with atomic(path) as temporary:
        Image.fromarray(tiled(thumbnails, columns=1 if len(thumbnails) <= 4 else 2)).save(temporary)
    return f"{path}: {len(thumbnails)} of {len(files)} motions" + (f", page {page} of {pages}" if pages > 1 else "")


def _thumbnail(file: Path, name: str, goals: GoalSet | None, looks: Looks) -> NDArray[np.uint8]:
    motion = read_motion(file, own_rate=True, body_models=looks.body_models)
    scene = scene_of(motion, goals or goals_of(motion, file), title=name)
    picture = strip(Actor(scene, surface=surface_of(motion, looks, fps=motion.fps)), poses=_POSES, size=_SIZE).copy()
    picture[-_GAP:], picture[:, -_GAP:] = 255, 255
    return picture
