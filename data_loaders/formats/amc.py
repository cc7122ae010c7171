"""Reader for AMC motion files (Acclaim), whose skeletons are in separate ASF files.

A bone begins at the end of its parent. Let C be the rotation of its `axis`, M that of its channels in a frame, W its
global orientation and d = length · direction its vector at rest. Then

    L = C · M · C⁻¹,   W = W_parent · L,   end = end_parent + W · d.

The root has no length: its end is `position` plus its translation channels, and its C is that of `orientation`. Euler
angles of channels are about fixed axes, the first one applied first: for XYZ, M = R_z · R_y · R_x. M = 1 for bones
that a frame does not list.

References:
    Schafer 1994, "Acclaim Skeleton File Definition V1.10".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_loaders.formats.asf import (
    REMEDY,
    ROTATIONS,
    TRANSLATIONS,
    Asf,
    LineReader,
    fixed_axis_rotation,
    joined,
    read_asf,
)
from data_loaders.formats.bvh import with_ancestors
from data_loaders.types import MAX_FPS, MIN_FPS, check_duration
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

_BLOCK = 2**16
"""Bones times frames evaluated at once, which bounds the memory for intermediate rotations."""

_CHUNK = 2**20
"""Bytes of a motion file read at once; lines are shorter."""


@dataclass(frozen=True, eq=False)
class Amc:
    """Motion and skeleton in metres and radians."""

    skeleton: Asf
    frame_time: float
    values: Array
    """(F, C) values, one column per channel, bones in the order of the skeleton; 0 for bones that a frame does not
    list."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the root and the bones, parents first."""
        return self.skeleton.names

    @property
    def parents(self) -> tuple[int, ...]:
        """Parent of each bone, -1 for the root."""
        return self.skeleton.parents

    def world(self, joints: Sequence[int] | None = None) -> Array:
        """Forward kinematics: global positions (F, J, 3) in metres of bones' ends. The root's end is the root itself.

        Args:
            joints: Indices of bones; None for all.
        """
        wanted = range(len(self.names)) if joints is None else joints
        chain = with_ancestors(self.parents, wanted)
        picked, block = np.searchsorted(chain, wanted), max(_BLOCK // len(chain), 1)
        blocks = [self._ends(self.values[k : k + block], chain)[:, picked] for k in range(0, len(self.values), block)]
        return np.concatenate(blocks)

    def _ends(self, values: Array, bones: list[int]) -> Array:
        """Ends (f, j, 3) for channel values (f, C) of bones listed with all their ancestors."""
        first = np.cumsum([0, *map(len, self.skeleton.channels)])
        ends: dict[int, Array] = {}
        rotations: dict[int, Array] = {}
        for bone in bones:
            channels = self.skeleton.channels[bone]
            columns = {name: values[:, first[bone] + i] for i, name in enumerate(channels)}
            angles = {name[1]: column for name, column in columns.items() if name in ROTATIONS}
            axes = self.skeleton.axes[bone]
            local = axes @ fixed_axis_rotation("".join(angles), angles.values(), len(values)) @ axes.T
            parent = self.parents[bone]
            if parent < 0:
                moved = [columns.get(name, np.zeros(len(values))) for name in TRANSLATIONS]
                ends[bone], rotations[bone] = self.skeleton.offsets[bone] + np.stack(moved, axis=-1), local
            else:
                rotations[bone] = rotations[parent] @ local
                ends[bone] = ends[parent] + rotations[bone] @ self.skeleton.offsets[bone]
        return np.stack([ends[bone] for bone in bones], axis=1)


def find_asf(path: Path) -> Path:
    """Find the skeleton file of a motion file.

    The skeleton's name is a prefix of the motion's: `02.asf` for `02_01.amc`, `HDM_bd.asf` for
    `HDM_bd_squat1Reps_001_120.amc`. It is searched for in the folder of the motion, in the two folders above, and in
    subfolders `asf` of these. Otherwise, the only .asf file beside the motion is used.

    Raises:
        InputError: With the motion's name, if there is none.
    """
    parts = path.stem.split("_")
    names = ["_".join(parts[:count]) for count in range(len(parts), 0, -1)]
    places = [place for above in [path.parent, *path.absolute().parents[1:3]] for place in (above, above / "asf")]
    for name in names:
        for place in places:
            for ending in (".asf", ".ASF"):
                if (found := place / f"{name}{ending}").is_file():
                    return found
    beside = sorted(path.parent.glob("*.[aA][sS][fF]"))
    if len(beside) == 1:
        return beside[0]
    some = f"{len(beside)} .asf files, none named" if beside else "no .asf file"
    wanted = " or ".join(f"{name}.asf" for name in reversed(names))
    raise InputError(f"{path}: {some} for it in {path.parent}; put its skeleton there as {wanted}")


def read_amc(
    path: str | Path, asf: str | Path | None = None, *, fps: float = 120.0, max_seconds: float | None = None
) -> Amc:
    """Read an AMC file and its skeleton.

    Args:
        path: The motion file.
        asf: The skeleton file; by default the result of `find_asf`.
        fps: Frames per second of the motion, which the file does not specify.
        max_seconds: Maximum duration; longer files are refused before the rest is read.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With file and line, if a file is truncated or malformed, or the skeleton does not fit the motion.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no AMC file {path}; check the name")
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"{path}: {fps:g} frames per second; give {MIN_FPS:g} to {MAX_FPS:g}")
    skeleton = read_asf(find_asf(path) if asf is None else asf)
    with path.open("rb") as file:
        reader = _MotionReader(path, skeleton, fps, max_seconds)
        reader.read(file)
    values = np.concatenate(reader.blocks)
    names = [name for channels in skeleton.channels for name in channels]
    values *= [skeleton.metres if name in TRANSLATIONS else reader.radians for name in names]
    return Amc(skeleton, 1 / fps, values)


class _MotionReader(LineReader):
    """Parser of a motion file, in chunks.

    Frames are parsed line by line. As long as frames list the same bones in the same order as the previous one, which
    is the usual case, all frames of a chunk are converted at once. This fast path accepts nothing that the other one
    refuses.
    """

    def __init__(self, path: Path, skeleton: Asf, fps: float, max_seconds: float | None):
        super().__init__(path)
        self.skeleton, self.fps, self.longest = skeleton, fps, max_seconds
        self.radians = skeleton.radians
        first = np.cumsum([0, *map(len, skeleton.channels)])
        self.columns = {name: range(first[i], first[i + 1]) for i, name in enumerate(skeleton.names)}
        self.width = int(first[-1])
        self.blocks: list[Array] = []
        self.frames = 0
        self.bytes, self.size = 0, path.stat().st_size
        """Bytes read so far; size of the file."""
        self.row: list[float] = []
        """Values of the current frame; empty before the first one."""
        self.named: list[str] = []
        """Bones listed so far in the current frame."""
        self.frame_line = 0
        self.cut = False
        """Whether the current line is the last one and is not terminated."""
        self.layout: list[str] = []
        """Bones of the previous frame in order."""

    def read(self, file: BinaryIO) -> None:
        """Parse all frames into `blocks`."""
        for lines in self.chunks(file):
            place, bulk = 0, True
            while place < len(lines):
                if bulk and lines[place].strip().isdigit():
                    self.close()
                    taken = self.frames_at_once(lines, place)
                    place, self.number, bulk = place + taken, self.number + taken, bulk and not self.layout
                self.number += 1
                self.line(lines[place])
                place += 1
        if not self.row and not self.frames:
            raise InputError(f"{self.path}: no frames, so it is cut or no AMC file; {REMEDY}")
        if len(self.named) < len(self.layout) and self.layout[: len(self.named)] == self.named:
            raise self.fail(f"cut off in the frame from line {self.frame_line}, where {self.layout[len(self.named)]} "
                            "should stand")  # fmt: skip
        self.close()

    def chunks(self, file: BinaryIO) -> Iterator[list[bytes]]:
        """Lines of the file, many at a time; the last one may be unterminated."""
        rest = b""
        while block := file.read(_CHUNK):
            self.bytes += len(block)
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if not newline and len(rest) > _CHUNK:
                raise self.fail("not a text file")
            if newline:
                yield whole.split(b"\n")
        if rest:
            self.cut = True
            yield [rest]

    def line(self, line: bytes) -> None:
        """Parse a line: a comment, a keyword, the number of a frame, or a bone and its values."""
        tokens = line.split()
        if not tokens or tokens[0].startswith(b"#"):
            return
        if not self.named and not self.row and not self.frames:
            tokens[0] = tokens[0].removeprefix(b"\xef\xbb\xbf")
            if tokens[0].startswith((b":", b"#")):
                self.keyword(tokens[0])
                return
        if len(tokens) == 1 and tokens[0].isdigit():
            self.close()
            self.row, self.named, self.frame_line = [0.0] * self.width, [], self.number
            return
        name = tokens[0].decode("latin-1")
        if not self.row:
            raise self.fail(f"'{joined(tokens)}' where the number of a frame should stand")
        if self.cut and (name not in self.columns or len(tokens) <= len(self.columns[name])):
            raise self.fail(f"cut off after '{joined(tokens)}'")
        if name not in self.columns:
            raise self.fail(
                f"no bone '{name[:40]}' in {self.skeleton.path}", "give the .asf that belongs to this motion"
            )
        columns = self.columns[name]
        if len(tokens) != len(columns) + 1:
            raise self.fail(
                f"{len(tokens) - 1} values for {name}, which has {len(columns)} channels in {self.skeleton.path}",
                f"{REMEDY}, or give the .asf that belongs to it",
            )
        if name in self.named:
            raise self.fail(f"{name} is twice in the frame from line {self.frame_line}")
        self.row[columns.start : columns.stop] = self.numbers(tokens[1:])
        self.named.append(name)

    def keyword(self, word: bytes) -> None:
        """Parse a keyword before the first frame; all but the unit of angles are ignored."""
        if word.upper() == b":DEGREES":
            self.radians = math.radians(1)
        elif word.upper() == b":RADIANS":
            self.radians = 1.0

    def close(self) -> None:
        """Store the current frame, if any."""
        if not self.row:
            return
        if "root" not in self.named:
            raise InputError(f"{self.path}: line {self.frame_line}: a frame without its root; {REMEDY}")
        self.take(np.array([self.row]))
        self.row, self.layout = [], self.named

    def take(self, values: Array) -> None:
        """Store values (f, C) of frames. Raises InputError if the motion becomes too long."""
        self.blocks.append(values)
        self.frames += len(values)
        if self.longest is not None and self.frames > self.longest * self.fps * (1 + 1e-6):
            all_of_it = max(round(self.frames * self.size / max(self.bytes, 1)), self.frames)  # an estimate
            check_duration(self.path, all_of_it, self.fps, self.longest)

    def frames_at_once(self, lines: list[bytes], place: int) -> int:
        """Convert all complete frames in lines[place:] except the last one, if they are laid out like the previous
        frame.

        Returns:
            Number of lines converted: those of all these frames, or 0.
        """
        count = (len(lines) - place - 1) // (len(self.layout) + 1)
        taken = count * (len(self.layout) + 1)
        if not self.layout or not count or not lines[place + taken].strip().isdigit():  # it may be incomplete
            return 0
        tokens = b" ".join(lines[place : place + taken]).split()
        widths = [1 + len(self.columns[name]) for name in self.layout]
        each = 1 + sum(widths)
        if len(tokens) != count * each or not all(map(bytes.isdigit, tokens[::each])):
            return 0
        values = np.zeros((count, self.width))
        at = 1
        for name, width in zip(self.layout, widths, strict=True):
            if tokens[at::each].count(name.encode("latin-1")) != count:
                return 0
            for i, column in enumerate(self.columns[name], at + 1):
                try:
                    values[:, column] = list(map(float, tokens[i::each]))
                except ValueError:
                    return 0
            at += width
        if not np.isfinite(values).all():
            return 0
        self.take(values)
        return taken
