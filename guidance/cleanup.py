"""Clean-up of a finished motion: feet that stand keep still, bones have their lengths, and goals stay exact.

The floor is at height 0, or lower where goals are. Where the lowest toe floats above it for longer than a jump lasts,
the motion is lowered as a whole, and one with both feet below the floor is lifted, unless goals fix heights. No joint
stays below the floor.
A foot that stands is held where it stands on average, at its own height: it is lifted out of the floor, and never
pushed down to it, which is what makes people walk on tip-toe. Its leg moves along; the body does not travel, but may
sink a little where a leg is too short. What is left of wrong bone lengths is closed by position-based dynamics (Müller,
Heidelberger, Hennix, Ratcliff 2007), in which what stands and what is a goal is not moved, or hardly, shortly before
and after, and the floor is a unilateral constraint: joints below it are projected onto it after every sweep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from guidance.displacement import Displacement, tree_kernel
from guidance.goals import Goals
from guidance.observation import Observation
from guidance.stands import DEEP, Stand, feet_level, find_stands, floor_height
from motion_diffusion.heading import gaussian
from motion_diffusion.metrics import TOES, bone_length_errors, foot_skating_ratio
from motion_diffusion.skeleton import BONE_LENGTHS, FPS, JOINTS, PARENTS

LIMBS_THAT_BEND = ((1, 4, 7), (2, 5, 8), (16, 18, 20), (17, 19, 21))
"""Hip, knee, ankle and shoulder, elbow, wrist."""

FADE = 6.0
"""Frames over which a leg goes back to where it would be without the stand."""
SWEEPS = 60
"""Over all bones, there and back."""
RAMP = 6
"""Frames before and after a stand or goal over which joints become movable."""
HEAVY, TORSO = (0, 1, 2, 3, 6, 9), 0.3
"""Pelvis, hips and spine, and their mobility; that of all others is 1."""
GIVE = 0.02
"""Of a bone, at least, so that it is not moved far by an axis that hardly changes its length."""
UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
PASSES = 6
"""At most: a motion that has moved may stand longer, and its goals may want something else of it."""
FLOATING, STANDING = 0.07, 0.05
"""Heights in metres: a lowest toe above the first for longer than `MAX_FLIGHT` floats and is lowered to the second. In
each of 500 real clips the lowest toe is 3.9 to 5.6 cm high, and never above 6.8 cm for that long."""
MAX_FLIGHT = 20
"""Frames of a jump, one second."""
SETTLED = 1e-3
"""m: a pass that moves joints by less is the last, and bones that are off by less are right."""


@dataclass(frozen=True)
class CleanUp:
    """What a clean-up did."""

    stands: int
    """How many times a foot stands, after it."""
    largest_move_cm: float
    largest_move_joint: str
    largest_move_time: float
    """Seconds."""
    mean_move_cm: float
    """Over all joints and frames."""
    lifted_cm: float
    """Largest shift of the whole motion in any frame; negative if it floated and was lowered."""
    lowest_toe_before_cm: float
    """Height over both toes and all frames."""
    lowest_toe_after_cm: float
    skating_before: float
    skating_after: float
    """See `motion_diffusion.metrics.foot_skating_ratio`."""
    bone_error_before_cm: float
    bone_error_after_cm: float
    """The largest of all bones and frames."""
    goal_error_after_cm: float
    """The largest of all goals."""
    unsettled: tuple[str, ...] = ()
    """What could not be settled, a line each."""

    def lines(self) -> list[str]:
        """For people."""
        whole = ""
        if abs(self.lifted_cm) >= 0.05:
            way = "lifted" if self.lifted_cm > 0 else "lowered"
            whole = f"; the motion was {way} by up to {abs(self.lifted_cm):.1f} cm as a whole"
        return [
            f"feet stand {self.stands} times; they slide in {self.skating_after:.1%} of the steps, "
            f"{self.skating_before:.1%} before",
            f"bones are off by up to {self.bone_error_after_cm:.2f} cm, {self.bone_error_before_cm:.2f} cm before; "
            f"goals by up to {self.goal_error_after_cm:.2f} cm",
            f"joints moved by {self.mean_move_cm:.2f} cm on average, at most by {self.largest_move_cm:.1f} cm: "
            f"{self.largest_move_joint} at {self.largest_move_time:.2f} s",
            f"the lowest toe is {self.lowest_toe_after_cm:z.1f} cm high, {self.lowest_toe_before_cm:z.1f} cm before"
            f"{whole}",
            *self.unsettled,
        ]


def clean_up(joints: Tensor, goals: Goals, *, tolerance: float = 0.01) -> tuple[Tensor, CleanUp]:
    """A motion (F, 22, 3) in metres, y up, with standing feet that stand, right bones and exact goals.

    Entries of goals that are missed by more than tolerance (m) are left alone and reported. InputError if a goal
    speaks of a time beyond the motion.
    """
    given = joints.detach().to("cpu", torch.float64)
    asked = goals.nearest(given)
    left = asked.mask & (((given - asked.values).square() * asked.mask).sum(-1, keepdim=True).sqrt() > tolerance)
    cleaned, wanted = given, Observation(asked.values, asked.mask & ~left, asked.weights)
    lifted = torch.zeros(len(given), dtype=given.dtype)
    for _ in range(PASSES):
        before = cleaned
        fixed = torch.where(wanted.mask, wanted.values, before)[..., 1][asked.mask[..., 1]]
        if len(fixed):
            lift, floor = torch.zeros_like(lifted), min(0.0, floor_height(before), fixed.min().item())
        else:
            lift, floor = _lift(before), 0.0
        lifted, grounded = lifted + lift, before + lift[:, None, None] * UP
        cleaned = _settle(grounded, find_stands(grounded, floor), wanted, floor)
        asked = goals.nearest(cleaned)
        wanted = wanted.updated(Observation(asked.values, asked.mask & ~left, asked.weights))
        if (cleaned - before).norm(dim=-1).max() < SETTLED:
            break
    cleaned = cleaned.to(joints)
    return cleaned, _report(given, cleaned.to(given), lifted, goals, tolerance)


def _lift(joints: Tensor) -> Tensor:
    """Metres (F,) to lift a whole motion (F, 22, 3) by in each frame; negative where it floats and must be lowered.

    It floats at the morphological opening of the height of its lowest toe over `MAX_FLIGHT`. Toes count only while they
    are the lowest joints, which excludes lying and hand stands, and up to `DEEP`, since above that the motion stands on
    something else.
    """
    if (level := feet_level(joints)) < 0:
        return torch.full_like(joints[:, 0, 0], -level)
    toe = joints[:, TOES, 1].amin(1)
    height = torch.where((toe > joints[..., 1].amin(1)) | (toe > DEEP), 0.0, toe)[None]
    padded = pad(height, (MAX_FLIGHT // 2, MAX_FLIGHT // 2))
    opened = max_pool1d(-max_pool1d(-padded, MAX_FLIGHT + 1, 1), MAX_FLIGHT + 1, 1, MAX_FLIGHT // 2)
    lower = torch.where(opened > FLOATING, opened - STANDING, 0.0)
    lower = -max_pool1d(-lower, 2 * RAMP + 1, 1, RAMP)  # the smoothing below stays within
    return -gaussian(lower.T, RAMP / 4)[:, 0]


def _settle(joints: Tensor, stands: list[Stand], wanted: Observation, floor: float) -> Tensor:
    """Joints (F, 22, 3) moved onto what is wanted, then feet to where they stand, then bones to their lengths.

    No joint stays below the floor (height in metres).
    """
    moved, mask = joints, wanted.mask
    if mask.any():
        moved = joints + Displacement(mask)(torch.where(mask, wanted.values - joints, 0.0))
    places, foot = moved.clone(), torch.zeros_like(mask)
    for stand in stands:
        span = slice(stand.start, stand.end), stand.joint
        said = mask[span].sum(0)
        place = (moved[span] * mask[span]).sum(0) / said.clamp_min(1)
        places[span] = torch.where(mask[span], moved[span], torch.where(said > 0, place, stand.place))
        foot[span] = True
    held = mask | foot
    moved = moved + _along(places - moved, held)
    free = torch.ones_like(joints)
    free[:, HEAVY] = TORSO
    settled = _bones(moved, _mobility(free, held), joints, floor)
    return _bones(settled, _mobility(free, mask), joints, floor)  # feet give way where legs do not reach them


def _along(moves: Tensor, held: Tensor) -> Tensor:
    """What other joints and frames move (F, 22, 3) when those that are held (F, 22, 3) move by so much.

    As in `guidance.displacement`, limbs alone, but with the exponential kernel over time, σ² e^(-|s - t| / `FADE`): its
    displacements have kinks, yet never grow beyond a stand, whatever the speed at which it begins.
    """
    time = torch.arange(len(moves), dtype=moves.dtype)
    over_time, over_joints = (-(time[:, None] - time).abs() / FADE).exp(), tree_kernel()
    result = torch.zeros_like(moves)
    for axis in range(3):
        frame, joint = (held[..., axis] & (over_joints.diagonal() > 0)).nonzero(as_tuple=True)
        gram = over_time[frame][:, frame] * over_joints[joint][:, joint]
        weights = torch.zeros_like(moves[..., axis])
        weights[frame, joint] = torch.linalg.solve(gram, moves[frame, joint, axis])
        result[..., axis] = over_time @ weights @ over_joints
    return torch.where(held, moves, result)


def _mobility(free: Tensor, held: Tensor) -> Tensor:
    """(F, 22, 3) shares in which joints are moved: none where held, all that is free `RAMP` frames from there."""
    share = held.to(free)
    for lag in range(1, min(RAMP, len(held))):
        fade = 1 - lag / RAMP
        fade = fade * fade * (3 - 2 * fade)
        share[lag:] = torch.maximum(share[lag:], fade * held[:-lag])
        share[:-lag] = torch.maximum(share[:-lag], fade * held[lag:])
    return free * (1 - share)


def _bones(joints: Tensor, mobility: Tensor, bends_like: Tensor, floor: float) -> Tensor:
    """Joints (F, 22, 3) moved so that bones have their lengths and no joint is below the floor (height in metres).

    By Gauss-Seidel sweeps of position-based dynamics.
    """
    at, free = list(joints.unbind(1)), mobility.unbind(1)
    order = list(range(1, len(JOINTS)))
    bottom = torch.tensor([-torch.inf, floor, -torch.inf], dtype=joints.dtype)
    for sweep in range(SWEEPS):
        for joint in order if sweep % 2 else reversed(order):
            parent = PARENTS[joint]
            bone = at[joint] - at[parent]
            length = bone.norm(dim=-1, keepdim=True).clamp_min(1e-6)
            along = bone / length
            give = ((free[joint] + free[parent]) * along.square()).sum(-1, keepdim=True)
            step = (length - BONE_LENGTHS[joint]) / give.clamp_min(GIVE) * along
            at[joint] = at[joint] - free[joint] * step
            at[parent] = at[parent] + free[parent] * step
        at = [joint.clamp_min(bottom) for joint in at]
    return _bent(torch.stack(at, 1), mobility, bends_like)


def _bent(joints: Tensor, mobility: Tensor, like: Tensor) -> Tensor:
    """Knees and elbows (F, 22, 3) that bend the other way than those of a motion like this, mirrored at their limbs."""
    joints = joints.clone()
    for limb in LIMBS_THAT_BEND:
        bend = _bend(joints, limb)
        flipped = (bend * gaussian(_bend(like, limb), 2.0)).sum(-1) < 0
        flipped &= (mobility[:, limb[1]] > 0).all(-1)
        joints[:, limb[1]] -= 2 * bend * flipped[:, None]
    return joints


def _bend(joints: Tensor, limb: tuple[int, int, int]) -> Tensor:
    """(F, 3) metres from the line between a limb's ends to its knee or elbow."""
    start, middle, end = joints[:, limb].unbind(1)
    along = torch.nn.functional.normalize(end - start, dim=-1)
    return middle - start - ((middle - start) * along).sum(-1, keepdim=True) * along


def _report(before: Tensor, after: Tensor, lifted: Tensor, goals: Goals, tolerance: float) -> CleanUp:
    move, stretch = (after - before).norm(dim=-1), bone_length_errors(after)
    frame, joint = divmod(int(move.argmax()), len(JOINTS))
    missed = goals.nearest(after).errors(after)
    return CleanUp(
        stands=sum(stand.joint in TOES for stand in find_stands(after)),
        largest_move_cm=100 * move.max().item(),
        largest_move_joint=JOINTS[joint],
        largest_move_time=frame / FPS,
        mean_move_cm=100 * move.mean().item(),
        lifted_cm=100 * lifted[lifted.abs().argmax()].item(),
        lowest_toe_before_cm=100 * before[:, TOES, 1].min().item(),
        lowest_toe_after_cm=100 * after[:, TOES, 1].min().item(),
        skating_before=foot_skating_ratio(before),
        skating_after=foot_skating_ratio(after),
        bone_error_before_cm=100 * bone_length_errors(before).max().item(),
        bone_error_after_cm=100 * stretch.max().item(),
        goal_error_after_cm=100 * missed.max().item() if len(missed) else 0.0,
        unsettled=(
            *_missed(after, goals, tolerance),
            *_gave_way(after, find_stands(before), tolerance),
            *_stretched(stretch),
        ),
    )


def _missed(joints: Tensor, goals: Goals, tolerance: float) -> Iterator[str]:
    for number, goal in enumerate(goals.residuals(joints), 1):
        if goal.worst > tolerance:
            yield f"goal {number} ({goal.goal.kind}) is missed by {100 * goal.worst:.1f} cm and was left so"


def _gave_way(joints: Tensor, stands: list[Stand], tolerance: float) -> Iterator[str]:
    for stand in stands:
        way = joints[stand.start : stand.end, stand.joint]
        off = (way - way.mean(0)).norm(dim=-1).max().item()
        if stand.joint in TOES and off > tolerance:
            when = f"{stand.start / FPS:.2f}–{(stand.end - 1) / FPS:.2f} s"
            yield f"{JOINTS[stand.joint]} stands at {when}, yet gives way by {100 * off:.1f} cm: its leg does not reach"


def _stretched(stretch: Tensor) -> Iterator[str]:
    for joint in (1 + (stretch > SETTLED).any(0).nonzero()[:, 0]).tolist():
        worst, frame = (number.item() for number in stretch[:, joint - 1].max(0))
        bone = f"{JOINTS[PARENTS[joint]]}–{JOINTS[joint]}"
        yield f"bone {bone} is off by up to {100 * worst:.1f} cm, at {frame / FPS:.2f} s"
