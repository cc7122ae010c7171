"""NPZ as AMASS has it, for whatever reads SMPL's bodies: turns of the joints, no positions; z is up.

The bones that turn are this project's (`skeleton.OFFSETS`) and the body has no shape of its own, so betas are zero.
A body of SMPL has its pelvis at some J₀ in its rest pose and puts it at J₀ + trans; this one has it at the origin, so
trans is where the pelvis is. For another body take its J₀ off trans, else it stands beside the spot by |J₀|, some
30 cm; its joints come as near as its bones are to ours, some centimetres.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import rotation_vectors

Z_UP = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
"""From y up to z up by two turns, (x, y, z) → (-x, z, y): the inverse of `data_loaders.amass.y_up`."""


def amass(rig: Rig, motion: Motion) -> bytes:
    """The bytes of a file in AMASS's layout for SMPL-X, with the motion's text and provenance (JSON) besides."""
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
