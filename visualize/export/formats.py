"""Export of motions to other programs: BVH, GLB, AMASS-compatible NPZ, and CSV.

In a BVH, the rest pose given by the OFFSETs is the T-pose, y up, facing +z. The root has no OFFSET, since some programs
add it to the position channels and others replace it by them. Angles are intrinsic rotations about z, x and y in this
order: the middle one is limited to ±90°, and x is the axis with the largest margin for hips and shoulders.

The NPZ has AMASS's layout for SMPL-X: joint rotations without positions, z up. Its bones are this project's
(`skeleton.OFFSETS`), and betas are zero. SMPL has its pelvis at some J₀ in the rest pose and places it at J₀ + trans;
this skeleton has it at the origin, so trans is the pelvis position. To apply the file to another body, subtract that
body's J₀ from trans, or it is off by |J₀|, about 30 cm; its joints agree up to the difference of the bones, a few
centimetres.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import rotation_vectors
from motion_diffusion.body.skeleton import JOINTS, OFFSETS, PARENTS
from motion_diffusion.errors import InputError
from visualize.export.glb import to_glb

Array = NDArray[np.float64]
END_SITES = {
    "head": (0.0, 0.18, 0.02), "left_foot": (0.02, 0.0, 0.07), "right_foot": (-0.02, 0.0, 0.07),
    "left_wrist": (0.17, 0.0, 0.0), "right_wrist": (-0.17, 0.0, 0.0),
}  # fmt: skip
"""End sites (crown, toe tips, fingertips) relative to their joints, metres."""


def to_bvh(rig: Rig, *, scale: float = 1.0) -> str:
    """Serialise a rig as BVH.

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


def to_csv(rig: Rig, *, scale: float = 1.0) -> str:
    """Serialise joint positions as a table: frame, time in seconds, and x, y, z of every joint.

    Args:
        rig: the motion.
        scale: file units per metre.

    Returns:
        The text of the file.
    """
    header = ["frame", "time", *[f"{joint}_{axis}" for joint in JOINTS for axis in "xyz"]]
    rows = [
        ",".join([str(frame), f"{frame / rig.fps:.6f}", *[f"{number:.6f}" for number in joints]])
        for frame, joints in enumerate((scale * rig.joints).flatten(1).tolist())
    ]
    return "\n".join([",".join(header), *rows]) + "\n"


Z_UP = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
"""Rotation from y up to z up, (x, y, z) → (-x, z, y): the inverse of `data_loaders.amass_recording.y_up`."""


def to_amass(rig: Rig, motion: Motion) -> bytes:
    """Serialise a rig in AMASS's layout for SMPL-X, with the motion's text and provenance (JSON)."""
    rotations = rig.rotations.clone()
    rotations[:, 0] = Z_UP @ rotations[:, 0]
    vectors = rotation_vectors(rotations).flatten(1).numpy()
    face_and_hands = np.zeros((len(vectors), 165 - vectors.shape[1]))
    arrays: dict[str, NDArray] = {
        "surface_model_type": np.array("smplx"),
        "gender": np.array("neutral"),
        "mocap_frame_rate": np.array(float(rig.fps)),
        "trans": (rig.root @ Z_UP.mT).numpy(),
        "poses": np.concatenate([vectors, face_and_hands], axis=1),
        "root_orient": vectors[:, :3],
        "pose_body": vectors[:, 3:],
        "betas": np.zeros(16),
        "text": np.array(motion.text),
        "provenance": np.array(motion.provenance_json),
    }
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


Unit = Literal["m", "cm"]
ENDINGS: Mapping[str, Callable[[Rig, Motion, float], bytes]] = {
    ".bvh": lambda rig, motion, scale: to_bvh(rig, scale=scale).encode(),
    ".glb": lambda rig, motion, scale: to_glb(rig, motion),
    ".npz": lambda rig, motion, scale: to_amass(rig, motion),
    ".csv": lambda rig, motion, scale: to_csv(rig, scale=scale).encode(),
}
"""Serialisers by suffix; arguments are rig, motion, and file units per metre."""
IN_METRES = (".glb", ".npz")
"""Formats whose standard prescribes metres."""


def to_bytes(motion: Motion, ending: str, *, fps: float | None = None, unit: Unit = "m", t_pose: bool = False) -> bytes:
    """Serialise a motion.

    Joints are those of `motion.rig`: bones of constant length, fitted to the motion's joints.

    Args:
        motion: to export.
        ending: one of `ENDINGS`.
        fps: frames per second, by default the motion's own (see `Rig.at`).
        unit: of lengths.
        t_pose: start with one frame of the rest pose, which retargeting programs use.

    Returns:
        The bytes of the file.

    Raises:
        InputError: for another suffix, for centimetres in a format in metres, and for an invalid fps.
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
    """Write a motion atomically in the format selected by the path's suffix. Arguments as in `to_bytes`."""
    content = to_bytes(motion, Path(path).suffix.lower(), fps=fps, unit=unit, t_pose=t_pose)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
