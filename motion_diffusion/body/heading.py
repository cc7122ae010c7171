"""Heading of a body and rotation about the vertical.

Angles are in radians; a positive rotation takes +z towards +x. The *heading* is the angle that rotates a body to face
+z, the negative of the angle that it faces (`facing_angle`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Convention = Literal["body", "humanml3d"]
"""Convention by which the heading is computed; see `heading`."""

_HEADING_SMOOTHING = 20.0  # frames, the sigma of HumanML3D's gaussian filter on the forward direction


def heading(joints: Tensor, *, smooth: bool = True, convention: Convention = "body") -> Tensor:
    """The angle about the vertical that rotates the body to face +z.

    Forward is perpendicular to the sum of the vectors from right to left hip and shoulder. HumanML3D's published
    features use the hips in the wrong order here (shoulders minus hips: its function for the headings unpacks left and
    right hip in the other order than the one for the first frame). Its headings are therefore off by some tenths of a
    radian where shoulders and hips twist.

    Args:
        joints: (..., F, 22, 3) positions.
        smooth: whether to filter the forward direction over time as HumanML3D does (Gaussian, sigma 20 frames), so that
            the swing of the hips does not count as turning.
        convention: "body", or "humanml3d" to reproduce HumanML3D's headings.

    Returns:
        (..., F) radians in (-π, π].
    """
    hips, shoulders = joints[..., 2, :] - joints[..., 1, :], joints[..., 17, :] - joints[..., 16, :]
    across = shoulders + hips if convention == "body" else shoulders - hips
    across = torch.nn.functional.normalize(across, dim=-1)
    forward = torch.stack([across[..., 2], -across[..., 0]], dim=-1)  # x and z of the cross product of up and across
    if smooth:
        forward = gaussian(forward, _HEADING_SMOOTHING)
    return -torch.atan2(forward[..., 0], forward[..., 1])


def gaussian(values: Tensor, sigma: float) -> Tensor:
    """Filter (..., F, C) over time by a Gaussian of sigma frames, truncated at 4 sigma; the first and last frame are
    repeated beyond the ends.
    """
    weights = _gaussian_weights(sigma).to(values)
    shape = (*values.shape[:-2], len(weights) // 2, values.shape[-1])
    held = torch.cat([values[..., :1, :].expand(shape), values, values[..., -1:, :].expand(shape)], dim=-2)
    series = held.reshape(-1, 1, *held.shape[-2:])
    return torch.nn.functional.conv2d(series, weights[None, None, :, None]).reshape(values.shape)


@lru_cache(maxsize=16)
def _gaussian_weights(sigma: float) -> Tensor:
    """(2·int(4·sigma) + 1,) float64 with sum 1."""
    radius = int(4 * sigma)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    return weights / weights.sum()


def to_origin(joints: Tensor) -> Tensor:
    """Move and rotate a motion (..., F, 22, 3) so that its first frame is at x = z = 0 and faces +z. Heights are
    kept.
    """
    floor = joints.new_tensor([1.0, 0.0, 1.0])
    angle = heading(joints[..., :1, :, :], smooth=False)
    return turn(joints - joints[..., :1, :1, :] * floor, angle)


def facing_angle(joints: Tensor) -> Tensor:
    """The direction that bodies (..., F, 22, 3) face, (..., F) float64 radians: 0 for +z, π/2 for +x."""
    return -heading(joints.double(), smooth=False)


def turn(vectors: Tensor, angle: Tensor) -> Tensor:
    """Rotate vectors (..., F, J, 3) about the vertical by angles (..., F) in radians; +z goes towards +x."""
    x, y, z = vectors.unbind(-1)
    x, z = _turned(x, z, angle.cos()[..., None], angle.sin()[..., None])
    return torch.stack([x, y, z], dim=-1)


def turn_on_floor(points: Tensor, angle: Tensor | float) -> Tensor:
    """Rotate points (..., 2), x and z, about the origin by angles (...) in radians; +z goes towards +x."""
    cos, sin = (angle.cos(), angle.sin()) if isinstance(angle, Tensor) else (math.cos(angle), math.sin(angle))
    x, z = points.unbind(-1)
    return torch.stack(_turned(x, z, cos, sin), dim=-1)


def _turned(x: Tensor, z: Tensor, cos: Tensor | float, sin: Tensor | float) -> tuple[Tensor, Tensor]:
    return x * cos + z * sin, z * cos - x * sin
