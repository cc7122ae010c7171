"""BVH: hierarchy and motion as text, read by every animation program.

The rest pose given by the OFFSETs is the T-pose, y up, facing +z. The root has no OFFSET, since some programs add it to
the position channels and others replace it by them. Angles are intrinsic rotations about z, x and y in this order: the
middle one is limited to ±90°, and x is the axis with the largest margin for hips and shoulders.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import JOINTS, OFFSETS, PARENTS

Array = NDArray[np.float64]
END_SITES = {
    "head": (0.0, 0.18, 0.02), "left_foot": (0.02, 0.0, 0.07), "right_foot": (-0.02, 0.0, 0.07),
    "left_wrist": (0.17, 0.0, 0.0), "right_wrist": (-0.17, 0.0, 0.0),
}  # fmt: skip
"""End sites (crown, toe tips, fingertips) relative to their joints, metres."""


def to_bvh(rig: Rig, *, scale: float = 1.0) -> str:
    """Serialise a rig.

    Args:
        rig: the motion.
        scale: file units per metre, 100 for centimetres.

    Returns:
        The text of the file.
    """
    angles = euler_angles(rig.rotations)
    channels = np.concatenate([scale * rig.root.numpy(), angles.reshape(len(angles), -1)[:, _COLUMNS]], axis=1)
    frames = [_format(frame) for frame in channels]
    head = ["HIERARCHY", *_joint(0, scale, ""), "MOTION", f"Frames: {len(frames)}", f"Frame Time: {1 / rig.fps:.9f}"]
    return "\n".join([*head, *frames]) + "\n"


def euler_angles(rotations: Tensor) -> Array:
    """Continuous Euler angles of rotations.

    Of the equivalent triples (z, x, y) and (z + 180, 180 - x, y + 180), up to multiples of 360, each frame takes the
    one nearest to the previous frame.

    Args:
        rotations: (frames, n, 3, 3), equal to Rz·Rx·Ry.

    Returns:
        (frames, n, 3) degrees about z, x and y.
    """
    import roma  # deferred: importing it takes 0.7 s

    angles: Array = roma.rotmat_to_euler("ZXY", rotations, degrees=True).numpy()
    for before, now in pairwise(angles):
        either = np.stack([now, now * [1, -1, 1] + 180])
        either -= 360 * np.round((either - before) / 360)
        nearest = np.square(either - before).sum(-1).argmin(0)
        now[:] = either[nearest, np.arange(len(now))]
    return angles


def _order(joint: int) -> list[int]:
    """The joint and its descendants in depth-first order."""
    below = [child for child, parent in enumerate(PARENTS) if parent == joint]
    return [joint, *[one for child in below for one in _order(child)]]


_COLUMNS = (3 * np.array(_order(0))[:, None] + np.arange(3)).ravel()


def _joint(joint: int, scale: float, indent: str) -> list[str]:
    """Lines of a joint and its descendants."""
    inside = indent + "\t"
    turns = "Zrotation Xrotation Yrotation"
    channels = f"3 {turns}" if joint else f"6 Xposition Yposition Zposition {turns}"
    lines = [f"{indent}{'JOINT' if joint else 'ROOT'} {JOINTS[joint]}", f"{indent}{{"]
    lines += [f"{inside}OFFSET {_format(scale * OFFSETS[joint].numpy())}", f"{inside}CHANNELS {channels}"]
    for child, parent in enumerate(PARENTS):
        if parent == joint:
            lines += _joint(child, scale, inside)
    if JOINTS[joint] in END_SITES:
        offset = _format(scale * np.array(END_SITES[JOINTS[joint]]))
        lines += [f"{inside}End Site", f"{inside}{{", f"{inside}\tOFFSET {offset}", f"{inside}}}"]
    return [*lines, f"{indent}}}"]


def _format(vector: Array) -> str:
    return " ".join(f"{number:.6f}" for number in vector.round(6) + 0.0)  # no -0.000000
