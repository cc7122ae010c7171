"""Reader for ASF skeleton files (Acclaim) and line parsing shared with AMC motion files.

Euler angles of axes are about fixed axes, the first one applied first: XYZ means R_z · R_y · R_x. The unit of length u
of a skeleton means that 1 in the files is 0.0254 / u metres. See `formats.amc` for the kinematics.

References:
    Schafer 1994, "Acclaim Skeleton File Definition V1.10".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.errors import InputError

Array = NDArray[np.float64]

MAX_BONES = 2000
"""Maximum number of bones of a skeleton, including the root."""

MAX_ASF_BYTES = 2**22
"""Maximum size of a skeleton file in bytes; those of CMU and HDM05 have 7 kB."""

REMEDY = "copy or export the file again"

_INCH = 0.0254

ROTATIONS = ("rx", "ry", "rz")

TRANSLATIONS = ("tx", "ty", "tz")


@dataclass(frozen=True, eq=False)
class Asf:
    """Skeleton in metres and radians: the root and the bones, parents first."""

    path: Path
    names: tuple[str, ...]
    """Names; the root's is "root"."""
    parents: tuple[int, ...]
    """Parent of each bone, -1 for the root."""
    offsets: Array
    """(J, 3) metres from the end of the parent to the end of the bone at rest; the `position` of the root."""
    axes: Array
    """(J, 3, 3) rotation C of each bone's `axis`; of the root's `orientation`."""
    channels: tuple[tuple[str, ...], ...]
    """Channels of each bone in the order of their values, such as "tx", "ry"; empty for bones fixed to their parent."""
    metres: float
    """Metres per unit of length of the files."""
    radians: float
    """Radians per unit of angle of the files."""


def read_asf(path: str | Path) -> Asf:
    """Read a skeleton file.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With file and line, if the file is truncated or malformed, or its bones are no tree below the root.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no ASF file {path}; check the name")
    if path.stat().st_size > MAX_ASF_BYTES:
        raise InputError(f"{path}: {path.stat().st_size / 2**20:.0f} MB is no skeleton; {REMEDY}")
    return _SkeletonReader(path).read()


def fixed_axis_rotation(axes: str, angles: Iterable[Array], frames: int) -> Array:
    """Compose rotations about fixed coordinate axes.

    Args:
        axes: Axes such as "xyz", the first one applied first.
        angles: Angles in radians for each axis, each (frames,).
        frames: Number of frames.

    Returns:
        Rotation matrices (frames, 3, 3).
    """
    result = np.broadcast_to(np.eye(3), (frames, 3, 3)).copy()
    for axis, angle in zip(axes, angles, strict=True):
        place = "xyz".index(axis)
        i, j = (place + 1) % 3, (place + 2) % 3
        cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
        a, b = result[:, i].copy(), result[:, j].copy()
        result[:, i], result[:, j] = cos * a - sin * b, sin * a + cos * b
    return result


class LineReader:
    """Common base of the parsers of ASF and AMC files: path, current line, errors and numbers."""

    def __init__(self, path: Path):
        self.path = path
        self.number = 0
        """Current line, from 1."""

    def fail(self, what: str, remedy: str = REMEDY) -> InputError:
        """Error with file, line, problem and remedy."""
        return InputError(f"{self.path}: line {self.number}: {_printable(what)}; {remedy}")

    def numbers(self, tokens: Sequence[str | bytes]) -> list[float]:
        """Parse tokens as finite numbers."""
        try:
            values = list(map(float, tokens))
        except ValueError:
            raise self.fail(f"'{joined(tokens)}' is not all numbers") from None
        if not all(map(math.isfinite, values)):
            raise self.fail("not all numbers are finite")
        return values


def joined(tokens: Sequence[str | bytes]) -> str:
    """Tokens as text for an error message, at most 40 characters."""
    return " ".join(token.decode("latin-1") if isinstance(token, bytes) else token for token in tokens)[:40]


def _printable(what: str) -> str:
    return what if what.isprintable() else "not a text file"


@dataclass
class _Bone:
    """Bone as stored in the file, angles in the file's unit."""

    line: int
    name: str = ""
    direction: list[float] | None = None
    length: float | None = None
    axis: tuple[list[float], str] = field(default_factory=lambda: ([0.0] * 3, "xyz"))
    channels: tuple[str, ...] = ()


class _SkeletonReader(LineReader):
    """Parser of a skeleton file, line by line and section by section."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.units: dict[str, str] = {}
        self.root: dict[str, list[str]] = {}
        self.root_lines: dict[str, int] = {}
        self.bones: dict[str, _Bone] = {}
        self.open: _Bone | None = None
        """Bone whose block is being parsed."""
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
                raise InputError(f"{self.path}: no section :{needed}, so it is cut or no ASF file; {REMEDY}")
        if self.open:
            raise InputError(f"{self.path}: cut off inside of bone '{_printable(self.open.name)}'; {REMEDY}")
        return self.skeleton()

    def unit(self, words: list[str]) -> None:
        """Check a line of the section :units."""
        if words[0].lower() == "length" and self.numbers(words[-1:])[0] <= 0:
            raise self.fail(f"length {words[-1]} is no unit")
        if words[0].lower() == "angle" and words[-1].lower() not in ("deg", "rad"):
            raise self.fail(f"angle '{words[-1][:40]}', where deg or rad should stand")

    def bone_line(self, words: list[str]) -> None:
        """Parse a line of the section :bonedata. Limits and other keywords are ignored."""
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
            raise self.fail(f"'{joined(words)}' where begin should stand")
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
            bone.channels = self.channel_names(words[1:], ROTATIONS)

    def bone_end(self, bone: _Bone) -> None:
        """Check and store the bone at the end of its block."""
        if not bone.name or bone.direction is None or bone.length is None:
            raise self.fail(f"bone '{bone.name}' from line {bone.line} needs a name, a direction and a length")
        if bone.name in self.bones or bone.name == "root":
            raise self.fail(f"a second bone '{bone.name}'")
        self.bones[bone.name] = bone
        self.open = None

    def hierarchy_line(self, words: list[str]) -> None:
        """Parse a line of the section :hierarchy: a parent and its children."""
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
        """Build the skeleton, parents first."""
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
                f"for they have no parent or hang on each other in a cycle; {REMEDY}"
            )
        radians = 1.0 if self.units.get("angle", "deg").lower() == "rad" else math.radians(1)
        metres = _INCH / float(self.units.get("length", "1"))
        channels, position, (orientation, order) = self.root_lines_read()
        bones = [self.bones[name] for name in names[1:]]
        offsets = [position, *(np.multiply(bone.length or 0.0, bone.direction or []) for bone in bones)]
        axes = [fixed_axis_rotation(order, np.multiply(radians, orientation)[:, None], 1)[0]]
        axes += [fixed_axis_rotation(bone.axis[1], np.multiply(radians, bone.axis[0])[:, None], 1)[0] for bone in bones]
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
        """Channels, position, and orientation with the order of its axes of the root."""
        if "order" not in self.root:
            raise InputError(f"{self.path}: the root has no order, such as TX TY TZ RX RY RZ; {REMEDY}")
        read: dict[str, list[str]] = {"position": ["0"] * 3, "orientation": ["0"] * 3, "axis": ["XYZ"]} | self.root
        self.number = self.root_lines["order"]
        channels = self.channel_names(read["order"], TRANSLATIONS + ROTATIONS)
        vectors = []
        for key in ("position", "orientation"):
            self.number = self.root_lines.get(key, 0)
            vectors.append(self.vector([key, *read[key]]))
        self.number = self.root_lines.get("axis", 0)
        return channels, vectors[0], (vectors[1], self.order("".join(read["axis"])))

    def vector(self, words: list[str]) -> list[float]:
        return self.numbers(self.count(words, 3))

    def count(self, words: list[str], count: int) -> list[str]:
        """Arguments of a keyword. Raises InputError if their number is wrong."""
        if len(words) != count + 1:
            raise self.fail(f"'{joined(words)}' has {len(words) - 1} values, {words[0]} needs {count}")
        return words[1:]

    def order(self, word: str) -> str:
        """Order of axes in lower case."""
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
