"""Uploads and downloads. File names are labels here, never paths.

Uploads are checked by the project's own readers, in a private folder that is removed afterwards.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import NESTED, explain
from guidance.goals.goal_set import Goal, GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError, parse_json
from motion_diffusion.safe_numpy import unpacked_size
from visualize.studio.generation import Take
from visualize.studio.job_queue import JobMonitor

MAX_UPLOAD_BYTES = 32 * 2**20
"""Maximum size of an upload."""
MAX_UNPACKED_BYTES = 256 * 2**20
"""Maximum uncompressed size of an .npz file."""
MAX_SECONDS = 180.0
"""Maximum duration of a motion."""


def safe_label(name: str) -> str:
    """Sanitised file name: its last component, with letters, digits, '.', '_' and '-' only."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("\\", "/").rsplit("/", 1)[-1])
    return plain.lstrip(".")[-80:] or "file"


def read_goals(content: bytes, motions: Mapping[str, Motion]) -> GoalSet:
    """Parse an uploaded goal file.

    Args:
        content: of the file.
        motions: loaded motions by label, from which poses that name a file are taken.

    Raises:
        InputError: with the goal, the field and the remedy.
    """
    _check_size(content)
    try:
        goals = GoalSet.model_validate(parse_json(content, NESTED))
    except ValidationError as error:
        raise InputError(explain(error)) from None
    except InputError as error:
        raise InputError(f"the file {error}") from None
    return goals.model_copy(
        update={"goals": [_resolve_pose(n, goal, motions) for n, goal in enumerate(goals.goals, 1)]}
    )


def _resolve_pose(number: int, goal: Goal, motions: Mapping[str, Motion]) -> Goal:
    """Replace a pose that names a file by the pose from a loaded motion."""
    if goal.kind != "pose" or goal.file is None:
        return goal
    name = safe_label(goal.file)
    if name not in motions:
        raise InputError(f"goal {number} (pose) takes its pose from {name}; load that motion first, then this file")
    with TemporaryDirectory() as folder:
        motions[name].save(Path(folder) / "pose.npz")
        return goal.model_copy(update={"file": "pose.npz"}).resolved(Path(folder), read_motion)


def read_upload(name: str, content: bytes) -> Motion:
    """Read an uploaded motion (.npz, .bvh, .npy).

    Raises:
        InputError: with the file's label and the remedy.
    """
    _check_size(content)
    name = safe_label(name)
    if name.lower().endswith(".npz"):
        _check_unpacked(name, content)
    if name.lower().endswith(".amc"):
        raise InputError(f"{name} needs its skeleton, an .asf file, beside it; load a .npz, .bvh or .npy")
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return read_motion(path, from_origin=True, max_seconds=MAX_SECONDS)
        except (InputError, OSError) as error:
            raise InputError(str(error).replace(f"{folder}/", "")) from None


def _check_size(content: bytes) -> None:
    if len(content) > MAX_UPLOAD_BYTES:
        raise InputError(f"the file has {len(content) / 2**20:.0f} MB; load up to {MAX_UPLOAD_BYTES // 2**20} MB")


def _check_unpacked(name: str, content: bytes) -> None:
    """Raise InputError for an archive that would exhaust memory."""
    try:
        size = unpacked_size(BytesIO(content))
    except zipfile.BadZipFile:
        return  # reported by the reader
    if size > MAX_UNPACKED_BYTES:
        raise InputError(f"{name} unpacks to {size / 2**20:.0f} MB; load up to {MAX_UNPACKED_BYTES // 2**20} MB")


def _write_npz(take: Take, path: Path, monitor: JobMonitor) -> None:
    take.motion.save(path)


def _write_export(take: Take, path: Path, monitor: JobMonitor) -> None:
    from visualize.export.formats import export

    export(take.motion, path)


def _write_film(take: Take, path: Path, monitor: JobMonitor) -> None:
    from visualize.film import write_film

    write_film(take.motion, path, goals=GoalSet(goals=list(take.plan.goals)), progress=monitor.step)


DOWNLOADS: dict[str, tuple[str, Callable[[Take, Path, JobMonitor], None]]] = {
    "Motion": (".npz", _write_npz),
    "BVH": (".bvh", _write_export),
    "GLB": (".glb", _write_export),
    "AMASS": ("-amass.npz", _write_export),
    "CSV": (".csv", _write_export),
    "Film": (".mp4", _write_film),
}
"""Downloads by label: suffix of the file name, and writer."""


def write_download(take: Take, kind: str, monitor: JobMonitor) -> tuple[str, bytes]:
    """Write a take as a file.

    Returns:
        File name and content.

    Raises:
        InputError: for an unknown kind, or a file that cannot be written.
        JobStopped: if the monitor stops the job between the frames of a film.
    """
    if kind not in DOWNLOADS:
        raise InputError(f"no {kind[:20]!r} to download; choose one of {', '.join(DOWNLOADS)}")
    ending, write = DOWNLOADS[kind]
    name = f"take-{take.number}{ending}"
    with TemporaryDirectory() as folder:
        write(take, Path(folder) / name, monitor)
        return name, (Path(folder) / name).read_bytes()
