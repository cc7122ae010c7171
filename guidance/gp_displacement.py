"""Most likely displacement of all joints in all frames, given that of some (a Gaussian process).

Displacements d (F, J) along one axis have a Gaussian prior, a sum of parts with a kernel over time, T, and one over the
joints, K, each of some size s: C = Σ s² · T ⊗ K. The parts are ways in which a body follows a displaced joint:

| part | axes | joints | over |
|---|---|---|---|
| travel | x, z | all alike: the whole body moves to another place, long before | seconds |
| crouch | y | all alike above the knees, not at all below the ankles: the feet stay on the floor | half a second |
| limbs | all | each with the bones between it and the pelvis: a hand takes its arm along | a third of a second |

In the last, K is the inverse of the kinematic tree's Laplacian, its bones springs of strength 1/length². Over time all
are Matérn kernels, whose displacements have no kinks.

Given the displacement r of some entries O, the others are expected at d = C[:, O] · C[O, O]⁻¹ · r, which is the
smallest d in the metric C⁻¹ that equals r there: a projection onto the targets in a metric that moves neighbouring
frames and joints along (as in ProjFlow, whose metric is a Laplacian of this kind).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS


@dataclass(frozen=True)
class Part:
    """One way of moving along."""

    joints: Tensor
    """(22, 22) covariance of the joints, at most 1."""
    frames: float
    """Length of the kernel over time."""
    size: float
    """Standard deviation in metres."""
    axes: tuple[int, ...]


def tree_kernel() -> Tensor:
    """(22, 22): Σ length² over the bones that the ways from the pelvis to two joints share, 1 for the longest way.

    The spine, which is three joints and bends as one, counts for half its length.
    """
    on_way = torch.zeros(len(JOINTS), len(JOINTS), dtype=torch.float64)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            on_way[joint] = on_way[parent]
            on_way[joint, joint] = 1.0
    lengths = BONE_LENGTHS * torch.tensor([0.5 if "spine" in name else 1.0 for name in JOINTS], dtype=torch.float64)
    shared = on_way @ torch.diag(lengths**2) @ on_way.T
    return shared / shared.diagonal().max()


def _crouching() -> Tensor:
    """(22, 22): joints from the hips upwards move alike, knees half as much, ankles and feet not at all."""
    follows = torch.ones(len(JOINTS), dtype=torch.float64)
    for name, share in (("knee", 0.5), ("ankle", 0.0), ("foot", 0.0)):
        for side in ("left", "right"):
            follows[JOINTS.index(f"{side}_{name}")] = share
    return torch.outer(follows, follows)


TRAVEL = Part(torch.ones(len(JOINTS), len(JOINTS), dtype=torch.float64), frames=45.0, size=1.0, axes=(0, 2))
CROUCH = Part(_crouching(), frames=12.0, size=0.1, axes=(1,))
LIMBS = Part(tree_kernel(), frames=8.0, size=0.3, axes=(0, 1, 2))

_NUGGET = 1e-9
"""Added to the diagonal, relative to it, so that entries that nearly determine each other can be solved for."""


def matern(frames: int, length: float) -> Tensor:
    """(F, F) Matérn-5/2 kernel of unit variance over frames, float64."""
    time = torch.arange(frames, dtype=torch.float64)
    r = math.sqrt(5) * (time[:, None] - time).abs() / length
    return (1 + r + r.square() / 3) * torch.exp(-r)


MAX_RESPONSE = 1_000_000
"""Maximum size of a matrix C[:, O] · C[O, O]⁻¹ that is kept (8 MB); above it, its factors are applied one by one."""


class Displacement:
    """The displacement of all that goes with that of the entries mask (F, J, 3) bool of a motion.

    What does not depend on how far they move is computed once: a call costs little.
    """

    def __init__(self, mask: Tensor, parts: Sequence[Part] = (TRAVEL, CROUCH, LIMBS)):
        times = [matern(len(mask), part.frames) for part in parts]
        self._axes: list[tuple[int, _Axis]] = []
        for axis in range(3):
            frame, joint = mask[..., axis].cpu().nonzero(as_tuple=True)
            kernels = [
                (over_time, part.size**2 * part.joints[: mask.shape[1], : mask.shape[1]])
                for part, over_time in zip(parts, times, strict=True)
                if axis in part.axes
            ]
            if len(frame):
                self._axes.append((axis, _Axis(frame, joint, kernels)))

    def __call__(self, wanted: Tensor) -> Tensor:
        """Displacement (..., F, J, 3) in metres where the entries of the mask move by wanted (..., F, J, 3), which they
        do exactly.
        """
        given = wanted.detach().to("cpu", torch.float64)
        result = torch.zeros(wanted.shape, dtype=torch.float64)
        for axis, displaced in self._axes:
            result[..., axis] = displaced(given[..., axis])
        return result.to(wanted)


class _Axis:
    """Displacements (..., F, J) along one axis, given those of n entries at (frame, joint), each (n,).

    kernels: T (F, F) and s²·K (J, J) of each part.
    """

    def __init__(self, frame: Tensor, joint: Tensor, kernels: Sequence[tuple[Tensor, Tensor]]):
        self.frame, self.joint, self.kernels = frame, joint, kernels
        gram = torch.zeros(len(frame), len(frame), dtype=torch.float64)
        for over_time, over_joints in kernels:
            gram += over_time[frame][:, frame] * over_joints[joint][:, joint]
        gram.diagonal().mul_(1 + _NUGGET).add_(_NUGGET**2)
        self.factor = torch.linalg.cholesky(gram)
        frames, joints = len(kernels[0][0]), len(kernels[0][1])
        self.response: Tensor | None = None
        """(n, F·J)."""
        if frames * joints * len(frame) <= MAX_RESPONSE:
            covariance = sum((t[frame, :, None] * k[joint, None, :] for t, k in kernels), torch.zeros(()))
            self.response = torch.cholesky_solve(covariance.flatten(1), self.factor)

    def __call__(self, wanted: Tensor) -> Tensor:
        right = wanted[..., self.frame, self.joint]
        if self.response is not None:
            result = (right @ self.response).view(wanted.shape)
        else:
            solved = torch.cholesky_solve(right.reshape(-1, len(self.frame)).T, self.factor)
            weights = torch.zeros_like(wanted)
            weights[..., self.frame, self.joint] = solved.T.reshape(right.shape)
            result = torch.zeros_like(wanted)
            for over_time, over_joints in self.kernels:
                result += over_time @ (weights @ over_joints)
        result[..., self.frame, self.joint] = right
        return result
