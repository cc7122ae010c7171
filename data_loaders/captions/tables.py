"""Captions of a folder of motions: a CSV file for all of them, or a text file beside each.

The first line of a CSV file names its columns, in any order: `file` and `text`, and as wanted `start` and `end`
(seconds of the file that the text is about), `split` (train, val or test), `action` and `style`. A file with several
captions has several lines.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import get_args

from data_loaders.types import Caption, Split
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError

REQUIRED = ("file", "text")

COLUMNS = (*REQUIRED, "start", "end", "split", "action", "style")

GUESSES = 10
"""Problems that guess which clip was meant, which takes up to a second among thousands of clips."""


@dataclass(frozen=True)
class Annotation:
    """What the captions' file says of one clip."""

    captions: tuple[Caption, ...] = ()
    split: Split | None = None
    action: str = ""
    style: str = ""

    def updated(self, other: Annotation) -> Annotation:
        """These, with what the other says in place of what it does not leave out."""
        return Annotation(
            other.captions or self.captions,
            other.split or self.split,
            other.action or self.action,
            other.style or self.style,
        )

    def check(self, path: Path, frames: int) -> None:
        """InputError, with the file's name, if a caption is about a part that a clip of so many frames does not have.

        Half a second more than there is counts as its end.
        """
        seconds = frames / FPS
        for caption in self.captions:
            if caption.start >= seconds or caption.end > seconds + 0.5:
                part = f"{caption.start:g} to {caption.end:g} s" if caption.end else f"{caption.start:g} s and on"
                raise InputError(
                    f"{path}: a caption is about {part}, but it lasts {seconds:g} s; give seconds as start and end"
                )


def read_caption_table(path: Path, names: Collection[str]) -> tuple[dict[str, Annotation], list[str]]:
    """What a CSV file says of the clips with these names, by name; and the lines that cannot be used, with the reason.

    names: relative paths without their ending, "walks/fast". The file may give the ending too, or the last part alone
    if no other clip has it. Raises FileNotFoundError, or InputError for a file that is no such table at all.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no captions file {path}; give a CSV file with the columns file,text")
    by_last: dict[str, list[str]] = {}
    for name in sorted(names):
        by_last.setdefault(PurePosixPath(name).name, []).append(name)
    labels: dict[str, Annotation] = {}
    captions: dict[str, list[Caption]] = {}
    problems: list[str] = []
    for line, header, fields in _lines(path):
        try:
            row = _row(header, fields)
            name = _clip(row["file"], names, by_last, guess=len(problems) < GUESSES)
            caption = _caption(row)
            labels[name] = _labelled(labels.get(name, Annotation()), row)
            captions.setdefault(name, []).append(caption)
        except InputError as error:
            problems.append(f"{path}: line {line}: {error}")
    return {name: replace(labels[name], captions=tuple(some)) for name, some in captions.items()}, problems


def missing_annotations(clips: Sequence[tuple[Path, Annotation, Split]], captions: str, where: str) -> list[str]:
    """Clips without captions, and parts without clips, as one problem a line.

    clips: the file, what is said of it, and its part. captions: the file or folder that says which clip is in which
    part. where: where captions were looked for, for the lines, such as "in a .txt file beside it".
    """
    lines = [f"{path}: no caption {where}; write one" for path, told, _ in clips if not told.captions]
    parts = {split for _, told, split in clips if told.captions}
    for split in get_args(Split):
        if split not in parts:
            lines.append(
                f"{captions}: no clip with captions is in the part {split}; "
                "say in a column split of --captions which clips are train, val and test"
            )
    return lines


def read_caption_file(path: Path) -> Annotation:
    """The captions in a text file, one a line. Raises InputError for one without any."""
    try:
        lines = [" ".join(line.split()) for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
    captions = tuple(Caption(line) for line in lines if line)
    if not captions:
        raise InputError(f"{path}: no caption in it; write one a line")
    return Annotation(captions)


def _lines(path: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    """The rows of a table: the line that each begins in, the names of the columns, and its values."""
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header: list[str] = []
            for fields in reader:
                if header and fields:
                    yield line, header, fields
                elif fields:
                    header = _header(path, fields)
                line = reader.line_num + 1
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: line {line}: {error}; check its quotes and commas") from None
    if not header:
        raise InputError(f"{path}: is empty; its first line should be file,text")


def _header(path: Path, fields: list[str]) -> list[str]:
    """The columns' names, checked."""
    names = [field.strip().lower() for field in fields]
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(f"{path}: line 1: no column {' and '.join(missing)}; name the columns file,text, with commas")
    for name in names:
        if name not in COLUMNS:
            close = get_close_matches(name, COLUMNS, n=1)
            guess = f", did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{path}: line 1: unknown column {name!r}{guess}; there are {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise InputError(f"{path}: line 1: column {name!r} is there twice; take one out")
    return names


def _row(header: list[str], fields: list[str]) -> Mapping[str, str]:
    """One row by column, white space made single."""
    if len(fields) != len(header):
        raise InputError(f"{len(fields)} values for {len(header)} columns; put texts with commas into quotes")
    values = [" ".join(field.split()) for field in fields]
    return dict.fromkeys(COLUMNS, "") | dict(zip(header, values, strict=True))


def _clip(file: str, names: Collection[str], by_last: Mapping[str, list[str]], *, guess: bool) -> str:
    """The name of the clip that a file's name means. guess: whether the error names the nearest if there is none."""
    given = PurePosixPath(file.replace("\\", "/"))
    for name in [
        str(given),
        *([str(given.with_suffix(""))] if given.suffix.lower() in (".bvh", ".npz", ".amc") else []),
    ]:
        alike = [name] if name in names else by_last.get(name, [])
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise InputError(f"{file!r} could be {' or '.join(alike)}; give its path")
    close = get_close_matches(name, names, n=1) if guess else ()
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    raise InputError(f"no clip {file!r}{meant}; correct the name or take the line out")


def _caption(row: Mapping[str, str]) -> Caption:
    """The caption of a row."""
    if not row["text"]:
        raise InputError("the text is empty; write a caption or take the line out")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if row["end"] and end <= start and (start or end):  # 0 and 0 are the whole, see Caption
        raise InputError(f"end {end:g} is not after start {start:g}; give seconds of the file")
    return Caption(row["text"], start, end)


def _labelled(told: Annotation, row: Mapping[str, str]) -> Annotation:
    """Labels of a clip with those of one more row."""
    split = row["split"] or None
    if split is not None and split not in get_args(Split):
        raise InputError(f"split {split!r}; choose from {', '.join(get_args(Split))}")
    for column, before in (("split", told.split), ("action", told.action), ("style", told.style)):
        if before and row[column] and before != row[column]:
            raise InputError(f"{column} {row[column]!r}, but {before!r} in a line before; a file has one")
    return Annotation(
        split=split or told.split,  # type: ignore[arg-type]
        action=row["action"] or told.action,
        style=row["style"] or told.style,
    )


def _seconds(row: Mapping[str, str], column: str) -> float:
    """A time; 0 if there is none."""
    try:
        seconds = float(row[column] or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"{column} {row[column]!r} is no time; give seconds of the file")
    return seconds
