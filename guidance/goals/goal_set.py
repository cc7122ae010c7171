"""Goals: where the body should be, and when. One JSON format for every way of giving them.

    {"version": 1, "goals": [
        {"kind": "waypoint", "time": 2.0, "x": 0.0, "z": 2.0},
        {"kind": "path", "points": [[0, 0], [0, 2], [1, 3]], "start": 0.0, "end": 5.0},
        {"kind": "joint", "joint": "right_wrist", "time": 3.0, "position": [null, 1.6, null]}]}

Metres, y up; the motion begins at (0, 0) facing +z, with left at +x. Times are seconds, or frames where the field is
called `frame`. Every goal may have a `tolerance` in metres (within it, it counts as met) and a `weight`. What each kind
takes is in assets/goals/schema.json, which editors read to complete and check a goal file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from torch import Tensor

from guidance.goals.base import Coordinate, Duration, GoalBase, Seconds, frame_of, like
from guidance.goals.heading import Heading
from guidance.goals.kinds import KINDS, Goal
from guidance.goals.observation import Observation
from guidance.goals.obstacles import Obstacle
from guidance.goals.orientations import Orientation
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact, Loop, Relation
from guidance.goals.residual import Residual
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError

__all__ = [
    "KINDS", "Contact", "Coordinate", "Goal", "GoalBase", "GoalSet", "Heading", "Joint", "Loop", "Obstacle",
    "Orientation", "PathGoal", "Pose", "Relation", "Residual", "Seconds", "Segment", "Waypoint", "load_goals",
    "write_schema",
]  # fmt: skip

_ROUNDS = 12  # times that a goal is asked again, when others hold a part of what it wants


class Segment(BaseModel):
    """A prompt and how long it lasts, one after the other on the motion's timeline."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    text: str
    """What the person does meanwhile."""
    seconds: Duration
    """How long, in seconds."""

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
        return text


def _takes_schema(schema: dict[str, Any]) -> None:
    schema["properties"]["$schema"] = {"type": "string", "description": "Where this schema is, for editors."}


class GoalSet(BaseModel):
    """A list of goals, as it stands in a goal file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_extra=_takes_schema
    )

    version: Literal[1] = 1
    """Of the format."""
    goals: list[Goal] = []
    """What the body should do, where and when."""
    segments: list[Segment] = []
    """Prompts on one timeline; none for a motion with one prompt that is given elsewhere."""

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
        """Whether what any goal wants depends on the motion, so that `target_for` says more than `observe`."""
        return any(goal.is_motion_dependent for goal in self.goals)

    @property
    def last_time(self) -> float:
        """The last second that any goal speaks of; 0 without goals."""
        return max((goal.last_time for goal in self.goals), default=0.0)

    def resolved(self, folder: str | Path = ".") -> GoalSet:
        """The same with poses from files read, their paths starting at a folder. InputError names goal and file."""
        goals: list[GoalBase] = []
        for number, goal in enumerate(self.goals, 1):
            try:
                goals.append(goal.resolved(Path(folder)) if isinstance(goal, Pose) else goal)
            except InputError as error:
                raise InputError(f"goal {number} (pose): field file: {error}") from None
        return self.model_copy(update={"goals": goals})

    def check(self, frames: int) -> None:
        """InputError if a goal speaks of a time beyond a motion of so many frames, or two goals contradict."""
        self._check_times(frames)
        said: dict[int, list[tuple[int, float]]] = {}
        for number, goal in enumerate(self.goals):
            observation = goal.observe(frames)
            places = observation.mask.flatten().nonzero()[:, 0]
            values = observation.values.flatten()[places].tolist()
            for place, value in zip(places.tolist(), values, strict=True):
                for other, before in said.setdefault(place, []):
                    if abs(before - value) > max(self.goals[other].tolerance, goal.tolerance) + 1e-5:
                        raise self._contradiction(other, number, place, before, value)
                said[place].append((number, value))

    def _contradiction(self, one: int, other: int, place: int, a: float, b: float) -> InputError:
        """The complaint about two goals that want other values at a place (frame, joint, axis) of all positions."""
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
        """What all goals want of any motion of so many frames, (F, 22, 3); later goals win where they meet."""
        self._check_times(frames)
        observation = Observation.empty(frames)
        for goal in self.goals:
            observation = observation.updated(goal.observe(frames), weight=goal.weight)
        return observation

    def target_for(self, joints: Tensor, *, most_violated: bool = False) -> Observation:
        """What all goals want of this motion (F, 22, 3), detached.

        What does not depend on the motion comes first. Each of the others, in order, is asked about the motion with
        what has been said written into it, the body taken along where that moves the pelvis, and adds what nothing has
        been said of yet. most_violated: only that, see `GoalBase.most_violated`.
        """
        said = like(self.observe(len(joints)), joints)
        for goal in self.goals:
            if goal.is_motion_dependent:
                ask = goal.most_violated if most_violated else goal.target_for
                wanted = _free_part(ask, said.written_into(joints), said.mask)
                said = replace(wanted, weights=torch.full_like(said.weights, goal.weight)).updated(said)
        return said

    def parted(self) -> tuple[GoalSet, list[Orientation]]:
        """Those of places, and those of how joints are turned."""
        turns = [goal for goal in self.goals if isinstance(goal, Orientation)]
        turns += [turn for goal in self.goals if isinstance(goal, Pose) for turn in goal.turns()]
        places = [goal for goal in self.goals if not isinstance(goal, Orientation)]
        return self.model_copy(update={"goals": places}), turns

    def residuals(self, joints: Tensor, world: Tensor | None = None) -> list[Residual]:
        """How well a motion (F, 22, 3) meets each goal; world: (F, 22, 3, 3) orientations of its joints, if known."""
        self._check_times(len(joints))
        return [Residual.of(goal, joints, world) for goal in self.goals]


def _free_part(ask: Callable[[Tensor], Observation], joints: Tensor, taken: Tensor) -> Observation:
    """What a goal that is asked about joints wants where nothing is taken (mask (F, 22, 3)).

    If it wants something there too, it is asked again with the rest as it wanted it: one hand can move as well as two.
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


SCHEMA = ASSETS / "goals" / "schema.json"
"""What a goal file may say, as a JSON schema: name it in a file's "$schema", and editors complete and check it."""


def write_schema() -> None:
    """Write the schema of goal files anew."""
    SCHEMA.write_text(json.dumps(GoalSet.model_json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_goals(path: str | Path) -> GoalSet:
    """Read a goal file, and the motions that it takes poses from.

    InputError names the file, the goal and the field, and says what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no goal file {path}; give the path of a JSON file like assets/goals/zigzag.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
        return GoalSet.model_validate(data).resolved(path.parent)
    except ValidationError as error:
        message = explain(error)
    except InputError as error:
        message = str(error)
    except RecursionError:
        message = "is nested too deeply; a goal file has goals, and goals have numbers"
    except ValueError as error:  # not JSON, not UTF-8, or a whole number of thousands of digits
        message = f"is not JSON: {error}; check commas, quotes and brackets there"
    joint = " " if message.startswith("is ") else ": "
    raise InputError(f"{path}{joint}{' '.join(message.split())}") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; InputError if it has a key twice, since one would be lost."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"has the field {twice[:40]!r} twice in one object; take one out")
    return result


_WORDS = {
    "extra_forbidden": "unknown field; take it out or correct its name",
    "missing": "is missing; add it",
    "bool_type": "should be true or false",
    "model_attributes_type": "should be an object {...}",
    "model_type": "should be an object {...}",
    "tuple_type": "should be a list of numbers [...]",
    "union_tag_invalid": f"unknown or missing 'kind'; choose from {', '.join(KINDS)}",
    "union_tag_not_found": f"unknown or missing 'kind'; choose from {', '.join(KINDS)}",
}


def explain(error: ValidationError) -> str:
    """The first complaint in words: which goal, which field, what is wrong, and what would be right."""
    first = error.errors(include_url=False)[0]
    place: Sequence[int | str] = first["loc"]
    kind, message = first["type"], first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if kind in _WORDS:
        message = _WORDS[kind]
    elif kind in ("too_short", "too_long"):
        least, most, size = (first["ctx"].get(name) for name in ("min_length", "max_length", "actual_length"))
        message = (
            f"should have {most if kind == 'too_long' else least} entries{' or more' * (most is None)}, not {size}"
        )
    elif kind != "value_error":
        message += f", not {_shown(first['input'])}"
    words = []
    if len(place) >= 2 and place[0] == "goals":
        words.append(f"goal {int(place[1]) + 1}" + (f" ({place[2]})" if len(place) > 2 else ""))
        place = place[3:]
    elif len(place) >= 2 and place[0] == "segments":
        words.append(f"segment {int(place[1]) + 1}")
        place = place[2:]
    if place:
        words.append("field " + ".".join(str(part)[:40] for part in place))
    return " ".join(": ".join([*words, message]).split())


def _shown(value: Any) -> str:
    """A value that was found in a file, cut to a few letters."""
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    try:
        words = json.dumps(value, ensure_ascii=True)
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"
    return words if len(words) <= 40 else words[:37] + "..."
