"""The actions, styles and words that a model was trained on, stored as `known.json` beside its config.json.

The training command writes the file from the training clips. Models without it work as usual, and their prompts are not
checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from motion_diffusion.atomic_io import atomic, read_json
from motion_diffusion.errors import InputError

KNOWN = "known.json"

MAX_BYTES = 2**20
"""Maximum size of the file; with 150 actions it has 90 kB."""

MAX_STYLES = 4
"""Maximum number of styles listed per action in a table."""


@dataclass(frozen=True)
class KnownStyle:
    """A style of an action, e.g. "elderly", and the hours of it in the training clips."""

    name: str
    hours: float


@dataclass(frozen=True)
class KnownAction:
    """An action in the training clips."""

    name: str
    """For example "raise up both hands"."""
    hours: float
    """Hours of training clips, without mirrored copies."""
    example: str
    """A prompt for the action."""
    phrases: tuple[str, ...] = ()
    """Phrases that follow "a person"."""
    styles: tuple[KnownStyle, ...] = ()


@dataclass(frozen=True)
class Known:
    """All actions and words that a model was trained on."""

    actions: tuple[KnownAction, ...]
    """Sorted by hours, descending."""
    words: tuple[str, ...]
    """Words of the captions, sorted."""
    version: Literal[1] = 1

    @property
    def hours(self) -> float:
        """Hours of all actions."""
        return sum(action.hours for action in self.actions)

    def table(self) -> str:
        """A Markdown table of the actions: minutes, an example, and styles with their minutes."""
        head = ("action", "minutes", "for example", "styles, minutes of each")
        actions = [
            (action.name, f"{60 * action.hours:.1f}", action.example, in_words(action.styles))
            for action in self.actions
        ]
        widths = [max(map(len, column)) for column in zip(head, *actions, strict=True)]
        rows = [head, ["-" * width for width in widths], *actions]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
        )

    def write(self, folder: Path) -> None:
        """Write known.json into a model's directory."""
        with atomic(folder / KNOWN) as path:
            path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def in_words(styles: Sequence[KnownStyle]) -> str:
    """The most frequent styles with their minutes, in one line; empty without any."""
    some = [f"{style.name} {60 * style.hours:.1f}" for style in styles[:MAX_STYLES]]
    if more := len(styles) - len(some):
        some.append(f"and {more} more")
    return ", ".join(some)


def read_known(folder: Path) -> Known | None:
    """Read known.json of a model's directory; None if it has none. InputError if it is damaged."""
    path, remedy = folder / KNOWN, "remove it, or make it again with python -m data_loaders known"
    if not path.is_file():
        return None
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} has {size / 2**20:.1f} MB, more than {MAX_BYTES // 2**20}; {remedy}")
    return read_json(path, Known, remedy)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without digits: "T-pose" is "t" and "pose"."""
    return re.findall(r"[^\W\d_]+", text.lower().replace("'s", ""))
