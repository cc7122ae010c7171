"""What motions say of themselves: the goals they were made with, and what tells several apart."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from guidance.goals import Goals
from motion_diffusion.errors import InputError
from motion_diffusion.motion import Motion


def goals_of(motion: Motion) -> Goals:
    """The goals that a motion was made with; none if it does not say. InputError if they are none of ours."""
    try:
        return Goals.model_validate(motion.provenance.get("goals", {}))
    except ValidationError:
        raise InputError("the motion's own goals cannot be read; give a goal file as --goals") from None


def titles_of(motions: Sequence[Motion]) -> list[str]:
    """For each motion its model, and guidance and seed where these differ; for one that no model made, the name of the
    file that it was read from, or "real".

    One motion alone needs no title.
    """
    if len(motions) == 1:
        return [""]
    facts = [_facts(motion) for motion in motions]
    made = [fact for fact in facts if fact[2]]
    differ = [True, *(len({fact[part] for fact in made}) > 1 for part in (1, 2))]
    titles = [", ".join(word for word, tells in zip(fact, differ, strict=True) if tells and word) for fact in facts]
    return [f"{title} ({number})" if titles.count(title) > 1 else title for number, title in enumerate(titles, 1)]


def _facts(motion: Motion) -> tuple[str, str, str]:
    """Model, guidance and seed that made a motion."""
    about, settings = (motion.provenance.get(name) for name in ("model", "settings"))
    if not isinstance(about, dict):
        return str(motion.provenance.get("file", "real")), "", ""
    guidance = settings.get("guidance", "") if isinstance(settings, dict) else ""
    return str(about.get("name", "a model")), str(guidance), f"seed {motion.provenance.get('seed', '?')}"
