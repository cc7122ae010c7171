"""Command `python -m data_loaders`: read, check, clean, convert and display motion capture data."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from data_loaders.amass import Amass
from data_loaders.bandai import Bandai
from data_loaders.captions.vocabulary import collect_known
from data_loaders.cleaning.clean import clean_clip, report_removed
from data_loaders.cmu import Cmu
from data_loaders.hdm05 import Hdm05
from data_loaders.humanml3d.dataset import HumanML3D
from data_loaders.humanml3d.export import write_humanml3d
from data_loaders.humanml3d.from_amass import HumanML3DFromAmass
from data_loaders.kit import Kit
from data_loaders.skeleton_folders import BvhFolder
from data_loaders.snu import Snu
from data_loaders.store import is_store, merge, open_store, prepare, read_all
from data_loaders.types import Clip, DataSet
from motion_diffusion import pretrained
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.prompts import KNOWN

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
"""Name of the data set that is recorded in its store."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of verbs that read a whole data set."""

    data: AnyDataSet
    processes: int = 0
    """Number of worker processes for reading; 0 chooses automatically, up to one per core."""


@dataclass(frozen=True, kw_only=True)
class WriteOptions(ReadOptions):
    """Options of verbs that write a folder."""

    out: Path
    """Folder to create."""
    skip_broken: bool = False
    """Leave out broken clips with a message instead of stopping."""


@dataclass(frozen=True, kw_only=True)
class Prepare(WriteOptions):
    """Read all clips of a data set into one memory-mapped store, to train on with --data-root STORE."""

    clean: bool = False
    """Remove T-poses and defects such as jumps and sliding feet, cut takes of more than 10 s into clips, and report
    what was removed."""

    def run(self) -> None:
        """Execute the verb."""
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
class Check(ReadOptions):
    """Read a whole data set without writing anything, and report what is missing or broken, file by file, and why."""

    clean: bool = False
    """Also list what prepare --clean would remove."""

    def run(self) -> None:
        """Execute the verb."""
        clips, lines = read_clips(self.data, self.processes)
        if self.clean:
            for _ in report_removed(map(clean_clip, clips), print):
                pass
        print("\n".join([*lines, summary(clips)]))
        if lines:
            raise InputError(
                f"{len(lines)} broken or missing, listed above; prepare leaves them out with --skip-broken"
            )


@dataclass(frozen=True, kw_only=True)
class Export(WriteOptions):
    """Write a data set in HumanML3D's file format, for other programs. An interrupted export is continued.

    The files are new_joints, new_joint_vecs, texts, Mean.npy, Std.npy and the splits.
    """

    def run(self) -> None:
        """Execute the verb."""
        write_humanml3d(self.data.source(), self.out, skip_broken=self.skip_broken, processes=self.processes)
        print(f"{self.out}: HumanML3D's files")


@dataclass(frozen=True)
class Merge:
    """Merge several stores into one, to train on with --data mixed --data-root STORE."""

    stores: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders made by prepare."""
    out: Path
    """Folder to create."""

    def run(self) -> None:
        """Execute the verb."""
        if len(self.stores) < 2:
            raise InputError("one store alone is nothing to merge; give two or more")
        print(summary(merge(self.stores, self.out).clips))
        print(f"{self.out}: train on it with --data mixed --data-root {self.out}")


@dataclass(frozen=True)
class WriteKnown:
    """Write known.json, the actions and words of a store's training clips, beside models that were trained on them.

    Training writes it automatically; this is for older models, and for stores whose captions have changed.
    """

    store: Annotated[Path, tyro.conf.Positional]
    """Folder made by prepare."""
    out: tuple[Path, ...]
    """Directories of models."""

    def run(self) -> None:
        """Execute the verb."""
        for folder in self.out:
            if not (folder / pretrained.CONFIG).is_file():
                raise InputError(f"{folder} is no model, it has no {pretrained.CONFIG}; give directories of models")
        store = open_store(self.store)
        known = collect_known(store.of_split("train"), mirrored=store.mirrored)
        for folder in self.out:
            known.write(folder)
            print(f"{folder / KNOWN}: {len(known.actions)} actions, {known.hours:.2f} h, {len(known.words)} words")


@dataclass(frozen=True)
class Show:
    """Draw a clip with its captions: key poses (.png) or a film (.mp4)."""

    data: AnyDataSet
    out: Path
    """File to write: .png or .mp4."""
    clip: str | None = None
    """Name of the clip; the first one by default."""
    overwrite: bool = False
    """Replace an existing file."""

    def run(self) -> None:
        """Execute the verb."""
        if self.out.suffix not in (".png", ".mp4"):
            raise InputError(f"{self.out}: key poses end in .png, a film in .mp4; choose another --out")
        if self.out.exists() and not self.overwrite:
            raise InputError(f"{self.out} exists; give another --out, or --overwrite to replace it")
        from visualize.film import write_film  # here, since the other verbs need not wait a second for it
        from visualize.stills import draw_strip

        clip = select_clip(self.data, self.clip)
        text = clip.captions[0].text if clip.captions else clip.name
        motion = Motion(torch.from_numpy(np.array(clip.joints)), text=text)
        draw_strip(motion, self.out) if self.out.suffix == ".png" else write_film(motion, self.out)
        print(f"{clip.name}: {len(clip.joints) / FPS:.1f} s, {clip.split}")
        for caption in clip.captions:
            part = f" ({caption.start:g} to {caption.end:g} s)" if caption.end else ""
            print(f"  {caption.text}{part}")


def read_clips(data: DataSet, processes: int) -> tuple[list[Clip], list[str]]:
    """All readable clips of a data set or store, and a line for each problem."""
    if is_store(data.data_root):
        return list(open_store(data.data_root).clips), []
    source = data.source()
    with closing(read_all(source.entries, processes)) as clips:
        read = list(clips)
    lines = [*source.problems, *(line for line in read if isinstance(line, str))]
    return [clip for clip in read if isinstance(clip, Clip)], lines


def select_clip(data: DataSet, name: str | None) -> Clip:
    """Read the clip with the given name, or the first one.

    Raises:
        InputError: If there is no such clip.
    """
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
    """Table of clips, captions, hours and lengths for each part of the data set."""
    lines = [f"{'':6}{'clips':>8}{'captions':>10}{'hours':>8}{'shortest':>10}{'longest, s':>12}"]
    for split in ("train", "val", "test"):
        seconds = [len(clip.joints) / FPS for clip in clips if clip.split == split]
        captions = sum(len(clip.captions) for clip in clips if clip.split == split)
        low, high = (min(seconds), max(seconds)) if seconds else (0, 0)
        lines.append(f"{split:6}{len(seconds):8}{captions:10}{sum(seconds) / 3600:8.2f}{low:10.1f}{high:12.1f}")
    return "\n".join(lines)


@command
def main() -> None:
    """Entry point of the command."""
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
