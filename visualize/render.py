"""A motion as a film, a picture or a file for other programs, by the ending of the file's name."""

from __future__ import annotations

from pathlib import Path

from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from visualize.export.formats import ENDINGS, export
from visualize.film import write_film
from visualize.stills import draw_strip


def render(motion: Motion, path: str | Path) -> None:
    """Write a motion with the goals that it was made with.

    Args:
        motion: The motion.
        path: .mp4 or .gif for a film, .png for key poses, .bvh, .glb, .npz (as AMASS has it) or .csv for other
            programs. What is there is replaced.

    Raises:
        InputError: For another ending.
    """
    ending = Path(path).suffix.lower()
    goals = motion.provenance.get("goals")
    wanted = GoalSet.model_validate(goals) if isinstance(goals, dict) else None
    if ending in ENDINGS:
        export(motion, path)
    elif ending == ".png":
        draw_strip(motion, path, goals=wanted)
    else:
        write_film(motion, path, goals=wanted)
