"""Motions for other programs: the ending of the file says which format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.errors import InputError
from visualize.export.bvh import bvh
from visualize.export.csv import csv
from visualize.export.glb import glb
from visualize.export.npz import amass

Unit = Literal["m", "cm"]

ENDINGS: Mapping[str, Callable[[Rig, Motion, float], bytes]] = {
    ".bvh": lambda rig, motion, scale: bvh(rig, scale=scale).encode(),
    ".glb": lambda rig, motion, scale: glb(rig, motion),
    ".npz": lambda rig, motion, scale: amass(rig, motion),
    ".csv": lambda rig, motion, scale: csv(rig, scale=scale).encode(),
}
"""The bytes of a file with each ending, of a rig, the motion that it is of, and the units in a metre."""
IN_METRES = (".glb", ".npz")
"""Formats that are in metres by their standards."""


def encoded(motion: Motion, ending: str, *, fps: float | None = None, unit: Unit = "m", t_pose: bool = False) -> bytes:
    """The bytes of a file of a motion.

    ending: one of `ENDINGS`. fps: frames a second, by default the motion's own (see `Rig.at`). unit: of lengths, metres
    or centimetres. t_pose: begin with one frame of the rest pose, as retargeting programs like it.
    Joints are those of `motion.rig`: bones of constant length, as near to the motion's joints as these allow.
    Raises InputError for another ending, for centimetres where the format is in metres, and for an impossible fps.
    """
    if ending not in ENDINGS:
        raise InputError(f"'{ending}' is no format to export to; choose one of {', '.join(ENDINGS)}")
    if unit == "cm" and ending in IN_METRES:
        raise InputError(f"{ending} files are in metres; leave the unit out, or write .bvh or .csv")
    rig = motion.rig
    rig = rig if fps is None else rig.at(fps)
    return ENDINGS[ending](rig.after_t_pose() if t_pose else rig, motion, 100.0 if unit == "cm" else 1.0)


def export(
    motion: Motion, path: str | Path, *, fps: float | None = None, unit: Unit = "m", t_pose: bool = False
) -> None:
    """Write a motion in the format that the path's ending says, whole or not at all. Arguments as of `encoded`."""
    content = encoded(motion, Path(path).suffix.lower(), fps=fps, unit=unit, t_pose=t_pose)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
