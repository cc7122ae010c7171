"""The body: 22 joints in SMPL order, one set of bone lengths, y up, metres, facing +z with left at +x.

The bone lengths are those of HumanML3D's reference body, measured on its published clip and made symmetric, so that
motions of this project and of HumanML3D can be mixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

FPS = 20.0
"""Frames per second of every motion inside the project."""

JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
"""Names of the 22 joints in SMPL's order. "foot" is the ball of the foot."""

KEY_JOINTS = ("pelvis", "left_foot", "right_foot", "left_wrist", "right_wrist", "head")
"""The joints that goals are most often given for (the six that OmniControl evaluates)."""

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
"""Index of each joint's parent; -1 for the root. A parent always precedes its children."""

CHAINS = ((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20))
"""The kinematic chains in HumanML3D's order: right leg, left leg, spine, right arm, left arm."""

ANKLES, TOES = (7, 8), (10, 11)
"""Left and right. Toes are the joints called "foot", the balls of the feet."""
FEET = (7, 10, 8, 11)
"""Left ankle, left foot, right ankle, right foot: the order of the four contact features."""

MIRRORED = tuple(
    JOINTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in JOINTS
)
"""For each joint, its counterpart on the other side of the body."""

# Directions of the bones in the rest pose (a T-pose) and their lengths in metres, right side by symmetry.
_REST = {
    "left_hip": ((0.57, -0.80, -0.17), 0.1065),
    "left_knee": ((0.08, -1.00, 0.02), 0.3919),
    "left_ankle": ((-0.03, -1.00, -0.09), 0.4290),
    "left_foot": ((0.28, -0.42, 0.86), 0.1464),
    "spine1": ((0.00, 0.96, -0.29), 0.1316),
    "spine2": ((0.00, 0.98, 0.19), 0.1432),
    "spine3": ((0.00, 1.00, 0.05), 0.0574),
    "neck": ((0.00, 0.99, -0.16), 0.2194),
    "head": ((0.00, 0.87, 0.50), 0.1030),
    "left_collar": ((0.53, 0.84, -0.14), 0.1404),
    "left_shoulder": ((0.93, 0.34, -0.14), 0.1273),
    "left_elbow": ((0.99, -0.06, -0.09), 0.2600),
    "left_wrist": ((1.00, 0.05, -0.03), 0.2680),
}


def _rest_offsets() -> Tensor:
    offsets = torch.zeros(len(JOINTS), 3, dtype=torch.float64)
    for name, (direction, length) in _REST.items():
        vector = torch.tensor(direction, dtype=torch.float64)
        vector = length * vector / vector.norm()
        joint = JOINTS.index(name)
        offsets[joint] = vector
        if MIRRORED[joint] != joint:
            offsets[MIRRORED[joint]] = vector * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    return offsets


OFFSETS = _rest_offsets()
"""(22, 3) float64: each joint relative to its parent in the rest pose, metres. The root's row is zero."""

BONE_LENGTHS = OFFSETS.norm(dim=-1)
"""(22,) float64: length of the bone that ends in each joint, metres; 0 for the root."""

BALL_HEIGHT = 0.015
"""Height in metres of the balls of this body's feet above the floor when standing."""


DESCENDANTS = torch.zeros(len(JOINTS), len(JOINTS), dtype=torch.float64)
"""(22, 22): 1 where the joint of a row is an ancestor of that of a column."""
for _joint in range(1, len(JOINTS)):
    DESCENDANTS[:, _joint] = DESCENDANTS[:, PARENTS[_joint]]
    DESCENDANTS[PARENTS[_joint], _joint] = 1.0

BONES_BEFORE = (DESCENDANTS + torch.eye(len(JOINTS), dtype=torch.float64)).mT[:, 1:]
"""(22, 21): 1 where a bone, counted by the joint at its end, lies between the root and a joint."""


def frame_of(seconds: float) -> int:
    """The frame nearest to a time, at `FPS`."""
    return round(seconds * FPS)


def forward_kinematics(rotations: Tensor, root: Tensor) -> Tensor:
    """Joint positions from orientations.

    Args:
        rotations: (..., 22, 3, 3) orientation of each joint in the world; a bone is rotated by its parent (SMPL's
            convention).
        root: (..., 3) position of the pelvis in metres.

    Returns:
        (..., 22, 3) metres.
    """
    bones = (rotations[..., PARENTS[1:], :, :] @ OFFSETS[1:, :, None].to(rotations))[..., 0]
    return root[..., None, :] + BONES_BEFORE.to(rotations) @ bones
