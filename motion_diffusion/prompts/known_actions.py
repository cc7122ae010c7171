"""The actions, styles and words that a model was trained on, in `known.json` beside its config.json.

It is written from the training clips by the command that trains (`captions.vocabulary`). A model without the
file works like any other, and nothing is said about its prompts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from motion_diffusion.atomic_io import atomic, read_json
from motion_diffusion.errors import InputError

KNOWN = "known.json"

MAX_BYTES = 2**20
"""Size of the file; that of 150 actions has 90 kB."""
MAX_STYLES = 4
"""That a table names of an action."""


@dataclass(frozen=True)
class KnownStyle:
    """A style of an action, "elderly", and its hours."""

    name: str
    hours: float


@dataclass(frozen=True)
class KnownAction:
    """An action that was trained on."""

    name: str
    """In words: "raise up both hands"."""
    hours: float
    """Of the training clips, mirrored copies not counted."""
    example: str
    """A sentence that asks for it."""
    phrases: tuple[str, ...] = ()
    """Words that follow "a person"."""
    styles: tuple[KnownStyle, ...] = ()


@dataclass(frozen=True)
class Known:
    """Everything that a model was trained on, in words."""

    actions: tuple[KnownAction, ...]
    """The longest first."""
    words: tuple[str, ...]
    """Of the captions, in alphabetical order."""
    version: Literal[1] = 1

    @property
    def hours(self) -> float:
        """Of all actions."""
        return sum(action.hours for action in self.actions)

    def table(self) -> str:
        """A row for each action, in Markdown: minutes, an example, and the styles with their minutes."""
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
    """Styles with their minutes in one line, the commonest; empty if there are none."""
    some = [f"{style.name} {60 * style.hours:.1f}" for style in styles[:MAX_STYLES]]
    if more := len(styles) - len(some):
        some.append(f"and {more} more")
    return ", ".join(some)


def read_known(folder: Path) -> Known | None:
    """The known.json of a model's directory; None if it has none. InputError for one that is damaged."""
    path, remedy = folder / KNOWN, "remove it, or make it again with python -m data_loaders known"
    if not path.is_file():
        return None
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} has {size / 2**20:.1f} MB, more than {MAX_BYTES // 2**20}; {remedy}")
    return read_json(path, Known, remedy)
