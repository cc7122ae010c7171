"""Motions of Seoul National University's Movement Research Lab, published with its papers, on this project's body.

The public repositories snumrl/ys2010, VSports, InteractiveAnimation, TimeCriticalResponse and DeepPushRecovery have BVH
files of walks, pushes, jumps, boxing, table tennis, basketball, tennis, fights and acrobatics, and some trials of CMU's
database. assets/captions/snu.csv lists the 551 that are read, with a label of each.

Basketball is annotated: in `annotation/s_003_1.lab`, beside the folder of `s_003_1_1.bvh` … `s_003_1_4.bvh` (four
players), each event has a type, a file, and its first and last frame.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from data_loaders.cleaning.cutting import split_take
from data_loaders.retarget import start_at_origin
from data_loaders.skeleton_files import read_bvh_joints
from data_loaders.skeleton_mapping import MAPPINGS
from data_loaders.types import Caption, Clip, Source, split_of
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError

LIST = MAPPINGS.parent / "captions" / "snu.csv"
"""The clips that are read: set, name of the file without its ending, and label, empty where nothing is known."""

LICENCES = {
    "ys2010": "Apache-2.0",
    "vsports": "Apache-2.0",
    "interactive": "Apache-2.0",
    "timecritical": "BSD-3-Clause",
    "deeppush": "Apache-2.0",
}
"""Of each set."""

EVENTS = {
    "dribble": "dribble", "pass": "pass", "pass_long": "long pass", "catch": "catch", "shoot": "shoot",
    "shoot_near": "shoot near the basket", "fake_shoot": "fake a shot", "fake_shot": "fake a shot", "block": "block",
    "pickup": "pick up the ball", "pivot_l": "pivot left", "pivot_r": "pivot right", "screen": "screen",
    "feint_l": "feint left", "feint_r": "feint right", "mark": "mark an opponent", "hold": "hold the ball",
    "walk": "walk", "run": "run", "idle": "stand", "push": "push", "kick": "kick",
}  # fmt: skip
"""Types of events and their words; others are left out."""

LAB_FPS = 30.0
"""Frames per second that annotations count in."""

MAX_LAB_BYTES = 2**20
"""Size of an annotation; the largest has 40 kB."""

MAX_SECONDS = 600.0
"""That a file may last; the longest lasts two minutes."""

_CMU = re.compile(r"(16|69|94)_\d+_\d+")


@dataclass(frozen=True)
class Event:
    """Something that happens in a clip, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Snu:
    """Motions of Seoul National University: walks, pushes, boxing, basketball, tennis, fights, acrobatics."""

    data_root: Path
    """Folder with clones of one or more of snumrl's repositories: ys2010, VSports, InteractiveAnimation,
    TimeCriticalResponse, DeepPushRecovery."""

    def source(self) -> Source:
        """The listed files under the folder; others are left out. A clip is called "vsports/s_003_1_1".

        All that was recorded at once is in one part, and so are CMU's subjects, in the same part as in its database.
        Raises FileNotFoundError or InputError if there is no folder, or none of the files in it.
        """
        root = self.data_root
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}; give --data-root the folder of snumrl's repositories")
        named: dict[str, Path] = {}
        for path in sorted(root.rglob("*.[bB][vV][hH]")):
            name = f"{_set(root, path)}/{path.stem}"
            if name in listed() and path.is_file():
                named.setdefault(name, path)
        if not named:
            raise InputError(
                f"{root} has no files of snumrl's; clone ys2010, VSports, InteractiveAnimation, TimeCriticalResponse "
                "or DeepPushRecovery of snumrl into it, each under its name"
            )
        events, files, problems = _annotations(list(named.values()))
        entries = [SnuEntry(path, name, listed()[name], tuple(events.get(path, ()))) for name, path in named.items()]
        sets = dict.fromkeys(name.partition("/")[0] for name in named)
        licence = "Movement Research Lab, Seoul National University: " + ", ".join(
            f"{name} {LICENCES[name]}" for name in sets
        )
        if any(_CMU.fullmatch(path.stem) for path in named.values()):
            licence += "; some trials of the CMU motion capture database, free for all uses"
        return Source(entries, mirrored=False, licence=licence, files=[*named.values(), *files], problems=problems)


@dataclass(frozen=True)
class SnuEntry:
    """A file of one of the sets."""

    path: Path
    name: str
    label: str
    events: tuple[Event, ...] = ()

    def read(self) -> Clip:
        joints = start_at_origin(read_bvh_joints(self.path, max_seconds=MAX_SECONDS))
        captions = [Caption(self.label)] if self.label else []
        if self.events:
            pieces = split_take(
                joints, [round(time * FPS) for event in self.events for time in (event.start, event.end)]
            )
            captions = [self._caption(start / FPS, end / FPS) for start, end in pieces]
        return Clip(self.name, joints, split_of(recording(self.path.stem)), tuple(captions), self.label)

    def _caption(self, start: float, end: float) -> Caption:
        """The label, and the events most of which is between these seconds: "play basketball: dribble, shoot"."""
        inside = [event.text for event in self.events if start <= (event.start + event.end) / 2 < end]
        words = ", ".join(text for i, text in enumerate(inside) if i == 0 or inside[i - 1] != text)
        return Caption(f"{self.label}: {words}" if words else self.label, start, end)


def recording(stem: str) -> str:
    """What was recorded at once with a file, by its name: the other players, the same motion in other files."""
    if trial := _CMU.fullmatch(stem):
        return f"CMU subject {trial[1]}"
    if "slope" in stem:  # pieces of long takes are files too
        return "snu slope"
    if players := re.fullmatch(r"(s_\d+_\d+)_\d", stem):
        return f"snu {players[1]}"
    return f"snu {stem.removesuffix('_simple')}"


@cache
def listed() -> dict[str, str]:
    """The labels of the clips that are read, by their names, "vsports/s_003_1_1"."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return {f"{row['set']}/{row['clip']}": row["label"] for row in csv.DictReader(file)}


def read_lab(path: Path) -> dict[str, list[Event]]:
    """The events of an annotation by the name of the file that they are in, in the order of time; known types only.

    Raises InputError, with the line, for one that is too large, no text, or has frames that cannot be.
    """
    if path.stat().st_size > MAX_LAB_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes are no annotation; copy the file again")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; copy it again") from None
    events: dict[str, list[Event]] = {}
    for number, fields in _blocks(lines):
        text = EVENTS.get(fields.get("type", "").rstrip("'"), "")
        frames = [fields.get(key, "") for key in ("startFrame", "endFrame")]
        if not text:
            continue
        if not all(re.fullmatch("[0-9]{1,7}", frame) for frame in frames) or int(frames[1]) < int(frames[0]):
            raise InputError(
                f"{path}: line {number}: frames {frames[0][:20]!r} to {frames[1][:20]!r}; give startFrame and endFrame"
            )
        start, end = (int(frame) / LAB_FPS for frame in frames)
        events.setdefault(Path(fields.get("file", "")).stem, []).append(Event(text, start, end))
    return {stem: sorted(some, key=lambda event: (event.start, event.end)) for stem, some in events.items()}


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The fields of each block in braces, and the number of its first line."""
    first, fields = 1, dict[str, str]()
    for number, line in enumerate(lines, 1):
        if "{" in line:
            first, fields = number, {}
        elif "}" in line:
            yield first, fields
        else:
            key, _, value = line.strip().partition(":")
            fields[key] = value.strip()


def _annotations(paths: Sequence[Path]) -> tuple[dict[Path, list[Event]], list[Path], list[str]]:
    """The events of basketball files, the annotations that they come from, and what is wrong with these."""
    events: dict[Path, list[Event]] = {}
    files, problems = [], []
    ball = [path for path in paths if path.stem.startswith("s_") and path.parent.parent.name == "basketData"]
    for folder in sorted({path.parent.parent / "annotation" for path in ball}):
        found: dict[str, list[Event]] = {}
        for lab in sorted(folder.glob("*.lab")):
            try:
                found |= read_lab(lab)
                files.append(lab)
            except InputError as error:
                problems.append(str(error))
        events |= {
            path: found[path.stem] for path in ball if path.stem in found and path.parent.parent == folder.parent
        }
    return events, files, problems


def _set(root: Path, path: Path) -> str:
    """Which set a file belongs to, by the folders that it is in: "vsports" for VSports or snu_vsports; or none."""
    for folder in (root.resolve().name, *path.relative_to(root).parts[:-1]):
        name = folder.lower().removeprefix("snu_")
        for known in LICENCES:
            if name.startswith(known):
                return known
    return ""
