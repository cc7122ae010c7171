"""What of the prompts of a motion its model did not learn, said before anything is sampled."""

from __future__ import annotations

from guidance.goals.goal_set import GoalSet
from motion_diffusion.prompts.known_actions import Known
from motion_diffusion.prompts.unknown_words import unknown_in


def unlearned(known: Known | None, text: str, goals: GoalSet) -> list[str]:
    """A line on each prompt, that of the motion or those of its segments, that is unlike what was learned.

    Nothing where what the model learned is not known.
    """
    if known is None:
        return []
    prompts = [segment.text for segment in goals.segments] or [text]
    lines = []
    for number, prompt in enumerate(prompts, 1):
        if unknown := unknown_in(prompt, known):
            lines.append(f"segment {number}: {unknown.warning}" if len(prompts) > 1 else unknown.warning)
    return lines
