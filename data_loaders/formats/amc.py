"""ASF and AMC files (Acclaim): a skeleton, and its motion in a file of its own.

A bone begins at the end of its parent. With C the rotation of its `axis`, M that of its channels in a frame, W the
rotation of the bone in the world and d = length · direction its vector at rest,

    L = C · M · C⁻¹,   W = W_parent · L,   end = end_parent + W · d.

The root has no length: its end is `position` plus its translation channels, and its C is that of `orientation`. Euler
angles, of axes as of channels, are about fixed axes, the first one first: for XYZ, M = R_z · R_y · R_x. A bone that a
frame does not name has M = 1. The `length` unit u of the skeleton means that 1 in the files is 0.0254 / u metres.

Schafer 1994, "Acclaim Skeleton File Definition V1.10".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_loaders.formats.bvh import with_ancestors
from data_loaders.resampling import FASTEST, SLOWEST, check_length
from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

MAX_BONES = 2000
"""Of a skeleton, the root included."""
MAX_ASF_BYTES = 2**22
"""Size of a skeleton file; those of CMU and HDM05 have 7 kB."""

_REMEDY = "copy or export the file again"
_INCH = 0.0254
_BLOCK = 2**16
"""Bones times frames whose positions are computed at once, since the rotations take more memory than the result."""
_CHUNK = 2**20
"""Bytes of a motion that are read at once; a line is shorter."""
_ROTATIONS = ("rx", "ry", "rz")
_TRANSLATIONS = ("tx", "ty", "tz")


@dataclass(frozen=True, eq=False)
class Asf:
    """A skeleton: the root and the bones, parents first."""

    path: Path
    names: tuple[str, ...]
    """The root is called "root"."""
    parents: tuple[int, ...]
    """-1 for the root."""
    offsets: Array
    """(J, 3) metres from the end of the parent to the end of the bone, at rest; of the root, its `position`."""
    axes: Array
    """(J, 3, 3) the rotation C of each bone's axis; of the root, its `orientation`."""
    channels: tuple[tuple[str, ...], ...]
    """Of each bone, in the order of the values: "tx", "ry" ...; none for bones that do not move on their parent."""
    metres: float
    """In one unit of length of the files."""
    radians: float
    """In one unit of angle of the files."""


@dataclass(frozen=True, eq=False)
class Amc:
    """A motion and its skeleton, in metres and radians."""

    skeleton: Asf
    frame_time: float
    values: Array
    """(F, C) one column a channel, bones in the order of the skeleton; 0 where a frame does not name the bone."""

    @property
    def names(self) -> tuple[str, ...]:
        """The root and the bones, parents first."""
        return self.skeleton.names

    @property
    def parents(self) -> tuple[int, ...]:
        """-1 for the root."""
        return self.skeleton.parents

    def world(self, joints: Sequence[int] | None = None) -> Array:
        """Positions (F, J, 3) in metres in the world of the ends of all bones or of those with these indices.

        The root's end is the root itself.
        """
        wanted = range(len(self.names)) if joints is None else joints
        chain = with_ancestors(self.parents, wanted)
        picked, block = np.searchsorted(chain, wanted), max(_BLOCK // len(chain), 1)
        blocks = [self._ends(self.values[k : k + block], chain)[:, picked] for k in range(0, len(self.values), block)]
        return np.concatenate(blocks)

    def _ends(self, values: Array, bones: list[int]) -> Array:
        """Ends (f, j, 3) of bones that come with all their ancestors, in some frames, values (f, C)."""
        first = np.cumsum([0, *map(len, self.skeleton.channels)])
        ends: dict[int, Array] = {}
        rotations: dict[int, Array] = {}
        for bone in bones:
            channels = self.skeleton.channels[bone]
            columns = {name: values[:, first[bone] + i] for i, name in enumerate(channels)}
            angles = {name[1]: column for name, column in columns.items() if name in _ROTATIONS}
            axes = self.skeleton.axes[bone]
            local = axes @ _rotation("".join(angles), angles.values(), len(values)) @ axes.T
            parent = self.parents[bone]
            if parent < 0:
                moved = [columns.get(name, np.zeros(len(values))) for name in _TRANSLATIONS]
                ends[bone], rotations[bone] = self.skeleton.offsets[bone] + np.stack(moved, axis=-1), local
            else:
                rotations[bone] = rotations[parent] @ local
                ends[bone] = ends[parent] + rotations[bone] @ self.skeleton.offsets[bone]
        return np.stack([ends[bone] for bone in bones], axis=1)


def find_asf(path: Path) -> Path:
    """The skeleton of a motion: what its name begins with, `02.asf` for `02_01.amc` and `HDM_bd.asf` for
    `HDM_bd_squat1Reps_001_120.amc`, in its folder or one or two above, or in a folder `asf` there; else the only .asf
    beside it.

    Raises InputError, naming the motion, if there is none.
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
    path: str | Path, asf: str | Path | None = None, *, fps: float = 120.0, longest: float | None = None
) -> Amc:
    """Read an AMC file and its skeleton.

    Args:
        path: the motion.
        asf: its skeleton; by default the one that `find_asf` finds.
        fps: frames per second of the motion, which the file does not say.
        longest: seconds that it may last; a longer one is refused before the rest is read.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: with file and line, for a skeleton or a motion that is cut, damaged, or does not fit the other.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no AMC file {path}; check the name")
    if not SLOWEST <= fps <= FASTEST:
        raise InputError(f"{path}: {fps:g} frames per second; give {SLOWEST:g} to {FASTEST:g}")
    skeleton = read_asf(find_asf(path) if asf is None else asf)
    with path.open("rb") as file:
        reader = _Motion(path, skeleton, fps, longest)
        reader.read(file)
    values = np.concatenate(reader.blocks)
    names = [name for channels in skeleton.channels for name in channels]
    values *= [skeleton.metres if name in _TRANSLATIONS else reader.radians for name in names]
    return Amc(skeleton, 1 / fps, values)


def read_asf(path: str | Path) -> Asf:
    """Read a skeleton.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: with file and line, for a file that is cut or damaged, or whose bones are no tree from the root.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no ASF file {path}; check the name")
    if path.stat().st_size > MAX_ASF_BYTES:
        raise InputError(f"{path}: {path.stat().st_size / 2**20:.0f} MB is no skeleton; {_REMEDY}")
    return _Skeleton(path).read()


def _rotation(axes: str, angles: Iterable[Array], frames: int) -> Array:
    """(frames, 3, 3) rotations about fixed axes "x", "y", "z", the first first, by as many angles in radians."""
    result = np.broadcast_to(np.eye(3), (frames, 3, 3)).copy()
    for axis, angle in zip(axes, angles, strict=True):
        place = "xyz".index(axis)
        i, j = (place + 1) % 3, (place + 2) % 3
        cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
        a, b = result[:, i].copy(), result[:, j].copy()
        result[:, i], result[:, j] = cos * a - sin * b, sin * a + cos * b
    return result


class _Lines:
    """What the readers of both files have in common: the path, the line, errors, and numbers."""

    def __init__(self, path: Path):
        self.path = path
        self.number = 0
        """Of the line that is being read, from 1."""

    def fail(self, what: str, remedy: str = _REMEDY) -> InputError:
        return InputError(f"{self.path}: line {self.number}: {_shown(what)}; {remedy}")

    def numbers(self, tokens: Sequence[str | bytes]) -> list[float]:
        try:
            values = list(map(float, tokens))
        except ValueError:
            raise self.fail(f"'{_joined(tokens)}' is not all numbers") from None
        if not all(map(math.isfinite, values)):
            raise self.fail("not all numbers are finite")
        return values


def _joined(tokens: Sequence[str | bytes]) -> str:
    return " ".join(token.decode("latin-1") if isinstance(token, bytes) else token for token in tokens)[:40]


def _shown(what: str) -> str:
    return what if what.isprintable() else "not a text file"


@dataclass
class _Bone:
    """A bone as its file has it, angles in the file's unit."""

    line: int
    name: str = ""
    direction: list[float] | None = None
    length: float | None = None
    axis: tuple[list[float], str] = field(default_factory=lambda: ([0.0] * 3, "xyz"))
    channels: tuple[str, ...] = ()


class _Skeleton(_Lines):
    """Reads a skeleton file line by line, section by section."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.units: dict[str, str] = {}
        self.root: dict[str, list[str]] = {}
        self.root_lines: dict[str, int] = {}
        self.bones: dict[str, _Bone] = {}
        self.open: _Bone | None = None
        """The bone whose block is being read."""
        self.parent_of: dict[str, str] = {}

    def read(self) -> Asf:
        section, seen = "", set[str]()
        text = self.path.read_bytes().decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
        for self.number, line in enumerate(text.split("\n"), 1):
            words = line.partition("#")[0].translate(str.maketrans("(),", "   ")).split()
            if words and words[0].startswith(":"):
                if self.open:
                    raise self.fail(f"'{words[0]}' inside of a bone, where end should stand")
                section = words[0][1:].lower()
                seen.add(section)
            elif words and section == "units":
                self.units[words[0].lower()] = words[-1]
                self.unit(words)
            elif words and section == "root":
                self.root[words[0].lower()], self.root_lines[words[0].lower()] = words[1:], self.number
            elif words and section == "bonedata":
                self.bone_line(words)
            elif words and section == "hierarchy":
                self.hierarchy_line(words)
        for needed in ("root", "bonedata", "hierarchy"):
            if needed not in seen:
                raise InputError(f"{self.path}: no section :{needed}, so it is cut or no ASF file; {_REMEDY}")
        if self.open:
            raise InputError(f"{self.path}: cut off inside of bone '{_shown(self.open.name)}'; {_REMEDY}")
        return self.skeleton()

    def unit(self, words: list[str]) -> None:
        """Check a line of the section :units."""
        if words[0].lower() == "length" and self.numbers(words[-1:])[0] <= 0:
            raise self.fail(f"length {words[-1]} is no unit")
        if words[0].lower() == "angle" and words[-1].lower() not in ("deg", "rad"):
            raise self.fail(f"angle '{words[-1][:40]}', where deg or rad should stand")

    def bone_line(self, words: list[str]) -> None:
        """A line of the section :bonedata. Limits and other keywords are ignored."""
        key = words[0].lower()
        if key == "begin":
            if self.open:
                raise self.fail("begin inside of a bone, where end should stand")
            if len(self.bones) == MAX_BONES - 1:
                raise self.fail(f"more than {MAX_BONES} bones", "give a file of one body")
            self.open = _Bone(self.number)
            return
        bone = self.open
        if bone is None:
            raise self.fail(f"'{_joined(words)}' where begin should stand")
        if key == "end":
            self.bone_end(bone)
        elif key == "name":
            bone.name = " ".join(words[1:])
        elif key == "direction":
            bone.direction = self.vector(words)
        elif key == "length":
            (bone.length,) = self.numbers(self.count(words, 1))
        elif key == "axis":
            bone.axis = (self.numbers(self.count(words, 4)[:3]), self.order(words[4]))
        elif key == "dof":
            bone.channels = self.channel_names(words[1:], _ROTATIONS)

    def bone_end(self, bone: _Bone) -> None:
        """Check the bone whose block has been read."""
        if not bone.name or bone.direction is None or bone.length is None:
            raise self.fail(f"bone '{bone.name}' from line {bone.line} needs a name, a direction and a length")
        if bone.name in self.bones or bone.name == "root":
            raise self.fail(f"a second bone '{bone.name}'")
        self.bones[bone.name] = bone
        self.open = None

    def hierarchy_line(self, words: list[str]) -> None:
        """A line of the section :hierarchy: a parent and its children."""
        if len(words) == 1 and words[0].lower() in ("begin", "end"):
            return
        for name in words:
            if name != "root" and name not in self.bones:
                raise self.fail(f"bone '{name[:40]}' is not in the section :bonedata")
        for child in words[1:]:
            if child == "root":
                raise self.fail(f"the root is a child of '{words[0]}'")
            if child in self.parent_of:
                raise self.fail(f"bone '{child}' has two parents, '{self.parent_of[child]}' and '{words[0]}'")
            self.parent_of[child] = words[0]

    def skeleton(self) -> Asf:
        """The skeleton, parents first."""
        children: dict[str, list[str]] = {}
        for child, parent in self.parent_of.items():
            children.setdefault(parent, []).append(child)
        names = ["root"]
        for name in names:
            names += children.get(name, [])
        places = {name: place for place, name in enumerate(names)}
        if left := [name for name in self.bones if name not in places]:
            raise InputError(
                f"{self.path}: bones {', '.join(left)[:200]} are not connected to the root in the section :hierarchy, "
                f"for they have no parent or hang on each other in a cycle; {_REMEDY}"
            )
        radians = 1.0 if self.units.get("angle", "deg").lower() == "rad" else math.radians(1)
        metres = _INCH / float(self.units.get("length", "1"))
        channels, position, (orientation, order) = self.root_lines_read()
        bones = [self.bones[name] for name in names[1:]]
        offsets = [position, *(np.multiply(bone.length or 0.0, bone.direction or []) for bone in bones)]
        axes = [_rotation(order, np.multiply(radians, orientation)[:, None], 1)[0]]
        axes += [_rotation(bone.axis[1], np.multiply(radians, bone.axis[0])[:, None], 1)[0] for bone in bones]
        return Asf(
            self.path,
            tuple(names),
            (-1, *(places[self.parent_of[name]] for name in names[1:])),
            metres * np.array(offsets, dtype=np.float64),
            np.array(axes),
            (channels, *(bone.channels for bone in bones)),
            metres,
            radians,
        )

    def root_lines_read(self) -> tuple[tuple[str, ...], list[float], tuple[list[float], str]]:
        """The root's channels, position, and orientation with its order of axes."""
        if "order" not in self.root:
            raise InputError(f"{self.path}: the root has no order, such as TX TY TZ RX RY RZ; {_REMEDY}")
        read: dict[str, list[str]] = {"position": ["0"] * 3, "orientation": ["0"] * 3, "axis": ["XYZ"]} | self.root
        self.number = self.root_lines["order"]
        channels = self.channel_names(read["order"], _TRANSLATIONS + _ROTATIONS)
        vectors = []
        for key in ("position", "orientation"):
            self.number = self.root_lines.get(key, 0)
            vectors.append(self.vector([key, *read[key]]))
        self.number = self.root_lines.get("axis", 0)
        return channels, vectors[0], (vectors[1], self.order("".join(read["axis"])))

    def vector(self, words: list[str]) -> list[float]:
        return self.numbers(self.count(words, 3))

    def count(self, words: list[str], count: int) -> list[str]:
        """The words after a keyword. InputError if they are not as many."""
        if len(words) != count + 1:
            raise self.fail(f"'{_joined(words)}' has {len(words) - 1} values, {words[0]} needs {count}")
        return words[1:]

    def order(self, word: str) -> str:
        """An order of axes, in lower case."""
        if sorted(word.lower()) != ["x", "y", "z"]:
            raise self.fail(f"axis '{word[:40]}' where an order such as XYZ should stand")
        return word.lower()

    def channel_names(self, words: list[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(word.lower() for word in words)
        if wrong := [name for name in names if name not in allowed]:
            raise self.fail(f"channel '{wrong[0][:40]}', where {' or '.join(allowed)} should stand")
        if len(set(names)) < len(names):
            raise self.fail(f"'{' '.join(names)}' has a channel twice")
        return names


class _Motion(_Lines):
    """Reads a motion once, in chunks.

    Frames are read line by line; as long as frames name the same bones in the same order as the one before, which they
    mostly do, as many as a chunk has are converted at once. That path accepts nothing that the other would refuse.
    """

    def __init__(self, path: Path, skeleton: Asf, fps: float, longest: float | None):
        super().__init__(path)
        self.skeleton, self.fps, self.longest = skeleton, fps, longest
        self.radians = skeleton.radians
        first = np.cumsum([0, *map(len, skeleton.channels)])
        self.columns = {name: range(first[i], first[i + 1]) for i, name in enumerate(skeleton.names)}
        self.width = int(first[-1])
        self.blocks: list[Array] = []
        self.frames = 0
        self.bytes, self.size = 0, path.stat().st_size
        """Read so far, and of all."""
        self.row: list[float] = []
        """Values of the frame that is being read; empty before the first one."""
        self.named: list[str] = []
        """The bones that it has named so far."""
        self.frame_line = 0
        self.cut = False
        """Whether the line that is being read is the last one and has no end."""
        self.layout: list[str] = []
        """The bones of the frame before, in order."""

    def read(self, file: BinaryIO) -> None:
        """Read all frames into `blocks`."""
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
            raise InputError(f"{self.path}: no frames, so it is cut or no AMC file; {_REMEDY}")
        if len(self.named) < len(self.layout) and self.layout[: len(self.named)] == self.named:
            raise self.fail(f"cut off in the frame from line {self.frame_line}, where {self.layout[len(self.named)]} "
                            "should stand")  # fmt: skip
        self.close()

    def chunks(self, file: BinaryIO) -> Iterator[list[bytes]]:
        """The lines of the file, many at a time, the last one perhaps without its end."""
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
        """Read one line: a comment, a keyword, the number of a frame, or a bone and its values."""
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
            raise self.fail(f"'{_joined(tokens)}' where the number of a frame should stand")
        if self.cut and (name not in self.columns or len(tokens) <= len(self.columns[name])):
            raise self.fail(f"cut off after '{_joined(tokens)}'")
        if name not in self.columns:
            raise self.fail(
                f"no bone '{name[:40]}' in {self.skeleton.path}", "give the .asf that belongs to this motion"
            )
        columns = self.columns[name]
        if len(tokens) != len(columns) + 1:
            raise self.fail(
                f"{len(tokens) - 1} values for {name}, which has {len(columns)} channels in {self.skeleton.path}",
                f"{_REMEDY}, or give the .asf that belongs to it",
            )
        if name in self.named:
            raise self.fail(f"{name} is twice in the frame from line {self.frame_line}")
        self.row[columns.start : columns.stop] = self.numbers(tokens[1:])
        self.named.append(name)

    def keyword(self, word: bytes) -> None:
        """A keyword before the first frame; others than the unit of angles are ignored."""
        if word.upper() == b":DEGREES":
            self.radians = math.radians(1)
        elif word.upper() == b":RADIANS":
            self.radians = 1.0

    def close(self) -> None:
        """Take the frame that has been read, if there is one."""
        if not self.row:
            return
        if "root" not in self.named:
            raise InputError(f"{self.path}: line {self.frame_line}: a frame without its root; {_REMEDY}")
        self.take(np.array([self.row]))
        self.row, self.layout = [], self.named

    def take(self, values: Array) -> None:
        """Take values (f, C) of frames. InputError if there are more than may be."""
        self.blocks.append(values)
        self.frames += len(values)
        if self.longest is not None and self.frames > self.longest * self.fps * (1 + 1e-6):
            all_of_it = max(round(self.frames * self.size / max(self.bytes, 1)), self.frames)  # an estimate
            check_length(self.path, all_of_it, self.fps, self.longest)

    def frames_at_once(self, lines: list[bytes], place: int) -> int:
        """Read all whole frames in lines[place:] but the last, if they are like the frame before.

        Returns how many lines were read, of all of these frames or none.
        """
        count = (len(lines) - place - 1) // (len(self.layout) + 1)
        taken = count * (len(self.layout) + 1)
        if not self.layout or not count or not lines[place + taken].strip().isdigit():  # the last might go on
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
