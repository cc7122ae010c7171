"""A folder of AMC files with captions, on this project's body: what the loaders of CMU and HDM05 share."""

from __future__ import annotations

from collections.abc import Mapping as Named
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data_loaders.amc_clip import read_amc_joints
from data_loaders.caption_table import Told, lacking, read_table
from data_loaders.clip import Clip, Split, from_origin
from data_loaders.formats.amc import find_asf
from data_loaders.resampling import FASTEST, SLOWEST
from data_loaders.skeleton_mapping import Floor, shipped
from data_loaders.source import Source
from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class AmcEntry:
    """A file of the folder."""

    path: Path
    name: str
    told: Told
    split: Split
    """The part that it belongs to."""
    fps: float | None
    """Frames per second; None for those that its name says, see `amc_clip.frame_rate`."""
    floor: Floor | None

    def read(self) -> Clip:
        joints = read_amc_joints(self.path, shipped()["cmu_acclaim"], fps=self.fps, floor=self.floor)
        self.told.check(self.path, len(joints))
        told = self.told
        return Clip(self.name, from_origin(joints), self.split, told.captions, told.action, told.style)


def amc_source(
    root: Path,
    named: Named[str, Path],
    told: Named[str, Told],
    splits: Named[str, Split],
    *,
    captions: Path | None,
    fps: float | None,
    floor: Floor | None,
    licence: str,
    files: list[Path],
) -> Source:
    """A data set of AMC files, each one clip.

    Args:
        root: its folder.
        named: its files, see `source.files_by_name`.
        told: captions and labels by the name of the clip.
        splits: the part that each clip belongs to, by its name.
        captions: CSV file whose rows take the place of `told`, for the clips and columns that it has.
        fps: frames per second of all files; None for those that their names say.
        floor: where the floor is; by default under the feet.
        licence: in one line.
        files: what else the clips come from.

    Raises:
        FileNotFoundError: if there is no captions file.
        InputError: for a captions file that is no table, and for frames per second that cannot be.
    """
    if fps is not None and not SLOWEST <= fps <= FASTEST:
        raise InputError(f"--fps {fps:g}: give the frames per second of the files, {SLOWEST:g} to {FASTEST:g}")
    table, problems = read_table(captions, named.keys()) if captions else ({}, [])
    entries, skeletons = [], set[Path]()
    for name, path in named.items():
        clip = told.get(name, Told()).updated(table.get(name, Told()))
        entries.append(AmcEntry(path, name, clip, clip.split or splits[name], fps, floor))
        with suppress(InputError):  # which reading the clip says
            skeletons.add(find_asf(path))
    if told or captions:
        clips = [(entry.path, entry.told, entry.split) for entry in entries]
        problems += lacking(clips, str(captions or root), "in any index or --captions")
    given = [captions] if captions else []
    return Source(
        entries,
        mirrored=False,
        licence=licence,
        files=[*named.values(), *sorted(skeletons), *files, *given],
        problems=problems,
    )
