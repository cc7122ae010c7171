"""python -m visualize: a film or a picture of motions that were made before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from guidance.goals import Goals, load_goals
from motion_diffusion.errors import InputError, command
from motion_diffusion.motion import Motion
from visualize.film import write_film
from visualize.path import draw_path
from visualize.strip import draw_strip


@dataclass(frozen=True)
class Options:
    """Show motions: as a film, as key poses in one picture, or as the walk from above."""

    motions: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files (.npz); several are filmed side by side."""
    out: Path
    """What to write: .mp4, or .png."""
    view: Literal["poses", "path"] = "poses"
    """What a .png shows."""
    goals: Path | None = None
    """Goal file to draw; by default the goals that the first motion was made with."""
    fps: float | None = None
    """Pictures a second of a film; by default the motion's own."""
    overwrite: bool = False


def goals_of(motion: Motion) -> Goals:
    """The goals that a motion was made with; none if it does not say."""
    return Goals.model_validate(motion.provenance.get("goals", {}))


@command
def main() -> None:
    """The command."""
    options = tyro.cli(Options, prog="python -m visualize")
    suffix = options.out.suffix
    if suffix not in (".mp4", ".png"):
        raise InputError(f"{options.out}: a film ends in .mp4, a picture in .png; choose another --out")
    if options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists; give another --out, or --overwrite to replace it")
    if suffix == ".png" and len(options.motions) != 1:
        raise InputError(f"a picture shows one motion, {len(options.motions)} were given; write a .mp4 for several")
    motions = [Motion.load(path) for path in options.motions]
    goals = load_goals(options.goals) if options.goals else goals_of(motions[0])
    if suffix == ".mp4":
        write_film(motions, options.out, goals=goals, fps=options.fps)
    elif options.view == "poses":
        draw_strip(motions[0], options.out, goals=goals)
    else:
        draw_path(motions[0], options.out, goals=goals)


if __name__ == "__main__":
    main()
