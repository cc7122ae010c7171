"""The CMU Graphics Lab Motion Capture Database: 2,605 trials of 144 subjects as ASF/AMC.

mocap.cs.cmu.edu; the database was created with funding from NSF EIA-0196217. A trial is `02/02_01.amc`, subject 02 and
trial 01, with the subject's skeleton `02/02.asf`, at 120 frames per second. Any part of the database can be used, and
other frame rates are an option.

Captions are read from an index in the folder: a file with "index" in its name that ends in .txt, .csv or .html, such as
cmu-mocap-index-text.txt. Its lines consist of a trial and its description, optionally below headings of subjects:

    Subject #2 (various expressions and human behaviors)
    02_01   walk

A trial whose description is missing or "Unknown" gets that of its subject.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_loaders.captions.tables import Annotation
from data_loaders.skeleton_files import DEFAULT_AMC_FPS
from data_loaders.skeleton_folders import SkeletonFolder, amc_source
from data_loaders.types import Caption, Source, files_by_name, split_of
from motion_diffusion.errors import InputError

LICENCE = "CMU Graphics Lab Motion Capture Database: free for all uses; the data itself may not be resold"

MAX_INDEX_BYTES = 2**24
"""Maximum size of an index in bytes; that of all trials has 70 kB."""

_TRIAL = re.compile(r"(\d{1,3})_(\d{1,3})")
_SUBJECT = re.compile(r"subject\s*#?\s*(\d{1,3})\W*\((.*)\)", re.IGNORECASE)
_ENDINGS = (".txt", ".tsv", ".csv", ".html", ".htm")


@dataclass(frozen=True)
class Cmu(SkeletonFolder):
    """The CMU motion capture database as ASF/AMC, all of it or a part."""

    data_root: Path
    """Folder with the .amc files and their skeletons, such as 02/02_01.amc and 02/02.asf, in any subfolders. Captions
    are read from an index of the trials in it, such as cmu-mocap-index-text.txt."""
    fps: float = DEFAULT_AMC_FPS
    """Frames per second of the files, which do not specify it."""

    def source(self) -> Source:
        """List all trials of the folder. A clip's name is its path without suffix; all trials of a subject are in one
        split.

        Raises:
            FileNotFoundError: If there is no such folder or captions file.
            InputError: If there are no trials, or an option's value or file is invalid.
        """
        named = files_by_name(self.data_root, "amc", "the CMU database, with files such as 02/02_01.amc")
        indices = sorted(
            path
            for path in self.data_root.rglob("*")
            if "index" in path.stem.lower() and path.suffix.lower() in _ENDINGS and path.is_file()
        )
        described: dict[tuple[int, int], str] = {}
        for path in indices:
            described = read_index(path) | described
        annotations, splits = {}, {}
        for name, path in named.items():
            trial = _TRIAL.fullmatch(path.stem)
            if trial and (text := described.get((int(trial[1]), int(trial[2])))):
                annotations[name] = Annotation((Caption(text),))
            subject = str(int(trial[1])) if trial else path.stem.partition("_")[0]
            splits[name] = split_of(f"CMU {subject}")
        return amc_source(
            self.data_root,
            named,
            annotations,
            splits,
            captions=self.captions,
            fps=self.fps,
            floor=self.floor,
            licence=LICENCE,
            files=indices,
        )


def read_index(path: Path) -> dict[tuple[int, int], str]:
    """Read descriptions of trials by subject and trial number.

    Raises:
        InputError: If the file is too large or no table.
    """
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size / 2**20:.0f} MB is no index of trials; move it elsewhere")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    trials: dict[tuple[int, int], str] = {}
    subject, about = 0, ""
    try:
        rows = list(_rows(text, path.suffix.lower()))
    except csv.Error as error:
        raise InputError(f"{path}: {error}; check its quotes and commas, or move it elsewhere") from None
    for words in rows:
        heading = _SUBJECT.match(" ".join(words))
        trial = _TRIAL.fullmatch(words[0].lower().removesuffix(".amc"))
        if heading:
            subject, about = int(heading[1]), _sentence(heading[2])
        elif trial:
            description = _sentence(words[1]) if len(words) > 1 else ""
            if description.lower() in ("", "unknown"):
                description = about if int(trial[1]) == subject else ""
            if description:
                trials.setdefault((int(trial[1]), int(trial[2])), description)
    return trials


def _rows(text: str, ending: str) -> Iterator[list[str]]:
    """Rows of an index as their first column and as many further columns as needed."""
    if ending == ".csv":
        rows = csv.reader(text.splitlines())
        yield from ([word.strip() for word in row] for row in rows if row and row[0].strip())
        return
    if ending in (".html", ".htm"):
        text = re.sub(r"(?i)<(?:/tr|/p|/h\d|/li|br)\b[^>]*>", "\0", " ".join(text.split()))
        text = html.unescape(re.sub(r"<[^>]*>", " ", text)).replace("\0", "\n")
    for line in text.splitlines():
        if words := line.split(maxsplit=1):
            yield words


def _sentence(text: str) -> str:
    """Description without file-name separators and trailing take numbers."""
    words = re.sub(r"[_\s]+", " ", text).strip()
    return re.sub(r"(?<=[A-Za-z])0\d\d$", "", words)
