r"""Fit a body of constant bones to points: the root and the rotations of the joints, by Gauss–Newton.

Points that a network made stretch their bones. First each frame by itself gets the body θ whose joints p(θ) come
nearest to its points x:

    ‖p(θ) − x‖²_W + priors and limits of the rotations

where ‖·‖²_W adds the squared lengths of the joints' differences and of the bones'. (Joints alone are not enough: short
limbs buckle to reach them.) Then, if more is wanted of the motion, that of all frames together that comes nearest to
these bodies' joints q:

    Σ_t ‖d_t‖²_W + BEND · Σ_t ‖d_{t−1} − 2 d_t + d_{t+1}‖²_W    d = p(θ) − q
    + Σ w · (p(θ) − y)²                                         pulls: goals, standing feet, the floor

The second differences spread what a goal changes smoothly over the frames around it, as a spline would, with a length
of some BEND^(1/4) frames, and leave the accelerations of the rest as they are.

Unknowns are, in each frame, the root's move, a turn of every joint that carries others (a vector in radians in its
parent's frame, three numbers), and one angle for knees and elbows, which are hinges. A frame's joints depend on its own
unknowns alone, so the normal equations couple a frame with the two on either side: a matrix of bandwidth 3·46, whose
Cholesky factor costs some milliseconds a second of motion (LAPACK's pbsv). Steps are damped as Levenberg and Marquardt
have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg.lapack import dpbsv
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.nn.functional import normalize

from motion_diffusion.rig import Rig
from motion_diffusion.rotations import orientations, relative_to_parents, shortest_arc
from motion_diffusion.skeleton import JOINTS, OFFSETS, PARENTS

BEND = 100.0
"""Weight of second differences over frames against that of positions."""
PINNED = 1e7
"""Weight of a goal: what soft terms pull it away by is some micrometres."""
SOFTER = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Parts of the weight of goals, one after the other: a narrow valley is entered from a wide one."""
NEARLY = 0.02
"""Metres by which goals are missed that are held at once."""
ROUNDS = 8
"""Of Gauss–Newton, at most, for each of them."""
PIECE, OVERLAP = 600, 40
"""Frames that are fitted at once, and how many more on either side."""
SETTLED = 1e-3
"""Share of the energy by which a round that is the last lowers it, at most."""
REST_WEIGHT = 1e-6
"""m²/rad²: weight of a joint's rotation away from the rest pose, where no point says how it turns."""
STEADY_WEIGHT = 1e-3
"""m²/rad²: weight of a joint's turn from frame to frame."""
LIMIT_WEIGHT = 100.0
"""m²/rad²: weight of a hinge's angle beyond its limit."""
FLOOR_WEIGHT = 1e6
"""Of how far joints are below the floor."""
DAMPING = (1e-4, 1e-4, 1e2)
"""Least, first and largest damping, m²."""

HINGES = {"left_knee": (1.0, 0.0, 0.0), "right_knee": (1.0, 0.0, 0.0),
          "left_elbow": (0.0, -1.0, 0.0), "right_elbow": (0.0, 1.0, 0.0)}  # fmt: skip
"""Axes of the joints that bend one way, in their parent's frame; they bend by positive angles."""

_COUNT = len(JOINTS)
_CHILDREN = [[j for j, parent in enumerate(PARENTS) if parent == joint] for joint in range(_COUNT)]
_HINGES = {JOINTS.index(name): torch.tensor(axis, dtype=torch.float64) for name, axis in HINGES.items()}
_BALLS = [joint for joint in range(_COUNT) if _CHILDREN[joint] and joint not in _HINGES]
_TURNS = 3 * len(_BALLS)
SIZE = _TURNS + len(_HINGES) + 3
"""Unknowns a frame."""
_NECK, _HEAD = JOINTS.index("neck"), JOINTS.index("head")
_ONES = torch.eye(_COUNT, dtype=torch.float64)
_CARRIES = _ONES.clone()
for _joint in reversed(range(1, _COUNT)):
    _CARRIES[PARENTS[_joint]] += _CARRIES[_joint]
_CARRIES -= _ONES  # (22, 22): 1 where a row's turn moves a column's joint
_BONES = _ONES[1:] - _ONES[list(PARENTS[1:])]
_METRIC = _ONES + _BONES.mT @ _BONES
"""W (22, 22), the same for each axis."""
_EYE = torch.eye(3, dtype=torch.float64)


def _straight(joint: int, axis: Tensor) -> float:
    """The angle at which a hinge is straight: in the rest pose knees and elbows bend a little."""
    upper, lower = OFFSETS[joint], OFFSETS[_CHILDREN[joint][0]]
    return -math.atan2(torch.linalg.cross(upper, lower) @ axis, upper @ lower - (upper @ axis) * (lower @ axis))


LIMITS = {joint: _straight(joint, axis) for joint, axis in _HINGES.items()}
"""Least angle of each hinge, radians."""


class Pulls(NamedTuple):
    """Where joints should be: values (F, 22, 3) in metres, with weights (F, 22, 3), 0 for those that are free."""

    values: Tensor
    weights: Tensor


Wanted = Callable[[Tensor], Pulls]
"""What joints (F, 22, 3) are pulled to, asked again in every round: it may depend on where they are."""


def no_pulls(joints: Tensor) -> Pulls:
    """Nothing is wanted but to be near the points."""
    return Pulls(torch.zeros_like(joints), torch.zeros_like(joints))


def fit_frames(points: Tensor, fps: float, *, wanted: Wanted = no_pulls, start: Rig | None = None) -> Rig:
    """The body nearest to points (F, 22, 3) in metres, each frame by itself.

    In one round from `start`, a body of similar points, or in some from nothing. The points may be those of several
    motions, one after the other.
    """
    points = points.detach().to("cpu", torch.float64)
    body = Rig(_upright(points), points[:, 0], fps) if start is None else start
    with _one_thread():
        body = _Problem(points).solve(body, wanted, 1.0, 1 if start is not None else ROUNDS)
    return replace(body, rotations=_with_ends(body.rotations))


def fit_motion(body: Rig, *, wanted: Wanted, floor: float | None = None, kept: Tensor | None = None) -> Rig:
    """The motion nearest to that of a body that has what is wanted of it, and no joint below the floor (height in m).

    Weights of `wanted` at or above PINNED are goals: they enter the problem by the parts `SOFTER` of their weight, one
    after the other. kept: (F,) bool, frames that stay as they are. Long motions are fitted piece by piece, each with
    the end of the one before kept.
    """
    near, frames = body.joints, len(body.root)
    done = torch.zeros(frames, dtype=torch.bool) if kept is None else kept.clone()
    moved = body
    for first in range(0, frames, PIECE):
        piece = slice(max(first - OVERLAP, 0), first + PIECE + OVERLAP)

        def of_piece(joints: Tensor, piece: slice = piece, moved: Rig = moved) -> Pulls:
            whole = moved.joints.clone()
            whole[piece] = joints
            return Pulls(*(part[piece] for part in wanted(whole)))

        fitted = moved.frames(piece)
        problem = _Problem(near[piece], bend=BEND, floor=floor, kept=done[piece])
        asked = of_piece(fitted.joints)
        missed = ((fitted.joints - asked.values).abs() * (asked.weights >= PINNED)).max()
        with _one_thread():
            for part in SOFTER if missed > NEARLY else (1.0,):
                fitted = problem.solve(fitted, of_piece, part, ROUNDS)
        moved = moved.with_frames(piece, fitted)
        done[: first + PIECE] = True
    moved = replace(moved, rotations=_with_ends(moved.rotations))
    return moved if kept is None else moved.with_frames(kept, body.frames(kept))


class _Problem:
    """The energy of bodies near some points, and its Gauss–Newton steps."""

    def __init__(
        self,
        points: Tensor,
        *,
        bend: float | None = None,
        floor: float | None = None,
        kept: Tensor | None = None,
    ) -> None:
        """bend: weight of second differences, or None if nothing couples one frame to the next; others as above."""
        self.points, self.floor, self.coupled = points, floor, bend is not None
        self.said = no_pulls(points)
        """What was wanted so far: what is held on one side of a place would else be let go as soon as it is there."""
        self.over_time = _smoothness(len(points), bend or 0.0)
        self.free = torch.ones(len(points), dtype=torch.float64) if kept is None else 1.0 - kept.double()

    def solve(self, body: Rig, wanted: Wanted, part: float, rounds: int) -> Rig:
        """The body after some rounds. Frames that nothing couples are damped, and settle, each for itself."""
        least, first, _ = DAMPING
        groups = 1 if self.coupled else len(self.points)
        damping = torch.full((groups,), first, dtype=torch.float64)
        settled = torch.zeros(groups, dtype=torch.bool)
        for _ in range(rounds):
            joints = body.joints
            self.said = _updated(self.said, wanted(joints))
            if self.floor is not None:
                self.said = _with_floor(joints, self.said, self.floor)
            pulls = _softened(self.said, part)
            before = self.energy(body, joints, pulls)
            body, damping, gain = self._step(body, self._normal(body, joints, pulls), pulls, before, damping, settled)
            settled |= gain < SETTLED * before
            damping = (damping / 10).clamp_min(least)
            if settled.all():
                break
        return body

    def _step(
        self,
        body: Rig,
        normal: tuple[list[Tensor], Tensor],
        pulls: Pulls,
        before: Tensor,
        damping: Tensor,
        settled: Tensor,
    ) -> tuple[Rig, Tensor, Tensor]:
        """The body after a step that lowers the energy wherever it has not settled, the damping that this took, and by
        how much it did: 0 where none does."""
        taken, gain = settled.clone(), torch.zeros_like(before)
        result = body
        while not taken.all() and damping[~taken].min() <= DAMPING[-1]:
            moved = _moved(body, _solved(*normal, damping))
            after = self.energy(moved, moved.joints, pulls)
            better = (after < before) & ~taken
            result = result.with_frames(better, moved.frames(better)) if not self.coupled else moved if better else body
            gain = torch.where(better, before - after, gain)
            taken = taken | better
            damping = torch.where(taken, damping, 10 * damping)
        return result, damping, gain

    def energy(self, body: Rig, joints: Tensor, pulls: Pulls) -> Tensor:
        """E of a body, m²: of each frame, or where they are coupled of all together, (1,)."""
        away = joints - self.points
        total = (away * _measured(_along(self.over_time, away))).sum((1, 2))
        total += (pulls.weights * (joints - pulls.values).square()).sum((1, 2))
        logs = _logs(body.rotations)[:, 1:]
        total += REST_WEIGHT * logs.square().sum((1, 2)) + LIMIT_WEIGHT * _beyond(body.rotations).square().sum(1)
        if not self.coupled:
            return total
        return (total.sum() + STEADY_WEIGHT * logs.diff(dim=0).square().sum())[None]

    def _normal(self, body: Rig, joints: Tensor, pulls: Pulls) -> tuple[list[Tensor], Tensor]:
        """The blocks (F - k, n, n) of JᵀJ that couple frames k apart, and the gradient (F, n), halved both."""
        rows = _jacobian(body.world, joints) * self.free[:, None, None]  # (F, 66, n)
        away = joints - self.points
        measured = torch.einsum("ij,fjcn->ficn", _METRIC, rows.unflatten(1, (-1, 3))).flatten(1, 2)
        gradient = _times(rows, _measured(_along(self.over_time, away)) + pulls.weights * (joints - pulls.values))
        blocks = [self.over_time[0][:, None, None] * (rows.mT @ measured)]
        for apart in (1, 2) if self.coupled else ():
            weights = self.over_time[apart][:-apart, None, None]
            blocks.append(weights * (rows[:-apart].mT @ measured[apart:]))
        blocks[0] += (rows * pulls.weights.flatten(1)[..., None]).mT @ rows
        _add_rotations(body.rotations, blocks, gradient, STEADY_WEIGHT if self.coupled else 0.0)
        held = (1 - self.free)[:, None] * torch.ones(SIZE, dtype=torch.float64)
        blocks[0] += torch.diag_embed(1e9 * held)
        return blocks, gradient * self.free[:, None]


def _add_rotations(rotations: Tensor, blocks: list[Tensor], gradient: Tensor, steady: float) -> None:
    """Priors, steadiness and limits, in place.

    A joint's turn changes the logarithm of its rotation by as much, to first order where that is small.
    """
    hinges = slice(_TURNS, _TURNS + len(_HINGES))
    logs, beyond = _logs(rotations), _beyond(rotations)
    bent = torch.stack([logs[:, joint] @ axis for joint, axis in _HINGES.items()], dim=-1)
    values = torch.cat([logs[:, _BALLS[1:]].flatten(1), bent], dim=-1)
    own = torch.full((len(rotations), 1), REST_WEIGHT, dtype=torch.float64)
    pull, change = REST_WEIGHT * values, steady * values.diff(dim=0)
    for side, sign in ((slice(1, None), 1), (slice(None, -1), -1)):
        own[side] += steady
        pull[side] += sign * change
    turned = slice(3, hinges.stop)
    blocks[0].diagonal(dim1=-2, dim2=-1)[:, turned] += own
    if len(blocks) > 1:
        blocks[1].diagonal(dim1=-2, dim2=-1)[:, turned] -= steady
    blocks[0].diagonal(dim1=-2, dim2=-1)[:, hinges] += LIMIT_WEIGHT * (beyond < 0).double()
    gradient[:, turned] += pull
    gradient[:, hinges] += LIMIT_WEIGHT * beyond


def _beyond(rotations: Tensor) -> Tensor:
    """(F, hinges) radians by which hinges bend the wrong way, 0 or less."""
    angles = [_angle(rotations[:, joint], axis) - LIMITS[joint] for joint, axis in _HINGES.items()]
    return torch.stack(angles, dim=-1).clamp(max=0)


def _moved(body: Rig, step: Tensor) -> Rig:
    """A body after a step (F, n)."""
    turns = torch.zeros(len(step), _COUNT, 3, dtype=torch.float64)
    turns[:, _BALLS] = step[:, :_TURNS].unflatten(1, (-1, 3))
    for i, (joint, axis) in enumerate(_HINGES.items()):
        turns[:, joint] = step[:, _TURNS + i, None] * axis
    return replace(body, rotations=_turned(turns) @ body.rotations, root=body.root + step[:, -3:])


def _smoothness(frames: int, bend: float) -> Tensor:
    """(3, F): what couples a frame to itself, the next and the next but one in 1 + bend · D₂ᵀD₂."""
    result = torch.zeros(3, frames, dtype=torch.float64)
    result[0] = 1.0
    second = {-1: 1.0, 0: -2.0, 1: 1.0}
    for a, left in second.items():
        for b, right in second.items():
            if b >= a and frames > 2 and bend:
                result[b - a, 1 + a : frames - 1 + a] += bend * left * right
    return result


def _along(over_time: Tensor, values: Tensor) -> Tensor:
    """The banded matrix of `_smoothness` times values (F, 22, 3)."""
    result = over_time[0][:, None, None] * values
    for apart in (1, 2):
        weights = over_time[apart][:-apart, None, None]
        result[:-apart] += weights * values[apart:]
        result[apart:] += weights * values[:-apart]
    return result


def _measured(values: Tensor) -> Tensor:
    """W times values (F, 22, 3)."""
    return torch.einsum("ij,fjc->fic", _METRIC, values)


def _times(rows: Tensor, values: Tensor) -> Tensor:
    """Jᵀ values: (F, 66, n) and (F, 22, 3) → (F, n)."""
    return (rows.mT @ values.flatten(1)[..., None])[..., 0]


def _jacobian(world: Tensor, joints: Tensor) -> Tensor:
    """(F, 66, n): how the joints' coordinates change with the unknowns.

    A joint's turn ω in its parent's frame P moves those that it carries, at r from it, by Pω × r.
    """
    arms = (joints[:, None] - joints[:, :, None]) * _CARRIES[..., None]  # (F, turning, moved, 3)
    x, y, z = arms[:, _BALLS].unbind(-1)
    none = torch.zeros_like(x)
    crossed = torch.stack([none, z, -y, -z, none, x, y, -x, none], dim=-1).unflatten(-1, (3, 3))
    frames = torch.cat([_EYE.expand(len(world), 1, 3, 3), world[:, [PARENTS[joint] for joint in _BALLS[1:]]]], dim=1)
    balls = (crossed @ frames[:, :, None]).permute(0, 2, 3, 1, 4).flatten(3)  # (F, moved, 3, 3 · balls)
    axes = torch.stack([world[:, PARENTS[joint]] @ axis for joint, axis in _HINGES.items()], dim=1)
    hinges = torch.linalg.cross(axes[:, :, None].expand(-1, -1, _COUNT, -1), arms[:, list(_HINGES)])
    moves = _EYE.expand(*joints.shape[:2], 3, 3)
    return torch.cat([balls, hinges.permute(0, 2, 3, 1), moves], dim=-1).flatten(1, 2)


def _solved(blocks: list[Tensor], gradient: Tensor, damping: Tensor) -> Tensor:
    """The step (F, n) that solves (JᵀJ + damping) step = −gradient; damping: (F,), or (1,) where frames are coupled."""
    frames, size = gradient.shape
    if len(blocks) == 1:
        factor, _ = torch.linalg.cholesky_ex(blocks[0] + damping[:, None, None] * torch.eye(size, dtype=torch.float64))
        return torch.cholesky_solve(-gradient[..., None], factor)[..., 0]
    columns = torch.zeros(frames, 3 * size, size, dtype=torch.float64)  # below and on the diagonal, block by block
    columns[:, :size] = blocks[0]
    for apart in (1, 2):
        columns[: frames - apart, apart * size : (apart + 1) * size] = blocks[apart].mT
    band = np.zeros((frames, size, 3 * size))
    for column in range(size):  # LAPACK's storage has the diagonal first
        band[:, column, : 3 * size - column] = columns[:, column:, column]
    band[:, :, 0] += damping.item()
    _, step, info = dpbsv(band.reshape(-1, 3 * size).T, -gradient.numpy().ravel(), lower=1, overwrite_ab=1)
    if info:
        return torch.full_like(gradient, torch.nan)
    return torch.from_numpy(step).view_as(gradient)


def _updated(pulls: Pulls, new: Pulls) -> Pulls:
    """With new ones in place of those of before."""
    said = new.weights > 0
    return Pulls(torch.where(said, new.values, pulls.values), torch.where(said, new.weights, pulls.weights))


def _softened(pulls: Pulls, part: float) -> Pulls:
    """With a part of the weight of goals."""
    return Pulls(pulls.values, torch.where(pulls.weights >= PINNED, part * pulls.weights, pulls.weights))


def _with_floor(joints: Tensor, pulls: Pulls, floor: float) -> Pulls:
    """With the floor, for what is below it and not pulled elsewhere along y."""
    below = (joints[..., 1] < floor) & (pulls.weights[..., 1] == 0)
    values, weights = pulls.values.clone(), pulls.weights.clone()
    values[..., 1] = torch.where(below, floor, values[..., 1])
    weights[..., 1] = torch.where(below, FLOOR_WEIGHT, weights[..., 1])
    return Pulls(values, weights)


def _upright(points: Tensor) -> Tensor:
    """Rotations (F, 22, 3, 3) to begin with: nothing twists about its bones but thighs and upper arms, whose hinges
    are put square to the plane in which the limb bends, unless it bends the wrong way."""
    world = orientations(points)
    for joint, axis in _HINGES.items():
        parent, end = PARENTS[joint], _CHILDREN[joint][0]
        upper, lower = (normalize(points[:, b] - points[:, a], dim=-1) for a, b in ((parent, joint), (joint, end)))
        usual = _square(world[:, parent] @ axis, upper)
        bend = torch.linalg.cross(upper, lower) + 0.2 * usual
        right = (bend * usual).sum(-1, keepdim=True) > 0
        hinge = _square(torch.where(right, bend, usual), upper)
        twist = torch.atan2((torch.linalg.cross(usual, hinge) * upper).sum(-1), (usual * hinge).sum(-1))
        world[:, parent] = _turned(twist[:, None] * upper) @ world[:, parent]
        rest, below = OFFSETS[end], world[:, parent].mT @ lower[..., None]
        angle = _about(axis, rest.expand(len(below), 3), below[..., 0]).clamp(min=LIMITS[joint])
        world[:, joint] = world[:, parent] @ _turned(angle[:, None] * axis)
        for last in _CHILDREN[end]:
            foot = normalize(points[:, last] - points[:, end], dim=-1)
            ahead = normalize(world[:, joint] @ OFFSETS[last], dim=-1)
            world[:, end] = shortest_arc(ahead, foot) @ world[:, joint]
    return _with_ends(relative_to_parents(world))


def _with_ends(rotations: Tensor) -> Tensor:
    """Rotations (F, 22, 3, 3) with those of joints that carry nothing, of which no point tells.

    Feet and hands go on as their parents do. The head turns half as far from the chest as the neck does; tilting with
    the neck as a stick, it would look up wherever a neck is upright, since in the rest pose it leans forward.
    """
    rotations = rotations.clone()
    rotations[:, [joint for joint in range(_COUNT) if not _CHILDREN[joint]]] = _EYE
    rotations[:, _HEAD] = _turned(_logs(rotations[:, _NECK]) / -2)
    return rotations


def _square(vector: Tensor, to: Tensor) -> Tensor:
    """The direction (F, 3) of what of a vector is square to a unit vector."""
    return normalize(vector - (vector * to).sum(-1, keepdim=True) * to, dim=-1)


def _about(axis: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Angles (F,) about an axis from one direction to another, both (F, 3), seen along it."""
    a, b = (vectors - (vectors @ axis)[:, None] * axis for vectors in (one, other))
    return torch.atan2(torch.linalg.cross(a, b) @ axis, (a * b).sum(-1))


def _angle(rotation: Tensor, axis: Tensor) -> Tensor:
    """(F,) radians by which rotations (F, 3, 3) about an axis turn, in (−π, π]."""
    across = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        dim=-1,
    )
    return torch.atan2(across @ axis, rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)


def _logs(rotations: Tensor) -> Tensor:
    import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

    vectors: Tensor = roma.rotmat_to_rotvec(rotations)
    return vectors


def _turned(vectors: Tensor) -> Tensor:
    """Rotations (..., 3, 3) about vectors (..., 3), by as many radians as they are long."""
    import roma

    rotations: Tensor = roma.rotvec_to_rotmat(vectors)
    return rotations


_pools: list[ThreadpoolController] = []


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch and BLAS work with one thread: for matrices as small as these, more only wait for each other."""
    if not _pools:
        _pools.append(ThreadpoolController())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _pools[0].limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
