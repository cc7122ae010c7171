"""What HumanML3D's repository says of its clips: from which frames they are cut, and which are to train on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import get_args

from data_loaders.clip import Split
from data_loaders.humanml3d.dataset import UNUSABLE
from motion_diffusion.errors import InputError

CLONE = "clone EricGuo5513/HumanML3D"


@dataclass(frozen=True)
class Row:
    """A line of index.csv: a clip and where it comes from."""

    name: str
    recording: PurePosixPath
    """In AMASS, with the ending .npy of what HumanML3D's notebooks make of it: KIT/3/kick_high_left02_poses.npy."""
    start: int
    end: int

    @property
    def laboratory(self) -> str:
        """The folder of AMASS that it is in."""
        return self.recording.parts[0]


def read_index(path: Path) -> list[Row]:
    """The clips of index.csv. Raises FileNotFoundError, or InputError with the line for a file of another form."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {CLONE} and give its folder")
    rows: dict[str, Row] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for line in reader:
                source = PurePosixPath(line["source_path"])
                recording = source.relative_to("pose_data")
                start, end = int(line["start_frame"]), int(line["end_frame"])
                name = PurePosixPath(line["new_name"]).stem
                if len(recording.parts) < 2 or ".." in recording.parts or name in rows:
                    raise ValueError
                rows[name] = Row(name, recording, start, end)
        except (KeyError, TypeError, ValueError, csv.Error):
            where = f"{path}: line {reader.line_num}"
            columns = "source_path,start_frame,end_frame,new_name"
            raise InputError(f"{where} is not {columns} of a clip of its own; {CLONE} again") from None
    if not rows:
        raise InputError(f"{path} has no clip; {CLONE} again")
    return list(rows.values())


def read_splits(folder: Path, names: set[str]) -> tuple[dict[str, Split], list[str]]:
    """Which part each clip is in, and what is wrong with the lists. names: the clips there are, without mirror images.

    Raises FileNotFoundError or InputError for a list that is not there, or empty.
    """
    splits: dict[str, Split] = {}
    problems = []
    for split in get_args(Split):
        path = folder / f"{split}.txt"
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; {CLONE} again")
        listed = path.read_text(encoding="utf-8").split()
        if not listed:
            raise InputError(f"{path} is empty; {CLONE} again")
        for name in listed:
            if name.removeprefix("M") not in names:
                problems.append(f"{path}: {name} is not in index.csv; take it out")
            elif splits.setdefault(name, split) != split:
                problems.append(f"{path}: {name} is in {splits[name]}.txt too; take it out of one of them")
    problems += [
        f"clip {name} is in none of {folder}'s split files; write it into one"
        for row in sorted(names)
        for name in (row, f"M{row}")
        if name not in splits and name not in UNUSABLE
    ]
    return {name: split for name, split in splits.items() if name not in UNUSABLE}, problems
