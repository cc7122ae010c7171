"""A finished motion becomes that of a body: constant bones, feet that stand and keep still, exact goals, and a floor.

The floor is at height 0, or lower where goals are. Where the lowest toe floats above it for longer than a jump lasts,
the motion is lowered as a whole, and one with both feet below the floor is lifted, unless goals fix heights. No joint
stays below the floor.
A foot that stands is held where it stands on average, at its own height: it is lifted out of the floor, and never
pushed down to it, which is what makes people walk on tip-toe. All that, and the goals, is wanted of the body at once
(see `motion_diffusion.body.body_fit`): goals are constraints, and feet give way where legs do not reach them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from guidance.goals.goal_set import GoalSet
from guidance.goals.orientations import turns_wanted, with_ends
from motion_diffusion.body.body_fit import fit_frames, fit_motion
from motion_diffusion.body.fit_energy import CONSTRAINT_WEIGHT, PositionTargets
from motion_diffusion.body.foot_contacts import DEEP, FootContact, detect_contacts, feet_level, floor_height
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.motion_metrics import bone_length_errors, foot_skating_ratio
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import FPS, JOINTS, TOES

STAND_WEIGHT = 1e3
"""Of the place of a foot that stands, against that of a joint's place in the motion."""
RAMP = 6
"""Frames over which a motion begins to be lifted or lowered."""
UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
FLOATING, STANDING = 0.07, 0.05
"""Heights in metres: a lowest toe above the first for longer than `MAX_FLIGHT` floats and is lowered to the second. In
each of 500 real clips the lowest toe is 3.9 to 5.6 cm high, and never above 6.8 cm for that long."""
MAX_FLIGHT = 20
"""Frames of a jump, one second."""


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
    """The motion as a whole, at most; negative for one that hung above the floor."""
    lowest_toe_before_cm: float
    """Above height 0, of both toes and all frames."""
    lowest_toe_after_cm: float
    skating_before: float
    skating_after: float
    """See `motion_diffusion.body.motion_metrics.foot_skating_ratio`."""
    bone_error_before_cm: float
    """The largest of all bones and frames; afterwards they are those of the body."""
    goal_error_after_cm: float
    """The largest of all goals."""
    unsettled: tuple[str, ...] = ()
    """What could not be settled, a line each."""


def clean_up(
    points: Tensor,
    goals: GoalSet,
    *,
    exact: bool = True,
    feet: bool = True,
    kept: tuple[Rig, Tensor] | None = None,
    tolerance: float = 0.01,
) -> tuple[Rig, CleanUp]:
    """The body of a motion (F, 22, 3) in metres, y up, 20 frames a second, and what was done.

    exact: whether goals are constraints however far they are missed; else entries that are missed by more than
    tolerance (m) are left alone. feet: whether they stand, and on the floor. kept: a body, and the frames (F,) bool in
    which the motion is to stay as that is. InputError if a goal speaks of a time beyond the motion.
    """
    near = fit_frames(points, FPS, rounds=2)
    if kept is not None:
        near = near.with_frames(kept[1], kept[0].frames(kept[1]))
    places, turns = goals.parted()
    asked, given = places.target_for(near.joints), points.to(near.joints)
    missed = ((given - asked.values).square() * asked.mask).sum(-1, keepdim=True).sqrt() > tolerance
    left = asked.mask & missed & (not exact)
    heights = asked.values[..., 1][asked.mask[..., 1]]
    lifted = torch.zeros(len(near.root), dtype=torch.float64)
    floor = min([0.0, floor_height(near.joints), *heights.tolist()])
    if feet and kept is None and not len(heights):
        lifted, floor = _lift(near.joints), 0.0
    body = replace(near, root=near.root + lifted[:, None] * UP)
    target = given + lifted[:, None, None] * UP
    stands: list[FootContact] = []

    def wanted(body: Rig) -> PositionTargets:
        """The goals, and where these say nothing that feet which are found to stand, now or before, do."""
        if feet:
            stands.extend(detect_contacts(body.joints, floor))
        standing, asked = _held(stands, len(body.root)), places.target_for(body.joints)
        mask = asked.mask & ~left
        weights = torch.where(mask, CONSTRAINT_WEIGHT, standing.weights)
        values = torch.where(mask, asked.values, standing.values)
        return PositionTargets(values, weights, turns_wanted(turns if exact else [], body))

    fixed = None if kept is None else kept[1]
    body = fit_motion(target, body, targets=wanted, floor=floor if feet else None, kept=fixed)
    if exact:
        body = with_ends(turns, body, fixed)
    return body, _report(given, body, lifted, goals, exact=exact, tolerance=tolerance)


def _held(stands: list[FootContact], frames: int) -> PositionTargets:
    """What stands ask of a motion of so many frames; of those that overlap, the first."""
    values = torch.zeros(frames, len(JOINTS), 3, dtype=torch.float64)
    weights = torch.zeros_like(values)
    for stand in reversed(stands):
        values[stand.start : stand.end, stand.joint] = stand.place
        weights[stand.start : stand.end, stand.joint] = STAND_WEIGHT
    return PositionTargets(values, weights)


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


def _report(given: Tensor, body: Rig, lifted: Tensor, goals: GoalSet, *, exact: bool, tolerance: float) -> CleanUp:
    after = body.joints
    move = (after - given).norm(dim=-1)
    frame, joint = divmod(int(move.argmax()), len(JOINTS))
    residuals = goals.residuals(after, body.world)
    why = "a body of this size does not reach it beside what else holds it" if exact else "guidance came no nearer"
    missed = [
        f"goal {number} ({residual.goal.kind}) is missed by {100 * residual.worst:.1f} cm: {why}"
        for number, residual in enumerate(residuals, 1)
        if residual.worst > tolerance
    ]
    return CleanUp(
        stands=sum(stand.joint in TOES for stand in detect_contacts(after)),
        largest_move_cm=100 * move.max().item(),
        largest_move_joint=JOINTS[joint],
        largest_move_time=frame / FPS,
        mean_move_cm=100 * move.mean().item(),
        lifted_cm=100 * lifted[lifted.abs().argmax()].item(),
        lowest_toe_before_cm=100 * given[:, TOES, 1].min().item(),
        lowest_toe_after_cm=100 * after[:, TOES, 1].min().item(),
        skating_before=foot_skating_ratio(given),
        skating_after=foot_skating_ratio(after),
        bone_error_before_cm=100 * bone_length_errors(given).max().item(),
        goal_error_after_cm=100 * max((residual.worst for residual in residuals), default=0.0),
        unsettled=(*missed, *_gave_way(after, detect_contacts(given), tolerance)),
    )


def _gave_way(joints: Tensor, stands: list[FootContact], tolerance: float) -> Iterator[str]:
    for stand in stands:
        way = joints[stand.start : stand.end, stand.joint]
        off = (way - way.mean(0)).norm(dim=-1).max().item()
        if stand.joint in TOES and off > tolerance:
            when = f"{stand.start / FPS:.2f}–{(stand.end - 1) / FPS:.2f} s"
            yield f"{JOINTS[stand.joint]} stands at {when}, yet gives way by {100 * off:.1f} cm: its leg does not reach"
