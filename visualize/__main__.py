"""python -m visualize: films, stills and exported files of motions, and the studio."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import check_place
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import FRAME_RATES
from motion_diffusion.errors import InputError, command, parse_arguments
from visualize.bodies.surface import Looks, check_looks
from visualize.drawing.canvas import check_count
from visualize.film import FILM_ENDINGS, MAX_MOTIONS, Layout, check_film, check_size, write_film
from visualize.scene import make_titles, recorded_goals, short_names
from visualize.stills import draw_contact_sheet, draw_strip, motion_files
from visualize.topdown import draw_path


@dataclass(frozen=True)
class Options:
    """Render or export motions; the suffix of --out selects the format.

    .mp4, .gif: a film. .png: key poses of one motion, a contact sheet of several or of a folder, or top-down paths.
    .bvh, .glb, .npz (AMASS layout), .csv: a file for other programs. `python -m visualize studio`: an interactive page
    for drawing goals. `python -m visualize plots`: figures of trainings, evaluations and analyses.
    """

    motions: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them."""
    out: Path
    """File to write."""
    view: Literal["poses", "path"] = "poses"
    """Content of a .png: key poses, or the path from above."""
    layout: Layout = "side"
    """Film of several motions: side by side, or on one floor, each in its own tint."""
    looks: Annotated[Looks, tyro.conf.arg(name="")] = field(default_factory=Looks)
    goals: Path | None = None
    """Goal file to draw; by default the goals that each motion was generated with."""
    titles: tuple[str, ...] | None = None
    """One per motion; by default what distinguishes them."""
    size: tuple[int, int] = (640, 480)
    """Width and height of each motion's panel in a film, pixels."""
    page: int = 1
    """Page of a contact sheet."""
    fps: float | None = None
    """Frames per second of a film or an exported file; by default those of the motion."""
    unit: Literal["m", "cm"] = "m"
    """Unit of length in a .bvh or .csv."""
    t_pose: bool = False
    """Start an exported file with one frame of the rest pose."""
    overwrite: bool = False
    """Replace an existing file."""

    @property
    def single(self) -> bool:
        """Whether one motion file is given, and no folder."""
        return len(self.motions) == 1 and not os.path.isdir(self.motions[0])


FILMS, PICTURES, FILES = FILM_ENDINGS, (".png",), (".bvh", ".glb", ".npz", ".csv")
_ONLY: dict[str, tuple[str, ...]] = {
    "view": PICTURES, "layout": FILMS, "goals": FILMS + PICTURES, "titles": FILMS + PICTURES, "size": FILMS,
    "page": PICTURES, "fps": FILMS + FILES, "unit": (".bvh", ".csv"), "t_pose": FILES,
}  # fmt: skip


def check(options: Options) -> str:
    """Check the options.

    Returns:
        The suffix of --out in lower case.

    Raises:
        InputError: for a suffix without a format, an option that does not belong to it, or an existing file.
    """
    ending = options.out.suffix.lower()
    if ending not in FILMS + PICTURES + FILES:
        known = ", ".join(FILMS + PICTURES + FILES)
        raise InputError(f"{options.out}: its ending says what to write, one of {known}; choose another --out")
    check_place(options.out)
    if options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists; give another --out, or --overwrite to replace it")
    if not options.motions:
        raise InputError("no motion given; name a file, or a folder of files")
    usual = Options((), Path())
    for name, endings in _ONLY.items():
        if getattr(options, name) != getattr(usual, name) and ending not in endings:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is of {', '.join(endings)} files; leave it out for {options.out}")
    if (options.view == "path" or ending in FILES) and replace(options.looks, body_models=None) != usual.looks:
        raise InputError(f"--body and --gender are of films and of poses; leave them out for {options.out}")
    if options.page != 1 and (options.view == "path" or options.single):
        raise InputError("--page is of a sheet of many motions; leave it out")
    if options.fps is not None and ending in FILMS:
        check_film(options.out, options.fps)
    elif options.fps is not None:
        FRAME_RATES.check("--fps", options.fps)
    check_size(options.size)
    check_looks(options.looks)
    return ending


@command
def main() -> None:
    """Run the command."""
    if sys.argv[1:2] == ["studio"]:
        from visualize.studio.__main__ import Options as StudioOptions
        from visualize.studio.__main__ import run

        return run(parse_arguments(StudioOptions, prog="python -m visualize studio", args=sys.argv[2:]))
    if sys.argv[1:2] == ["plots"]:
        from visualize.plots.__main__ import main as plots

        return plots(sys.argv[2:])
    options = parse_arguments(Options, prog="python -m visualize")
    ending = check(options)
    files = motion_files(options.motions)
    if os.path.realpath(options.out) in map(os.path.realpath, files):
        raise InputError(f"{options.out} is a motion that is to be shown; give another --out")
    if options.titles is not None and len(options.titles) != len(files):
        raise InputError(f"{len(options.titles)} titles for {len(files)} motions; give one for each")
    if ending in FILES:
        return _export(files, options)
    if ending in FILMS or options.view == "path":
        return _show(files, options)
    return _still(files, options)


def _read(file: Path, options: Options) -> Motion:
    return read_motion(file, own_rate=True, body_models=options.looks.body_models)


def _goals(motion: Motion, file: Path, given: GoalSet | None) -> GoalSet:
    """The given goals or else the motion's own, with a warning about goals after its end, which cannot be measured."""
    goals = given or recorded_goals(motion, file)
    last = motion.seconds - 0.5 / motion.fps
    if late := sum(goal.last_time > last for goal in goals.goals):
        end = f"{file} ends at {motion.seconds - 1 / motion.fps:g} s"
        print(f"warning: {end}, before {late} of its goals, which are drawn but not measured", file=sys.stderr)
    return goals


def _export(files: Sequence[Path], options: Options) -> None:
    from visualize.export.formats import export

    if len(files) != 1:
        raise InputError(f"{options.out} holds one motion, {len(files)} were given; write each to a file of its own")
    motion = _read(files[0], options)
    export(motion, options.out, fps=options.fps, unit=options.unit, t_pose=options.t_pose)


def _show(files: Sequence[Path], options: Options) -> None:
    """Write a film or a top-down view."""
    check_count(len(files), most=MAX_MOTIONS[options.layout])
    given = load_goals(options.goals, read_motion=read_motion) if options.goals else None
    motions = [_read(file, options) for file in files]
    goals = [_goals(motion, file, given) for motion, file in zip(motions, files, strict=True)]
    titles = options.titles or make_titles(motions, short_names(files))
    if options.view == "path":
        return draw_path(motions, options.out, goals=goals, titles=titles)
    write_film(
        motions,
        options.out,
        goals=goals,
        titles=titles,
        layout=options.layout,
        looks=options.looks,
        size=options.size,
        fps=options.fps,
    )


def _still(files: Sequence[Path], options: Options) -> None:
    """Draw key poses of one motion, or a contact sheet of several."""
    goals = load_goals(options.goals, read_motion=read_motion) if options.goals else None
    if options.single:
        motion = _read(files[0], options)
        goals = _goals(motion, files[0], goals)
        title = options.titles[0] if options.titles else ""
        return draw_strip(motion, options.out, goals=goals, looks=options.looks, title=title)
    print(
        draw_contact_sheet(
            files, options.out, goals=goals, titles=options.titles, looks=options.looks, page=options.page
        )
    )


if __name__ == "__main__":
    main()
