"""Store: all clips of a data set in one memory-mapped file.

A store is a folder. `joints.npy`, (N, 22, 3) float32, contains the joints of all clips one after the other and is
memory-mapped. `clips.json` specifies the frames, captions, labels and part of the data set of each clip.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from time import process_time
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from tqdm.auto import tqdm

from data_loaders.captions.label_phrases import expand_labels
from data_loaders.cleaning.clean import CleanedClip, clean_clip, report_removed
from data_loaders.retarget import start_at_origin
from data_loaders.types import Caption, Clip, Entry, Source, Split
from data_loaders.workers import is_importing_main, map_in_processes, usable_cores
from motion_diffusion.atomic_io import atomic, read_json
from motion_diffusion.body.body_fit import fit_frames, fit_motion
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError

T = TypeVar("T")

MAX_LISTED = 10
"""Maximum number of broken clips named in an error message; `check` names all."""

TRIAL_SECONDS = 2.0
"""CPU seconds of reading in this process before worker processes are considered."""

SECONDS_PER_WORKER = 5.0
"""CPU seconds of reading that justify a worker process, which takes two or three seconds to import its modules."""


@dataclass(frozen=True)
class ClipRow:
    """Entry of a clip in clips.json."""

    name: str
    start: int
    frames: int
    split: Split
    captions: tuple[Caption, ...] = ()
    action: str = ""
    style: str = ""


@dataclass(frozen=True)
class StoreIndex:
    """Contents of clips.json."""

    data: str
    """Name of the data set."""
    mirrored: bool
    licence: str
    clips: tuple[ClipRow, ...]
    version: Literal[1] = 1


@dataclass(frozen=True, eq=False)
class StoredClip(Clip):
    """Clip whose joints are memory-mapped. Pickling transfers only the location of the joints."""

    file: Path = Path()
    start: int = 0

    def __reduce__(self) -> tuple:
        row = ClipRow(self.name, self.start, len(self.joints), self.split, self.captions, self.action, self.style)
        return _stored, (self.file, row)


def _stored(file: Path, row: ClipRow) -> StoredClip:
    joints = _mapped(file)[row.start : row.start + row.frames]
    return StoredClip(row.name, joints, row.split, row.captions, row.action, row.style, file, row.start)


@lru_cache(maxsize=8)
def _mapped(file: Path) -> NDArray[np.float32]:
    return np.lib.format.open_memmap(file, mode="r")  # never unpickles


@dataclass(frozen=True, eq=False)
class Store:
    """Clips of a prepared folder."""

    data: str
    mirrored: bool
    licence: str
    clips: tuple[Clip, ...]

    def of_split(self, split: Split) -> list[Clip]:
        """Clips of one part of the data set."""
        return [clip for clip in self.clips if clip.split == split]


def is_store(folder: Path) -> bool:
    """Whether a folder was made by `prepare` or `merge`."""
    return (folder / "clips.json").is_file()


def open_store(folder: str | Path) -> Store:
    """Open a store.

    Raises:
        FileNotFoundError: If its files are missing.
        InputError: If it has another version, is damaged, or contains two clips of the same name.
    """
    folder = Path(folder)
    path, file = folder / "clips.json", (folder / "joints.npy").resolve()
    for needed in (path, file):
        if not needed.is_file():
            raise FileNotFoundError(f"no file {needed}; make the store with python -m data_loaders prepare")
    again = "make it again with python -m data_loaders prepare"
    index = read_json(path, StoreIndex, again)
    try:
        joints = _mapped(file)
    except Exception as error:  # NumPy does not document its exceptions on damaged files
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(f"{file} is no .npy file, or damaged ({reason}); {again}") from None
    if joints.ndim != 3 or joints.shape[1:] != (len(JOINTS), 3) or joints.dtype != np.float32:
        raise InputError(f"{file} holds {joints.dtype} of shape {joints.shape}, no (N, 22, 3) of float32; {again}")
    if any(row.start < 0 or row.frames < 1 or row.start + row.frames > len(joints) for row in index.clips):
        raise InputError(f"{path} tells of frames that {file.name}, with {len(joints)}, does not have; {again}")
    if len({row.name for row in index.clips}) < len(index.clips):
        raise InputError(f"{path} has two clips of the same name; {again}")
    return Store(index.data, index.mirrored, index.licence, tuple(_stored(file, row) for row in index.clips))


def prepare(
    name: str,
    source: Source,
    folder: str | Path,
    *,
    skip_broken: bool = False,
    clean: bool = False,
    processes: int = 0,
) -> Store:
    """Read all clips of a source into a store. The folder appears once it is complete.

    Args:
        name: Name of the data set.
        source: The clips.
        folder: Folder to create.
        skip_broken: Leave out broken clips with a message instead of raising an error.
        clean: Remove defects and cut long takes, see `cleaning.clean`; what is removed is reported.
        processes: Number of worker processes; 0 chooses by the time that reading takes.

    Raises:
        InputError: If the folder exists, the source has problems or broken clips that are not skipped, or no clip is
            left.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} exists; give another --out, or remove it")
    if source.problems and not skip_broken:
        raise InputError(summarize_problems(list(source.problems)))
    with atomic(folder) as temporary:
        temporary.mkdir()
        with closing(
            _read_with_progress(_read_cleaned if clean else _read_prepared, source.entries, processes)
        ) as read:
            rows, broken = _write(report_removed(read, partial(tqdm.write, file=sys.stderr)), temporary)
        for line in broken if skip_broken else ():
            tqdm.write(f"skipped: {line}", file=sys.stderr)
        if broken and not skip_broken:
            raise InputError(summarize_problems(broken))
        if not rows:
            raise InputError(f"{name}: no clip could be read; see python -m data_loaders check")
        _write_index(temporary, name, source.mirrored, source.licence, rows)
    return open_store(folder)


def merge(folders: Sequence[str | Path], folder: str | Path) -> Store:
    """Merge stores into one named "mixed", whose clips are named after their data set: "cmu/02_01".

    Args:
        folders: The stores.
        folder: Folder to create.

    Raises:
        InputError: If the folder exists, only some stores contain mirrored copies, or two clips have the same name.
    """
    folder, stores = Path(folder), [open_store(each) for each in folders]
    if folder.exists():
        raise InputError(f"{folder} exists; give another --out, or remove it")
    if len({store.mirrored for store in stores}) > 1:
        raise InputError("some stores have mirrored copies of their clips and others have none; merge these apart")
    clips = [replace(clip, name=f"{store.data}/{clip.name}") for store in stores for clip in store.clips]
    if len({clip.name for clip in clips}) < len(clips):
        raise InputError("two clips have the same name; give each store once")
    with atomic(folder) as temporary:
        temporary.mkdir()
        rows, _ = _write(clips, temporary)
        licence = "; ".join(dict.fromkeys(store.licence for store in stores))
        _write_index(temporary, "mixed", stores[0].mirrored, licence, rows)
    return open_store(folder)


def read_all(entries: Iterable[Entry], processes: int = 0) -> Generator[Clip | str]:
    """Read the clips of a source in order, with a progress bar. Closing the generator ends the worker processes.

    Args:
        entries: The clips.
        processes: Number of worker processes; 0 chooses by the time that reading takes.

    Yields:
        Each clip, or a line that describes why it is broken.
    """
    return _read_with_progress(_read, entries, processes)


def _read_with_progress(read: Callable[[Entry], T], entries: Iterable[Entry], processes: int) -> Generator[T]:
    if is_importing_main():
        sys.exit(1)
    entries = list(entries)
    bar = tqdm(total=len(entries), desc="reading clips", unit="clip", disable=None)
    with bar, closing(_read_each(read, entries, processes)) as clips:
        for clip in clips:
            yield clip
            bar.update()


def _read_each(read: Callable[[Entry], T], entries: Sequence[Entry], processes: int) -> Generator[T]:
    """Read in this process until the remaining time justifies worker processes."""
    spent = 0.0
    for index, entry in enumerate(entries):
        left = len(entries) - index
        workers = processes
        if not processes and spent > TRIAL_SECONDS:
            workers = min(usable_cores(), int(left * spent / index / SECONDS_PER_WORKER))
        if workers > 1 and left > 1:
            yield from map_in_processes(read, entries[index:], workers)
            return
        began, threads = process_time(), torch.get_num_threads()
        torch.set_num_threads(1)  # clips are too small for several threads
        try:
            clip = read(entry)
        finally:
            torch.set_num_threads(threads)
        spent += process_time() - began
        yield clip


def _read_prepared(entry: Entry) -> Clip | str:
    clip = _read(entry)
    return clip if isinstance(clip, str) else prepare_clip(clip)


def _read_cleaned(entry: Entry) -> CleanedClip | str:
    """Read, clean and cut a clip, and prepare its pieces."""
    clip = _read(entry)
    if isinstance(clip, str):
        return clip
    cleaned = clean_clip(clip)
    return replace(cleaned, clips=tuple(prepare_clip(piece) for piece in cleaned.clips))


def prepare_clip(clip: Clip) -> Clip:
    """Fit this body to a clip (see `motion_diffusion.body.body_fit`) and replace label captions by sentences.

    The fit moves joints by some millimetres. Afterwards they are exactly representable by rotations of this body.
    """
    points = torch.from_numpy(np.array(clip.joints))
    body = fit_motion(points, fit_frames(points, FPS, rounds=3))
    return expand_labels(replace(clip, joints=start_at_origin(body.joints.numpy())))


def _read(entry: Entry) -> Clip | str:
    try:
        clip = entry.read()
    except (InputError, OSError) as error:
        return " ".join(str(error).split())
    if not np.isfinite(clip.joints).all():
        frame = int((~np.isfinite(clip.joints)).any((1, 2)).argmax())
        return f"{entry.name}: joints of frame {frame} are not all finite numbers; remove the clip or make it again"
    return clip


def _write(clips: Iterable[Clip | str], folder: Path) -> tuple[list[ClipRow], list[str]]:
    """Write joints.npy from a stream of clips; returns the rows of the index and the messages about broken clips."""
    rows, broken, total = [], [], 0
    with (folder / "joints.npy").open("wb") as file:
        _header(file, 0)
        for clip in clips:
            if isinstance(clip, str):
                broken.append(clip)
                continue
            file.write(np.ascontiguousarray(clip.joints, dtype=np.float32).tobytes())
            frames = len(clip.joints)
            rows.append(ClipRow(clip.name, total, frames, clip.split, clip.captions, clip.action, clip.style))
            total += frames
        file.seek(0)
        _header(file, total)
    return rows, broken


def _write_index(folder: Path, name: str, mirrored: bool, licence: str, rows: Iterable[ClipRow]) -> None:
    """Write clips.json, sorted by name."""
    index = StoreIndex(name, mirrored, licence, tuple(sorted(rows, key=lambda row: row.name)))
    (folder / "clips.json").write_bytes(TypeAdapter(StoreIndex).dump_json(index, indent=1, exclude_defaults=True))


def _header(file: object, frames: int) -> None:
    """Write the header of the .npy file. NumPy pads it, so it can be overwritten when the number of frames is known."""
    described = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": (frames, len(JOINTS), 3)}
    np.lib.format.write_array_header_1_0(file, described)  # type: ignore[arg-type]


def summarize_problems(lines: list[str]) -> str:
    """Join messages about broken clips into one line with the remedy."""
    more = f"; and {len(lines) - MAX_LISTED} more" if len(lines) > MAX_LISTED else ""
    remedy = "see python -m data_loaders check; python -m data_loaders prepare --skip-broken leaves them out"
    return f"{len(lines)} broken: " + " | ".join(lines[:MAX_LISTED]) + f"{more}; {remedy}"
