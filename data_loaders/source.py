"""What a folder of somebody's data holds: clips to be read one by one, and what is wrong with it. Reads nothing yet.

Every data set has a function that looks at its folder and gives a `Source`; `store.prepare` reads it into one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from data_loaders.clip import Clip
from motion_diffusion.errors import InputError


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
