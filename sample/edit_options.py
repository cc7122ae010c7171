"""Command-line options for editing: the motion to continue or to regenerate in part."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from data_loaders.load_motion import read_motion
from data_loaders.skeleton_mapping import Axis
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import frame_of
from motion_diffusion.errors import InputError
from sample.editing import Part


@dataclass(frozen=True)
class EditOptions:
    """The motion to edit."""

    continue_from: Path | None = None
    """Motion to continue with the prompt, for --seconds more: this project's .npz, a .bvh, an .amc, AMASS's .npz or
    HumanML3D's .npy. Times of goals refer to the whole motion. Motions from other sources are moved to begin at (0, 0),
    facing +z."""
    regenerate: Path | None = None
    """Motion, of the same formats, whose part --between is regenerated with the prompt."""
    between: tuple[float, float] | None = None
    """Start and end of that part in seconds, such as 1.5 3."""
    keep: tuple[float, float] | None = None
    """Start and end in seconds of the section of the file to use, such as 0 4; by default all. Other times are relative
    to its start."""
    mapping: Path | None = None
    """For a .bvh or .amc with an unknown skeleton: a JSON file like those in assets/mappings."""
    up: Axis | None = None
    """For a .bvh or .amc: the vertical axis, where it cannot be determined."""

    def part(self, seconds: float) -> Part | None:
        """Read the motion and determine the part to generate.

        Args:
            seconds: Duration of a continuation.

        Returns:
            The part to generate; None if no motion is given.

        Raises:
            FileNotFoundError: The motion does not exist.
            InputError: Options contradict each other, the motion cannot be read, or it does not have the part.
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
        motion = self._section(path, read_motion(path, mapping=self.mapping, up=self.up, from_origin=True))
        if self.continue_from:
            return Part.after(motion, seconds)
        if self.between is None:
            raise InputError(f"--regenerate {path}: say which part with --between, such as --between 1.5 3")
        return Part.between(motion, *self.between)

    def _section(self, path: Path, motion: Motion) -> Motion:
        if self.keep is None:
            return motion
        start, end = self.keep
        if not (0 <= start < end <= motion.seconds and frame_of(start) < frame_of(end)):
            raise InputError(f"--keep {start:g} {end:g}: {path} lasts {motion.seconds:g} s; give two of its seconds")
        section = slice(frame_of(start), frame_of(end))
        return dataclasses.replace(motion, joints=motion.joints[section], rotations=motion.rotations[section])
