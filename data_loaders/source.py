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


def stamp(name: str, files: Iterable[Path], version: int) -> str:
    """A digest of which files there are, their sizes and times: the name of what was read from them."""
    listing = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(files)]
    digest = hashlib.sha256("\n".join([str(version), *listing]).encode())
    return f"{name}-{digest.hexdigest()[:16]}"
