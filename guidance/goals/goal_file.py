"""Goal files: reading, checking, error messages and the JSON schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from guidance.goals.goal_set import KINDS, GoalSet
from guidance.goals.poses import ReadMotion
from motion_diffusion.assets import ASSETS
from motion_diffusion.errors import InputError, parse_json

SCHEMA = ASSETS / "goals" / "schema.json"
"""JSON schema of goal files. Editors complete and validate a file that names it as "$schema"."""

NESTED = "a goal file has goals, and goals have numbers"
"""Remedy for goal files that are nested too deeply."""


def write_schema() -> None:
    """Regenerate the schema of goal files."""
    SCHEMA.write_text(json.dumps(GoalSet.model_json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_goals(path: str | Path, *, read_motion: ReadMotion | None = None) -> GoalSet:
    """Read a goal file, including the motions that its poses refer to.

    Args:
        path: the file.
        read_motion: reads motion files, e.g. `data_loaders.load_motion.read_motion`; needed if any pose has a file.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: names the file, the goal and the field, with a remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no goal file {path}; give the path of a JSON file like assets/goals/zigzag.json")
    try:
        data = parse_json(path.read_bytes(), NESTED)
        return GoalSet.model_validate(data).resolved(path.parent, read_motion=read_motion)
    except ValidationError as error:
        message = explain(error)
    except InputError as error:
        message = str(error)
    joint = " " if message.startswith("is ") else ": "
    raise InputError(f"{path}{joint}{' '.join(message.split())}") from None


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
    """The first validation error as text: which goal, which field, what is wrong, and what is valid."""
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
    """A value of a file, abbreviated."""
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    try:
        words = json.dumps(value, ensure_ascii=True)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"
    return words if len(words) <= 40 else words[:37] + "..."
