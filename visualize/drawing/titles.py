"""What motions say of themselves: the goals they were made with, and what tells several apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from guidance.goals.goal_file import explain
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError


def goals_of(motion: Motion, file: Path) -> GoalSet:
    """The goals that a motion, read from a file, was made with; none if it does not say.

    InputError, with the file and what is wrong, if they are none of ours.
    """
    try:
        return GoalSet.model_validate(motion.provenance.get("goals", {}))
    except ValidationError as error:
        raise InputError(f"{file}: the goals it was made with: {explain(error)}; give a goal file as --goals") from None


def names_of(files: Sequence[Path]) -> list[str]:
    """File names without ending, and with as many folders as it takes to tell them apart."""
    for parts in range(1, max(len(file.parts) for file in files) + 1):
        names = ["/".join(file.with_suffix("").parts[-parts:]) for file in files]
        if len(set(names)) == len(names):
            break
    return names


def titles_of(motions: Sequence[Motion], names: Sequence[str] | None = None) -> list[str]:
    """For each motion its model, and guidance and seed where these differ; for one that no model made, its name.

    names: of each; by default that of the file that it was read from, or "real". Those that would be the same, and say
    the same words, are numbered. One motion alone needs no title.
    """
    if len(motions) == 1:
        return [""]
    facts = [_facts(motion, name) for motion, name in zip(motions, names or [""] * len(motions), strict=True)]
    made = [fact for fact in facts if fact[2]]
    differ = [True, *(len({fact[part] for fact in made}) > 1 for part in (1, 2))]
    titles = [", ".join(word for word, tells in zip(fact, differ, strict=True) if tells and word) for fact in facts]
    told = [(title, motion.text) for title, motion in zip(titles, motions, strict=True)]
    return [f"{of[0]} ({number})" if told.count(of) > 1 else of[0] for number, of in enumerate(told, 1)]


def _facts(motion: Motion, name: str) -> tuple[str, str, str]:
    """Model, guidance and seed that made a motion."""
    about, settings = (motion.provenance.get(key) for key in ("model", "settings"))
    if not isinstance(about, dict):
        return name or str(motion.provenance.get("file", "real")), "", ""
    guidance = settings.get("guidance", "") if isinstance(settings, dict) else ""
    return str(about.get("name", "a model")), str(guidance), f"seed {motion.provenance.get('seed', '?')}"
