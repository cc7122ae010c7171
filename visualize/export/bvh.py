"""TODO."""

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
"""End sites: the crown, tips of toes and of fingers, from their joints, metres."""


def to_bvh(rig: Rig, *, scale: float = 1.0) -> str:
    """The text of a file. scale: units of the file in a metre, 100 for centimetres."""
    angles = euler_angles(rig.rotations)
    channels = np.concatenate([scale * rig.root.numpy(), angles.reshape(len(angles), -1)[:, _COLUMNS]], axis=1)
    frames = [_format(frame) for frame in channels]
    head = ["HIERARCHY", *_joint(0, scale, ""), "MOTION", f"Frames: {len(frames)}", f"Frame Time: {1 / rig.fps:.9f}"]
    return "\n".join([*head, *frames]) + "\n"


def euler_angles(rotations: Tensor) -> Array:
    """Rotations (frames, n, 3, 3) → angles (frames, n, 3) in degrees about z, x and y, Rz·Rx·Ry, without jumps.

    Of the two triples that say the same, (z, x, y) and (z + 180, 180 - x, y + 180), and of their turns by 360, each
    frame takes what is nearest to the frame before.
    """
    import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

    angles: Array = roma.rotmat_to_euler("ZXY", rotations, degrees=True).numpy()
    for before, now in pairwise(angles):
        either = np.stack([now, now * [1, -1, 1] + 180])
        either -= 360 * np.round((either - before) / 360)
        nearest = np.square(either - before).sum(-1).argmin(0)
        now[:] = either[nearest, np.arange(len(now))]
    return angles


def _order(joint: int) -> list[int]:
    """The joint and all that hang on it, as the file has them: each with its own below it before the next."""
    below = [child for child, parent in enumerate(PARENTS) if parent == joint]
    return [joint, *[one for child in below for one in _order(child)]]


_COLUMNS = (3 * np.array(_order(0))[:, None] + np.arange(3)).ravel()


def _joint(joint: int, scale: float, indent: str) -> list[str]:
    """The lines of a joint and all that hang on it."""
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
