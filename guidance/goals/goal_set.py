"""A set of goals: positions that the body should reach at given times, in one JSON format.

    {"version": 1, "goals": [
        {"kind": "waypoint", "time": 2.0, "x": 0.0, "z": 2.0},
        {"kind": "path", "points": [[0, 0], [0, 2], [1, 3]], "start": 0.0, "end": 5.0},
        {"kind": "joint", "joint": "right_wrist", "time": 3.0, "position": [null, 1.6, null]}]}

Metres, y up; the motion begins at (0, 0) facing +z, with left at +x. Times are seconds, or frames if the field is
called `frame`. Every goal may have a `tolerance` in metres, within which it counts as met, and a `weight`. The fields
of each kind are listed in assets/goals/schema.json, which editors use for completion and validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from guidance.goals.base import Duration, GoalBase, like
from guidance.goals.heading import Heading
from guidance.goals.observation import Observation
from guidance.goals.obstacles import Obstacle
from guidance.goals.orientations import Orientation
from guidance.goals.poses import Pose, ReadMotion
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact, Loop, Relation
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of
from motion_diffusion.errors import InputError

_ROUNDS = 12  # maximum evaluations of a goal of whose target a part is observed already

Goal = Annotated[
    Waypoint | PathGoal | Joint | Pose | Heading | Orientation | Obstacle | Contact | Relation | Loop,
    Field(discriminator="kind"),
]

KINDS = ("waypoint", "path", "joint", "pose", "heading", "orientation", "obstacle", "contact", "relation", "loop")


class Residual(BaseModel):
    """Residual of a goal in a motion."""

    goal: Goal
    wanted: tuple[float | None, float | None, float | None] | None
    """The goal's last target position; None for goals without a single position."""
    reached: tuple[float, float, float] | None
    error: float
    worst: float
    met: bool
    what: str = ""
    """One-line "target: achieved" report for goals without a single position."""

    @staticmethod
    def of(goal: Goal, joints: Tensor, world: Tensor | None = None) -> Residual:
        """Evaluate a goal on a motion (F, 22, 3); world: (F, 22, 3, 3) orientations of its joints, if known."""
        misses, what = goal.misses(joints, world), goal.describe(joints, world)
        wanted, reached = (None, None) if what else _last_place(*goal.compared(joints))
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
    """The last observed position, with None for free axes, and the position of that joint in a motion (F, 22, 3).

    If several joints are observed in the last frame, it is the first of them: for a path, the pelvis.
    """
    observed = observation.mask.any(-1)
    if not observed.any():
        return None, None
    frame = int(observed.any(-1).nonzero()[-1])
    joint = int(observed[frame].nonzero()[0])
    x, y, z = (
        value if wanted else None
        for value, wanted in zip(
            observation.values[frame, joint].tolist(), observation.mask[frame, joint].tolist(), strict=True
        )
    )
    a, b, c = joints[frame, joint].tolist()
    return (x, y, z), (a, b, c)


class Segment(BaseModel):
    """A prompt and its duration; segments follow each other on the motion's timeline."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    text: str
    """Prompt of the segment."""
    seconds: Duration
    """Duration in seconds."""

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
        return text


def _takes_schema(schema: dict[str, Any]) -> None:
    schema["properties"]["$schema"] = {"type": "string", "description": "Where this schema is, for editors."}


class GoalSet(BaseModel):
    """A list of goals, as stored in a goal file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_extra=_takes_schema
    )

    version: Literal[1] = 1
    """Version of the format."""
    goals: list[Goal] = []
    """The goals."""
    segments: list[Segment] = []
    """Prompts on one timeline; empty for a motion with a single prompt, which is given elsewhere."""

    @model_validator(mode="before")
    @classmethod
    def _without_schema(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("$schema"), str):
            return {name: value for name, value in data.items() if name != "$schema"}
        return data

    @field_validator("version", mode="before")
    @classmethod
    def _is_a_number(cls, version: Any) -> Any:
        return "true" if version is True else version  # which is equal to 1

    @property
    def is_motion_dependent(self) -> bool:
        """Whether the target of any goal depends on the motion, so that `target_for` returns more than `observe`."""
        return any(goal.is_motion_dependent for goal in self.goals)

    @property
    def last_time(self) -> float:
        """The last second at which any goal applies; 0 without goals."""
        return max((goal.last_time for goal in self.goals), default=0.0)

    def resolved(self, folder: str | Path = ".", *, read_motion: ReadMotion | None = None) -> GoalSet:
        """The same goals with poses read from their files.

        Args:
            folder: folder that the files' paths are relative to.
            read_motion: reads motion files, e.g. `data_loaders.load_motion.read_motion`; needed if any pose has a file.

        Raises:
            InputError: names goal and file.
        """
        goals: list[GoalBase] = []
        for number, goal in enumerate(self.goals, 1):
            try:
                goals.append(goal.resolved(Path(folder), read_motion) if isinstance(goal, Pose) else goal)
            except InputError as error:
                raise InputError(f"goal {number} (pose): field file: {error}") from None
        return self.model_copy(update={"goals": goals})

    def check(self, frames: int) -> None:
        """Raise InputError if a goal applies beyond a motion of so many frames, or if two goals contradict."""
        self._check_times(frames)
        earlier: dict[int, list[tuple[int, float]]] = {}
        for number, goal in enumerate(self.goals):
            rows, values = goal.given(frames)
            flat = values.float().expand(len(rows), -1, -1).flatten()
            places = (~flat.isnan()).nonzero()[:, 0]
            first = rows.start * len(JOINTS) * 3
            for place, value in zip((first + places).tolist(), flat[places].tolist(), strict=True):
                for other, before in earlier.setdefault(place, []):
                    if abs(before - value) > max(self.goals[other].tolerance, goal.tolerance) + 1e-5:
                        raise self._contradiction(other, number, place, before, value)
                earlier[place].append((number, value))

    def _contradiction(self, one: int, other: int, place: int, a: float, b: float) -> InputError:
        """Error for two goals with different values at an index (frame, joint, axis) of all positions, flattened."""
        frame, rest = divmod(place, len(JOINTS) * 3)
        joint, axis = divmod(rest, 3)
        return InputError(
            f"goal {one + 1} ({self.goals[one].kind}) and goal {other + 1} ({self.goals[other].kind}) want "
            f"{JOINTS[joint]} at {frame / FPS:.2f} s at {'xyz'[axis]} = {a:.2f} m and {b:.2f} m; take one out"
        )

    def _check_times(self, frames: int) -> None:
        for number, goal in enumerate(self.goals, 1):
            if frame_of(goal.last_time) >= frames:
                raise InputError(
                    f"goal {number} ({goal.kind}): its time {goal.last_time:g} s is beyond the motion; its last frame "
                    f"is at {(frames - 1) / FPS:g} s; make the motion longer (--seconds) or the time earlier"
                )

    def observe(self, frames: int) -> Observation:
        """The targets for any motion of F frames, (F, 22, 3), as far as they do not depend on it; later goals take
        precedence.
        """
        self._check_times(frames)
        observation = Observation.empty(frames)
        for goal in self.goals:
            observation.write(*goal.given(frames), goal.weight)
        return observation

    def target_for(
        self, joints: Tensor, *, most_violated: bool = False, observed: Observation | None = None
    ) -> Observation:
        """The targets for this motion, detached.

        Targets that do not depend on the motion come first. Motion-dependent goals are evaluated in order on a copy of
        the motion in which all earlier targets have been imposed (the body moves with its pelvis), and contribute only
        entries that are not yet observed.

        Args:
            joints: (F, 22, 3) metres.
            most_violated: whether to use only the most violated part of each motion-dependent goal.
            observed: the result of `observe` for this length, to save its time where many motions are asked about.
        """
        targets = like(self.observe(len(joints)) if observed is None else observed, joints)
        for goal in self.goals:
            if goal.is_motion_dependent:
                ask = goal.most_violated if most_violated else goal.target_for
                added = _free_part(ask, targets.written_into(joints), targets.mask)
                targets = replace(added, weights=torch.full_like(targets.weights, goal.weight)).updated(targets)
        return targets

    def parted(self) -> tuple[GoalSet, list[Orientation]]:
        """Split into goals of positions and goals of orientations."""
        turns = [goal for goal in self.goals if isinstance(goal, Orientation)]
        turns += [turn for goal in self.goals if isinstance(goal, Pose) for turn in goal.turns()]
        places = [goal for goal in self.goals if not isinstance(goal, Orientation)]
        return self.model_copy(update={"goals": places}), turns

    def residuals(self, joints: Tensor, world: Tensor | None = None) -> list[Residual]:
        """Residuals of each goal in a motion (F, 22, 3); world: (F, 22, 3, 3) orientations of its joints, if known."""
        self._check_times(len(joints))
        return [Residual.of(goal, joints, world) for goal in self.goals]


def _free_part(ask: Callable[[Tensor], Observation], joints: Tensor, taken: Tensor) -> Observation:
    """The target of a goal where nothing is observed yet.

    If the goal also has a target in observed entries, it is evaluated again with its own target imposed elsewhere: of
    two hands to be brought together, the free one can move alone.

    Args:
        ask: the goal's target for a motion.
        joints: (F, 22, 3) metres.
        taken: (F, 22, 3) bool, observed entries.
    """
    wanted = ask(joints)
    for _ in range(_ROUNDS if (wanted.mask & taken).any() else 0):
        again = ask(torch.where(wanted.mask & ~taken, wanted.values, joints))
        if not (again.mask & ~taken).any():
            break
        settled = torch.equal(again.mask, wanted.mask) and torch.allclose(again.values, wanted.values)
        wanted = again
        if settled:
            break
    return Observation(wanted.values, wanted.mask & ~taken, wanted.weights)
