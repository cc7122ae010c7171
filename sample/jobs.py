"""A jobs file (JSON lines): many motions to make, one a line.

    {"text": "a tired person walks", "goals": [{"kind": "waypoint", "time": 2, "x": 0.5, "z": 1.8}], "seconds": 4}
    {"text": "a person runs", "goals": "zigzag.json", "seed": 7, "name": "run-7"}
    {"goals": {"segments": [{"text": "a person walks", "seconds": 4}, {"text": "a person bows", "seconds": 2}]}}

Goals are a list, all that a goal file says, or the path of a goal file; paths start at the folder of the jobs file.
Blank lines are skipped.
"""

from __future__ import annotations

import json
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
from guidance.goals.goal_file import explain, load_goals, once
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError
from motion_diffusion.option_ranges import SEED
from sample.segments import frames_of

WINDOW = 32
"""Batches whose motions are sorted by length together: lengths in a batch are nearly the same, and lines that are added
at the end of a file leave most batches as they were."""


_DEVICES = r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?"


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
    """What a line says, but for its goals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = ""
    goals: Any = []
    seconds: Duration = 6.0
    seed: Annotated[int, Field(ge=SEED.least, le=SEED.most, strict=True)]
    name: Annotated[str, AfterValidator(_is_a_file_name)]


@dataclass(frozen=True)
class Job:
    """A motion to make; text is empty where the goals have segments."""

    line: int
    text: str
    goals: GoalSet
    frames: int
    seed: int
    name: str

    @staticmethod
    def parse(line: bytes, number: int, folder: Path) -> Job:
        """The job of a line of a file in a folder. InputError says which field is wrong, and how."""
        try:
            data = json.loads(line.decode("utf-8-sig"), object_pairs_hook=once)
            if isinstance(data, dict):
                data = {"seed": number, "name": f"{number:06d}"} | data
            said = _Line.model_validate(data)
        except ValidationError as error:
            raise InputError(explain(error)) from None
        except InputError:
            raise
        except RecursionError:
            raise InputError("is nested too deeply; a job has a text and goals") from None
        except ValueError as error:  # not JSON, not UTF-8, or a whole number of thousands of digits
            raise InputError(f"is not JSON: {error}; check commas, quotes and brackets there") from None
        goals = _goals(said.goals, folder)
        if goals.segments:
            if both := {"text", "seconds"} & said.model_fields_set:
                raise InputError(f"field {min(both)}: the segments of the goals say that; take it out")
            return Job(number, "", goals, frames_of(goals.segments), said.seed, said.name)
        return Job(number, said.text, goals, round(said.seconds * FPS), said.seed, said.name)


def _goals(said: Any, folder: Path) -> GoalSet:
    """A list of goals, what a goal file says, or the path of one."""
    try:
        if isinstance(said, str):
            goals = load_goals(folder / said, read_motion=read_motion)
        elif isinstance(said, list | dict):
            goals = GoalSet.model_validate({"goals": said} if isinstance(said, list) else said)
            goals = goals.resolved(folder, read_motion=read_motion)
        else:
            raise InputError("should be a list of goals, an object as in a goal file, or the path of a goal file")
    except ValidationError as error:
        raise InputError(f"field goals: {explain(error)}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"field goals: {error}") from None
    return goals


@dataclass(frozen=True, eq=False)
class Jobs:
    """The jobs of a file that was read once from end to end: of each is kept where it stands, and little else."""

    path: Path
    lines: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    checksums: array[int] = field(default_factory=lambda: array("L"))
    frames: array[int] = field(default_factory=lambda: array("q"))
    guided: bytearray = field(default_factory=bytearray)
    """Whether there are goals."""
    alone: bytearray = field(default_factory=bytearray)
    """Whether there are segments, so that the motion is a batch by itself."""

    @staticmethod
    def read(path: Path, check: Callable[[Job], object], *, progress: bool = False) -> Jobs:
        """Read a file and check every job. InputError names the first line that is wrong."""
        if not path.is_file():
            raise FileNotFoundError(f"no jobs file {path}; give the path of a file with a JSON object a line")
        jobs, names, offset = Jobs(path), array("Q"), 0
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
        """Some of the jobs, read again. InputError if their lines are not what they were."""
        with self.path.open("rb") as file:
            for i in chosen:
                yield self._again(file, i)

    def batches(self, size: int) -> Iterator[list[int]]:
        """Which jobs to sample together: so many of like length, with goals or without; those with segments alone."""
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
        """InputError if two jobs have one name; names: a number for each that stands for it."""
        order = np.argsort(names, kind="stable")
        again = np.flatnonzero(names[order][1:] == names[order][:-1])
        if len(again):
            first, second = self.some(order[again[0] : again[0] + 2].tolist())
            raise InputError(
                f"{self.path}, line {second.line}: field name: {second.name!r} is the name of line {first.line} too "
                "(small and capital letters count as the same); give another"
            )


def _hashed(name: str) -> int:
    """A number of 64 bits for a name, the same for small and capital letters, as some file systems have it."""
    return int.from_bytes(blake2b(name.lower().encode(), digest_size=8).digest(), "big")
