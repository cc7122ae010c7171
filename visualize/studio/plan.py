"""The studio's plan of a motion, an immutable value, and the history of its changes.

Goals and prompt are saved as a goal file of the command line, the prompt as segments; model, seed and guidance are
options there. The browser stores the whole plan, so that a reopened page shows it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Annotated, Any, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from torch import Tensor

from guidance.compose import parse_methods
from guidance.goals.goal_file import explain
from guidance.goals.goal_set import Goal, GoalSet, Segment
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint, PathGoal
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import REST, STANDING
from motion_diffusion.body.skeleton import FPS, frame_of
from motion_diffusion.errors import InputError
from motion_diffusion.model import Recommended
from motion_diffusion.option_ranges import SEED
from sample.editing import Part
from sample.generate import Settings, check_words, words
from sample.segments import frames_of
from visualize.studio.goal_editing import time_span, with_time

MIN_PART_SECONDS, MAX_PART_SECONDS = 0.1, 20.0
"""Duration of one part of the prompt."""
MAX_TOTAL_SECONDS = 60.0
"""Duration of all parts together."""
MAX_PARTS, MAX_GOALS = 12, 100
MAX_TAKES_AT_ONCE, MAX_STEPS = 8, 200
"""Takes generated together, and sampling steps."""
MAX_PROMPT_LETTERS = 400
"""Maximum length of the prompt of one part."""
MAX_ENTRIES = 3000
"""Maximum number of points of a path, or poses of a goal."""
MAX_SEED = 2**53 - MAX_TAKES_AT_ONCE
"""Largest seed of the first take: browsers represent integers up to 2^53 exactly."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Base:
    """A motion to edit, from second `start`: regenerated up to second `end`, or continued if there is no end."""

    motion: Motion
    start: float
    end: float | None = None

    @staticmethod
    def after(motion: Motion) -> Base:
        """Continue a motion from its end."""
        return Base(motion, motion.frames / FPS)

    def part(self, seconds: float) -> Part:
        """The part to generate, if it lasts `seconds` seconds.

        Raises:
            InputError: for an interval outside of the motion.
        """
        if self.end is None:
            return Part.after(self.motion, seconds)
        return Part.between(self.motion, self.start, self.end)


class PromptPart(Segment):
    """Prompt and duration of a part. While it is being typed the text may be empty; such a plan cannot be generated."""

    model_config = ConfigDict(from_attributes=True)

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:  # overrides the validator of Segment, which refuses empty text
        return text


class Plan(BaseModel):
    """A plan: prompt, goals, and how to generate."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    parts: Annotated[tuple[PromptPart, ...], Field(min_length=1, max_length=MAX_PARTS)] = (
        PromptPart(text="a person walks", seconds=4.0),
    )
    """Prompts and durations, in order."""
    goals: Annotated[tuple[Goal, ...], Field(max_length=MAX_GOALS)] = ()
    model: Annotated[str, Field(max_length=200)] = "v-masks"
    guidance: Annotated[str, Field(max_length=100)] = "projection"
    seed: Annotated[int, Field(ge=SEED.least, le=MAX_SEED)] = 0
    count: Annotated[int, Field(ge=1, le=MAX_TAKES_AT_ONCE)] = 2
    """Number of takes generated together, with consecutive seeds."""
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 50
    text_scale: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = Recommended.text_scale
    clean_up: bool = True
    base: Base | None = Field(default=None, exclude=True)
    """Motion to edit; not saved."""

    @field_validator("parts")
    @classmethod
    def _check_parts(cls, parts: tuple[PromptPart, ...]) -> tuple[PromptPart, ...]:
        for part in parts:
            if not MIN_PART_SECONDS <= part.seconds <= MAX_PART_SECONDS:
                raise ValueError(f"{part.seconds:g} s: a part lasts {MIN_PART_SECONDS:g} to {MAX_PART_SECONDS:g} s")
            if len(part.text) > MAX_PROMPT_LETTERS:
                raise ValueError(f"a prompt of {len(part.text)} letters; say it in {MAX_PROMPT_LETTERS}")
        if sum(part.seconds for part in parts) > MAX_TOTAL_SECONDS:
            raise ValueError(f"the parts last more than {MAX_TOTAL_SECONDS:g} s together; make them shorter")
        return parts

    @field_validator("guidance")
    @classmethod
    def _check_guidance(cls, guidance: str) -> str:
        parse_methods(guidance)
        return guidance

    @model_validator(mode="after")
    def _check_goals_and_base(self) -> Plan:
        if any(goal.kind == "pose" and goal.file is not None for goal in self.goals):
            raise ValueError("a pose names a file; load that motion, and the goal file after it")
        for number, goal in enumerate(self.goals, 1):
            several = [getattr(goal, name, None) for name in ("points", "centers", "motion")]
            if (most := max(len(entries or ()) for entries in several)) > MAX_ENTRIES:
                raise ValueError(f"goal {number} ({goal.kind}) has {most} entries; give up to {MAX_ENTRIES}")
        if self.base is not None:
            self.base.part(self.generated_seconds)
        return self

    @property
    def generated_seconds(self) -> float:
        """Duration of the generated part."""
        return frames_of(self.parts) / FPS

    @property
    def start(self) -> float:
        """Start of the generated part, seconds."""
        return 0.0 if self.base is None else self.base.start

    @property
    def frames(self) -> int:
        """Number of frames of the whole motion."""
        return frames_of(self.parts) if self.base is None else self.base.part(self.generated_seconds).frames

    @property
    def seconds(self) -> float:
        """Time of the last frame of the whole motion, seconds."""
        return (self.frames - 1) / FPS

    @property
    def text(self) -> str:
        """The prompt of all parts."""
        return words("", self.goal_set)

    @property
    def settings(self) -> Settings:
        """Settings for sampling and guidance."""
        return Settings(guidance=self.guidance, steps=self.steps, text_scale=self.text_scale, clean_up=self.clean_up)

    @property
    def goal_set(self) -> GoalSet:
        """The goals, with the parts as segments."""
        return GoalSet(goals=list(self.goals), segments=list(self.parts))

    def changed(self, field: str, value: object) -> Plan:
        """A copy with another value of a field.

        Raises:
            InputError: if the plan would be invalid.
        """
        return _checked({**dict(self), field: value})

    def with_goal(self, goal: Goal, index: int | None = None) -> Plan:
        """A copy with a goal at `index`, or appended."""
        goals = list(self.goals)
        goals[len(goals) if index is None else index : len(goals) if index is None else index + 1] = [goal]
        return self.changed("goals", tuple(goals))

    def without_goal(self, index: int) -> Plan:
        """A copy without a goal."""
        return self.changed("goals", self.goals[:index] + self.goals[index + 1 :])

    def standalone(self) -> Plan:
        """A copy with the same prompt and settings, without goals and edited motion."""
        return self.changed("base", None).changed("goals", ())

    def to_goal_file(self) -> bytes:
        """Serialise goals and parts as a goal file.

        Raises:
            InputError: for a part without text.
        """
        check_words("", self.goal_set)
        content = {"$schema": "schema.json", **self.goal_set.model_dump(mode="json", exclude_none=True)}
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    def with_goal_file(self, goals: GoalSet) -> Plan:
        """A copy with the goals of a file and, if it has segments, its prompt."""
        parts = goals.segments or _extend_parts(self.parts, goals.last_time)
        return _checked({**dict(self), "goals": tuple(goals.goals), "parts": parts, "base": None})

    def to_json(self) -> str:
        """Serialise everything but `base`, for the browser's storage."""
        return self.model_dump_json(exclude_none=True)

    @staticmethod
    def from_json(text: str) -> Plan:
        """Parse the output of `to_json`.

        Raises:
            InputError: for anything else.
        """
        try:
            return Plan.model_validate_json(text)
        except ValidationError as error:
            raise InputError(explain(error)) from None


def _checked(fields: dict[str, Any]) -> Plan:
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        raise InputError(explain(error)) from None


def _extend_parts(parts: tuple[PromptPart, ...], last: float) -> tuple[PromptPart, ...]:
    """Extend the last part such that second `last` lies in the motion."""
    missing = last + 1 / FPS - frames_of(parts) / FPS
    if missing <= 0:
        return parts
    return (*parts[:-1], PromptPart(text=parts[-1].text, seconds=round(parts[-1].seconds + missing, 3)))


def plan_from_motion(motion: Motion, plan: Plan) -> Plan:
    """Restore the plan from a motion's provenance; fields that it lacks are taken from `plan`.

    Raises:
        InputError: for a motion that was edited, and for invalid provenance.
    """
    provenance = motion.provenance
    if "part" in provenance:
        raise InputError("it was made part by part, for which there is no plan")
    try:
        goals = GoalSet.model_validate(provenance.get("goals", {}))
        settings, model = provenance.get("settings", {}), provenance.get("model", {})
        fields = {
            "parts": goals.segments or [PromptPart(text=motion.text or plan.text, seconds=motion.frames / FPS)],
            "goals": goals.goals,
            "model": model.get("name", plan.model),
            "seed": provenance.get("seed", plan.seed),
            "base": None,
        }
        kept = {name: settings[name] for name in ("guidance", "steps", "text_scale", "clean_up") if name in settings}
        return _checked({**dict(plan), **fields, **kept})
    except ValidationError as error:
        raise InputError(explain(error)) from None
    except (TypeError, AttributeError):
        raise InputError("the file does not say what it was made from as this project writes it") from None


@dataclass(frozen=True)
class History(Generic[T]):
    """A value with its past and its undone future. Values are compared by ==."""

    now: T
    past: tuple[T, ...] = ()
    future: tuple[T, ...] = ()
    last_change: str = ""
    """Name of the last change; consecutive changes of one name are undone together."""

    DEPTH = 200

    def push(self, value: T, change: str = "") -> History[T]:
        """Append a value.

        Args:
            value: new present.
            change: name of the change; consecutive changes of one name are undone together.
        """
        if value == self.now:
            return self
        if change and change == self.last_change:
            return replace(self, now=value, future=())
        return History(value, (*self.past, self.now)[-self.DEPTH :], (), change)

    def undo(self) -> History[T]:
        """One step back; unchanged at the beginning."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (self.now, *self.future))

    def redo(self) -> History[T]:
        """One step forward; unchanged at the end."""
        if not self.future:
            return self
        return History(self.future[0], (*self.past, self.now), self.future[1:])


def with_part_seconds(plan: Plan, part: int, seconds: float) -> Plan:
    """The plan with another duration of a part. Goals that last to the end of the motion last to its new end."""
    edited = plan.parts[part].model_copy(update={"seconds": frame_of(seconds) / FPS})
    longer = plan.changed("parts", (*plan.parts[:part], edited, *plan.parts[part + 1 :]))
    goals = []
    for goal in plan.goals:
        when = None if isinstance(goal, Obstacle) else time_span(goal, plan.seconds)
        if when is not None and abs(when[1] - plan.seconds) < 0.5 / FPS:
            goal = with_time(goal, min(when[0], longer.seconds), longer.seconds, longer.seconds)
        goals.append(goal)
    return longer.changed("goals", tuple(goals))


def with_part_text(plan: Plan, part: int, text: str) -> Plan:
    """The plan with another prompt of a part."""
    edited = plan.parts[part].model_copy(update={"text": text})
    return plan.changed("parts", (*plan.parts[:part], edited, *plan.parts[part + 1 :]))


def text_at(plan: Plan, second: float) -> str:
    """The prompt at a second; that of the first or last part outside of the plan."""
    ends = accumulate(part.seconds for part in plan.parts)
    texts = (part.text for part, end in zip(plan.parts, ends, strict=True) if second - plan.start < end)
    return next(texts, plan.parts[-1].text)


def rest_pose() -> Tensor:
    """Joints (22, 3) of the T-pose standing at the origin."""
    return (REST + torch.tensor([0.0, STANDING, 0.0])).float()


def planned_joints(plan: Plan, time: float) -> Tensor:
    """Expected joints (22, 3) of a plan at `time` seconds.

    The pose is that of the motion that the plan edits, or else the rest pose. Its pelvis is above the last
    position that a way-point or path has fixed up to that time.
    """
    joints, frame = rest_pose(), min(frame_of(time), plan.frames - 1)
    if plan.base is not None:
        source = plan.base.motion.joints
        joints = source[min(frame, len(source) - 1)]
    targets = _pelvis_targets(plan)
    known = targets[: frame + 1].isfinite().all(-1).nonzero()[:, 0]
    if len(known):
        x, z = targets[known[-1]].tolist()
        joints = joints - joints[:1] * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([x, 0.0, z])
    return joints


def _pelvis_targets(plan: Plan) -> Tensor:
    """Targets (frames, 2), x and z, of the pelvis; NaN where the plan has none."""
    goals: list[Goal] = [
        goal for goal in plan.goals if goal.kind in ("waypoint", "path") and frame_of(goal.last_time) < plan.frames
    ]
    observed = GoalSet(goals=goals).observe(plan.frames)
    return torch.where(observed.mask, observed.values, torch.nan)[:, 0, [0, 2]]


EXAMPLES: dict[str, tuple[str, float, Goal]] = {
    "Walk a path": (
        "a person walks and turns left and right",
        6.0,
        PathGoal(points=[(0.0, 0.0), (0.8, 1.2), (-0.4, 2.5), (0.5, 3.8)], start=0.0, end=5.95, curve="spline"),
    ),
    "Reach": (
        "a person raises the right hand",
        3.0,
        Joint(joint="right_wrist", time=1.5, position=(-0.35, 1.65, 0.4)),
    ),
    "Crouch": ("a person crouches", 3.0, Joint(joint="pelvis", time=1.5, position=(None, 0.55, None))),
}
"""Prompt, seconds and goal of each example, by its label."""


def example_plan(plan: Plan, label: str) -> Plan:
    """The plan with prompt, duration and goal of an example; model and settings stay."""
    text, seconds, goal = EXAMPLES[label]
    parts = (PromptPart(text=text, seconds=seconds),)
    return plan.standalone().changed("parts", parts).changed("goals", (goal,))


HINTS: tuple[tuple[str, str], ...] = (
    ("try", "<b>Try an example</b>, or press Path and draw on the floor."),
    ("drag", "<b>Drag a green ball</b>, or one of its arrows. The motion follows."),
    ("prompt", "<b>Type another prompt.</b> Press a suggestion to use it."),
    (
        "keys",
        "<b>Space</b> plays and pauses, <b>Ctrl+Z</b> undoes, <b>Delete</b> deletes the selected goal, "
        "<b>Page Up</b> and <b>Page Down</b> step through the frames.",
    ),
)
"""Hints in order, by the name of what they ask for. Each is displayed until that has been done."""


def next_hint(done: frozenset[str]) -> str:
    """The first hint that has not been followed; empty after all."""
    return next((hint for name, hint in HINTS if name not in done), "")
