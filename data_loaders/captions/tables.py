"""Captions and labels of a folder of motions, from a CSV file for the folder or a text file beside each motion.

The first line of a CSV file names its columns in any order: `file` and `text`, and optionally `start` and `end` (time
span in seconds that the text describes), `split` (train, val or test), `action` and `style`. A file with several
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

import numpy as np
from numpy.typing import NDArray

from data_loaders.retarget import start_at_origin
from data_loaders.types import Caption, Clip, Split, split_of
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError

REQUIRED = ("file", "text")

COLUMNS = (*REQUIRED, "start", "end", "split", "action", "style")

MAX_GUESSES = 10
"""Maximum number of problems that suggest a similar name, which takes up to a second among thousands of clips."""


@dataclass(frozen=True)
class Annotation:
    """Captions and labels of a clip."""

    captions: tuple[Caption, ...] = ()
    split: Split | None = None
    action: str = ""
    style: str = ""

    def updated(self, other: Annotation) -> Annotation:
        """Annotation with the values of another one wherever these are set."""
        return Annotation(
            other.captions or self.captions,
            other.split or self.split,
            other.action or self.action,
            other.style or self.style,
        )

    def clip(self, path: Path, name: str, joints: NDArray[np.floating], split: Split | None = None) -> Clip:
        """Make a clip with these captions and labels.

        Args:
            path: File of the clip, for the error message.
            name: Name of the clip.
            joints: (F, 22, 3) in metres, y up, at 20 frames per second; moved to start at the origin, facing +z.
            split: Part of the data set; by default the annotated one, or by a hash of the name.

        Raises:
            InputError: With the file's name, if a caption's time span is not within the clip.
        """
        self.check(path, len(joints))
        split = split or self.split or split_of(name)
        return Clip(name, start_at_origin(joints), split, self.captions, self.action, self.style)

    def check(self, path: Path, frames: int) -> None:
        """Check that the captions' time spans are within the clip; half a second beyond its end is tolerated.

        Args:
            path: File of the clip, for the error message.
            frames: Number of frames at 20 frames per second.

        Raises:
            InputError: With the file's name.
        """
        seconds = frames / FPS
        for caption in self.captions:
            if caption.start >= seconds or caption.end > seconds + 0.5:
                part = f"{caption.start:g} to {caption.end:g} s" if caption.end else f"{caption.start:g} s and on"
                raise InputError(
                    f"{path}: a caption is about {part}, but it lasts {seconds:g} s; give seconds as start and end"
                )


def read_caption_table(path: Path, names: Collection[str]) -> tuple[dict[str, Annotation], list[str]]:
    """Read a CSV file of captions.

    Args:
        path: The CSV file.
        names: Names of the clips, relative paths without suffix such as "walks/fast". The table may contain the suffix,
            or only the last part of the path if it is unambiguous.

    Returns:
        Annotations by clip name, and a message for each line that is invalid.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: If the file is no table.
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
            name = _clip(row["file"], names, by_last, guess=len(problems) < MAX_GUESSES)
            caption = _caption(row)
            labels[name] = _labelled(labels.get(name, Annotation()), row)
            captions.setdefault(name, []).append(caption)
        except InputError as error:
            problems.append(f"{path}: line {line}: {error}")
    return {name: replace(labels[name], captions=tuple(some)) for name, some in captions.items()}, problems


def missing_annotations(clips: Sequence[tuple[Path, Annotation, Split]], captions: str, where: str) -> list[str]:
    """Messages about clips without captions, and about splits without captioned clips.

    Args:
        clips: File, annotation and split of each clip.
        captions: File or folder that defines the splits, for the messages.
        where: Place where captions were searched for, such as "in a .txt file beside it".
    """
    lines = [f"{path}: no caption {where}; write one" for path, annotation, _ in clips if not annotation.captions]
    parts = {split for _, annotation, split in clips if annotation.captions}
    for split in get_args(Split):
        if split not in parts:
            lines.append(
                f"{captions}: no clip with captions is in the part {split}; "
                "say in a column split of --captions which clips are train, val and test"
            )
    return lines


def read_caption_file(path: Path) -> Annotation:
    """Read a text file with one caption per line.

    Raises:
        InputError: If it contains no caption.
    """
    try:
        lines = [" ".join(line.split()) for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
    captions = tuple(Caption(line) for line in lines if line)
    if not captions:
        raise InputError(f"{path}: no caption in it; write one a line")
    return Annotation(captions)


def _lines(path: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    """Rows of a table: first line of the row, names of the columns, and values."""
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
    """Check and normalise the names of the columns."""
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
    """Values of a row by column, with normalised white space."""
    if len(fields) != len(header):
        raise InputError(f"{len(fields)} values for {len(header)} columns; put texts with commas into quotes")
    values = [" ".join(field.split()) for field in fields]
    return dict.fromkeys(COLUMNS, "") | dict(zip(header, values, strict=True))


def _clip(file: str, names: Collection[str], by_last: Mapping[str, list[str]], *, guess: bool) -> str:
    """Name of the clip that a value of the column `file` refers to. With `guess`, an error suggests a similar name."""
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
    """Caption of a row."""
    if not row["text"]:
        raise InputError("the text is empty; write a caption or take the line out")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if row["end"] and end <= start and (start or end):  # 0 and 0 denote the whole clip, see Caption
        raise InputError(f"end {end:g} is not after start {start:g}; give seconds of the file")
    return Caption(row["text"], start, end)


def _labelled(annotation: Annotation, row: Mapping[str, str]) -> Annotation:
    """Merge the labels of a row into those of previous rows."""
    split = row["split"] or None
    if split is not None and split not in get_args(Split):
        raise InputError(f"split {split!r}; choose from {', '.join(get_args(Split))}")
    for column, before in (("split", annotation.split), ("action", annotation.action), ("style", annotation.style)):
        if before and row[column] and before != row[column]:
            raise InputError(f"{column} {row[column]!r}, but {before!r} in a line before; a file has one")
    return Annotation(
        split=split or annotation.split,  # type: ignore[arg-type]
        action=row["action"] or annotation.action,
        style=row["style"] or annotation.style,
    )


def _seconds(row: Mapping[str, str], column: str) -> float:
    """Time in seconds; 0 for an empty value."""
    try:
        seconds = float(row[column] or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"{column} {row[column]!r} is no time; give seconds of the file")
    return seconds
