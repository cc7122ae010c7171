r"""Fit a body of constant bones to points: the root and the rotations of the joints, by Gauss–Newton.

Points that a network made stretch their bones. First each frame by itself gets the body θ whose joints p(θ) come
nearest to its points x:

    ‖p(θ) − x‖²_W + priors and limits of the rotations

where ‖·‖²_W adds the squared lengths of the joints' differences and of the bones'. (Joints alone are not enough: short
limbs buckle to reach them.) From there all frames together:

    Σ_t ‖d_t‖²_W + BEND · Σ_t ‖d_{t−1} − 2 d_t + d_{t+1}‖²_W    d = p(θ) − x
    + Σ w · (p(θ) − y)²                                         pulls: goals, standing feet, the floor

The second differences keep the accelerations of the points, and spread what a goal or a stretched limb changes smoothly
over the frames around it, as a spline would, with a length of some BEND^(1/4) frames.

Unknowns are, in each frame, the root's move, a turn of every joint that carries others (three angles about the axes of
its parent's frame), and one angle for knees and elbows, which are hinges. A frame's joints depend on its own unknowns
alone, so the normal equations couple a frame with the two on either side: a matrix of bandwidth 3·46, whose Cholesky
factor costs some milliseconds a second of motion (LAPACK's pbsv). Steps are damped as Levenberg and Marquardt have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from scipy.linalg.lapack import dpbsv
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.nn.functional import normalize

from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import orientations, relative_to_parents, rotation_vectors, shortest_arc, turned
from motion_diffusion.body.skeleton import JOINTS, OFFSETS, PARENTS

BEND = 100.0
"""Weight of second differences over frames against that of positions."""
TREMBLING = 0.015
"""Metres: second differences of the points that no body can have count less where they are larger than that."""
PINNED = 1e7
"""Weight of a goal: what soft terms pull it away by is some micrometres."""
SOFTER = (1e-4, 1e-2, 1.0)
"""Parts of the weight of goals, one after the other: a narrow valley is entered from a wide one."""
NEARLY = 0.02
"""Metres by which goals are missed that are held at once."""
ROUNDS, ALTOGETHER = 8, 40
"""Of Gauss–Newton, at most: for each of them, and for all, if goals are not met by then or joints below the floor."""
STIFF = 16
"""Rounds after which it no longer counts that limbs turn less easily when they are pulled at: few are not done by then,
and creep."""
PIECE, OVERLAP = 600, 40
"""Frames that are fitted at once, and how many more on either side."""
SETTLED = (1e-3, 5e-2)
"""Share of the energy by which a round that is the last lowers it, at most: of frames by themselves, of a motion."""
TURNED = 1e-3
"""Radians likewise."""
SUNK = 1e-3
"""Metres by which joints are below the floor, at most, where no more rounds are needed."""
MET = 5e-5
"""Metres by which goals are missed, at most, where no more rounds are needed."""
STUCK = 1e-4
"""Likewise, where it has not what it must."""
REST_WEIGHT = 1e-6
"""m²/rad²: weight of a joint's rotation away from the rest pose, where no point says how it turns."""
STEADY_WEIGHT = 1e-3
"""m²/rad²: weight of a joint's turn from frame to frame."""
HELD_WEIGHT = 1e4
"""m²/rad²: against turns of a hinge that is pushed at its limit."""
RANGE_WEIGHT = 0.3
"""m²/rad²: weight of what a ball joint turns beyond its range."""
NEAR_LIMIT = 0.05
"""Radians from its limit at which a hinge is."""
FLOOR_WEIGHT = 1e6
"""Of how far joints are below the floor."""
DAMPING = (1e-4, 1e-4, 1e2)
"""Least, first and largest damping, m²."""
TRIES = 7
"""Steps of a round, at most, each with ten times the damping of the one before."""

MAX_TURN = 1.0
"""Radians that a step turns a joint by, at most: what turns farther does not follow the tangent any more."""

HINGES = {"left_knee": (1.0, 0.0, 0.0), "right_knee": (1.0, 0.0, 0.0),
          "left_elbow": (0.0, -1.0, 0.0), "right_elbow": (0.0, 1.0, 0.0)}  # fmt: skip
"""Axes of the joints that bend one way, in their parent's frame; they bend by positive angles."""

RANGES = {
    "hip": ((-130, 40), (-70, 50), (-40, 60)),
    "spine1": ((-40, 25), (-25, 25), (-25, 25)),
    "spine2": ((-20, 40), (-25, 25), (-25, 25)),
    "spine3": ((-30, 55), (-50, 50), (-35, 35)),
    "ankle": ((-45, 75), (-70, 50), (-50, 30)),
    "neck": ((-75, 40), (-60, 60), (-40, 40)),
    "collar": ((-75, 75), (-60, 45), (-75, 35)),
    "shoulder": ((-110, 110), (-125, 90), (-110, 110)),
}
"""Degrees about x, y and z that a ball joint, of two the left one, turns by from the rest pose (its rotation vector).

Those of 7,900 frames of motions of Bandai-Namco, CMU and SNU, fitted to this body, of both sides together and without
a thousandth at either end, and 15 to 50° more.
"""

_COUNT = len(JOINTS)
_CHILDREN = [[j for j, parent in enumerate(PARENTS) if parent == joint] for joint in range(_COUNT)]
_HINGES = {JOINTS.index(name): torch.tensor(axis, dtype=torch.float64) for name, axis in HINGES.items()}
_HINGE_AXES = torch.stack(list(_HINGES.values()))
_BALLS = [joint for joint in range(_COUNT) if _CHILDREN[joint] and joint not in _HINGES]
_NECK, _HEAD = JOINTS.index("neck"), JOINTS.index("head")
_EYE = torch.eye(3, dtype=torch.float64)
_TURNING = torch.tensor([joint for joint in _BALLS for _ in range(3)] + list(_HINGES))
"""The joint that each angle turns."""
_AXES = torch.cat([_EYE.repeat(len(_BALLS), 1), torch.stack(list(_HINGES.values()))])
"""(angles, 3) about which axis of its parent's frame."""
SIZE = len(_TURNING) + 3
"""Unknowns a frame."""
_PARENTS = torch.tensor([max(parent, 0) for parent in PARENTS])
_ONES = torch.eye(_COUNT, dtype=torch.float64)
_CARRIED = _ONES.clone()
for _joint in reversed(range(1, _COUNT)):
    _CARRIED[PARENTS[_joint]] += _CARRIED[_joint]
_CARRIED -= _ONES  # (22, 22): 1 where a row's turn moves a column's joint
_MOVES = _CARRIED[_TURNING].mT[:, None].float()
"""(22, 1, angles): 1 where an angle moves a joint."""
_BONES = _ONES[1:] - _ONES[list(PARENTS[1:])]
_METRIC = _ONES + _BONES.mT @ _BONES
"""W (22, 22), the same for each axis."""


def _straight(joint: int, axis: Tensor) -> float:
    """The angle at which a hinge is straight: in the rest pose knees and elbows bend a little."""
    upper, lower = OFFSETS[joint], OFFSETS[_CHILDREN[joint][0]]
    return -math.atan2(torch.linalg.cross(upper, lower) @ axis, upper @ lower - (upper @ axis) * (lower @ axis))


LIMITS = {joint: _straight(joint, axis) for joint, axis in _HINGES.items()}
"""Least angle of each hinge, radians."""
MAX_BEND = math.radians(160)
"""Largest angle of a hinge."""
_LEAST = torch.tensor(list(LIMITS.values()), dtype=torch.float64)
_MOST = torch.full_like(_LEAST, MAX_BEND)


def _range(joint: int) -> Tensor:
    """(3, 2) radians: the range of a ball joint; for right ones that of the left in a mirror."""
    name = JOINTS[joint].removeprefix("left_").removeprefix("right_")
    result = torch.tensor(RANGES[name], dtype=torch.float64).deg2rad()
    if JOINTS[joint].startswith("right_"):
        result[1:] = -result[1:].flip(1)
    return result


_LOWEST, _HIGHEST = torch.cat([_range(joint) for joint in _BALLS[1:]]).unbind(1)


class Turns(NamedTuple):
    """How joints should be turned: orientations in the world (F, 22, 3, 3), with weights (F, 22, 3, 3) of the turns (as
    vectors in the world) that are missing, m²/rad², 0 for what is free."""

    values: Tensor
    weights: Tensor


class Pulls(NamedTuple):
    """Where joints should be: values (F, 22, 3) in metres, with weights (F, 22, 3), 0 for those that are free."""

    values: Tensor
    weights: Tensor
    turns: Turns | None = None

    def frames(self, some: slice) -> Pulls:
        """Some of its frames."""
        turns = None if self.turns is None else Turns(*(part[some] for part in self.turns))
        return Pulls(self.values[some], self.weights[some], turns)


class _Body(Rig):
    """A motion of the body, and by which angles its joints turn."""

    @cached_property
    def angles(self) -> Tensor:
        """See `_angles`."""
        return _angles(self.rotations)


Wanted = Callable[[Rig], Pulls]
"""The pulls on a body. They may depend on its pose, so they are computed anew in every round."""


def no_pulls(body: Rig) -> Pulls:
    """Nothing is wanted but to be near the points."""
    return Pulls(torch.zeros_like(body.joints), torch.zeros_like(body.joints))


def fit_frames(points: Tensor, fps: float, *, rounds: int = ROUNDS) -> Rig:
    """The body nearest to points (F, 22, 3) in metres, each frame by itself, after so many rounds at most.

    The points may be those of several motions, one after the other.
    """
    points = points.detach().to("cpu", torch.float64)
    body = _Body(_upright(points), points[:, 0], fps)
    problem, nothing = _Problem(points), no_pulls(body)
    energy, damping = problem.energy(body, nothing), torch.full((len(points),), DAMPING[1], dtype=torch.float64)
    settled = torch.zeros(len(points), dtype=torch.bool)
    with _one_thread():
        for _ in range(rounds):
            normal, gradient = problem.normal(body, nothing)
            normal.diagonal(dim1=-2, dim2=-1).add_(damping[:, None])
            factor, _ = torch.linalg.cholesky_ex(normal)
            moved = _moved(body, torch.cholesky_solve(-gradient[..., None], factor)[..., 0])
            after = problem.energy(moved, nothing)
            better = (after < energy) & ~settled  # each frame as if it were alone
            body = body.with_frames(better, moved.frames(better))
            damping = (damping * torch.where(better, 0.1, 10.0)).clamp(DAMPING[0], DAMPING[2])
            settled |= better & (after > (1 - SETTLED[0]) * energy)
            energy = torch.where(better, after, energy)
            if settled.all():
                break
    return Rig(_with_ends(body.rotations), body.root, fps)


def fit_motion(
    points: Tensor, start: Rig, *, wanted: Wanted = no_pulls, floor: float | None = None, kept: Tensor | None = None
) -> Rig:
    """The motion nearest to points (F, 22, 3) that has what is wanted of it, no joint below the floor (a height, m).

    start: a body near the points, e.g. that of `fit_frames`. Weights of `wanted` at or above PINNED are goals: where
    these are far, they enter the problem by the parts `SOFTER` of their weight, one after the other. kept: (F,) bool,
    frames that stay as they are in `start`. Long motions are fitted piece by piece, each with the end of the one before
    kept.
    """
    points, frames = points.detach().to("cpu", torch.float64), len(points)
    done = torch.zeros(frames, dtype=torch.bool) if kept is None else kept.clone()
    moved = _Body(start.rotations, start.root, start.fps)
    for first in range(0, frames, PIECE):
        piece = slice(max(first - OVERLAP, 0), first + PIECE + OVERLAP)

        def of_piece(body: Rig, piece: slice = piece, moved: Rig = moved) -> Pulls:
            return wanted(moved.with_frames(piece, body)).frames(piece)

        fitted = moved.frames(piece)
        bend = BEND * min(1.0, TREMBLING / _trembling(fitted.joints - points[piece])) ** 2
        problem = _Problem(points[piece], bend=bend, floor=floor, kept=done[piece])
        with _one_thread():
            asked = of_piece(fitted)
            if _miss(fitted.joints, asked) <= NEARLY:
                fitted = problem.solve(fitted, of_piece, 1.0)
                asked = problem.said
            if not problem.has_what_it_must(fitted, asked):
                for part in SOFTER:
                    fitted = problem.solve(fitted, of_piece, part)
        moved = moved.with_frames(piece, fitted)
        done[: first + PIECE] = True
    result = Rig(_with_ends(moved.rotations), moved.root, moved.fps)
    return result if kept is None else result.with_frames(kept, start.frames(kept))


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
        self.said = Pulls(torch.zeros_like(points), torch.zeros_like(points))
        """What was wanted so far: what is held on one side of a place would else be let go as soon as it is there."""
        self.below = torch.zeros(points.shape[:2], dtype=torch.bool)
        """What was below the floor so far, likewise."""
        self.over_time = smoothness(len(points), bend or 0.0)
        self.kept, self.damping, self.left = kept, DAMPING[1], ALTOGETHER

    def solve(self, body: _Body, wanted: Wanted, part: float) -> _Body:
        """The motion after some rounds, with a part of the weight of goals."""
        least, first, _ = DAMPING
        gain, last = 1.0, self.left if part == 1 else min(self.left, ROUNDS)
        for number in range(last + 1):
            joints = body.joints
            self.said = _updated(self.said, wanted(body))
            pulls = _softened(self.said, part)
            if self.floor is not None:
                self.below |= joints[..., 1] < self.floor
                pulls = _with_floor(pulls, self.below, self.floor)
            enough = gain < SETTLED[1] or number >= ROUNDS
            if gain < STUCK or (enough and (part < 1 or self.has_what_it_must(body, pulls))) or number == last:
                break
            body, gain = self._step(body, pulls)
            self.left -= 1
            self.damping = first if gain == 0 else max(self.damping, least)
        return body

    def _step(self, body: _Body, pulls: Pulls) -> tuple[_Body, float]:
        """The motion after a step that lowers its energy, and by which share; the same and 0 if there is none."""
        before, normal = self.energy(body, pulls).sum(), self.normal(body, pulls)
        for tried in range(TRIES):
            moved = _moved(body, _banded_step(*normal, self.damping))
            gain = 1 - (self.energy(moved, pulls).sum() / before).item()
            if gain > 0:
                self.damping /= 1 if tried else 10
                return moved, gain
            self.damping *= 10
        return body, 0.0

    def has_what_it_must(self, body: Rig, pulls: Pulls) -> bool:
        """Whether goals are met and the floor is below."""
        deep = 0.0 if self.floor is None else (self.floor - body.joints[..., 1]).clamp(max=SUNK).max().item()
        turn = 0.0 if pulls.turns is None else (_turn_energy(body.world, pulls.turns).max() / PINNED).sqrt().item()
        return _miss(body.joints, pulls) < MET and turn < TURNED and deep < SUNK

    def energy(self, body: _Body, pulls: Pulls) -> Tensor:
        """E of each frame of a body, (F,) m²; what couples two frames counts for one of them."""
        joints = body.joints
        away = joints - self.points
        total = (away * _measured(_along(self.over_time, away))).sum((1, 2))
        total += (pulls.weights * (joints - pulls.values).square()).sum((1, 2))
        if pulls.turns is not None:
            total += _turn_energy(body.world, pulls.turns)
        angles = body.angles
        total += REST_WEIGHT * angles.square().sum(1) + RANGE_WEIGHT * _out_of_range(angles).square().sum(1)
        if self.coupled:
            total[1:] += STEADY_WEIGHT * angles.diff(dim=0).square().sum(1)
        return total

    def normal(self, body: _Body, pulls: Pulls) -> tuple[Tensor, Tensor]:
        """JᵀJ, (F, n, 4n), and the gradient (F, n), both halved.

        A row of JᵀJ has what couples an unknown to those of the same frame, the next, and the next but one; the last n
        numbers are 0. With it, in the first rounds, is what Gauss and Newton leave out of the second derivatives, where
        that adds to them: a limb that is pulled at by its end turns less easily, as a pendulum does.
        """
        joints = body.joints
        rows = _jacobian(body)  # (F, 66, n)
        if self.kept is not None:
            rows[self.kept] = 0.0
        away = joints - self.points
        pulled = _measured(_along(self.over_time, away)) + pulls.weights * (joints - pulls.values)
        exact = rows.double()
        gradient = torch.bmm(pulled.flatten(1)[:, None], exact)[:, 0]
        result = self._nearness(rows)
        own = result[..., :SIZE]
        some = pulls.weights.amax((0, 2)).nonzero()[:, 0]
        if len(some):
            held = exact.unflatten(1, (_COUNT, 3))[:, some].flatten(1, 2)
            own += held.mT @ (pulls.weights[:, some].flatten(1)[..., None] * held)
        inward = ((_CARRIED @ pulled) * joints).sum(-1) - (pulled * joints).sum(-1) @ _CARRIED.mT
        if self.left > ALTOGETHER - STIFF:
            own.diagonal(dim1=-2, dim2=-1)[:, :-3] += inward.clamp_min(0.0)[:, _TURNING]
        if pulls.turns is not None:
            _add_turns(body.world, pulls.turns, own, gradient)
        _add_rotations(body.angles, result, gradient, STEADY_WEIGHT if self.coupled else 0.0)
        if self.kept is not None:
            own[self.kept] += 1e9 * torch.eye(SIZE, dtype=torch.float64)
            gradient[self.kept] = 0.0
        return result, gradient

    def _nearness(self, rows: Tensor) -> Tensor:
        """JᵀJ of the distances from the points alone, in float32: what it lacks then is as if they were weighted
        otherwise by some millionths."""
        measured = (_METRIC.float() @ rows.unflatten(1, (_COUNT, 3)).flatten(2)).view_as(rows)
        if not self.coupled:
            return (measured.mT @ rows).double()
        coupled, result = self._work_space
        for apart in range(3):
            weights = self.over_time[apart, : len(rows) - apart, None, None].float()
            torch.mul(rows[apart:], weights, out=coupled[: len(rows) - apart, :, apart * SIZE : (apart + 1) * SIZE])
        result[..., : 3 * SIZE] = measured.mT @ coupled
        return result

    @cached_property
    def _work_space(self) -> tuple[Tensor, Tensor]:
        """Where each round computes JᵀJ: to ask for that much memory anew takes as long as the arithmetic."""
        frames = len(self.points)
        return torch.zeros(frames, 3 * _COUNT, 3 * SIZE), torch.zeros(frames, SIZE, 4 * SIZE, dtype=torch.float64)


def _turn_energy(world: Tensor, turns: Turns) -> Tensor:
    """(F,) of what is missing of the turns."""
    _, missing, weights = _missing(world, turns)
    return (missing[..., None, :] @ weights @ missing[..., None]).sum((1, 2, 3))


def _missing(world: Tensor, turns: Turns) -> tuple[list[int], Tensor, Tensor]:
    """The joints of which any turn is wanted, the turns in the world that they miss (F, j, 3), and these weights."""
    some = turns.weights.abs().amax((0, 2, 3)).nonzero()[:, 0].tolist()
    return some, rotation_vectors(turns.values[:, some] @ world[:, some].mT), turns.weights[:, some]


def _add_turns(world: Tensor, turns: Turns, block: Tensor, gradient: Tensor) -> None:
    """Their JᵀJ and gradient, in place: a joint turns with every joint that carries it, and with itself."""
    axes = _axes(world)
    some, missed, held = _missing(world, turns)
    for joint, missing, weights in zip(some, missed.unbind(1), held.unbind(1), strict=True):
        rows = axes * (_CARRIED + _ONES)[_TURNING, joint]
        weighted = rows.mT @ weights  # (F, angles, 3)
        block[:, :-3, :-3] += weighted @ rows
        gradient[:, :-3] -= (weighted @ missing[..., None])[..., 0]


def _add_rotations(angles: Tensor, normal: Tensor, gradient: Tensor, steady: float) -> None:
    """Priors, steadiness and ranges, in place: the gradient of them, and JᵀJ as if turns were small.

    A hinge that is pushed at its limit is held there.
    """
    hinges, balls = slice(-len(_HINGES), None), slice(0, -len(_HINGES))
    out, turned = _out_of_range(angles), slice(3, SIZE - 3)
    own = torch.full_like(angles, REST_WEIGHT)
    own[:, balls] += RANGE_WEIGHT * (out != 0).double()
    pushed = (angles[:, hinges] < _LEAST + NEAR_LIMIT) & (gradient[:, turned][:, hinges] > 0)
    own[:, hinges] += HELD_WEIGHT * pushed.double()
    pull, change = REST_WEIGHT * angles, steady * angles.diff(dim=0)
    pull[:, balls] += RANGE_WEIGHT * out
    for side, sign in ((slice(1, None), 1), (slice(None, -1), -1)):
        own[side] += steady
        pull[side] += sign * change
    normal[..., :SIZE].diagonal(dim1=-2, dim2=-1)[:, turned] += own
    if steady:
        normal[:-1, :, SIZE : 2 * SIZE].diagonal(dim1=-2, dim2=-1)[:, turned] -= steady
    back = _pulled_back(angles[:, balls].unflatten(1, (-1, 3)), pull[:, balls].unflatten(1, (-1, 3)))
    gradient[:, turned] += torch.cat([back.flatten(1), pull[:, hinges]], dim=1)


def _angles(rotations: Tensor) -> Tensor:
    """(F, angles - 3) radians: the rotation vectors of ball joints but the pelvis, and how far hinges bend."""
    balls = rotation_vectors(rotations[:, _BALLS[1:]]).flatten(1)
    return torch.cat([balls, _angle(rotations[:, list(_HINGES)], _HINGE_AXES)], dim=1)


def _out_of_range(angles: Tensor) -> Tensor:
    """(F, 3 · balls) radians by which ball joints are beyond their ranges."""
    turns = angles[:, : -len(_HINGES)]
    return turns - turns.clamp(_LOWEST, _HIGHEST)


def _pulled_back(vectors: Tensor, pull: Tensor) -> Tensor:
    """The gradient with respect to a small turn ω, (..., 3), of what has a gradient `pull` with respect to a rotation's
    vector v: log(exp ω · exp v) = v + (1 − [v]/2 + c [v]²) ω to first order, for c = (1 − θ/2 · cot θ/2) / θ²."""
    half = (vectors.norm(dim=-1, keepdim=True) / 2).clamp_min(1e-4)
    c = (1 - half / half.tan()) / (4 * half.square())
    once = torch.linalg.cross(vectors, pull)
    return pull + once / 2 + c * torch.linalg.cross(vectors, once)


def _moved(body: _Body, step: Tensor) -> _Body:
    """A body after a step (F, n), shortened in frames in which a joint would turn farther than `MAX_TURN`; hinges stop
    at their limits."""
    step = step / (step[:, :-3].abs().amax(1, keepdim=True) / MAX_TURN).clamp_min(1.0)
    balls = slice(0, -len(_HINGES) - 3)
    turns = torch.zeros(len(step), _COUNT, 3, dtype=torch.float64)
    turns.index_add_(1, _TURNING[: -len(_HINGES)], step[:, balls, None] * _AXES[: -len(_HINGES)])
    rotations = turned(turns) @ body.rotations
    hinges = list(_HINGES)
    angles = body.angles[:, -len(hinges) :] + step[:, -len(hinges) - 3 : -3]
    rotations[:, hinges] = turned(torch.minimum(torch.maximum(angles, _LEAST), _MOST)[..., None] * _HINGE_AXES)
    return replace(body, rotations=rotations, root=body.root + step[:, -3:])


def _trembling(away: Tensor) -> float:
    """Metres: root mean square of second differences over frames (F, 22, 3), that of the median frame."""
    second = away.diff(n=2, dim=0)
    return max(second.square().mean((1, 2)).median().sqrt().item(), 1e-9) if len(second) else 1e-9


def smoothness(frames: int, bend: float) -> Tensor:
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
    """The banded matrix of `smoothness` times values (F, 22, 3)."""
    result = over_time[0][:, None, None] * values
    for apart in (1, 2):
        weights = over_time[apart][:-apart, None, None]
        result[:-apart] += weights * values[apart:]
        result[apart:] += weights * values[:-apart]
    return result


def _measured(values: Tensor) -> Tensor:
    """W times values (F, 22, 3)."""
    return torch.einsum("ij,fjc->fic", _METRIC, values)


def _jacobian(body: Rig) -> Tensor:
    """(F, 66, n) float32: how the joints' coordinates change with the unknowns.

    A turn about the axis a in the world moves the joints that it carries, at r from its own, by a × r.
    """
    axes, joints = _axes(body.world).float(), (body.joints - body.root[:, None]).float()
    x, y, z = joints.unbind(-1)
    none = torch.zeros_like(x)
    crossed = torch.stack([none, z, -y, -z, none, x, y, -x, none], dim=-1).view(len(joints), -1, 3)  # a → a × p
    own = torch.linalg.cross(axes, joints[:, _TURNING].mT, dim=1)
    turns = ((crossed @ axes).unflatten(1, (_COUNT, 3)) - own[:, None]).mul_(_MOVES)
    moves = torch.eye(3).expand(*joints.shape[:2], 3, 3)
    return torch.cat([turns, moves], dim=-1).flatten(1, 2)


def _axes(world: Tensor) -> Tensor:
    """(F, 3, angles): the axes of the angles in the world."""
    frames = torch.cat([_EYE.expand(len(world), 1, 3, 3), world[:, _PARENTS[1:]]], dim=1)
    return (frames[:, _TURNING] @ _AXES[..., None])[..., 0].mT


def _banded_step(normal: Tensor, gradient: Tensor, damping: float) -> Tensor:
    """The step (F, n) that solves (JᵀJ + damping) step = −gradient, JᵀJ as (F, n, 4n)."""
    frames, size = gradient.shape
    from_diagonal = normal.as_strided((frames, size, 3 * size), (4 * size * size, 4 * size + 1, 1))  # as LAPACK has it
    band = from_diagonal.clone(memory_format=torch.contiguous_format)
    band[..., 0] += damping
    _, step, info = dpbsv(band.view(-1, 3 * size).numpy().T, -gradient.numpy().ravel(), lower=1, overwrite_ab=1)
    if info:
        return torch.full_like(gradient, torch.nan)
    return torch.from_numpy(step).view_as(gradient)


def _miss(joints: Tensor, pulls: Pulls) -> float:
    """Metres by which goals are missed along an axis, at most."""
    return ((joints - pulls.values).abs() * (pulls.weights >= PINNED)).max().item()


def _updated(pulls: Pulls, new: Pulls) -> Pulls:
    """With new ones in place of those of before."""
    said = new.weights > 0
    values, weights = torch.where(said, new.values, pulls.values), torch.where(said, new.weights, pulls.weights)
    return Pulls(values, weights, new.turns)


def _softened(pulls: Pulls, part: float) -> Pulls:
    """With a part of the weight of goals."""
    weights = torch.where(pulls.weights >= PINNED, part * pulls.weights, pulls.weights)
    turns = None if pulls.turns is None else pulls.turns._replace(weights=part * pulls.turns.weights)
    return Pulls(pulls.values, weights, turns)


def _with_floor(pulls: Pulls, below: Tensor, floor: float) -> Pulls:
    """With the floor for joints (F, 22) that were below it, unless goals hold their y: up to it, or to where they are
    pulled above it."""
    below = below & (pulls.weights[..., 1] < FLOOR_WEIGHT)
    values, weights = pulls.values.clone(), pulls.weights.clone()
    pulled = torch.where(weights[..., 1] > 0, values[..., 1], floor)
    values[..., 1] = torch.where(below, pulled.clamp_min(floor), values[..., 1])
    weights[..., 1] = torch.where(below, FLOOR_WEIGHT, weights[..., 1])
    return pulls._replace(values=values, weights=weights)


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
        world[:, parent] = turned(twist[:, None] * upper) @ world[:, parent]
        rest, below = OFFSETS[end], world[:, parent].mT @ lower[..., None]
        angle = _about(axis, rest.expand(len(below), 3), below[..., 0]).clamp(min=LIMITS[joint])
        world[:, joint] = world[:, parent] @ turned(angle[:, None] * axis)
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
    rotations[:, _HEAD] = turned(rotation_vectors(rotations[:, _NECK]) / -2)
    return rotations


def _square(vector: Tensor, to: Tensor) -> Tensor:
    """The direction (F, 3) of what of a vector is square to a unit vector."""
    return normalize(vector - (vector * to).sum(-1, keepdim=True) * to, dim=-1)


def _about(axis: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Angles (F,) about an axis from one direction to another, both (F, 3), seen along it."""
    a, b = (vectors - (vectors @ axis)[:, None] * axis for vectors in (one, other))
    return torch.atan2(torch.linalg.cross(a, b) @ axis, (a * b).sum(-1))


def _angle(rotation: Tensor, axis: Tensor) -> Tensor:
    """(...) radians by which rotations (..., 3, 3) about axes (..., 3) turn, in (−π, π]."""
    across = (rotation - rotation.mT).flatten(-2)[..., [7, 2, 3]]
    return torch.atan2((across * axis).sum(-1), rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)


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
