"""Putting goals into a motion as facts, with as little else as that takes: the way bends, and the body turns along."""

from __future__ import annotations

import torch
from torch import Tensor

from guidance.observation import Observation
from motion_diffusion.heading import gaussian
from motion_diffusion.representation import Representation, constrained, displaced, frame_steps
from motion_diffusion.skeleton import FPS

SMOOTHING = 8.0
"""Sigma in frames of the gaussian over the directions of the two ways that are compared."""

STANDING = 0.3
"""m/s: a body that is slower than this does not turn because its place is moved."""


def with_goals(x0: Tensor, goals: Observation, lengths: Tensor, representation: Representation) -> Tensor:
    """x̂0 (B, F, D) changed so that its reading meets the goals exactly; lengths: (B,) frames.

    goals: (B, F, J, 3) for the J joints that the representation knows.

    The least-squares reading with the goals as hard rows says where the pelvis should pass. First the body turns by as
    much as its way does there, as somebody who walks does: features are relative to the heading, so steps and poses
    stay what they were. What is missing then is closed by the smallest displacement, positions and velocities together.
    """
    observed = (goals.values, goals.mask)
    features = representation.denormalise(x0)
    joints = representation.read(features, lengths=lengths)
    before, after = (read[..., :1, :] for read in (joints, constrained(joints, observed, lengths)))
    features[..., 0] -= turning(before, after, lengths) / 2  # the yaw's half-angle takes the heading back to +z
    features[..., 1:3] += (after - before)[..., 0, [0, 2]]
    joints = representation.read(features, lengths=lengths)
    change = constrained(joints, observed, lengths) - joints
    return representation.normalise(displaced(features, change, lengths=lengths))


def turning(before: Tensor, after: Tensor, lengths: Tensor) -> Tensor:
    """Angles (..., F) in radians, positive to the left, between the directions of two ways (..., F, 1, 3) in metres."""
    old, new = (gaussian(frame_steps(way, lengths)[..., 0, [0, 2]], SMOOTHING) * FPS for way in (before, after))
    along = (old * new).sum(-1)
    across = new[..., 0] * old[..., 1] - new[..., 1] * old[..., 0]
    return torch.atan2(across, along + STANDING**2)
