"""Motions of Seoul National University's Movement Research Lab, published with its papers.

The public repositories snumrl/ys2010, VSports, InteractiveAnimation, TimeCriticalResponse and DeepPushRecovery have BVH
files of walks, pushes, jumps, boxing, table tennis, basketball, tennis, fights and acrobatics, and some trials of CMU's
database. assets/captions/snu.csv lists the 551 that are read, with a label for each.

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
from motion_diffusion.body.skeleton import FPS, frame_of
from motion_diffusion.errors import InputError

CLIP_LIST = MAPPINGS.parent / "captions" / "snu.csv"
"""Clips that are read: set, file name without suffix, and label, empty if unknown."""

LICENCES = {
    "ys2010": "Apache-2.0",
    "vsports": "Apache-2.0",
    "interactive": "Apache-2.0",
    "timecritical": "BSD-3-Clause",
    "deeppush": "Apache-2.0",
}
"""Licence of each set."""

EVENTS = {
    "dribble": "dribble", "pass": "pass", "pass_long": "long pass", "catch": "catch", "shoot": "shoot",
    "shoot_near": "shoot near the basket", "fake_shoot": "fake a shot", "fake_shot": "fake a shot", "block": "block",
    "pickup": "pick up the ball", "pivot_l": "pivot left", "pivot_r": "pivot right", "screen": "screen",
    "feint_l": "feint left", "feint_r": "feint right", "mark": "mark an opponent", "hold": "hold the ball",
    "walk": "walk", "run": "run", "idle": "stand", "push": "push", "kick": "kick",
}  # fmt: skip
"""Phrases for types of events; other types are ignored."""

LAB_FPS = 30.0
"""Frames per second of annotations."""

MAX_LAB_BYTES = 2**20
"""Maximum size of an annotation in bytes; the largest has 40 kB."""

MAX_SECONDS = 600.0
"""Maximum duration of a file; the longest one lasts two minutes."""

_CMU = re.compile(r"(16|69|94)_\d+_\d+")


@dataclass(frozen=True)
class Event:
    """Event within a clip, times in seconds."""

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
        """List the files of the folder that are in `CLIP_LIST`, under names such as "vsports/s_003_1_1".

        Clips that were recorded together are in one split; subjects of CMU are in the same split as in `cmu`.

        Raises:
            FileNotFoundError: If there is no such folder.
            InputError: If it has none of the files.
        """
        root = self.data_root
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}; give --data-root the folder of snumrl's repositories")
        named: dict[str, Path] = {}
        for path in sorted(root.rglob("*.[bB][vV][hH]")):
            name = f"{_set(root, path)}/{path.stem}"
            if name in listed_clips() and path.is_file():
                named.setdefault(name, path)
        if not named:
            raise InputError(
                f"{root} has no files of snumrl's; clone ys2010, VSports, InteractiveAnimation, TimeCriticalResponse "
                "or DeepPushRecovery of snumrl into it, each under its name"
            )
        events, files, problems = _annotations(list(named.values()))
        entries = [
            SnuEntry(path, name, listed_clips()[name], tuple(events.get(path, ()))) for name, path in named.items()
        ]
        sets = dict.fromkeys(name.partition("/")[0] for name in named)
        licence = "Movement Research Lab, Seoul National University: " + ", ".join(
            f"{name} {LICENCES[name]}" for name in sets
        )
        if any(_CMU.fullmatch(path.stem) for path in named.values()):
            licence += "; some trials of the CMU motion capture database, free for all uses"
        return Source(entries, mirrored=False, licence=licence, files=[*named.values(), *files], problems=problems)


@dataclass(frozen=True)
class SnuEntry:
    """File of one of the sets."""

    path: Path
    name: str
    label: str
    events: tuple[Event, ...] = ()

    def read(self) -> Clip:
        joints = start_at_origin(read_bvh_joints(self.path, max_seconds=MAX_SECONDS))
        captions = [Caption(self.label)] if self.label else []
        if self.events:
            pieces = split_take(joints, [frame_of(time) for event in self.events for time in (event.start, event.end)])
            captions = [self._caption(start / FPS, end / FPS) for start, end in pieces]
        return Clip(self.name, joints, split_of(recording_of(self.path.stem)), tuple(captions), self.label)

    def _caption(self, start: float, end: float) -> Caption:
        """Caption of a time span: the label and the events mostly inside, "play basketball: dribble, shoot"."""
        inside = [event.text for event in self.events if start <= (event.start + event.end) / 2 < end]
        words = ", ".join(text for i, text in enumerate(inside) if i == 0 or inside[i - 1] != text)
        return Caption(f"{self.label}: {words}" if words else self.label, start, end)


def recording_of(stem: str) -> str:
    """Identifier of the recording that a file belongs to, shared by players recorded together and by copies of a
    motion.
    """
    if trial := _CMU.fullmatch(stem):
        return f"CMU subject {trial[1]}"
    if "slope" in stem:  # files are pieces of long takes
        return "snu slope"
    if players := re.fullmatch(r"(s_\d+_\d+)_\d", stem):
        return f"snu {players[1]}"
    return f"snu {stem.removesuffix('_simple')}"


@cache
def listed_clips() -> dict[str, str]:
    """Labels by clip name, such as "vsports/s_003_1_1"."""
    with CLIP_LIST.open(encoding="utf-8", newline="") as file:
        return {f"{row['set']}/{row['clip']}": row["label"] for row in csv.DictReader(file)}


def read_lab(path: Path) -> dict[str, list[Event]]:
    """Read an annotation: events of known types by file name, in order of time.

    Raises:
        InputError: With the line, if the file is too large, no text, or has invalid frames.
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
    """Fields of each block in braces, and its first line."""
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
    """Events of basketball files, the annotation files they were read from, and problems."""
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
    """Set that a file belongs to, by its folders: "vsports" for VSports or snu_vsports; empty if unknown."""
    for folder in (root.resolve().name, *path.relative_to(root).parts[:-1]):
        name = folder.lower().removeprefix("snu_")
        for known in LICENCES:
            if name.startswith(known):
                return known
    return ""
