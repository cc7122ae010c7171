"""Energy, gradient and Gauss–Newton matrix of a body near given points; see `body_fit` for the problem.

All sums are over frames t of unknowns θ_t. The quadratic terms are: nearness to the points in the metric W, coupled
over time by the matrix 1 + β·D₂ᵀD₂ (`smoothness`); position and orientation targets; a weak pull to the rest pose; the
range of ball joints; and the change of angles from frame to frame.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from motion_diffusion.body.joint_angles import (
    HINGE_AXES,
    LEAST_BEND,
    ROTATED_JOINTS,
    UNKNOWNS,
    FittedBody,
    beyond_range,
    jacobian,
    pull_back,
    world_axes,
)
from motion_diffusion.body.rotations import rotation_vectors
from motion_diffusion.body.skeleton import DESCENDANTS, JOINTS, PARENTS

CONSTRAINT_WEIGHT = 1e7
"""Weight of a constraint. The remaining terms move it by some micrometres."""
REST_WEIGHT = 1e-6
"""m²/rad²: weight of a joint's rotation away from the rest pose, which decides where the points do not."""
STEADINESS_WEIGHT = 1e-3
"""m²/rad²: weight of a joint's change of angle from frame to frame."""
HINGE_STOP_WEIGHT = 1e4
"""m²/rad²: weight against steps of a hinge that is pressed against its limit."""
RANGE_WEIGHT = 0.3
"""m²/rad²: weight of a ball joint's rotation beyond its range."""
NEAR_LIMIT = 0.05
"""Radians from its limit within which a hinge counts as being there."""
_EYE22 = torch.eye(len(JOINTS), dtype=torch.float64)
_BONES = _EYE22[1:] - _EYE22[list(PARENTS[1:])]
_METRIC = _EYE22 + _BONES.mT @ _BONES
"""W (22, 22), the same for each axis: joints and bones."""


class OrientationTargets(NamedTuple):
    """Desired joint orientations.

    Attributes:
        values: (F, 22, 3, 3) orientations in the world.
        weights: (F, 22, 3, 3) weights in m²/rad² of the remaining rotation as a vector in the world; 0 where free.
    """

    values: Tensor
    weights: Tensor

    def frames(self, some: slice) -> OrientationTargets:
        """Some of the frames."""
        return OrientationTargets(self.values[some], self.weights[some])


class PositionTargets(NamedTuple):
    """Desired joint positions, optionally with orientations.

    Attributes:
        values: (F, 22, 3) metres.
        weights: (F, 22, 3); 0 where free, `CONSTRAINT_WEIGHT` or more for constraints.
        orientations: desired orientations; None without any.
    """

    values: Tensor
    weights: Tensor
    orientations: OrientationTargets | None = None

    def frames(self, some: slice) -> PositionTargets:
        """Some of its frames."""
        orientations = None if self.orientations is None else self.orientations.frames(some)
        return PositionTargets(self.values[some], self.weights[some], orientations)


class FitEnergy:
    """The energy of a body near given points, its gradient and its Gauss–Newton matrix.

    Args:
        points: (F, 22, 3) metres, the joint positions to approach.
        bend: weight of the second differences over frames; None if frames are independent of each other.
        kept: (F,) bool, frames whose unknowns are fixed.
    """

    def __init__(self, points: Tensor, *, bend: float | None = None, kept: Tensor | None = None) -> None:
        self.points, self.kept, self.coupled = points, kept, bend is not None
        self.over_time = smoothness(len(points), bend or 0.0)

    def energy(self, body: FittedBody, targets: PositionTargets) -> Tensor:
        """Energy of each frame, (F,) in m². A term that couples two frames is counted in one of them."""
        joints = body.joints
        away = joints - self.points
        total = (away * _times_metric(_times_bands(self.over_time, away))).sum((1, 2))
        total += (targets.weights * (joints - targets.values).square()).sum((1, 2))
        if targets.orientations is not None:
            total += orientation_energy(body.world, targets.orientations)
        angles = body.angles
        total += REST_WEIGHT * angles.square().sum(1) + RANGE_WEIGHT * beyond_range(angles).square().sum(1)
        if self.coupled:
            total[1:] += STEADINESS_WEIGHT * angles.diff(dim=0).square().sum(1)
        return total

    def normal(self, body: FittedBody, targets: PositionTargets, *, stiff: bool = True) -> tuple[Tensor, Tensor]:
        """Gauss–Newton matrix and gradient, both halved.

        Args:
            body: the current estimate.
            targets: desired positions and orientations.
            stiff: whether to add the positive part of the second derivatives that Gauss–Newton neglects: a limb that is
                pulled at its end resists rotation, like a pendulum.

        Returns:
            JᵀJ as (F, n, 4n), where a row holds the coupling of an unknown to those of the same frame, the next and the
            next but one (the last n entries are 0); and the gradient, (F, n).
        """
        joints = body.joints
        rows = jacobian(body)  # (F, 66, n)
        if self.kept is not None:
            rows[self.kept] = 0.0
        away = joints - self.points
        pulled = _times_metric(_times_bands(self.over_time, away)) + targets.weights * (joints - targets.values)
        exact = rows.double()
        gradient = torch.bmm(pulled.flatten(1)[:, None], exact)[:, 0]
        result = self._point_terms(rows)
        own = result[..., :UNKNOWNS]
        some = targets.weights.amax((0, 2)).nonzero()[:, 0]
        if len(some):
            held = exact.unflatten(1, (len(JOINTS), 3))[:, some].flatten(1, 2)
            own += held.mT @ (targets.weights[:, some].flatten(1)[..., None] * held)
        inward = ((DESCENDANTS @ pulled) * joints).sum(-1) - (pulled * joints).sum(-1) @ DESCENDANTS.mT
        if stiff:
            own.diagonal(dim1=-2, dim2=-1)[:, :-3] += inward.clamp_min(0.0)[:, ROTATED_JOINTS]
        if targets.orientations is not None:
            _add_orientations(body.world, targets.orientations, own, gradient)
        _add_angle_terms(body.angles, result, gradient, STEADINESS_WEIGHT if self.coupled else 0.0)
        if self.kept is not None:
            own[self.kept] += 1e9 * torch.eye(UNKNOWNS, dtype=torch.float64)
            gradient[self.kept] = 0.0
        return result, gradient

    def _point_terms(self, rows: Tensor) -> Tensor:
        """JᵀJ of the distances to the points, in float32: its rounding amounts to a change of their weights by some
        millionths.
        """
        measured = (_METRIC.float() @ rows.unflatten(1, (len(JOINTS), 3)).flatten(2)).view_as(rows)
        if not self.coupled:
            return (measured.mT @ rows).double()
        coupled, result = self._work_space
        for apart in range(3):
            weights = self.over_time[apart, : len(rows) - apart, None, None].float()
            torch.mul(
                rows[apart:], weights, out=coupled[: len(rows) - apart, :, apart * UNKNOWNS : (apart + 1) * UNKNOWNS]
            )
        result[..., : 3 * UNKNOWNS] = measured.mT @ coupled
        return result

    @cached_property
    def _work_space(self) -> tuple[Tensor, Tensor]:
        """Reused buffers for JᵀJ: allocating them takes as long as the arithmetic."""
        frames = len(self.points)
        return torch.zeros(frames, 3 * len(JOINTS), 3 * UNKNOWNS), torch.zeros(
            frames, UNKNOWNS, 4 * UNKNOWNS, dtype=torch.float64
        )


def orientation_energy(world: Tensor, turns: OrientationTargets) -> Tensor:
    """(F,) weighted squared rotations, m², between orientations in the world (F, 22, 3, 3) and their targets."""
    _, missing, weights = _orientation_errors(world, turns)
    return (missing[..., None, :] @ weights @ missing[..., None]).sum((1, 2, 3))


def _orientation_errors(world: Tensor, turns: OrientationTargets) -> tuple[list[int], Tensor, Tensor]:
    """Joints with orientation targets, their remaining rotations in the world (F, j, 3), and the weights of these."""
    some = turns.weights.abs().amax((0, 2, 3)).nonzero()[:, 0].tolist()
    return some, rotation_vectors(turns.values[:, some] @ world[:, some].mT), turns.weights[:, some]


def _add_orientations(world: Tensor, turns: OrientationTargets, block: Tensor, gradient: Tensor) -> None:
    """Add JᵀJ and gradient of orientation targets in place. A joint rotates with each of its ancestors and by
    itself.
    """
    axes = world_axes(world)
    some, missed, held = _orientation_errors(world, turns)
    for joint, missing, weights in zip(some, missed.unbind(1), held.unbind(1), strict=True):
        rows = axes * (DESCENDANTS + _EYE22)[ROTATED_JOINTS, joint]
        weighted = rows.mT @ weights  # (F, angles, 3)
        block[:, :-3, :-3] += weighted @ rows
        gradient[:, :-3] -= (weighted @ missing[..., None])[..., 0]


def _add_angle_terms(angles: Tensor, normal: Tensor, gradient: Tensor, steady: float) -> None:
    """Add gradient and JᵀJ (for small angles) of rest pose, steadiness and ranges in place.

    A hinge that is pressed against its limit is held there.
    """
    hinges, balls = slice(-len(HINGE_AXES), None), slice(0, -len(HINGE_AXES))
    out, turned = beyond_range(angles), slice(3, UNKNOWNS - 3)
    own = torch.full_like(angles, REST_WEIGHT)
    own[:, balls] += RANGE_WEIGHT * (out != 0).double()
    pushed = (angles[:, hinges] < LEAST_BEND + NEAR_LIMIT) & (gradient[:, turned][:, hinges] > 0)
    own[:, hinges] += HINGE_STOP_WEIGHT * pushed.double()
    pull, change = REST_WEIGHT * angles, steady * angles.diff(dim=0)
    pull[:, balls] += RANGE_WEIGHT * out
    for side, sign in ((slice(1, None), 1), (slice(None, -1), -1)):
        own[side] += steady
        pull[side] += sign * change
    normal[..., :UNKNOWNS].diagonal(dim1=-2, dim2=-1)[:, turned] += own
    if steady:
        normal[:-1, :, UNKNOWNS : 2 * UNKNOWNS].diagonal(dim1=-2, dim2=-1)[:, turned] -= steady
    back = pull_back(angles[:, balls].unflatten(1, (-1, 3)), pull[:, balls].unflatten(1, (-1, 3)))
    gradient[:, turned] += torch.cat([back.flatten(1), pull[:, hinges]], dim=1)


def smoothness(frames: int, bend: float) -> Tensor:
    """(3, F) the diagonal and the first two off-diagonals of 1 + bend · D₂ᵀD₂, D₂ the second difference over frames."""
    result = torch.zeros(3, frames, dtype=torch.float64)
    result[0] = 1.0
    second = {-1: 1.0, 0: -2.0, 1: 1.0}
    for a, left in second.items():
        for b, right in second.items():
            if b >= a and frames > 2 and bend:
                result[b - a, 1 + a : frames - 1 + a] += bend * left * right
    return result


def _times_bands(over_time: Tensor, values: Tensor) -> Tensor:
    """The banded matrix of `smoothness` times values (F, 22, 3)."""
    result = over_time[0][:, None, None] * values
    for apart in (1, 2):
        weights = over_time[apart][:-apart, None, None]
        result[:-apart] += weights * values[apart:]
        result[apart:] += weights * values[:-apart]
    return result


def _times_metric(values: Tensor) -> Tensor:
    """W times values (F, 22, 3)."""
    return torch.einsum("ij,fjc->fic", _METRIC, values)
