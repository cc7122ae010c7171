"""Metrics of a motion that need no network: speed, jitter, foot skating, bone lengths. Joints are (F, J, 3) in
metres.
"""

from __future__ import annotations

import torch
from torch import Tensor

from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, PARENTS, TOES

TOE_HEIGHT = 0.05
SLIDING_SPEED = 0.5
"""GMD: a toe below this height (m) that moves faster than this (m/s) along the floor slides."""


def foot_skating_ratio(joints: Tensor) -> float:
    """Share of steps between frames in which a foot slides (GMD; Karunratanakul et al. 2023).

    A foot slides if its toe is below 5 cm in both frames, moves faster than 0.5 m/s along the floor, and does so on
    average over five steps too (box filter, zero outside). 0 for motions of a single frame.
    """
    if len(joints) < 2:
        return 0.0
    toes = joints[:, TOES]
    low = toes[..., 1] < TOE_HEIGHT
    speed = toes.diff(dim=0)[..., [0, 2]].norm(dim=-1) * FPS
    box = torch.full((1, 1, 5), 0.2, dtype=speed.dtype)
    average = torch.nn.functional.conv1d(speed.T[:, None], box, padding=2)[:, 0].T
    slides = low[1:] & low[:-1] & (speed > SLIDING_SPEED) & (average > SLIDING_SPEED)
    return slides.any(-1).double().mean().item()


def fastest_root(joints: Tensor) -> float:
    """Highest speed of the pelvis between two frames, m/s; 0 for a single frame."""
    return joints[:, 0].diff(dim=0).norm(dim=-1).max().item() * FPS if len(joints) > 1 else 0.0


def root_jitter(joints: Tensor) -> float:
    """Mean magnitude of the third derivative (jerk) of the pelvis' position, m/s³; 0 below four frames."""
    return joint_jitter(joints[:, :1])


def joint_jitter(joints: Tensor) -> float:
    """Mean magnitude of the jerk over joints (F, J, 3) and frames, m/s³; 0 below four frames."""
    return joints.diff(n=3, dim=0).norm(dim=-1).mean().item() * FPS**3 if len(joints) > 3 else 0.0


def bone_length_errors(joints: Tensor) -> Tensor:
    """(F, 21) metres: |length − that of the skeleton| of the bones that end in joints 1 … 21."""
    lengths = (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)
    return (lengths - BONE_LENGTHS[1:].to(lengths)).abs()


def bone_length_error(joints: Tensor) -> float:
    """Mean over the 21 bones and frames of |length − that of the skeleton|, metres."""
    return bone_length_errors(joints).mean().item()


def bone_length_range(joints: Tensor) -> float:
    """Largest variation in metres of the length of any of the 21 bones within a motion (F, 22, 3); 0 for a rigid
    body.
    """
    lengths = (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)
    return (lengths.amax(0) - lengths.amin(0)).max().item()
