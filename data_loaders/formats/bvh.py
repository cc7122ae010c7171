"""Reader for BVH files with any hierarchy, channels and rotation order."""

from __future__ import annotations

import codecs
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import NDArray

from data_loaders.types import MAX_FPS, MIN_FPS, check_duration
from motion_diffusion.errors import InputError

MAX_JOINTS = 2000
"""Maximum number of joints of a file, including end sites."""

_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
_REMEDY = "copy or export the file again"
_BLOCK = 2**16
"""Joints times frames evaluated at once, which bounds the memory for intermediate rotations."""


@dataclass(frozen=True, eq=False)
class Bvh:
    """Contents of a BVH file, lengths in metres, angles in degrees. Joints are in the file's order, parents first."""

    names: tuple[str, ...]
    """End sites are named after their joint: "Head_end"."""
    parents: tuple[int, ...]
    """Parent of each joint, -1 for roots."""
    offsets: NDArray[np.float64]
    """(J, 3) offset of each joint from its parent."""
    channels: tuple[tuple[str, ...], ...]
    """Channels of each joint in order, in lower case, such as "xposition", "zrotation"; empty for end sites."""
    frame_time: float
    values: NDArray[np.float64]
    """(F, C) values, one column per channel."""

    def world(self, joints: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Forward kinematics: global positions (F, J, 3) in metres.

        The rotations of a joint are composed in the order of its channels, R₁·R₂·R₃; position channels replace its
        offset.

        Args:
            joints: Indices of joints; None for all.
        """
        return self._all_frames(joints)[0]

    def orientations(self, joints: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Global orientations (F, J, 3, 3) of joints, see `world`.

        Args:
            joints: Indices of joints; None for all.
        """
        return self._all_frames(joints)[1]

    def _all_frames(self, joints: Sequence[int] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        wanted = range(len(self.names)) if joints is None else joints
        way = with_ancestors(self.parents, wanted)
        picked, block = np.searchsorted(way, wanted), max(_BLOCK // len(way), 1)
        blocks = [self._block(self.values[k : k + block], way) for k in range(0, len(self.values), block)]
        positions, rotations = zip(*blocks, strict=True)
        return np.concatenate(positions)[:, picked], np.concatenate(rotations)[:, picked]

    def _block(self, values: NDArray[np.float64], joints: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions (f, j, 3) and orientations (f, j, 3, 3) for channel values (f, C) of joints listed with all their
        ancestors.
        """
        first = np.cumsum([0, *map(len, self.channels)])
        local = np.broadcast_to(np.eye(3), (len(values), len(joints), 3, 3)).copy()
        moved = np.broadcast_to(self.offsets[joints], (len(values), len(joints), 3)).copy()
        by_order: dict[str, list[tuple[int, list[int]]]] = {}
        for place, joint in enumerate(joints):
            columns = {name: int(first[joint]) + i for i, name in enumerate(self.channels[joint])}
            turns = {name[0].upper(): column for name, column in columns.items() if name.endswith("rotation")}
            if turns:
                by_order.setdefault("".join(turns), []).append((place, list(turns.values())))
            for name, column in columns.items():
                if name.endswith("position"):
                    moved[:, place, "xyz".index(name[0])] = values[:, column]
        for order, entries in by_order.items():
            angles = torch.from_numpy(values[:, [columns for _, columns in entries]])
            turns_of = roma.euler_to_rotmat(order, angles.unbind(-1), degrees=True)
            local[:, [place for place, _ in entries]] = turns_of.numpy()
        positions, rotations = moved, local
        place_of = {joint: place for place, joint in enumerate(joints)}
        for place, joint in enumerate(joints):
            if self.parents[joint] >= 0:
                above = place_of[self.parents[joint]]
                positions[:, place] = positions[:, above] + np.einsum(
                    "fij,fj->fi", rotations[:, above], moved[:, place]
                )
                rotations[:, place] = rotations[:, above] @ local[:, place]
        return positions, rotations


def with_ancestors(parents: Sequence[int], joints: Iterable[int]) -> list[int]:
    """Indices of joints and all their ancestors, parents first.

    Args:
        parents: Parent of each joint, -1 for roots.
        joints: Indices of joints.
    """
    found: set[int] = set()
    for joint in joints:
        while joint >= 0 and joint not in found:
            found.add(joint)
            joint = parents[joint]
    return sorted(found)


def read_bvh(path: str | Path, *, scale: float = 0.01, max_seconds: float | None = None) -> Bvh:
    """Read a BVH file.

    Args:
        path: The file.
        scale: Metres per unit of the file, 0.01 for centimetres.
        max_seconds: Maximum duration.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With file and line, if the file is truncated or malformed, or lasts too long.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no BVH file {path}; check the name")
    with path.open(encoding="utf-8-sig", errors=_latin_1.__name__) as file:
        reader = _Reader(path, file)
        reader.hierarchy()
        frame_time, values = reader.motion(max_seconds)
    offsets = np.array(reader.offsets) * scale
    lengths = np.array([name.endswith("position") for channels in reader.channels for name in channels], dtype=bool)
    values[:, lengths] *= scale
    return Bvh(
        tuple(reader.names), tuple(reader.parents), offsets, tuple(map(tuple, reader.channels)), frame_time, values
    )


def _latin_1(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: decode bytes that are not UTF-8 as Latin-1, which older programs write."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_latin_1.__name__, _latin_1)


class _Reader:
    """Parser of a BVH file. Tokens of the hierarchy may be wrapped in any way; a frame begins on a new line."""

    def __init__(self, path: Path, lines: Iterable[str]):
        self.path = path
        self.lines = ((number, line) for number, line in enumerate(lines, 1) if not line.isspace())
        self.number = 0
        """Line of the current tokens."""
        self.words: list[str] = []
        """Remaining tokens of that line, the next one last."""
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[list[str]] = []

    def fail(self, what: str, number: int | None = None) -> InputError:
        if not what.isprintable():
            return InputError(f"{self.path}: not a text file; {_REMEDY}")
        where = f"line {number}" if number is not None else "its end"
        return InputError(f"{self.path}: {where}: {what}; {_REMEDY}")

    def misplaced(self, expected: str) -> InputError:
        """Error for a token that differs from the expected one."""
        if not self.peek():
            return self.fail(f"cut off where {expected} should stand")
        return self.fail(f"'{' '.join(self.words[::-1])[:40]}' where {expected} should stand", self.number)

    def peek(self) -> str:
        """Next token in upper case; empty at the end of the file."""
        if not self.words and (read := next(self.lines, None)):
            self.number, line = read
            self.words = line.replace("{", " { ").replace("}", " } ").split()[::-1]
        return self.words[-1].upper() if self.words else ""

    def word(self, expected: str) -> str:
        """Consume any token."""
        if not self.peek():
            raise self.misplaced(expected)
        return self.words.pop()

    def keyword(self, *expected: str) -> str:
        """Consume one of the expected tokens."""
        if (word := self.peek().rstrip(":")) not in expected:
            raise self.misplaced(" or ".join(expected))
        self.words.pop()
        return word

    def numbers(self, tokens: list[str], number: int) -> list[float]:
        try:
            values = list(map(float, tokens))
        except ValueError:
            raise self.fail(f"'{' '.join(tokens)[:40]}' is not all numbers", number) from None
        if not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):  # the sum is a fast test
            raise self.fail("not all numbers are finite", number)
        return values

    def hierarchy(self) -> None:
        self.keyword("HIERARCHY")
        while not self.names or self.peek() == "ROOT":
            self.keyword("ROOT")
            self.joint(-1)
            open_, ends = [len(self.names) - 1], set[int]()  # joints with open braces; end sites
            while open_:
                joint = open_[-1]
                kind = self.keyword("}") if joint in ends else self.keyword("JOINT", "END", "CHANNELS", "}")
                if kind == "}":
                    open_.pop()
                elif kind == "CHANNELS":
                    self.channels[joint] = self.channel_names()
                else:
                    open_.append(len(self.names))
                    ends.update(open_[-1:] if kind == "END" else ())
                    self.joint(joint, end=kind == "END")

    def joint(self, parent: int, *, end: bool = False) -> None:
        """Parse the name, the brace and the offset after ROOT, JOINT or End Site."""
        if len(self.names) == MAX_JOINTS:
            raise InputError(f"{self.path}: line {self.number}: more than {MAX_JOINTS} joints; give a file of one body")
        name = []
        while self.words and self.words[-1] != "{":
            name.append(self.words.pop())
        if not name:
            raise self.misplaced("the name of a joint")
        self.names.append(f"{self.names[parent]}_end" if end else " ".join(name))
        self.parents.append(parent)
        self.channels.append([])
        self.keyword("{")
        self.keyword("OFFSET")
        number = self.number
        self.offsets.append(self.numbers([self.word("an offset") for _ in range(3)], number))

    def channel_names(self) -> list[str]:
        number, count = self.number, self.word("a number of channels")
        names = [self.word("a channel").lower() for _ in range(int(count))] if re.fullmatch("[0-6]", count) else []
        if str(len(names)) != count or not set(names) <= _CHANNELS or len(set(names)) != len(names):
            raise self.fail("CHANNELS needs a count and as many different names such as Xrotation", number)
        return names

    def header(self, expected: str) -> str:
        """Parse a line of the form "title: value" with optional colon."""
        if not self.peek():
            raise self.misplaced(expected)
        match = re.fullmatch(rf"{expected} ?:? ?(\S+)", " ".join(self.words[::-1]), re.IGNORECASE)
        if not match:
            raise self.misplaced(expected)
        self.words = []
        return match[1]

    def motion(self, max_seconds: float | None) -> tuple[float, NDArray[np.float64]]:
        self.keyword("MOTION")
        count = self.header("Frames")
        if not re.fullmatch("[0-9]{1,9}", count) or int(count) < 1:
            raise self.fail(f"'{count[:40]}' is not a number of frames", self.number)
        frames = int(count)
        (frame_time,) = self.numbers([self.header("Frame Time")], self.number)
        if not 1 / MAX_FPS <= frame_time <= 1 / MIN_FPS:
            raise self.fail(f"the frame time must be {1 / MAX_FPS:g} to {1 / MIN_FPS:g} s", self.number)
        check_duration(self.path, frames, 1 / frame_time, max_seconds)
        found, values = 0, array("d")
        for number, tokens in self.rows(sum(map(len, self.channels))):
            found += 1
            if found <= frames:  # count the rest for the error message
                values.extend(self.numbers(tokens, number))
        if found != frames:
            raise self.fail(f"{found} frames where {frames} are announced")
        return frame_time, np.frombuffer(values).reshape(frames, -1)

    def rows(self, columns: int) -> Iterator[tuple[int, list[str]]]:
        """Values of each frame, which some programs wrap, and the line that they begin in."""
        begun, row = 0, list[str]()
        for number, line in self.lines:
            tokens = line.split()
            if len(tokens) == columns and not row:
                yield number, tokens
                continue
            begun = begun if row else number
            if len(row) + len(tokens) > columns:
                raise self.fail(f"{len(row or tokens)} numbers for {columns} channels", begun)
            row += tokens
            if len(row) == columns:
                yield begun, row
                row = []
        if row:
            raise self.fail(f"{len(row)} numbers for {columns} channels", begun)
