"""Data types shared by all data sets: clips, training examples, and sources of clips that have not been read yet.

A data set is a dataclass with options and a method `source()`, which lists the clips of a folder without reading them
(`DataSet`, `Source`). `store.prepare` reads a source into clips (`Clip`), and the data sets for training turn clips
into examples of a bounded length (`Examples`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.errors import InputError

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Caption:
    """Sentence that describes a clip or a part of it."""

    text: str
    start: float = 0.0
    end: float = 0.0
    """Time span in seconds that the sentence describes; both 0 for the whole clip, as in HumanML3D's files."""
    tokens: tuple[str, ...] = ()
    """Words with part-of-speech tags, such as "walk/VERB", if the data set provides them."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Captured motion with its captions and labels.

    Attributes:
        name: Unique name within the data set.
        joints: (F, 22, 3) float32 joint positions in metres, y up, 20 frames per second. The first frame is at the
            origin and faces +z; the floor is at y = 0.
        split: Part of the data set that the clip belongs to.
        captions: Descriptions of the clip.
        action: Action label such as "walk-turn-left", empty if unknown.
        style: Style label such as "elderly", empty if unknown.
    """

    name: str
    joints: NDArray[np.float32]
    split: Split = "train"
    captions: tuple[Caption, ...] = ()
    action: str = ""
    style: str = ""


def split_of(name: str) -> Split:
    """Assign a clip to train, val or test (90 %, 5 %, 5 %) by a hash of its name, for data sets without official
    splits.
    """
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.9 else "val" if share < 0.95 else "test"


@dataclass(frozen=True)
class Example:
    """Training example: joints (F, 22, 3) float32 in metres, y up, 20 frames per second, and a caption."""

    joints: NDArray[np.float32]
    text: str


class Examples(Protocol):
    """Endless, deterministic sequence of training examples: an index of 0 or more always yields the same example."""

    def example(self, index: int) -> Example: ...

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`. May generate the example if there is no cheaper way."""
        ...


class CachedExamples:
    """Examples with an LRU cache, so that `frames` and `example` do not generate the same example twice."""

    def __init__(self, examples: Examples, count: int = 4096):
        self.examples, self.example = examples, lru_cache(count)(examples.example)

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`."""
        return len(self.example(index).joints)


class Entry(Protocol):
    """Clip that has not been read yet. Entries are sent to worker processes, so they are small and can be pickled."""

    @property
    def name(self) -> str:
        """Name of the clip, unique within its source."""
        ...

    def read(self) -> Clip:
        """Read the clip.

        Raises:
            InputError: In one line with the file, the problem and the remedy.
        """
        ...


@dataclass(frozen=True)
class Source:
    """Clips of a data set's folder, before they are read."""

    entries: Sequence[Entry]
    mirrored: bool
    """Whether the data set contains mirrored copies of its clips, so that mirroring is no augmentation."""
    licence: str
    """Name of the data set and its licence in one line; recorded in models trained on it."""
    files: Sequence[Path]
    """Files that the clips are read from. A change of their size or modification time invalidates the cache."""
    problems: Sequence[str] = field(default=())
    """One line per problem that concerns the whole folder, such as captions without a clip or missing splits."""


class DataSet(Protocol):
    """Options of a data set; the fields of implementations are options of the command line."""

    @property
    def data_root(self) -> Path: ...

    def source(self) -> Source: ...


def files_by_name(root: Path, ending: str, what: str) -> dict[str, Path]:
    """Find all files with a suffix below a folder.

    Args:
        root: The folder.
        ending: Suffix without dot, in lower case; files match regardless of case. Hidden files are ignored.
        what: Description of the data set for error messages.

    Returns:
        The files by their relative path without suffix, in order.

    Raises:
        FileNotFoundError: If there is no such folder.
        InputError: If it has no such file, or two files that differ only in the case of their suffix.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give --data-root the folder of {what}")
    pattern = "".join(f"[{letter}{letter.upper()}]" for letter in ending)
    paths = sorted(path for path in root.rglob(f"*.{pattern}") if path.name[0] != "." and path.is_file())
    if not paths:
        raise InputError(f"{root} has no .{ending} files; give --data-root the folder of {what}")
    named = {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}
    if len(named) < len(paths):
        twice = next(path for path in paths if path not in named.values())
        raise InputError(f"{twice} differs from another file in nothing but its ending; rename one")
    return named


def stamp(name: str, files: Iterable[Path], version: int) -> str:
    """Cache key of a data set: a digest of its files' paths, sizes and modification times, and of a version."""
    listing = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(files)]
    digest = hashlib.sha256("\n".join([str(version), *listing]).encode())
    return f"{name}-{digest.hexdigest()[:16]}"


MIN_FPS, MAX_FPS = 1.0, 1000.0
"""Range of frame rates in frames per second that are accepted in files; others indicate damage."""


def check_duration(path: Path, frames: int, fps: float, max_seconds: float | None) -> None:
    """Refuse a motion that is longer than the limit.

    Args:
        path: File of the motion, for the error message.
        frames: Number of frames.
        fps: Frames per second.
        max_seconds: Maximum duration; None for no limit.

    Raises:
        InputError: If the motion is longer.
    """
    if max_seconds is not None and frames > max_seconds * fps * (1 + 1e-6):
        raise InputError(f"{path} lasts {frames / fps:.0f} s; give one of up to {max_seconds:g} s, or cut it")
