"""What became of a goal."""

from __future__ import annotations

from pydantic import BaseModel
from torch import Tensor

from guidance.goals.kinds import Goal
from guidance.goals.observation import Observation


class Residual(BaseModel):
    """One goal and what became of it. `error` is the mean distance over the goal's entries, in metres."""

    goal: Goal
    wanted: tuple[float | None, float | None, float | None] | None
    """The goal's last position; None for goals that one position does not tell of."""
    reached: tuple[float, float, float] | None
    error: float
    worst: float
    met: bool
    what: str = ""
    """"wanted: done" in words, where there is no one position."""

    @staticmethod
    def of(goal: Goal, joints: Tensor, world: Tensor | None = None) -> Residual:
        """How well a motion (F, 22, 3) meets a goal; world: (F, 22, 3, 3) orientations of its joints, if known."""
        misses, what = goal.misses(joints, world), goal.describe(joints, world)
        wanted, reached = (None, None) if what else _last_place(goal.target_for(joints), joints)
        worst = misses.max().item() if len(misses) else 0.0
        return Residual(
            goal=goal,
            wanted=wanted,
            reached=reached,
            error=misses.mean().item() if len(misses) else 0.0,
            worst=worst,
            met=goal.is_met(worst),
            what=what,
        )


def _last_place(
    observation: Observation, joints: Tensor
) -> tuple[tuple[float | None, float | None, float | None] | None, tuple[float, float, float] | None]:
    """The last position that is observed, None for free axes, and where a motion (F, 22, 3) has that joint.

    If several joints are observed in the last frame, it is that of the first of them: a path's is the pelvis.
    """
    seen = observation.mask.any(-1)
    if not seen.any():
        return None, None
    frame = int(seen.any(-1).nonzero()[-1])
    joint = int(seen[frame].nonzero()[0])
    x, y, z = (
        value if wanted else None
        for value, wanted in zip(
            observation.values[frame, joint].tolist(), observation.mask[frame, joint].tolist(), strict=True
        )
    )
    a, b, c = joints[frame, joint].tolist()
    return (x, y, z), (a, b, c)
