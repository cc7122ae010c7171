"""Export of motions to other programs: BVH, GLB, AMASS-compatible NPZ, and CSV.

The NPZ has AMASS's layout for SMPL-X: joint rotations without positions, z up. Its bones are this project's
(`skeleton.OFFSETS`), and betas are zero. SMPL has its pelvis at some J₀ in the rest pose and places it at J₀ + trans;
this skeleton has it at the origin, so trans is the pelvis position. To apply the file to another body, subtract that
body's J₀ from trans, or it is off by |J₀|, about 30 cm; its joints agree up to the difference of the bones, a few
centimetres.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import rotation_vectors
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError
from visualize.export.bvh import to_bvh
from visualize.export.glb import to_glb


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
