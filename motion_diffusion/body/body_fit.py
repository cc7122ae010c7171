"""Fit a body of constant bone lengths to joint positions by Gauss–Newton.

A network's joint positions do not keep bone lengths. First each frame by itself gets the pose θ whose joints p(θ) are
nearest to its points x:

    ‖p(θ) − x‖²_W + priors and limits of the rotations

where ‖·‖²_W adds the squared lengths of the differences of joints and of bones. (With joints alone, limbs that are too
short would buckle to reach them.) Starting there, all frames are fitted together:

    Σ_t ‖d_t‖²_W + β · Σ_t ‖d_{t−1} − 2 d_t + d_{t+1}‖²_W    d = p(θ) − x,  β = SMOOTHNESS_WEIGHT
    + Σ w · (p(θ) − y)²                                       targets: goals, foot contacts, the floor

The second differences keep the accelerations of the points. They spread what a goal or a stretched limb changes
smoothly over the neighbouring frames, as a spline does, with a length scale of about β^(1/4) frames.

The unknowns of a frame are the translation of the root, three angles for every ball joint with children (about the axes
of its parent's frame), and one angle for knees and elbows, which are hinges (`joint_angles`). The joints of a frame
depend on its own unknowns alone, so the normal equations couple a frame with the two on either side: a matrix of
bandwidth 3·46, whose Cholesky factorisation takes a few milliseconds per second of motion (LAPACK's pbsv). Steps are
damped (Levenberg–Marquardt). The energy and its derivatives are in `fit_energy`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.linalg.lapack import dpbsv
from torch import Tensor
from torch.nn.functional import normalize

from motion_diffusion.body.fit_energy import (
    CONSTRAINT_WEIGHT,
    FitEnergy,
    PositionTargets,
    orientation_energy,
)
from motion_diffusion.body.joint_angles import (
    CHILDREN,
    HINGE_AXES,
    HINGE_AXIS_ROWS,
    LEAST_BEND,
    FittedBody,
    apply_step,
)
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import orientations, relative_to_parents, rotation_vectors, shortest_arc, turned
from motion_diffusion.body.skeleton import ANKLES, JOINTS, OFFSETS, PARENTS, TOES
from motion_diffusion.threads import one_thread

SMOOTHNESS_WEIGHT = 100.0
"""β: weight of second differences over frames relative to positions."""
JITTER_LIMIT = 0.015
"""Metres: the weight of second differences is reduced where those of the residual are larger than this."""
CONSTRAINT_STAGES = (1e-4, 1e-2, 1.0)
"""Factors of the constraints' weight, applied one after the other if constraints are far from met (continuation)."""
NEAR = 0.1
"""Metres: constraints that are missed by at most this are imposed at their full weight at once."""
ROUNDS, MAX_ROUNDS = 8, 48
"""Maximum Gauss–Newton rounds: per stage; and in total while constraints are violated or joints are below the floor."""
STIFF_ROUNDS = 24
"""Rounds in which the second-derivative term of pulled limbs is included. Few motions need more, and those converge
slowly with it.
"""
PIECE_FRAMES, OVERLAP_FRAMES = 600, 40
"""Frames fitted at a time, and overlap with the frames on either side, so that memory does not grow with the motion."""
CONVERGED = (1e-3, 0.2)
"""Relative decrease of the energy below which fitting stops: of independent frames, of a motion."""
MAX_ORIENTATION_ERROR = 1e-3
"""Radians: tolerance of orientation constraints."""
MAX_DEPTH = 1e-3
"""Metres: tolerance of joints below the floor."""
MAX_CONSTRAINT_ERROR = 5e-5
"""Metres: tolerance of position constraints."""
MIN_GAIN = 1e-4
"""Relative decrease of the energy below which fitting stops although constraints are not met."""
FLOOR_WEIGHT = 1e6
"""Weight of the depth of joints below the floor."""
DAMPING = (1e-4, 1e-4, 1e2)
"""Minimum, initial and maximum damping, m²."""
MAX_TRIES = 7
"""Maximum steps tried in a round, each with ten times the damping of the one before."""
TargetsOf = Callable[[Rig, slice, Tensor], PositionTargets]
"""Returns the targets for a body in some frames of a motion, given the body, its frames in the motion, and the joints
(F, 22, 3) of the whole motion as it is now. They may depend on the pose and are computed again in every round.
"""

_NECK, _HEAD = JOINTS.index("neck"), JOINTS.index("head")
_HINGED = list(HINGE_AXES)
_BEFORE, _BEYOND = [PARENTS[joint] for joint in _HINGED], [CHILDREN[joint][0] for joint in _HINGED]
"""The joints at the upper and the lower end of the limbs of hinges."""
_ANKLES, _TOES, _SHINS = list(ANKLES), list(TOES), [PARENTS[joint] for joint in ANKLES]


def no_targets(joints: Tensor) -> PositionTargets:
    """Targets (F, 22, 3) that leave all joints of a motion (F, 22, 3) free."""
    return PositionTargets(torch.zeros_like(joints), torch.zeros_like(joints))


def fit_frames(points: Tensor, fps: float, *, rounds: int = ROUNDS) -> Rig:
    """Fit the body to each frame independently, `PIECE_FRAMES` at a time.

    Args:
        points: (F, 22, 3) joint positions in metres; may be several motions, concatenated.
        fps: frames per second of the result.
        rounds: maximum number of Gauss–Newton rounds.

    Returns:
        The body nearest to the points in each frame.
    """
    with one_thread():
        pieces = [_fit_piece(piece, fps, rounds) for piece in points.detach().cpu().split(PIECE_FRAMES)]
    rotations = torch.cat([piece.rotations for piece in pieces])
    return Rig(with_free_joints(rotations), torch.cat([piece.root for piece in pieces]), fps)


@torch.inference_mode()
def _fit_piece(points: Tensor, fps: float, rounds: int) -> FittedBody:
    """`fit_frames` for a moderate number of frames, without the joints that are free."""
    points = points.double()
    body = FittedBody(initial_pose(points), points[:, 0], fps)
    fit, nothing = FitEnergy(points), no_targets(points)
    energy, damping = fit.energy(body, nothing), torch.full((len(points),), DAMPING[1], dtype=torch.float64)
    settled = torch.zeros(len(points), dtype=torch.bool)
    for _ in range(rounds):
        normal, gradient = fit.normal(body, nothing)
        normal.diagonal(dim1=-2, dim2=-1).add_(damping[:, None])
        factor, _ = torch.linalg.cholesky_ex(normal)
        moved = apply_step(body, torch.cholesky_solve(-gradient[..., None], factor)[..., 0])
        after = fit.energy(moved, nothing)
        better = (after < energy) & ~settled  # each frame as if it were alone
        body = body.with_frames(better, moved.frames(better))
        damping = (damping * torch.where(better, 0.1, 10.0)).clamp(DAMPING[0], DAMPING[2])
        settled |= better & (after > (1 - CONVERGED[0]) * energy)
        energy = torch.where(better, after, energy)
        if settled.all():
            break
    return body


def fit_motion(
    points: Tensor,
    start: Rig,
    *,
    targets: TargetsOf | None = None,
    floor: float | None = None,
    kept: Tensor | None = None,
) -> Rig:
    """Fit the body to a whole motion, with targets and a floor.

    Long motions are fitted in pieces of `PIECE_FRAMES`, each with the end of the one before fixed.

    Args:
        points: (F, 22, 3) joint positions in metres.
        start: a body near the points, such as the result of `fit_frames`.
        targets: returns the targets of a piece. Those with a weight of `CONSTRAINT_WEIGHT` or more are constraints;
            where they are far from met, their weight grows in `CONSTRAINT_STAGES`.
        floor: height in metres below which no joint may be; None for no floor.
        kept: (F,) bool, frames that stay exactly as in `start`.

    Returns:
        The motion nearest to the points that meets the constraints as far as the body allows.
    """
    targets_of = targets or (lambda body, _, __: no_targets(body.joints))
    points, frames = points.detach().to("cpu", torch.float64), len(points)
    done = torch.zeros(frames, dtype=torch.bool) if kept is None else kept.clone()
    rotations, root, joints = start.rotations.clone(), start.root.clone(), start.joints.clone()
    for first in range(0, frames, PIECE_FRAMES):
        piece = slice(max(first - OVERLAP_FRAMES, 0), min(first + PIECE_FRAMES + OVERLAP_FRAMES, frames))

        def of_piece(body: Rig, piece: slice = piece) -> PositionTargets:
            joints[piece] = body.joints
            return targets_of(body, piece, joints)

        fitted = FittedBody(rotations[piece], root[piece], start.fps)
        bend = SMOOTHNESS_WEIGHT * min(1.0, JITTER_LIMIT / _jitter(fitted.joints - points[piece])) ** 2
        energy = FitEnergy(points[piece], bend=bend, kept=done[piece])
        with one_thread():
            solver = _Solver(energy, floor, of_piece, fitted)
            if _constraint_error(fitted.joints, solver.targets) <= NEAR:
                fitted = solver.solve(fitted, 1.0)
            if not solver.is_feasible(fitted, solver.targets):
                for part in CONSTRAINT_STAGES:
                    fitted = solver.solve(fitted, part)
        rotations[piece], root[piece], joints[piece] = fitted.rotations, fitted.root, fitted.joints
        done[: first + PIECE_FRAMES] = True
    result = Rig(with_free_joints(rotations), root, start.fps)
    return result if kept is None else result.with_frames(kept, start.frames(kept))


def initial_pose(points: Tensor) -> Tensor:
    """Rotations (F, 22, 3, 3) to start a fit from, for points (F, 22, 3).

    No bone is twisted about its axis, except thighs and upper arms: there the hinge below is put perpendicular to the
    plane in which the limb bends, unless the limb bends the wrong way.
    """
    world = orientations(points)
    upper, lower = (_directions(points, a, b) for a, b in ((_BEFORE, _HINGED), (_HINGED, _BEYOND)))
    usual = _perpendicular((world[:, _BEFORE] @ HINGE_AXIS_ROWS[..., None])[..., 0], upper)
    bend = torch.linalg.cross(upper, lower) + 0.2 * usual
    right = (bend * usual).sum(-1, keepdim=True) > 0
    hinge = _perpendicular(torch.where(right, bend, usual), upper)
    twist = torch.atan2((torch.linalg.cross(usual, hinge) * upper).sum(-1), (usual * hinge).sum(-1))
    world[:, _BEFORE] = turned(twist[..., None] * upper) @ world[:, _BEFORE]
    below = (world[:, _BEFORE].mT @ lower[..., None])[..., 0]
    angle = torch.maximum(_signed_angle(HINGE_AXIS_ROWS, OFFSETS[_BEYOND].expand_as(below), below), LEAST_BEND)
    world[:, _HINGED] = world[:, _BEFORE] @ turned(angle[..., None] * HINGE_AXIS_ROWS)
    ahead = normalize((world[:, _SHINS] @ OFFSETS[_TOES][..., None])[..., 0], dim=-1)
    world[:, _ANKLES] = shortest_arc(ahead, _directions(points, _ANKLES, _TOES)) @ world[:, _SHINS]
    return with_free_joints(relative_to_parents(world))


def with_free_joints(rotations: Tensor) -> Tensor:
    """Replace the rotations of joints without children, which no point determines, in rotations (F, 22, 3, 3).

    Feet and hands keep the orientation of their parents. The head rotates half as far from the chest as the neck does:
    if it tilted with the neck, it would look up wherever a neck is upright, since the neck leans forward in the rest
    pose.
    """
    rotations = rotations.clone()
    rotations[:, [joint for joint in range(len(JOINTS)) if not CHILDREN[joint]]] = torch.eye(3, dtype=torch.float64)
    rotations[:, _HEAD] = turned(rotation_vectors(rotations[:, _NECK]) / -2)
    return rotations


def _directions(points: Tensor, one: list[int], other: list[int]) -> Tensor:
    """Directions (F, j, 3) from joints to others."""
    return normalize(points[:, other] - points[:, one], dim=-1)


def _perpendicular(vector: Tensor, to: Tensor) -> Tensor:
    """Directions (..., 3) of the part of vectors that is perpendicular to unit vectors."""
    return normalize(vector - (vector * to).sum(-1, keepdim=True) * to, dim=-1)


def _signed_angle(axis: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Angles (...) about axes (..., 3) from directions to others."""
    a, b = (vectors - (vectors * axis).sum(-1, keepdim=True) * axis for vectors in (one, other))
    return torch.atan2((torch.linalg.cross(a, b) * axis).sum(-1), (a * b).sum(-1))


class _Solver:
    """Gauss–Newton rounds on a piece of a motion, with damping and accumulated constraints."""

    def __init__(
        self, energy: FitEnergy, floor: float | None, targets_of: Callable[[Rig], PositionTargets], body: FittedBody
    ) -> None:
        self.energy, self.floor, self._targets_of = energy, floor, targets_of
        # All targets so far: one that is dropped as soon as it is met would be violated again in the next round.
        self.targets = targets_of(body)
        self.below = torch.zeros(energy.points.shape[:2], dtype=torch.bool)  # joints that were below the floor so far
        self.damping, self.least, self.left = DAMPING[1], DAMPING[0], MAX_ROUNDS

    def solve(self, body: FittedBody, part: float) -> FittedBody:
        """The motion after some rounds in which constraints have a part of their weight."""
        _, first, most = DAMPING
        gain, last = 1.0, self.left if part == 1 else min(self.left, ROUNDS)
        for number in range(last + 1):
            softened = _softened(self.targets, part)
            if self.floor is not None:
                self.below |= body.joints[..., 1] < self.floor
                softened = _with_floor(softened, self.below, self.floor)
            enough = gain < CONVERGED[1] or number >= ROUNDS
            if gain < MIN_GAIN or (enough and (part < 1 or self.is_feasible(body, softened))) or number == last:
                break
            body, gain = self._step(body, softened)
            self.left -= 1
            self.damping = max(first if gain == 0 else self.damping, self.least)
            before, self.targets = self.targets, _merged(self.targets, self._targets_of(body))
            if number + 1 >= ROUNDS:
                missed, misses = (_constraint_error(body.joints, wanted) for wanted in (before, self.targets))
                if misses > max(2 * missed, MAX_CONSTRAINT_ERROR):
                    # Constraints that were met move with the body, as a loop's end does with its beginning.
                    self.least = min(10 * self.least, most)
        return body

    @torch.inference_mode()
    def _step(self, body: FittedBody, targets: PositionTargets) -> tuple[FittedBody, float]:
        """The motion after a step that lowers its energy, and the relative decrease; (body, 0) if no step does."""
        before = self.energy.energy(body, targets).sum()
        normal = self.energy.normal(body, targets, stiff=self.left > MAX_ROUNDS - STIFF_ROUNDS)
        for tried in range(MAX_TRIES):
            moved = apply_step(body, _banded_step(*normal, self.damping))
            gain = 1 - (self.energy.energy(moved, targets).sum() / before).item()
            if gain > 0:
                self.damping /= 1 if tried else 10
                return moved, gain
            self.damping *= 10
        return body, 0.0

    def is_feasible(self, body: Rig, targets: PositionTargets) -> bool:
        """Whether all constraints hold and no joint is below the floor, within tolerance."""
        deep = 0.0 if self.floor is None else (self.floor - body.joints[..., 1]).clamp(max=MAX_DEPTH).max().item()
        turn = 0.0
        if targets.orientations is not None:
            turn = (orientation_energy(body.world, targets.orientations).max() / CONSTRAINT_WEIGHT).sqrt().item()
        met = _constraint_error(body.joints, targets) < MAX_CONSTRAINT_ERROR
        return met and turn < MAX_ORIENTATION_ERROR and deep < MAX_DEPTH


def _jitter(away: Tensor) -> float:
    """Root mean square in metres of second differences over frames (F, 22, 3), in the median frame."""
    second = away.diff(n=2, dim=0)
    return max(second.square().mean((1, 2)).median().sqrt().item(), 1e-9) if len(second) else 1e-9


def _banded_step(normal: Tensor, gradient: Tensor, damping: float) -> Tensor:
    """The step (F, n) that solves (JᵀJ + damping) step = −gradient, for the upper bands of JᵀJ as (F, n, 4n)."""
    frames, size = gradient.shape
    from_diagonal = normal.as_strided((frames, size, 3 * size), (4 * size * size, 4 * size + 1, 1))  # as LAPACK has it
    band = from_diagonal.clone(memory_format=torch.contiguous_format)
    band[..., 0] += damping
    _, step, info = dpbsv(band.view(-1, 3 * size).numpy().T, -gradient.numpy().ravel(), lower=1, overwrite_ab=1)
    if info:
        return torch.full_like(gradient, torch.nan)
    return torch.from_numpy(step).view_as(gradient)


def _constraint_error(joints: Tensor, targets: PositionTargets) -> float:
    """Largest distance in metres, along any axis, from a position constraint."""
    return ((joints - targets.values).abs() * (targets.weights >= CONSTRAINT_WEIGHT)).max().item()


def _merged(targets: PositionTargets, new: PositionTargets) -> PositionTargets:
    """Targets with newer ones replacing them where these are not free."""
    given = new.weights > 0
    values, weights = torch.where(given, new.values, targets.values), torch.where(given, new.weights, targets.weights)
    return PositionTargets(values, weights, new.orientations)


def _softened(targets: PositionTargets, part: float) -> PositionTargets:
    """Targets whose constraints have a part of their weight."""
    weights = torch.where(targets.weights >= CONSTRAINT_WEIGHT, part * targets.weights, targets.weights)
    orientations = targets.orientations
    if orientations is not None:
        orientations = orientations._replace(weights=part * orientations.weights)
    return PositionTargets(targets.values, weights, orientations)


def _with_floor(targets: PositionTargets, below: Tensor, floor: float) -> PositionTargets:
    """Add the floor as target for joints (F, 22) that were below it, unless a constraint holds their y. The target is
    the floor, or the height above it at which the joint is wanted anyway.
    """
    below = below & (targets.weights[..., 1] < FLOOR_WEIGHT)
    values, weights = targets.values.clone(), targets.weights.clone()
    pulled = torch.where(weights[..., 1] > 0, values[..., 1], floor)
    values[..., 1] = torch.where(below, pulled.clamp_min(floor), values[..., 1])
    weights[..., 1] = torch.where(below, FLOOR_WEIGHT, weights[..., 1])
    return targets._replace(values=values, weights=weights)
