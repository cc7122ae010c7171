"""BVH files: a skeleton and its motion, of any hierarchy, channels and rotation order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.resampling import FASTEST, SLOWEST
from motion_diffusion.errors import InputError

_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
_REMEDY = "copy or export the file again"


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

    def world(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions (F, J, 3) in metres and orientations (F, J, 3, 3) of all joints in the world.

        A joint's rotations apply from left to right as R₁·R₂·R₃; its position channels stand in place of its offset.
        """
        import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

        frames, joints = len(self.values), len(self.names)
        local = np.broadcast_to(np.eye(3), (frames, joints, 3, 3)).copy()
        moved = np.broadcast_to(self.offsets, (frames, joints, 3)).copy()
        column = 0
        by_order: dict[str, list[tuple[int, list[int]]]] = {}
        for joint, channels in enumerate(self.channels):
            turns = [(name[0].upper(), column + i) for i, name in enumerate(channels) if name.endswith("rotation")]
            if turns:
                order = "".join(axis for axis, _ in turns)
                by_order.setdefault(order, []).append((joint, [index for _, index in turns]))
            for i, name in enumerate(channels):
                if name.endswith("position"):
                    moved[:, joint, "xyz".index(name[0])] = self.values[:, column + i]
            column += len(channels)
        for order, entries in by_order.items():
            angles = torch.from_numpy(self.values[:, [columns for _, columns in entries]])
            turns_of = roma.euler_to_rotmat(order, angles.unbind(-1), degrees=True)
            local[:, [joint for joint, _ in entries]] = turns_of.numpy()
        positions, rotations = moved, local
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                positions[:, joint] = positions[:, parent] + np.einsum(
                    "fij,fj->fi", rotations[:, parent], moved[:, joint]
                )
                rotations[:, joint] = rotations[:, parent] @ local[:, joint]
        return positions, rotations


def read_bvh(path: str | Path, *, scale: float = 0.01) -> Bvh:
    """Read a BVH file. scale: metres in one unit of the file, 0.01 for centimetres.

    Raises FileNotFoundError, or InputError with file and line for one that is cut, has wrong columns or broken numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no BVH file {path}; check the name")
    try:
        lines = path.read_text(encoding="utf-8", errors="strict").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; {_REMEDY}") from None
    reader = _Reader(path, lines)
    try:
        reader.hierarchy()
    except RecursionError:
        raise InputError(f"{path}: its joints are nested too deeply for a body; {_REMEDY}") from None
    frame_time, values = reader.motion()
    offsets = np.array(reader.offsets) * scale
    lengths = np.array([name.endswith("position") for channels in reader.channels for name in channels], dtype=bool)
    values[:, lengths] *= scale
    return Bvh(
        tuple(reader.names), tuple(reader.parents), offsets, tuple(map(tuple, reader.channels)), frame_time, values
    )


class _Reader:
    """Goes through the lines of a file once."""

    def __init__(self, path: Path, lines: list[str]):
        self.path = path
        self.lines = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
        self.next = 0
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[list[str]] = []

    def fail(self, what: str, number: int | None = None) -> InputError:
        where = f"line {number}" if number is not None else "its end"
        return InputError(f"{self.path}: {where}: {what}; {_REMEDY}")

    def line(self, expected: str) -> tuple[int, list[str]]:
        if self.next == len(self.lines):
            raise self.fail(f"cut off where {expected} should stand")
        self.next += 1
        return self.lines[self.next - 1]

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
        if not np.isfinite(values).all():
            raise self.fail("not all numbers are finite", number)
        return values

    def hierarchy(self) -> None:
        self.keyword("HIERARCHY")
        while self.next < len(self.lines) and self.lines[self.next][1][0].upper() == "ROOT":
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
            number, tokens = self.line("'}'")
            keyword = tokens[0].upper()
            if keyword == "}":
                return
            if keyword == "CHANNELS" and kind != "END":
                names = [token.lower() for token in tokens[2:]]
                if tokens[1:2] != [str(len(names))] or not set(names) <= _CHANNELS or len(set(names)) != len(names):
                    raise self.fail("CHANNELS needs a count and as many different names such as Xrotation", number)
                self.channels[index] = names
            elif keyword in ("JOINT", "END") and kind != "END":
                self.next -= 1
                self.joint(index)
            else:
                raise self.fail(f"'{' '.join(tokens)[:40]}' where '}}' or a joint should stand", number)

    def motion(self) -> tuple[float, NDArray[np.float64]]:
        self.keyword("MOTION")
        number, tokens = self.keyword("Frames", words=2)
        if not re.fullmatch("[0-9]{1,9}", tokens[1]) or int(tokens[1]) < 1:
            raise self.fail(f"'{tokens[1]}' is not a number of frames", number)
        frames = int(tokens[1])
        number, tokens = self.keyword("Frame Time", words=3)
        (frame_time,) = self.numbers(tokens[2:], number)
        if not 1 / FASTEST <= frame_time <= 1 / SLOWEST:
            raise self.fail(f"the frame time must be {1 / FASTEST:g} to {1 / SLOWEST:g} s", number)
        columns = sum(map(len, self.channels))
        rows = self.lines[self.next :]
        for number, tokens in rows[:frames]:
            if len(tokens) != columns:
                raise self.fail(f"{len(tokens)} numbers for {columns} channels", number)
        if len(rows) != frames:
            raise self.fail(f"{len(rows)} frames where {frames} are announced")
        try:
            values = np.array([tokens for _, tokens in rows], dtype=np.float64)
        except ValueError:
            for number, tokens in rows:
                self.numbers(tokens, number)
            raise
        if not np.isfinite(values).all():
            raise self.fail("not all numbers are finite", rows[int((~np.isfinite(values)).any(1).argmax())][0])
        return frame_time, values
