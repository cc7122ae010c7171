"""The motion that the command line goes on from, or makes a part of anew."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from data_loaders.load_motion import read_motion
from data_loaders.skeleton_mapping import Axis
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError
from sample.editing import Part


@dataclass(frozen=True)
class Source:
    """A motion that is there."""

    continue_from: Path | None = None
    """A motion that goes on with the words, for --seconds more: this project's .npz, a .bvh, an .amc, AMASS's .npz,
    HumanML3D's .npy. Goals' times are those of the whole; a motion from elsewhere is moved to begin at (0, 0) and to
    face +z."""
    regenerate: Path | None = None
    """A motion, of the same kinds, whose part --between is made anew with the words."""
    between: tuple[float, float] | None = None
    """Seconds from which to which that part lasts, such as 1.5 3."""
    keep: tuple[float, float] | None = None
    """Seconds of the file that are taken, such as 0 4; by default all. Other times count from there."""
    mapping: Path | None = None
    """For a .bvh or .amc of a skeleton that is not known: a JSON file like those in assets/mappings."""
    up: Axis | None = None
    """For a .bvh or .amc: which axis points up, where that cannot be told."""

    def part(self, seconds: float) -> Part | None:
        """What is to be made, so many seconds if it goes on; None if no motion is given. Raises FileNotFoundError, or
        InputError for options that do not go together, a motion that cannot be read, and parts that it does not have.
        """
        if self.continue_from and self.regenerate:
            raise InputError("--continue-from and --regenerate do not go together; give one of them")
        path = self.continue_from or self.regenerate
        for name in ("keep", "mapping", "up") * (path is None) + ("between",) * (self.regenerate is None):
            if getattr(self, name) is not None:
                needed = "--regenerate" if name == "between" else "--continue-from or --regenerate"
                raise InputError(f"--{name} goes with {needed}; give a motion, or leave it out")
        if path is None:
            return None
        motion = self._kept(path, read_motion(path, mapping=self.mapping, up=self.up, from_origin=True))
        if self.continue_from:
            return Part.after(motion, seconds)
        if self.between is None:
            raise InputError(f"--regenerate {path}: say which part with --between, such as --between 1.5 3")
        return Part.between(motion, *self.between)

    def _kept(self, path: Path, motion: Motion) -> Motion:
        if self.keep is None:
            return motion
        start, end = self.keep
        if not (0 <= start < end <= motion.seconds and round(start * FPS) < round(end * FPS)):
            raise InputError(f"--keep {start:g} {end:g}: {path} lasts {motion.seconds:g} s; give two of its seconds")
        some = slice(round(start * FPS), round(end * FPS))
        return dataclasses.replace(motion, joints=motion.joints[some], rotations=motion.rotations[some])
