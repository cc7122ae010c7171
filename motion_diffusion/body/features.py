"""Joint positions to features, 263 per frame, and back.

The layout is HumanML3D's with an absolute root, as in GMD (Karunratanakul et al. 2023):

    [yaw half-angle, x, z, y | 63 joint positions | 126 bone rotations (6-D) | 66 joint velocities | 4 foot contacts]

The yaw is half of the angle by which the body must be rotated about the vertical to face +z (the quaternion of that
rotation is (cos yaw, 0, sin yaw, 0)); it is cumulative, never wrapped. Positions are those of joints 1…21 after that
rotation, without the root's x and z. Velocities lead to the next frame, in metres per frame, after the rotation of the
frame they start from. A contact is 1 where the foot's joint moves by less than √0.002 m to the next frame. HumanML3D
drops the last frame, which has no successor; here it repeats the steps of the frame before.

Features contain the path of each joint twice, as positions p and as velocities v (metres per frame). `decode` combines
them by least squares. For every coordinate over time, with the forward difference D,

    x = argmin |x - p|² + w·|D x - v|²,        (I + w·DᵀD) x = p + w·Dᵀ v,

so x = p + K (v - D p) with K = w·(I + w·DᵀD)⁻¹·Dᵀ. Where p and v agree, x = p exactly. K depends on the number of
frames alone: it is computed once, in float64, and decoding is one matrix product, linear in the features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import torch
from torch import Tensor

from motion_diffusion.body.heading import Convention, heading, turn, turn_on_floor
from motion_diffusion.body.rotations import about_y, bone_rotations, to_6d
from motion_diffusion.body.skeleton import FEET
from motion_diffusion.errors import InputError

LAYOUT: Mapping[str, slice] = MappingProxyType(
    {
        "root": slice(0, 4),
        "positions": slice(4, 67),
        "rotations": slice(67, 193),
        "velocities": slice(193, 259),
        "contacts": slice(259, 263),
    }
)
"""Columns of each group of features."""
FEATURES = 263
"""Features per frame."""
CONTACT_THRESHOLD = 0.002
"""m²: a foot joint is in contact if its squared displacement to the next frame is below this (HumanML3D)."""
SCALED_TOGETHER = (slice(0, 1), slice(1, 3), slice(3, 4), *(LAYOUT[name] for name in list(LAYOUT)[1:]))
"""Features that share one standard deviation: yaw, the path on the floor, height, and each of the other groups."""


def encode(
    joints: Tensor,
    *,
    lengths: Tensor | None = None,
    groups: Sequence[str] = tuple(LAYOUT),
    convention: Convention = "body",
) -> Tensor:
    """Compute features from joint positions.

    The motion is not moved: apply `heading.to_origin` first if it does not begin at the origin facing +z. `decode`
    returns the joints either way.

    Args:
        joints: (..., F, 22, 3) metres, y up.
        lengths: (...) number of valid frames of each item; later frames repeat the last valid one.
        groups: groups of `LAYOUT` to compute. Rotations (most of the cost), velocities and contacts are zero if
            omitted.
        convention: "humanml3d" reproduces HumanML3D's numbers: its headings (see `heading.heading`), and yaw 0 in frame
            0 whatever the heading is, which makes all features jump from frame 0 to 1. "body" does neither: its yaw
            starts at the smoothed heading, near 0.

    Returns:
        (..., F, 263) features.

    Raises:
        InputError: for an unknown group.
    """
    check_groups(groups)
    if lengths is not None:
        time = torch.arange(joints.shape[-3], device=joints.device)
        joints = _at_frames(joints, torch.minimum(time, lengths.to(joints.device)[..., None] - 1))
    angle = heading(joints, convention=convention)
    if convention == "humanml3d":
        angle = torch.cat([torch.zeros_like(angle[..., :1]), angle[..., 1:]], dim=-1)
    step = angle.diff(dim=-1, prepend=torch.zeros_like(angle[..., :1]))
    yaw = (step - 2 * math.pi * (step / (2 * math.pi)).round()).cumsum(-1) / 2

    features = joints.new_zeros(*joints.shape[:-2], FEATURES)
    features[..., 0] = yaw
    write_positions(features, joints)
    if "rotations" in groups:
        features[..., LAYOUT["rotations"]] = to_6d(bone_rotations(joints, about_y(2 * yaw))).flatten(-2)
    if "velocities" in groups or "contacts" in groups:
        steps = frame_steps(joints, lengths)
        if "velocities" in groups:
            features[..., LAYOUT["velocities"]] = turn(steps, 2 * yaw).flatten(-2)
        if "contacts" in groups:
            features[..., LAYOUT["contacts"]] = (steps[..., FEET, :].square().sum(-1) < CONTACT_THRESHOLD).to(joints)
    return features


def decode(features: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Compute joint positions from features by least squares on positions and velocities (see the module).
    Differentiable.

    Rotations and contacts are not used.

    Args:
        features: (..., F, 263).
        lengths: (...) number of valid frames of each item; later frames have no influence.

    Returns:
        (..., F, 22, 3) metres.
    """
    raw = decode_positions(features)
    steps = turn(_points(features[..., LAYOUT["velocities"]]), -2 * features[..., 0])
    return _points(least_squares(raw.flatten(-2), steps.flatten(-2), lengths=lengths))


def decode_positions(features: Tensor) -> Tensor:
    """Joint positions (..., F, 22, 3) from root and position features alone, frame by frame; velocities are not
    used.
    """
    root = features[..., None, [1, 3, 2]]
    body = turn(_points(features[..., LAYOUT["positions"]]), -2 * features[..., 0])
    floor = features.new_tensor([1.0, 0.0, 1.0])
    return torch.cat([root, body + root * floor], dim=-2)


def with_positions(features: Tensor, joints: Tensor) -> Tensor:
    """Features (..., F, 263) whose `decode_positions` is joints (..., F, 22, 3); yaw and all other groups are kept."""
    result = features.clone()
    write_positions(result, joints)
    return result


def check_groups(groups: Sequence[str]) -> None:
    """Raise InputError for an unknown group of features."""
    if unknown := [group for group in groups if group not in LAYOUT]:
        raise InputError(f"no feature group {unknown[0]!r}; give some of {', '.join(LAYOUT)}")


def displaced(features: Tensor, displacement: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Features of the same motion with every joint displaced.

    Positions and velocities change together, so that `decode` of the result is exactly that of the features plus the
    displacement. Yaw, rotations and contacts are kept.

    Args:
        features: (..., F, 263).
        displacement: (..., F, 22, 3) metres; (..., F, 1, 3) changes the root's features alone.
        lengths: (...) number of valid frames of each item, as for `encode`.
    """
    angle = 2 * features[..., 0]
    root = displacement[..., :1, :]
    if displacement.shape[-2] == 1:
        result = features.clone()
        result[..., 1:4] += root[..., 0, [0, 2, 1]]
        return result
    body = turn(displacement[..., 1:, :] - root * root.new_tensor([1.0, 0.0, 1.0]), angle)
    steps = frame_steps(displacement, lengths)
    result = features.clone()
    result[..., 1:4] += root[..., 0, [0, 2, 1]]
    result[..., LAYOUT["positions"]] += body.flatten(-2)
    result[..., LAYOUT["velocities"]] += turn(steps, angle).flatten(-2)
    return result


def write_positions(features: Tensor, joints: Tensor) -> None:
    """Set root and positions in place from joints, for the yaw in the features."""
    root = joints[..., :1, :]
    body = joints[..., 1:, :] - root * joints.new_tensor([1.0, 0.0, 1.0])
    positions = turn(body, 2 * features[..., 0].clone())
    features[..., 1:4] = joints[..., 0, [0, 2, 1]]
    features[..., LAYOUT["positions"]] = positions.flatten(-2)


def _points(numbers: Tensor) -> Tensor:
    """(..., 3·J) → (..., J, 3)."""
    return torch.unflatten(numbers, -1, (-1, 3))


def frame_steps(joints: Tensor, lengths: Tensor | None) -> Tensor:
    """(..., F, J, 3) displacement from each frame to the next; the last valid frame and later ones repeat the step
    before.
    """
    frames = joints.shape[-3]
    if frames < 2:
        return torch.zeros_like(joints)
    steps = joints.diff(dim=-3)
    if lengths is None or bool((lengths == frames).all()):
        return torch.cat([steps, steps[..., -1:, :, :]], dim=-3)
    time = torch.arange(frames, device=joints.device)
    index = torch.minimum(time, (lengths.to(joints.device)[..., None] - 2).clamp_min(0))
    return _at_frames(steps, index)


def _at_frames(values: Tensor, index: Tensor) -> Tensor:
    """values (..., F or F - 1, J, 3) at the frames index (..., F)."""
    return values.gather(-3, index[..., None, None].expand(*index.shape, *values.shape[-2:]))


def from_relative(features: Tensor) -> Tensor:
    """Convert HumanML3D's own features, with a relative root, to an absolute root.

    In these files the first three features are the change of the yaw half-angle to the next frame and the root's step
    to it along x and z, in the heading of that next frame; the motion begins at the origin with yaw 0. Those of the
    last frame have no successor and are dropped.

    Args:
        features: (..., F, 263) with a relative root.

    Returns:
        (..., F, 263) with an absolute root.
    """
    yaw = _sum_before(features[..., :1])
    steps = turn_on_floor(features[..., :-1, 1:3], -2 * yaw[..., 1:, 0])
    path = torch.cat([torch.zeros_like(features[..., :1, 1:3]), steps.cumsum(-2)], dim=-2)
    return torch.cat([yaw, path, features[..., 3:]], dim=-1)


def to_relative(features: Tensor) -> Tensor:
    """The inverse of `from_relative`, for motions that begin at the origin with yaw 0; otherwise their start is lost.

    The last frame, which has no successor, repeats the first three features of the frame before (0 in a single frame).
    """
    changes = features[..., :3].diff(dim=-2)
    steps = turn_on_floor(changes[..., 1:], 2 * features[..., 1:, 0])
    moves = torch.cat([changes[..., :1], steps], dim=-1)
    end = moves[..., -1:, :] if moves.shape[-2] else torch.zeros_like(features[..., :1, :3])
    return torch.cat([torch.cat([moves, end], dim=-2), features[..., 3:]], dim=-1)


def _sum_before(changes: Tensor) -> Tensor:
    """Cumulative sums over the frames before each one, along dimension -2."""
    return torch.cat([torch.zeros_like(changes[..., :1, :]), changes[..., :-1, :].cumsum(-2)], dim=-2)


VELOCITY_WEIGHT = 1000.0
"""w: weight of a velocity relative to a position. Positions are averaged over about √w ≈ 32 frames."""


@lru_cache(maxsize=256)
def _kernel(frames: int, weight: float) -> Tensor:
    """K (frames, frames - 1), float64."""
    identity = torch.eye(frames, dtype=torch.float64)
    difference = identity.diff(dim=0)
    kernel: Tensor = weight * torch.linalg.solve(identity + weight * difference.T @ difference, difference.T)
    return kernel


def least_squares(
    positions: Tensor, velocities: Tensor, *, lengths: Tensor | None = None, weight: float = VELOCITY_WEIGHT
) -> Tensor:
    """The path that fits positions and velocities best; see the module.

    Args:
        positions: (..., F, C) metres.
        velocities: (..., F, C) metres per frame, from frame t to t + 1; the last one is not used.
        lengths: (...) number of valid frames of each item. Later frames have no influence and are returned unchanged.
        weight: w, of velocities relative to positions.

    Returns:
        (..., F, C) metres.
    """
    frames = positions.shape[-2]
    residual = velocities[..., :-1, :] - positions.diff(dim=-2)
    if lengths is None or bool((lengths == frames).all()):
        return positions + _kernel(frames, weight).to(residual) @ residual
    counts, which = torch.unique(lengths.cpu(), return_inverse=True)
    kernels = torch.zeros(len(counts), frames, frames - 1, dtype=torch.float64)
    for kernel, count in zip(kernels, counts.tolist(), strict=True):
        kernel[:count, : count - 1] = _kernel(count, weight)
    steps = torch.arange(frames - 1, device=lengths.device) < lengths[..., None] - 1
    residual = residual.where(steps[..., None].to(residual.device), 0)
    return positions + kernels.to(residual)[which] @ residual
