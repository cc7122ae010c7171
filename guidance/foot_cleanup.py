"""Clean-up of a generated motion: constant bone lengths, stationary feet, exact goals, and a floor.

The floor is at height 0, or lower where goals are. Where the lowest toe floats above it for longer than a jump lasts,
the whole motion is lowered, and one with both feet below the floor is lifted, unless goals fix heights. No joint stays
below the floor. A foot in contact is held at its mean position, at its own height: it is lifted out of the floor but
never pushed down to it, which would make people walk on tiptoe. All this, and the goals, are targets of a single fit of
the body (see `motion_diffusion.body.body_fit`): goals are constraints, and contacts yield where legs do not reach them.
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

CONTACT_WEIGHT = 1e3
"""Weight of the position of a foot in contact, relative to that of a joint's position in the motion."""
RAMP = 6
"""Frames over which lifting or lowering sets in."""
UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
FLOATING, STANDING = 0.07, 0.05
"""Heights in metres: a lowest toe that is above the first for longer than `MAX_FLIGHT` floats, and is lowered to the
second. In 500 real clips the mean height of the lowest toe is 3.9 to 5.6 cm, and it is never above 6.8 cm for that
long.
"""
MAX_FLIGHT = 20
"""Maximum frames of a jump: one second."""


@dataclass(frozen=True)
class CleanUp:
    """Report of a clean-up."""

    stands: int
    """Number of foot contacts afterwards."""
    largest_move_cm: float
    largest_move_joint: str
    largest_move_time: float
    """Seconds."""
    mean_move_cm: float
    """Over all joints and frames."""
    lifted_cm: float
    """Largest vertical shift of the whole motion; negative for one that floated."""
    lowest_toe_before_cm: float
    """Relative to height 0, over both toes and all frames."""
    lowest_toe_after_cm: float
    skating_before: float
    skating_after: float
    """See `motion_diffusion.body.motion_metrics.foot_skating_ratio`."""
    bone_error_before_cm: float
    """Largest over bones and frames; afterwards it is 0."""
    goal_error_after_cm: float
    """Largest over goals."""
    unsettled: tuple[str, ...] = ()
    """Remaining problems, one line each."""


def clean_up(
    points: Tensor,
    goals: GoalSet,
    *,
    exact: bool = True,
    feet: bool = True,
    kept: tuple[Rig, Tensor] | None = None,
    tolerance: float = 0.01,
) -> tuple[Rig, CleanUp]:
    """Fit the body to a motion with goals, foot contacts and the floor as targets.

    Args:
        points: (F, 22, 3) metres, y up, 20 frames per second.
        goals: the goals.
        exact: whether goals are constraints in any case; otherwise entries that are missed by more than `tolerance` are
            ignored.
        feet: whether to hold feet in contact and to impose the floor.
        kept: a body, and the frames (F,) bool in which the motion stays exactly as in that body.
        tolerance: metres.

    Returns:
        The fitted body and a report.

    Raises:
        InputError: if a goal applies beyond the motion.
    """
    near = fit_frames(points, FPS, rounds=2)
    if kept is not None:
        near = near.with_frames(kept[1], kept[0].frames(kept[1]))
    places, turns = goals.parted()
    observed = places.observe(len(points))
    asked, given = places.target_for(near.joints, observed=observed), points.to(near.joints)
    missed = ((given - asked.values).square() * asked.mask).sum(-1, keepdim=True).sqrt() > tolerance
    left = asked.mask & missed & (not exact)
    heights = asked.values[..., 1][asked.mask[..., 1]]
    lifted = torch.zeros(len(near.root), dtype=torch.float64)
    floor = min([0.0, floor_height(near.joints), *heights.tolist()])
    if feet and kept is None and not len(heights):
        lifted, floor = _lift(near.joints), 0.0
    body = replace(near, root=near.root + lifted[:, None] * UP)
    target = given + lifted[:, None, None] * UP
    contacts: list[FootContact] = []

    def wanted(body: Rig, piece: slice, joints: Tensor) -> PositionTargets:
        """The goals and, where these leave a joint free, all foot contacts found so far: at first in the whole motion,
        then in the piece.
        """
        if feet:
            contacts.extend(detect_contacts(joints, floor, within=piece if contacts else None))
            contacts[:] = [contact for contact in contacts if contact.end > piece.start]
        standing = _contact_targets(contacts, piece)
        asked = observed.frames(piece)
        if places.is_motion_dependent:
            asked = places.target_for(joints, observed=observed).frames(piece)
        mask = asked.mask & ~left[piece]
        weights = torch.where(mask, CONSTRAINT_WEIGHT, standing.weights)
        values = torch.where(mask, asked.values, standing.values)
        return PositionTargets(values, weights, turns_wanted(turns if exact else [], body, piece.start))

    fixed = None if kept is None else kept[1]
    body = fit_motion(target, body, targets=wanted, floor=floor if feet else None, kept=fixed)
    if exact:
        body = with_ends(turns, body, fixed)
    return body, _report(given, body, lifted, goals, exact=exact, tolerance=tolerance)


def _contact_targets(contacts: list[FootContact], piece: slice) -> PositionTargets:
    """Targets of foot contacts in a piece of a motion; the first takes precedence where they overlap."""
    values = torch.zeros(piece.stop - piece.start, len(JOINTS), 3, dtype=torch.float64)
    weights = torch.zeros_like(values)
    for contact in reversed(contacts):
        if contact.start < piece.stop and contact.end > piece.start:
            at = slice(max(contact.start - piece.start, 0), contact.end - piece.start)
            values[at, contact.joint], weights[at, contact.joint] = contact.place, CONTACT_WEIGHT
    return PositionTargets(values, weights)


def _lift(joints: Tensor) -> Tensor:
    """(F,) metres by which to shift a whole motion (F, 22, 3) vertically in each frame; negative where it floats.

    The motion floats by the morphological opening of the height of its lowest toe over `MAX_FLIGHT`. Toes count only
    while they are the lowest joints, which excludes lying and handstands, and up to `DEEP`, above which the motion
    stands on something else.
    """
    if (level := feet_level(joints)) < 0:
        return torch.full_like(joints[:, 0, 0], -level)
    toe = joints[:, TOES, 1].amin(1)
    height = torch.where((toe > joints[..., 1].amin(1)) | (toe > DEEP), 0.0, toe)[None]
    padded = pad(height, (MAX_FLIGHT // 2, MAX_FLIGHT // 2))
    opened = max_pool1d(-max_pool1d(-padded, MAX_FLIGHT + 1, 1), MAX_FLIGHT + 1, 1, MAX_FLIGHT // 2)
    lower = torch.where(opened > FLOATING, opened - STANDING, 0.0)
    lower = -max_pool1d(-lower, 2 * RAMP + 1, 1, RAMP)  # so that the smoothing below does not exceed it
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
        stands=sum(contact.joint in TOES for contact in detect_contacts(after)),
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
        unsettled=(*missed, *_drifted(after, detect_contacts(given), tolerance)),
    )


def _drifted(joints: Tensor, contacts: list[FootContact], tolerance: float) -> Iterator[str]:
    for contact in contacts:
        way = joints[contact.start : contact.end, contact.joint]
        off = (way - way.mean(0)).norm(dim=-1).max().item()
        if contact.joint in TOES and off > tolerance:
            when = f"{contact.start / FPS:.2f}–{(contact.end - 1) / FPS:.2f} s"
            drift = f"{100 * off:.1f} cm"
            yield f"{JOINTS[contact.joint]} stands at {when}, yet gives way by {drift}: its leg does not reach"
