"""Jobs files (JSON lines): requests for many motions, one per line.

    {"text": "a tired person walks", "goals": [{"kind": "waypoint", "time": 2, "x": 0.5, "z": 1.8}], "seconds": 4}
    {"text": "a person runs", "goals": "zigzag.json", "seed": 7, "name": "run-7"}
    {"goals": {"segments": [{"text": "a person walks", "seconds": 4}, {"text": "a person bows", "seconds": 2}]}}

Goals are a list, the content of a goal file, or the path of one; paths are relative to the folder of the jobs file.
Blank lines are skipped.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from tqdm.auto import tqdm

from data_loaders.load_motion import read_motion
from guidance.goals.base import Duration
from guidance.goals.goal_file import explain, load_goals
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.skeleton import frame_of
from motion_diffusion.errors import InputError, parse_json
from motion_diffusion.option_ranges import SEED
from sample.segments import frames_of

WINDOW = 32
"""Batches whose motions are sorted by length together, so that lengths in a batch are similar. Lines appended to a file
leave the windows before them unchanged."""

_DEVICES = r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?"
"""Reserved file names on Windows."""


def _is_a_file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?", name):
        raise ValueError(
            "should be a plain file name: up to 100 letters, digits, '.', '_' and '-', a letter or digit first, no '.' "
            "last"
        )
    if re.fullmatch(_DEVICES, name.lower()):
        raise ValueError(f"should be a file name on every system: {name!r} names a device on Windows; give another")
    return name


class _Line(BaseModel):
    """The fields of a line; its goals are checked separately."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = ""
    goals: Any = []
    seconds: Duration = 6.0
    seed: Annotated[int, Field(ge=SEED.least, le=SEED.most, strict=True)]
    name: Annotated[str, AfterValidator(_is_a_file_name)]


@dataclass(frozen=True)
class Job:
    """The request for a motion."""

    line: int
    """Number of its line, from 1."""
    text: str
    """Prompt; empty if the goals have segments."""
    goals: GoalSet
    frames: int
    seed: int
    name: str
    """File name of the result, without its ending."""

    @staticmethod
    def parse(line: bytes, number: int, folder: Path) -> Job:
        """Parse a line of a jobs file.

        Args:
            line: The line.
            number: Its number, from 1; the default seed and name.
            folder: Folder of the jobs file, to which paths of goal files are relative.

        Raises:
            InputError: The line is no job; the message names the field.
        """
        try:
            data = parse_json(line, "a job has a text and goals")
            if isinstance(data, dict):
                data = {"seed": number, "name": f"{number:06d}"} | data
            fields = _Line.model_validate(data)
        except ValidationError as error:
            raise InputError(explain(error)) from None
        goals = _goals(fields.goals, folder)
        if goals.segments:
            if both := {"text", "seconds"} & fields.model_fields_set:
                raise InputError(f"field {min(both)}: the segments of the goals say that; take it out")
            return Job(number, "", goals, frames_of(goals.segments), fields.seed, fields.name)
        return Job(number, fields.text, goals, frame_of(fields.seconds), fields.seed, fields.name)


def _goals(value: Any, folder: Path) -> GoalSet:
    """Parse a list of goals, the content of a goal file, or the path of one."""
    try:
        if isinstance(value, str):
            goals = load_goals(folder / value, read_motion=read_motion)
        elif isinstance(value, list | dict):
            goals = GoalSet.model_validate({"goals": value} if isinstance(value, list) else value)
            goals = goals.resolved(folder, read_motion=read_motion)
        else:
            raise InputError("should be a list of goals, an object as in a goal file, or the path of a goal file")
    except ValidationError as error:
        raise InputError(f"field goals: {explain(error)}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"field goals: {error}") from None
    return goals


@dataclass(frozen=True, eq=False)
class JobFile:
    """Index of a checked jobs file: of each job its offset and length are kept in memory, but not its goals."""

    path: Path
    lines: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    checksums: array[int] = field(default_factory=lambda: array("L"))
    frames: array[int] = field(default_factory=lambda: array("q"))
    guided: bytearray = field(default_factory=bytearray)
    """Whether each job has goals."""
    alone: bytearray = field(default_factory=bytearray)
    """Whether each job has segments, in which case it is a batch by itself."""

    @staticmethod
    def read(path: Path, check: Callable[[Job], object], *, progress: bool = False) -> JobFile:
        """Read a file and check every job.

        Args:
            path: The jobs file.
            check: Called for every job; raises InputError if the job cannot be sampled.
            progress: Whether to show a progress bar.

        Raises:
            FileNotFoundError: There is no such file.
            InputError: A line is wrong; the message has its number. Or two jobs have the same name.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no jobs file {path}; give the path of a file with a JSON object a line")
        jobs, names, offset = JobFile(path), array("Q"), 0
        size = path.stat().st_size
        with (
            path.open("rb") as file,
            tqdm(total=size, desc="checking", unit="B", unit_scale=True, disable=not progress or None) as bar,
        ):
            for number, line in enumerate(file, 1):
                if line.strip():
                    job = jobs._parsed(line, number, check)
                    jobs._append(job, offset, line)
                    names.append(_hashed(job.name))
                offset += len(line)
                bar.update(len(line))
        if not len(jobs):
            raise InputError(f"{path} has no jobs; write a JSON object a line")
        jobs._check_names(np.frombuffer(names, np.uint64))
        return jobs

    def __len__(self) -> int:
        return len(self.lines)

    def some(self, chosen: Sequence[int]) -> Iterator[Job]:
        """Read the jobs of some indices again.

        Raises:
            InputError: A line has changed since the file was checked.
        """
        with self.path.open("rb") as file:
            for i in chosen:
                yield self._again(file, i)

    def batches(self, size: int) -> Iterator[list[int]]:
        """Indices of the jobs of each batch: up to `size` jobs of similar length, with goals or without.

        Jobs with segments are batches by themselves.
        """
        for start in range(0, len(self), WINDOW * size):
            window = range(start, min(start + WINDOW * size, len(self)))
            yield from ([i] for i in window if self.alone[i])
            together = sorted(
                (i for i in window if not self.alone[i]), key=lambda i: (self.guided[i], self.frames[i], i)
            )
            yield from (together[k : k + size] for k in range(0, len(together), size))

    def _parsed(self, line: bytes, number: int, check: Callable[[Job], object]) -> Job:
        try:
            job = Job.parse(line, number, self.path.parent)
            check(job)
        except InputError as error:
            raise InputError(f"{self.path}, line {number}: {error}") from None
        return job

    def _append(self, job: Job, offset: int, line: bytes) -> None:
        self.lines.append(job.line)
        self.offsets.append(offset)
        self.checksums.append(zlib.crc32(line.strip()))
        self.frames.append(job.frames)
        self.guided.append(bool(job.goals.goals))
        self.alone.append(bool(job.goals.segments))

    def _again(self, file: BinaryIO, i: int) -> Job:
        file.seek(self.offsets[i])
        line = file.readline()
        if zlib.crc32(line.strip()) != self.checksums[i]:
            raise InputError(f"{self.path}: line {self.lines[i]} is not what it was; give the same command again")
        return Job.parse(line, self.lines[i], self.path.parent)

    def _check_names(self, names: np.ndarray) -> None:
        """Raise InputError if two jobs have the same name, given the hashes of all names."""
        order = np.argsort(names, kind="stable")
        again = np.flatnonzero(names[order][1:] == names[order][:-1])
        if len(again):
            first, second = self.some(order[again[0] : again[0] + 2].tolist())
            raise InputError(
                f"{self.path}, line {second.line}: field name: {second.name!r} is the name of line {first.line} too "
                "(small and capital letters count as the same); give another"
            )


def _hashed(name: str) -> int:
    """A 64-bit hash of a name, case-insensitive like some file systems."""
    return int.from_bytes(blake2b(name.lower().encode(), digest_size=8).digest(), "big")
