"""BVH files: a skeleton and its motion, of any hierarchy, channels and rotation order."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.resampling import FASTEST, SLOWEST, check_length
from motion_diffusion.errors import InputError

_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
_REMEDY = "copy or export the file again"
_BLOCK = 2**16
"""Joints times frames whose places are worked out at once, for these take more memory than what is left of them."""


@dataclass(frozen=True, eq=False)
class Bvh:
    """A file as it stands, lengths in metres, angles in degrees. Joints in the order of the file, parents first."""

    names: tuple[str, ...]
    """An end site is called after its joint: "Head_end"."""
    parents: tuple[int, ...]
    """-1 for roots."""
    offsets: NDArray[np.float64]
    """(J, 3) each joint from its parent."""
    channels: tuple[tuple[str, ...], ...]
    """Of each joint, in order, in lower case: "xposition", "zrotation" ...; none for end sites."""
    frame_time: float
    values: NDArray[np.float64]
    """(F, C) one column a channel."""

    def world(self, joints: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Positions (F, J, 3) in metres in the world, of all joints or of those with these indices.

        A joint's rotations apply from left to right as R₁·R₂·R₃; its position channels stand in place of its offset.
        """
        wanted = range(len(self.names)) if joints is None else joints
        way = self._with_ancestors(wanted)
        picked, block = np.searchsorted(way, wanted), max(_BLOCK // len(way), 1)
        return np.concatenate(
            [self._block(self.values[k : k + block], way)[:, picked] for k in range(0, len(self.values), block)]
        )

    def _with_ancestors(self, joints: Iterable[int]) -> list[int]:
        """Joints and all on whom they hang, parents first."""
        found: set[int] = set()
        for joint in joints:
            while joint >= 0 and joint not in found:
                found.add(joint)
                joint = self.parents[joint]
        return sorted(found)

    def _block(self, values: NDArray[np.float64], joints: list[int]) -> NDArray[np.float64]:
        """Positions (f, j, 3) in some frames, values (f, C), of joints whose ancestors are all among them."""
        import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

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
        return positions


def read_bvh(path: str | Path, *, scale: float = 0.01, longest: float | None = None) -> Bvh:
    """Read a BVH file. scale: metres in one unit of the file, 0.01 for centimetres. longest: seconds it may last.

    Raises FileNotFoundError, or InputError with file and line for one that is cut, has wrong columns or broken numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no BVH file {path}; check the name")
    with path.open(encoding="utf-8-sig") as file:
        reader = _Reader(path, file)
        try:
            reader.hierarchy()
            frame_time, values = reader.motion(longest)
        except RecursionError:
            raise InputError(f"{path}: its joints are nested too deeply for a body; {_REMEDY}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path}: not a text file; {_REMEDY}") from None
    offsets = np.array(reader.offsets) * scale
    lengths = np.array([name.endswith("position") for channels in reader.channels for name in channels], dtype=bool)
    values[:, lengths] *= scale
    return Bvh(
        tuple(reader.names), tuple(reader.parents), offsets, tuple(map(tuple, reader.channels)), frame_time, values
    )


class _Reader:
    """Goes through the lines of a file once, and holds no more of them than the next."""

    def __init__(self, path: Path, lines: Iterable[str]):
        self.path = path
        self.lines = ((number, words) for number, line in enumerate(lines, 1) if (words := line.split()))
        self.next: tuple[int, list[str]] | None = None
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[list[str]] = []

    def fail(self, what: str, number: int | None = None) -> InputError:
        where = f"line {number}" if number is not None else "its end"
        return InputError(f"{self.path}: {where}: {what}; {_REMEDY}")

    def line(self, expected: str) -> tuple[int, list[str]]:
        read = self.peek()
        if read is None:
            raise self.fail(f"cut off where {expected} should stand")
        self.next = None
        return read

    def peek(self) -> tuple[int, list[str]] | None:
        """The line that `line` will give, its number and words; None at the end."""
        if self.next is None:
            self.next = next(self.lines, None)
        return self.next

    def keyword(self, expected: str, *, words: int | None = None) -> tuple[int, list[str]]:
        """The next line, which begins with a keyword."""
        number, tokens = self.line(expected)
        if tokens[0].lower().rstrip(":") != expected.lower().split()[0] or (words and len(tokens) != words):
            raise self.fail(f"'{' '.join(tokens)[:40]}' where {expected} should stand", number)
        return number, tokens

    def numbers(self, tokens: list[str], number: int) -> list[float]:
        try:
            values = [float(token) for token in tokens]
        except ValueError:
            raise self.fail(f"'{' '.join(tokens)[:40]}' is not all numbers", number) from None
        if not all(map(math.isfinite, values)):
            raise self.fail("not all numbers are finite", number)
        return values

    def hierarchy(self) -> None:
        self.keyword("HIERARCHY")
        while (read := self.peek()) and read[1][0].upper() == "ROOT":
            self.joint(-1)
        if not self.names:
            self.keyword("ROOT")

    def joint(self, parent: int) -> None:
        """A ROOT, JOINT or End Site with its braces, and all below it."""
        number, tokens = self.line("a joint")
        kind = tokens[0].upper()
        if kind not in ("ROOT", "JOINT", "END") or len(tokens) < 2:
            raise self.fail(f"'{' '.join(tokens)[:40]}' where a joint should stand", number)
        index = len(self.names)
        self.names.append(f"{self.names[parent]}_end" if kind == "END" else " ".join(tokens[1:]))
        self.parents.append(parent)
        self.channels.append([])
        self.keyword("{")
        number, tokens = self.keyword("OFFSET", words=4)
        self.offsets.append(self.numbers(tokens[1:], number))
        while True:
            keyword = read[1][0].upper() if (read := self.peek()) else ""
            if keyword in ("JOINT", "END") and kind != "END":
                self.joint(index)
                continue
            number, tokens = self.line("'}'")
            if keyword == "}":
                return
            if keyword == "CHANNELS" and kind != "END":
                names = [token.lower() for token in tokens[2:]]
                if tokens[1:2] != [str(len(names))] or not set(names) <= _CHANNELS or len(set(names)) != len(names):
                    raise self.fail("CHANNELS needs a count and as many different names such as Xrotation", number)
                self.channels[index] = names
            else:
                raise self.fail(f"'{' '.join(tokens)[:40]}' where '}}' or a joint should stand", number)

    def motion(self, longest: float | None) -> tuple[float, NDArray[np.float64]]:
        self.keyword("MOTION")
        number, tokens = self.keyword("Frames", words=2)
        if not re.fullmatch("[0-9]{1,9}", tokens[1]) or int(tokens[1]) < 1:
            raise self.fail(f"'{tokens[1][:40]}' is not a number of frames", number)
        frames = int(tokens[1])
        number, tokens = self.keyword("Frame Time", words=3)
        (frame_time,) = self.numbers(tokens[2:], number)
        if not 1 / FASTEST <= frame_time <= 1 / SLOWEST:
            raise self.fail(f"the frame time must be {1 / FASTEST:g} to {1 / SLOWEST:g} s", number)
        check_length(self.path, frames, 1 / frame_time, longest)
        columns, found, values = sum(map(len, self.channels)), 0, array("d")
        for number, tokens in self.lines:
            found += 1
            if found > frames:
                continue  # to say how many there are
            if len(tokens) != columns:
                raise self.fail(f"{len(tokens)} numbers for {columns} channels", number)
            values.extend(self.numbers(tokens, number))
        if found != frames:
            raise self.fail(f"{found} frames where {frames} are announced")
        return frame_time, np.frombuffer(values).reshape(frames, columns)
