"""python -m data_loaders prepare | check | export | merge | known | show: read somebody's motions, judge them, look."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import torch
import tyro

from data_loaders.amass import Amass
from data_loaders.bandai import bandai
from data_loaders.bvh_folder import BvhFolder
from data_loaders.cleaning.clean import CleaningTotal, clean_clip
from data_loaders.clip import Clip
from data_loaders.cmu import Cmu
from data_loaders.hdm05 import Hdm05
from data_loaders.humanml3d.dataset import humanml3d
from data_loaders.humanml3d.export import write_humanml3d
from data_loaders.humanml3d.from_amass import HumanML3DFromAmass
from data_loaders.kit import kit
from data_loaders.known_actions import known_of
from data_loaders.snu import Snu
from data_loaders.source import Source
from data_loaders.store import is_store, merge, open_store, prepare, read_all
from motion_diffusion import pretrained
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.prompts.known_actions import KNOWN


class DataSet(Protocol):
    """What every data set's options have."""

    @property
    def data_root(self) -> Path: ...

    def source(self) -> Source: ...


@dataclass(frozen=True)
class Bandai:
    """The Bandai-Namco Research Motiondataset."""

    data_root: Path
    """Clone of its repository."""

    def source(self) -> Source:
        """Its clips."""
        return bandai(self.data_root)


@dataclass(frozen=True)
class HumanML3D:
    """HumanML3D as its scripts leave it, or with GMD's absolute features."""

    data_root: Path
    """Folder with new_joint_vecs, texts, train.txt …"""

    def source(self) -> Source:
        """Its clips."""
        return humanml3d(self.data_root)


@dataclass(frozen=True)
class Kit:
    """KIT-ML as HumanML3D's authors distribute it."""

    data_root: Path
    """Folder with new_joint_vecs, texts, train.txt …"""

    def source(self) -> Source:
        """Its clips."""
        return kit(self.data_root)


AnyDataSet = (
    Annotated[Bandai, tyro.conf.subcommand("bandai")]
    | Annotated[HumanML3D, tyro.conf.subcommand("humanml3d")]
    | Annotated[Kit, tyro.conf.subcommand("kit")]
    | Annotated[Amass, tyro.conf.subcommand("amass")]
    | Annotated[HumanML3DFromAmass, tyro.conf.subcommand("humanml3d-from-amass")]
    | Annotated[BvhFolder, tyro.conf.subcommand("bvh")]
    | Annotated[Cmu, tyro.conf.subcommand("cmu")]
    | Annotated[Hdm05, tyro.conf.subcommand("hdm05")]
    | Annotated[Snu, tyro.conf.subcommand("snu")]
)
CONFIG = (tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
NAMES: dict[type, str] = {
    Bandai: "bandai",
    HumanML3D: "humanml3d",
    Kit: "kit",
    Amass: "amass",
    HumanML3DFromAmass: "humanml3d",
    BvhFolder: "bvh",
    Cmu: "cmu",
    Hdm05: "hdm05",
    Snu: "snu",
}
"""Of the store that is made of each."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What reads all of a data set."""

    data: AnyDataSet
    processes: int = 0
    """How many read; 0 for as many as pay off, up to one a core."""


@dataclass(frozen=True, kw_only=True)
class Writing(Reading):
    """What makes something new of it."""

    out: Path
    """Folder to make."""
    skip_broken: bool = False
    """Leave out what is broken, and say so, instead of refusing."""


@dataclass(frozen=True, kw_only=True)
class Prepare(Writing):
    """Read all clips of a data set into one memory-mapped store, to train on with --data-root STORE."""

    clean: bool = False
    """Throw away T-poses and defects such as jumps and sliding feet, cut takes of more than 10 s into clips, and report
    what was thrown away."""

    def run(self) -> None:
        """Do it."""
        store = prepare(
            NAMES[type(self.data)],
            self.data.source(),
            self.out,
            skip_broken=self.skip_broken,
            clean=self.clean,
            processes=self.processes,
        )
        print(summary(store.clips))
        print(f"{self.out}: train on it with --data {store.data} --data-root {self.out}")


@dataclass(frozen=True, kw_only=True)
class Check(Reading):
    """Read everything, keep nothing, and say what is missing or broken, file by file, and why."""

    clean: bool = False
    """List what prepare --clean would throw away, too."""

    def run(self) -> None:
        """Do it."""
        clips, lines = clips_of(self.data, self.processes)
        if self.clean:
            total = CleaningTotal()
            for cleaned in map(clean_clip, clips):
                total.add(cleaned)
                for line in cleaned.report():
                    print(f"thrown away: {line}")
            print(total)
        print("\n".join([*lines, summary(clips)]))
        if lines:
            raise InputError(
                f"{len(lines)} broken or missing, listed above; prepare leaves them out with --skip-broken"
            )


@dataclass(frozen=True, kw_only=True)
class Export(Writing):
    """Write a data set as HumanML3D's own files, for other programs; goes on where it was stopped.

    These are new_joints, new_joint_vecs, texts, Mean.npy, Std.npy and the splits.
    """

    def run(self) -> None:
        """Do it."""
        write_humanml3d(self.data.source(), self.out, skip_broken=self.skip_broken, processes=self.processes)
        print(f"{self.out}: HumanML3D's files")


@dataclass(frozen=True)
class Merge:
    """Put several stores together, to train on them with --data mixed --data-root STORE."""

    stores: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that prepare made."""
    out: Path
    """Folder to make."""

    def run(self) -> None:
        """Do it."""
        if len(self.stores) < 2:
            raise InputError("one store alone is nothing to merge; give two or more")
        print(summary(merge(self.stores, self.out).clips))
        print(f"{self.out}: train on it with --data mixed --data-root {self.out}")


@dataclass(frozen=True)
class WriteKnown:
    """Write known.json, what a store's training clips are about, for models that were trained on them.

    Training writes it by itself; this is for models from before, and for stores whose captions have changed.
    """

    store: Annotated[Path, tyro.conf.Positional]
    """Folder that prepare made."""
    out: tuple[Path, ...]
    """Directories of models."""

    def run(self) -> None:
        """Do it."""
        for folder in self.out:
            if not (folder / pretrained.CONFIG).is_file():
                raise InputError(f"{folder} is no model, it has no {pretrained.CONFIG}; give directories of models")
        store = open_store(self.store)
        known = known_of(store.of_split("train"), mirrored=store.mirrored)
        for folder in self.out:
            known.write(folder)
            print(f"{folder / KNOWN}: {len(known.actions)} actions, {known.hours:.2f} h, {len(known.words)} words")


@dataclass(frozen=True)
class Show:
    """Draw a clip with its captions: key poses (.png) or a film (.mp4)."""

    data: AnyDataSet
    out: Path
    """What to write: .png or .mp4."""
    clip: str | None = None
    """Name of the clip; by default the first one."""
    overwrite: bool = False

    def run(self) -> None:
        """Do it."""
        if self.out.suffix not in (".png", ".mp4"):
            raise InputError(f"{self.out}: key poses end in .png, a film in .mp4; choose another --out")
        if self.out.exists() and not self.overwrite:
            raise InputError(f"{self.out} exists; give another --out, or --overwrite to replace it")
        from visualize.film import write_film  # here, since the other verbs need not wait a second for it
        from visualize.stills import draw_strip

        clip = chosen(self.data, self.clip)
        text = clip.captions[0].text if clip.captions else clip.name
        motion = Motion(torch.from_numpy(np.array(clip.joints)), text=text)
        draw_strip(motion, self.out) if self.out.suffix == ".png" else write_film(motion, self.out)
        print(f"{clip.name}: {len(clip.joints) / FPS:.1f} s, {clip.split}")
        for caption in clip.captions:
            part = f" ({caption.start:g} to {caption.end:g} s)" if caption.end else ""
            print(f"  {caption.text}{part}")


def clips_of(data: DataSet, processes: int) -> tuple[list[Clip], list[str]]:
    """All clips that can be read, and a line on everything that is broken or missing."""
    if is_store(data.data_root):
        return list(open_store(data.data_root).clips), []
    source = data.source()
    with closing(read_all(source.entries, processes)) as clips:
        read = list(clips)
    lines = [*source.problems, *(line for line in read if isinstance(line, str))]
    return [clip for clip in read if isinstance(clip, Clip)], lines


def chosen(data: DataSet, name: str | None) -> Clip:
    """The clip of that name, or the first; nothing else is read. Raises InputError if there is none."""
    if is_store(data.data_root):
        clips = {clip.name: clip for clip in open_store(data.data_root).clips}
        if found := clips.get(name or next(iter(clips), "")):
            return found
    else:
        entries = {entry.name: entry for entry in data.source().entries}
        if entry := entries.get(name or next(iter(entries), "")):
            return entry.read()
    raise InputError(f"{data.data_root} has no clip {name or ''}; give one of its names as --clip")


def summary(clips: Sequence[Clip]) -> str:
    """How much there is of each part: clips, captions, hours, and the lengths."""
    lines = [f"{'':6}{'clips':>8}{'captions':>10}{'hours':>8}{'shortest':>10}{'longest, s':>12}"]
    for split in ("train", "val", "test"):
        seconds = [len(clip.joints) / FPS for clip in clips if clip.split == split]
        captions = sum(len(clip.captions) for clip in clips if clip.split == split)
        low, high = (min(seconds), max(seconds)) if seconds else (0, 0)
        lines.append(f"{split:6}{len(seconds):8}{captions:10}{sum(seconds) / 3600:8.2f}{low:10.1f}{high:12.1f}")
    return "\n".join(lines)


@command
def main() -> None:
    """The command."""
    verbs = (
        Annotated[Prepare, tyro.conf.subcommand("prepare")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Merge, tyro.conf.subcommand("merge")]
        | Annotated[WriteKnown, tyro.conf.subcommand("known")]
        | Annotated[Show, tyro.conf.subcommand("show")]
    )
    parse_arguments(verbs, prog="python -m data_loaders", config=CONFIG).run()


if __name__ == "__main__":
    main()
