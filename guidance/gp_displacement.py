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
from functools import lru_cache

import torch
from scipy.linalg import cho_solve_banded, cholesky_banded
from torch import Tensor

from motion_diffusion.body.skeleton import BONE_LENGTHS, JOINTS, PARENTS


@dataclass(frozen=True, eq=False)
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
_REACH = 38.5 / math.sqrt(5)
"""Lengths of a kernel beyond which it is below 1e-14 and taken for 0."""
_DENSE_FRAMES = 800
"""Frames up to which covariances over time are multiplied as matrices, and beyond which they are convolved."""
_BLOCK = 2**20
"""Entries of C that are computed at once."""
MAX_RESPONSE = 1_000_000
"""Maximum size of a matrix C[:, O] · C[O, O]⁻¹ that is kept (8 MB); above it, its factors are applied one by one."""


def matern(apart: Tensor, length: float) -> Tensor:
    """Matérn-5/2 kernel of unit variance at distances in frames, float64."""
    r = math.sqrt(5) * apart.double().abs() / length
    return (1 + r + r.square() / 3) * torch.exp(-r)


_ZERO = torch.zeros((), dtype=torch.float64)


class _Kernel:
    """One part's covariance along one axis, s² · T ⊗ K."""

    def __init__(self, part: Part, frames: int, joints: int):
        time = torch.arange(frames)
        self.over_joints = part.size**2 * part.joints[:joints, :joints]
        self.reach = min(math.ceil(_REACH * part.frames), frames - 1)
        self._values = matern(time[: self.reach + 1], part.frames)
        self._matrix = matern(time[:, None] - time, part.frames) if frames <= _DENSE_FRAMES else None

    def between(self, frame: Tensor, joint: Tensor, other_frame: Tensor, other_joint: Tensor) -> Tensor:
        """Covariance of entries (frame, joint) with others; all tensors of indices broadcast."""
        apart = (frame - other_frame).abs()
        over_time = torch.where(apart <= self.reach, self._values[apart.clamp(max=self.reach)], 0.0)
        return over_time * self.over_joints[joint, other_joint]

    def times(self, weights: Tensor, joints: Tensor) -> Tensor:
        """The covariance times weights (..., F, j) of some of the joints (j,): (..., F, J)."""
        if self._matrix is not None:
            return self._matrix @ (weights @ self.over_joints[joints])
        from scipy.signal import oaconvolve  # takes a third of a second to import

        around = torch.cat([self._values[1:].flip(0), self._values]).reshape(*[1] * (weights.ndim - 2), -1, 1)
        along: Tensor = torch.from_numpy(oaconvolve(weights.numpy(), around.numpy(), mode="same", axes=-2))
        return along @ self.over_joints[joints]


@lru_cache(maxsize=16)
def _kernel(part: Part, frames: int, joints: int) -> _Kernel:
    return _Kernel(part, frames, joints)


class _Axis:
    """The displacements along an axis, given those of the entries (frame, joint) (n,), in the order of their frames.

    Entries further apart than the kernels reach are independent, hence C[O, O] is a band, whose Cholesky factor needs
    time and memory linear in the length of the motion.
    """

    def __init__(self, frame: Tensor, joint: Tensor, kernels: Sequence[_Kernel], frames: int, joints: int):
        self.frame, self.joint, self._kernels = frame, joint, kernels
        self._joints, self._column = joint.unique(return_inverse=True)
        reach = max(kernel.reach for kernel in kernels)
        last = torch.searchsorted(frame, frame + reach, right=True)
        self._width = int((last - torch.arange(len(frame))).max())
        self._banded = 2 * self._width < len(frame)
        self._factor = self._banded_factor() if self._banded else torch.linalg.cholesky(self._gram())
        self._response = self._response_of(frames, joints) if frames * joints * len(frame) <= MAX_RESPONSE else None

    def _response_of(self, frames: int, joints: int) -> Tensor:
        """C[O, O]⁻¹ · C[O, :], (n, F·J)."""
        every, each = torch.arange(frames)[:, None], torch.arange(joints)
        entries = self.frame[:, None, None], self.joint[:, None, None]
        return self._solve(sum((kernel.between(*entries, every, each) for kernel in self._kernels), _ZERO).flatten(1))

    def _covariance(self, rows: Tensor, columns: Tensor) -> Tensor:
        """C between entries with these indices, which broadcast."""
        one, other = (self.frame[rows], self.joint[rows]), (self.frame[columns], self.joint[columns])
        result = sum((kernel.between(*one, *other) for kernel in self._kernels), _ZERO)
        return torch.where(rows == columns, result * (1 + _NUGGET) + _NUGGET**2, result)

    def _gram(self) -> Tensor:
        every = torch.arange(len(self.frame))
        return self._covariance(every[:, None], every)

    def _banded_factor(self) -> Tensor:
        """The lower bands (n, width) of the Cholesky factor: those of a column in a row."""
        count = len(self.frame)
        bands = torch.empty(count, self._width, dtype=torch.float64)
        below = torch.arange(self._width)
        for some in torch.arange(count).split(max(_BLOCK // self._width, 1)):
            rows = some[:, None] + below
            values = self._covariance(rows.clamp(max=count - 1), some[:, None])
            bands[some] = torch.where(rows < count, values, 0.0)
        return torch.from_numpy(cholesky_banded(bands.numpy().T, lower=True, overwrite_ab=True)).T

    def _solve(self, right: Tensor) -> Tensor:
        """C[O, O]⁻¹ times right (n, m)."""
        if self._banded:
            return torch.from_numpy(cho_solve_banded((self._factor.numpy().T, True), right.numpy()))
        return torch.cholesky_solve(right, self._factor)

    def expected(self, given: Tensor) -> Tensor:
        """Displacements (..., F, J) where the entries move by those of given (..., F, J), float64."""
        right = given[..., self.frame, self.joint]
        if self._response is not None:
            result = (right @ self._response).view(given.shape)
        else:
            weights = given.new_zeros(*given.shape[:-1], len(self._joints))
            solved = self._solve(right.reshape(-1, len(self.frame)).T)
            weights[..., self.frame, self._column] = solved.T.reshape(right.shape)
            result = sum((kernel.times(weights, self._joints) for kernel in self._kernels), _ZERO)
        result[..., self.frame, self.joint] = right
        return result


class Displacement:
    """The displacement of all that goes with that of the entries mask (F, J, 3) bool of a motion.

    What does not depend on how far they move is found once: calling it costs little.
    """

    def __init__(self, mask: Tensor, parts: Sequence[Part] = (TRAVEL, CROUCH, LIMBS)):
        frames, joints, _ = mask.shape
        mask = mask.cpu()
        alike: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
        for axis in range(3):
            own = tuple(number for number, part in enumerate(parts) if axis in part.axes)
            if mask[..., axis].any():
                alike.setdefault((own, mask[..., axis].numpy().tobytes()), []).append(axis)
        self._axes = []
        for (own, _), axes in alike.items():
            frame, joint = mask[..., axes[0]].nonzero(as_tuple=True)
            kernels = [_kernel(parts[number], frames, joints) for number in own]
            self._axes.append((axes, _Axis(frame, joint, kernels, frames, joints)))

    def __call__(self, wanted: Tensor) -> Tensor:
        """Displacement (..., F, J, 3) in metres where the entries of the mask move by wanted (..., F, J, 3), which they
        do exactly.
        """
        given = wanted.detach().to("cpu", torch.float64).movedim(-1, 0)
        result = torch.zeros_like(given)
        for axes, together in self._axes:
            result[axes] = together.expected(given[axes])
        return result.movedim(0, -1).to(wanted)
