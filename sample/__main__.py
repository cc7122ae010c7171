"""python -m sample: a sentence and goals in, a motion, a video and a report out; or many motions of a jobs file."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from data_loaders.load_motion import read_motion
from guidance.foot_cleanup import CleanUp
from guidance.goals.feasibility import feasibility
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet, Residual
from motion_diffusion import pretrained
from motion_diffusion.atomic_io import atomic, check_place
from motion_diffusion.body.motion import MAX_SECONDS, Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.option_ranges import SEED, Seed, check_ranges
from motion_diffusion.prompts.known_actions import KNOWN, read_known
from sample.editing import check_edit, edited
from sample.generate import Settings, check, generate
from sample.many import JobsOptions, make_jobs
from sample.prompts import unlearned
from sample.segments import frames_of
from sample.source import Source
from sample.text_fit import DEFAULT_MATCHER, TextFit, Tries, best, text_fit
from visualize.film import write_film
from visualize.topdown import draw_path

BATCH = 16
"""Tries that are sampled together."""
RESULTS = ("motion.npz", "motion.mp4", "path.png", "adherence.json")


@dataclass(frozen=True)
class Options:
    """Make a motion from a sentence and from goals: where to be, and when.

    With --continue-from or --regenerate: a motion that is there goes on, or a part of it is made anew.
    With --jobs FILE.jsonl: a motion for every line of the file; `--jobs FILE.jsonl --help` says how.
    With --known: a table of what the model was trained on, and no motion.
    """

    text: Annotated[str, tyro.conf.Positional] = ""
    """What the person does, e.g. "a tired person walks"; not needed with segments in the goal file."""
    goals: Path | None = None
    """Goal file (JSON), e.g. assets/goals/zigzag.json."""
    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    seconds: float = 6.0
    """How long the motion lasts, or how much longer; with segments in the goal file, these say so."""
    seed: Seed = 0
    tries: Tries = 1
    """Motions to make, from this seed and those after it, of which the best is kept: the one that meets most goals,
    and among those the one that fits its words best."""
    matcher: str = DEFAULT_MATCHER
    """What judges how well a motion fits its words: a shipped text-motion model by its name, or its directory."""
    known: bool = False
    """Print the actions and styles that the model was trained on, with minutes and an example, and end."""
    out: Path = Path("out")
    """Directory for motion.npz, motion.mp4, path.png and adherence.json."""
    overwrite: bool = False
    """Replace results that are there."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)


def check_out(out: Path, overwrite: bool) -> None:
    """InputError if the directory has results that are not to be replaced, or they cannot be written there."""
    there = [name for name in RESULTS if (out / name).exists()]
    if there and not overwrite:
        raise InputError(f"{out} has {', '.join(there)}; give another --out, or --overwrite to replace them")
    for name in RESULTS:
        check_place(out / name)


def table(residuals: list[Residual]) -> str:
    """A row for each goal: what was wanted, what was reached, and the error."""
    rows = [("goal", "at", "wanted x, y, z (m)", "reached x, y, z (m)", "error", "")]
    for number, residual in enumerate(residuals, 1):
        goal, (wanted, _, reached) = residual.goal, residual.what.partition(": ")
        if residual.wanted is not None and residual.reached is not None:
            free = [axis is None for axis in residual.wanted]
            wanted = ", ".join("-" if axis is None else f"{axis:z.2f}" for axis in residual.wanted)
            reached = ", ".join("-" if f else f"{axis:z.2f}" for f, axis in zip(free, residual.reached, strict=True))
        name = f"{number} {goal.kind}" if goal.kind not in ("joint", "contact") else f"{number} {goal.joint}"
        met = "" if residual.met else "missed"
        rows.append((name, goal.when, wanted, reached, f"{100 * residual.error:.1f} cm", met))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def adherence(residuals: list[Residual], warnings: list[str], provenance: Mapping[str, Any]) -> str:
    """The same as JSON, errors in centimetres, with what was feared before, what of the words was not learned, how well
    the motion fits them, and what was cleaned up.

    Without the frames of whole motions, which motion.npz has.
    """
    rows = [
        {
            "goal": residual.goal.model_dump(exclude_none=True, exclude={"motion"}),
            "wanted": residual.wanted,
            "reached": residual.reached,
            "what": residual.what,
            "error_cm": round(100 * residual.error, 3),
            "worst_cm": round(100 * residual.worst, 3),
            "met": residual.met,
        }
        for residual in residuals
    ]
    mean = 100 * sum(residual.error for residual in residuals) / len(residuals) if residuals else None
    report = {
        "mean_error_cm": mean and round(mean, 3),
        "goals": rows,
        "feasibility": warnings,
        "unknown": provenance.get("unknown", []),
        "fit": provenance.get("fit"),
        "clean_up": provenance.get("clean_up"),
    }
    return json.dumps(report, indent=2) + "\n"


def _make(options: Options, goals: GoalSet) -> tuple[Motion, TextFit, list[str]]:
    """The motion, how well it fits its words, and what was to be feared of its goals, which is said before it is made.

    Its file says what of its words was not learned, too.
    """
    text, settings = options.text, options.settings
    seconds = sum(segment.seconds for segment in goals.segments) or options.seconds
    part = options.source.part(seconds)
    frames = part.frames if part else frames_of(goals.segments) or round(seconds * FPS)
    model, matcher = MotionModel.load(options.model), TextMotionEncoder.load(options.matcher)
    if part:
        check_edit(model, text, part, goals, settings)
    else:
        check(model, [text], [frames], [goals], settings)
    warnings, unknown = feasibility(goals, frames), unlearned(model.known, text, goals)
    for warning in [*unknown, *warnings]:
        print(f"warning: {warning}", file=sys.stderr)
    seeds = range(options.seed, options.seed + options.tries)
    SEED.check("--seed and --tries: the last seed", seeds[-1])
    motions: list[Motion] = []
    for some in (seeds[i : i + BATCH] for i in range(0, len(seeds), BATCH)):
        if part:
            motions += [
                edited(model, text, part, goals=goals, seed=seed, settings=settings, progress=True) for seed in some
            ]
        else:
            motions += generate(
                model, [text] * len(some), [frames] * len(some), goals=[goals] * len(some), seeds=some,
                settings=settings, progress=True,
            )  # fmt: skip
    motion, fit = best(motions, [text_fit(matcher, motion, text, goals, part) for motion in motions])
    said = {"unknown": unknown, "fit": asdict(fit), "tries": options.tries}
    return replace(motion, provenance={**motion.provenance, **said}), fit, warnings


def _knows(name: str) -> str:
    """The table of what a model was trained on; a line if it has none."""
    folder = pretrained.find(name, "models")
    known = read_known(folder)
    if known is None:
        return f"{name} does not say what it was trained on: there is no {folder / KNOWN}"
    return f"{known.table()}\n{len(known.actions)} actions, {known.hours:.2f} hours"


@command
def main() -> None:
    """The command."""
    if any(argument.partition("=")[0] == "--jobs" for argument in sys.argv):
        if told := make_jobs(parse_arguments(JobsOptions, prog="python -m sample")):
            print(told)
        return
    options = parse_arguments(Options, prog="python -m sample")
    check_ranges(options)
    if options.known:
        print(_knows(options.model))
        return
    check_out(options.out, options.overwrite)
    goals = load_goals(options.goals, read_motion=read_motion) if options.goals else GoalSet()
    if not 0 < options.seconds <= MAX_SECONDS:
        wanted = f"give how long the motion lasts, such as 6, up to {MAX_SECONDS:g}"
        raise InputError(f"--seconds {options.seconds:g}: {wanted}")
    motion, fit, warnings = _make(options, goals)
    became = zip(goals.goals, motion.provenance["residuals"], strict=True)
    residuals = [Residual(goal=goal, **residual) for goal, residual in became]
    motion.save(options.out / "motion.npz")
    write_film(motion, options.out / "motion.mp4", goals=goals)
    draw_path(motion, options.out / "path.png", goals=goals)
    with atomic(options.out / "adherence.json") as path:
        path.write_text(adherence(residuals, warnings, motion.provenance))
    if residuals:
        print(table(residuals))
    if "part" in motion.provenance:
        print(f"what is made fits what is kept to within {motion.provenance['part']['seam_cm']:.3f} cm")
    if options.tries > 1:
        print(f"the best of {options.tries}: seed {motion.provenance['seed']}")
    if fit.sentence and not motion.provenance["unknown"]:  # of other words the judge knows as little
        print(fit.sentence + ("; try --tries 8, or other words" if fit.words == "hardly" else ""))
    for line in CleanUp(**motion.provenance["clean_up"]).unsettled:
        print(f"warning: {line}", file=sys.stderr)
    print(f"{motion.seconds:g} s of motion: {', '.join(str(options.out / name) for name in RESULTS)}")


if __name__ == "__main__":
    main()
