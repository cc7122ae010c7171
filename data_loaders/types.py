"""A clip of a data set: where the joints are, what is said about it, and to which part of the data it belongs."""

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
    """A sentence about a clip, or about a part of it."""

    text: str
    start: float = 0.0
    end: float = 0.0
    """Seconds of the clip that it is about; both 0: the whole of it (as in HumanML3D's files)."""
    tokens: tuple[str, ...] = ()
    """Its words with their part of speech, such as "walk/VERB", where the data set has them."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip.

    joints: (F, 22, 3) float32 metres, y up, 20 frames a second, from the origin, facing +z; the floor is y = 0.
    """

    name: str
    joints: NDArray[np.float32]
    split: Split = "train"
    captions: tuple[Caption, ...] = ()
    action: str = ""
    style: str = ""
    """Labels, where the data set has them: "walk-turn-left", "elderly"."""


def split_of(name: str) -> Split:
    """Which part a clip belongs to where the data set does not say, by a hash of its name: 90 %, 5 %, 5 %."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.9 else "val" if share < 0.95 else "test"


@dataclass(frozen=True)
class Example:
    """One clip. joints: (frames, 22, 3) float32, metres, y up, 20 frames a second; text: its caption."""

    joints: NDArray[np.float32]
    text: str


class Examples(Protocol):
    """A data set: any index from 0 on gives an example, always the same one."""

    def example(self, index: int) -> Example: ...

    def frames(self, index: int) -> int:
        """The length of `example(index)`; made, if there is no cheaper way to tell."""
        ...


class CachedExamples:
    """A data set whose last examples are kept, so that those asked for their length are not made twice."""

    def __init__(self, examples: Examples, count: int = 4096):
        self.examples, self.example = examples, lru_cache(count)(examples.example)

    def frames(self, index: int) -> int:
        """The length of `example(index)`."""
        return len(self.example(index).joints)


class Entry(Protocol):
    """One clip that can be read. Goes to other processes, so it is small and can be pickled."""

    @property
    def name(self) -> str:
        """The clip's name; no other entry of the source has it."""
        ...

    def read(self) -> Clip:
        """Read it. Raises InputError, in one line that names the file, what is wrong with it and what to do."""
        ...


@dataclass(frozen=True)
class Source:
    """The clips of a folder."""

    entries: Sequence[Entry]
    mirrored: bool
    """Whether the data set has left and right swapped copies itself, so that nothing need be mirrored."""
    licence: str
    """In one line, with what it is called; stands in the models that are trained on it."""
    files: Sequence[Path]
    """What the clips come from: if one changes its size or time, they are read anew."""
    problems: Sequence[str] = field(default=())
    """What is wrong with the folder beyond single clips, a line each: captions without a clip, missing splits."""


def files_by_name(root: Path, ending: str, what: str) -> dict[str, Path]:
    """The files under a folder with this ending, in any case, by their paths without it; hidden ones are left out.

    what: of the data set, for errors. Raises FileNotFoundError or InputError if there is no folder, no such file in
    it, or two that differ in the ending only.
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
    """A digest of which files there are, their sizes and times: the name of what was read from them."""
    listing = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(files)]
    digest = hashlib.sha256("\n".join([str(version), *listing]).encode())
    return f"{name}-{digest.hexdigest()[:16]}"


MIN_FPS, MAX_FPS = 1.0, 1000.0
"""Frames a second that motions from elsewhere may have; beyond, their files are damaged."""


def check_duration(path: Path, frames: int, fps: float, max_seconds: float | None) -> None:
    """InputError for a file that lasts longer than so many seconds, if these are given."""
    if max_seconds is not None and frames > max_seconds * fps * (1 + 1e-6):
        raise InputError(f"{path} lasts {frames / fps:.0f} s; give one of up to {max_seconds:g} s, or cut it")
