"""CSV: where the joints are, a row a frame, for spreadsheets and whatever else."""

from __future__ import annotations

from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import JOINTS


def csv(rig: Rig, *, scale: float = 1.0) -> str:
    """The text of a table: frame, time in seconds, and x, y, z of every joint. scale: units in a metre."""
    header = ["frame", "time", *[f"{joint}_{axis}" for joint in JOINTS for axis in "xyz"]]
    rows = [
        ",".join([str(frame), f"{frame / rig.fps:.6f}", *[f"{number:.6f}" for number in joints]])
        for frame, joints in enumerate((scale * rig.joints).flatten(1).tolist())
    ]
    return "\n".join([",".join(header), *rows]) + "\n"
