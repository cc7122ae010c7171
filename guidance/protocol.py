"""What a batch of motions is asked to meet, as every method of guidance sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from guidance.goals.goal_set import GoalSet
from guidance.goals.observation import Observation
from guidance.windows import Separate, Timeline
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.model import MotionModel

Function = Callable[[Tensor, Tensor], Tensor]
"""Any wish in Python: (joints (M, N, J, 3) in metres, lengths (M,)) → what is missing in m² (M,), differentiable."""


@dataclass(frozen=True, eq=False)
class GuidanceProblem:
    """A model, and what each of M motions shall meet. A timeline says how the model's windows make the motions."""

    model: MotionModel
    goals: tuple[GoalSet, ...]
    timeline: Timeline
    functions: tuple[Function, ...] = ()

    @staticmethod
    def of(
        model: MotionModel, goals: Sequence[GoalSet], lengths: Tensor, functions: Sequence[Function] = ()
    ) -> GuidanceProblem:
        """Every motion in a window of its own; lengths: (M,) frames."""
        return GuidanceProblem(model, tuple(goals), Separate(model.representation, lengths), tuple(functions))

    @cached_property
    def known(self) -> Observation:
        """What is wanted whatever the motions are: (M, N, J, 3)."""
        each = [goals.observe(n) for goals, n in zip(self.goals, self.timeline.lengths.tolist(), strict=True)]
        return self._for_model(each)

    @cached_property
    def is_motion_dependent(self) -> bool:
        """Whether what is wanted depends on the motions: obstacles, contacts and the like."""
        return any(goals.is_motion_dependent for goals in self.goals)

    def joints(self, x0: Tensor) -> Tensor:
        """The motions (M, N, J, 3) in metres that x̂0 (B, F, D) makes."""
        return self.timeline.joints(self.model.representation.denormalise(x0))

    def target_for(self, joints: Tensor) -> Observation:
        """Where the goals want motions (M, N, J, 3) that are as they are."""
        if not self.is_motion_dependent:
            return self.known
        bodies = joints.detach().expand(*joints.shape[:2], len(JOINTS), 3)
        lengths = self.timeline.lengths.tolist()
        return self._for_model(
            [goals.target_for(body[:n]) for goals, body, n in zip(self.goals, bodies, lengths, strict=True)]
        )

    def most_violated(self, motion: int, joints: Tensor) -> Observation:
        """Where the goals of one motion want it first, joints being (n, J, 3); see `GoalBase.most_violated`."""
        body = joints.detach().expand(len(joints), len(JOINTS), 3)
        wanted = self.goals[motion].target_for(body, most_violated=True)
        return wanted.known_to(self.model.representation).to(joints.device)

    def loss(self, x0: Tensor) -> Tensor:
        """(M,) m²: the mean squared distance of each motion to its goals, and what its functions say.

        The gradient of half the squared distance to a set is the way from its nearest point, however that depends on
        the motion; so the nearest point is held fixed.
        """
        joints = self.joints(x0)
        loss = self.target_for(joints).loss(joints)
        return loss + sum(function(joints, self.timeline.lengths) for function in self.functions)

    def _for_model(self, each: Sequence[Observation]) -> Observation:
        return Observation.stack(each).known_to(self.model.representation).to(self.model.device)
