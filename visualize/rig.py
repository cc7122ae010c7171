"""A motion as an animator has it: this body with bones of constant length, the way of its pelvis, and rotations."""

from __future__ import annotations

from pydantic import ValidationError
from torch import Tensor

from guidance.goals import Goals
from motion_diffusion.body_fit import PINNED, Pulls, fit_frames, fit_motion
from motion_diffusion.errors import InputError
from motion_diffusion.motion import Motion
from motion_diffusion.rig import Rig


def rig_of(motion: Motion) -> Rig:
    """The rig whose joints and bones are nearest to a motion's, and which meets the goals that the motion meets.

    Positions that a network made stretch their bones, so no rotations can put every joint where it was: what the motion
    reaches with a longer arm the rig reaches by bending, leaning and stretching (see `motion_diffusion.body_fit`).
    """
    near = fit_frames(motion.joints, motion.fps)
    goals = _goals_of(motion)
    if not goals.goals:
        return near

    def wanted(joints: Tensor) -> Pulls:
        asked = goals.nearest(joints)
        return Pulls(asked.values, PINNED * asked.mask.to(joints))

    return fit_motion(near, wanted=wanted)


def _goals_of(motion: Motion) -> Goals:
    """Those in its provenance that it meets; none if that has none, or another motion's."""
    try:
        goals = Goals.model_validate(motion.provenance.get("goals", {}))
        met = [residual.met for residual in goals.residuals(motion.joints)]
    except (ValidationError, InputError):
        return Goals()
    return goals.model_copy(update={"goals": [goal for goal, good in zip(goals.goals, met, strict=True) if good]})
