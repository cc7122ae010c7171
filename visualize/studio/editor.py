"""A plan in the hands of one person: its history, the tool and the goal in hand, and what is to be said of it.

It knows no page, which shows what stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor

from guidance.goals.feasibility import feasibility
from guidance.goals.goal_set import Goal, GoalSet, Pose, explain
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError
from sample.text_fit import unknown_words
from visualize.studio import making, timing, tools
from visualize.studio.document import Document, History
from visualize.studio.drawing import Place
from visualize.studio.making import Take
from visualize.studio.models import Models
from visualize.studio.tools import Hand

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """What is to be said of a plan before it is made."""

    error: str = ""
    """Why it cannot be made, if it cannot."""
    warnings: tuple[str, ...] = ()
    """What a person cannot do of it."""
    unlearned: tuple[str, ...] = ()
    """What of its words the model did not learn."""


@dataclass(eq=False)
class Editor:
    """A plan that is edited."""

    models: Models
    history: History[Document] = field(init=False)
    hand: Hand = field(default_factory=Hand)
    selected: int | None = None
    """The goal that is in hand, by its number from 0."""
    chosen: Take | None = None
    """The take that is seen."""
    message: str = ""
    """What went wrong last."""
    refused: int = 0
    """How much was refused so far, so that a page shows the plan again in place of what was given instead."""

    def __post_init__(self) -> None:
        self.history = History(Document(model=self.models.usual))

    @property
    def plan(self) -> Document:
        """As it stands."""
        return self.history.now

    def edit(self, change: Callable[[Document], Document], what: str = "") -> None:
        """Change the plan. What it refuses is said in `message`. what: see `History.did`."""
        if (plan := self.attempt(lambda: change(self.plan))) is not None:
            self._put(self.history.did(plan, what))

    def undo(self) -> None:
        """Take the last change back."""
        self._put(self.history.undone())

    def redo(self) -> None:
        """Do again what was undone."""
        self._put(self.history.redone())

    def restore(self, kept: str) -> None:
        """Begin with a plan that a browser kept; with the usual one if it is something else."""
        if (plan := self.attempt(lambda: Document.from_json(kept))) is not None and plan.model in self.models.names:
            self.history = History(plan)
        self.message = ""

    def last(self, part: int, seconds: float) -> None:
        """Let a part of the plan last so long."""
        self.edit(lambda plan: timing.lasting(plan, part, seconds), f"seconds {part}")

    def say(self, part: int, text: str) -> None:
        """Let a part of the plan say something else."""
        self.edit(lambda plan: timing.saying(plan, part, text), f"text {part}")

    def take_up(self, tool: tools.Tool) -> None:
        """Hold another tool, or begin anew with this one."""
        self.hand = replace(self.hand, tool=tool, growing=None)

    def hold(self, *, joint: str | None = None, face_along: bool | None = None) -> None:
        """Use the tool for another joint, or for paths that are faced along or not."""
        joint = self.hand.joint if joint not in JOINTS else joint
        along = self.hand.face_along if face_along is None else face_along
        self.hand = replace(self.hand, joint=joint, face_along=along)

    def at(self, time: float) -> None:
        """Use the tool for another second."""
        self.hand = replace(self.hand, time=time)

    def clear(self) -> None:
        """Plan a motion of its own, without goals."""
        self.edit(Document.alone)

    def click(self, place: Place) -> None:
        """A click on the floor."""
        self._use(lambda: tools.clicked(self.plan, self.hand, place, self._beneath()))

    def draw(self, points: list[Place]) -> None:
        """A stroke on the floor."""
        self._use(lambda: tools.drawn(self.plan, self.hand, points, self._beneath()))
        self.hand = replace(self.hand, growing=None)

    def replace_goal(self, index: int, goal: Goal, what: str = "") -> None:
        """Put a goal in the place of another."""
        self.edit(lambda plan: plan.with_goal(goal, index), what)

    def add_goal(self, goal: Goal) -> None:
        """Add a goal, and take it in hand."""
        self._use(lambda: (self.plan.with_goal(goal), len(self.plan.goals)))

    def remove_goal(self) -> None:
        """Take the goal in hand away."""
        if (index := self.selected) is not None:
            self.edit(lambda plan: plan.without_goal(index))

    def select(self, index: int | None) -> None:
        """Take a goal in hand, or none."""
        self.selected = index if index is not None and 0 <= index < len(self.plan.goals) else None

    def pin(self) -> None:
        """Make the pose that is seen a goal of its time."""
        if self.chosen is not None:
            frame = min(round(self.hand.time * FPS), self.chosen.motion.frames - 1)
            self.add_goal(Pose.of(self.chosen.motion.joints[frame : frame + 1], frame=frame))

    def standing(self, time: float) -> Tensor:
        """(22, 3): where the body is at a second: in the chosen take, else at rest where the plan has its pelvis."""
        if self.chosen is not None:
            return self.chosen.standing(time)
        joints, frame = making.resting(), min(round(time * FPS), self.plan.frames - 1)
        if self.plan.base is not None:
            source = self.plan.base.motion.joints
            joints = source[min(frame, len(source) - 1)]
        known = self._pelvis[: frame + 1].isfinite().all(-1).nonzero()[:, 0]
        if len(known):
            x, z = self._pelvis[known[-1]].tolist()
            joints = joints - joints[:1] * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([x, 0.0, z])
        return joints

    @property
    def _pelvis(self) -> Tensor:
        """(frames, 2): x and z that the plan wants of the pelvis, NaN where it says nothing."""
        plan = self.plan
        ways: list[Goal] = [
            goal
            for goal in plan.goals
            if goal.kind in ("waypoint", "path") and round(goal.last_time * FPS) < plan.frames
        ]
        wanted = GoalSet(goals=ways).observe(plan.frames)
        return torch.where(wanted.mask, wanted.values, torch.nan)[:, 0, [0, 2]]

    def report(self) -> Report:
        """Whether the plan can be made, what a person cannot do of it, and what of its words was not learned."""
        plan = self.plan
        try:
            making.check_plan(plan, self.models.get(plan.model))
            return Report(
                warnings=tuple(feasibility(GoalSet(goals=list(plan.goals)), plan.frames)),
                unlearned=tuple(unknown_words(self.models.known[plan.model], plan.text, plan.wanted)),
            )
        except (InputError, OSError) as error:
            return Report(error=" ".join(str(error).split()))

    def attempt(self, run: Callable[[], T]) -> T | None:
        """What a function gives; None if it refuses, which is said in `message`."""
        self.message = ""
        try:
            return run()
        except (InputError, OSError) as error:
            self.message = " ".join(str(error).split())
        except ValidationError as error:
            self.message = explain(error)
        self.refused += 1
        return None

    def _put(self, history: History[Document]) -> None:
        self.history = history
        self.select(self.selected)

    def _use(self, use: Callable[[], tuple[Document, int | None]]) -> None:
        """Use a tool: change the plan, and take the goal in hand that it made."""
        if (result := self.attempt(use)) is not None:
            plan, index = result
            self._put(self.history.did(plan))
            self.select(index)
            self.hand = replace(self.hand, growing=self.selected)

    def _beneath(self) -> Tensor:
        """The body at the time of the tool in hand: for a path, where it begins."""
        return self.standing(self.plan.begin if self.hand.tool == "Path" else self.hand.time)
