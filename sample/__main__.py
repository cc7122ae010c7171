"""python -m sample: generate a motion, a video and a report from a prompt and goals, or many from a jobs file."""

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
from motion_diffusion.body.skeleton import frame_of
from motion_diffusion.engine import EngineName
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.option_ranges import SEED, Seed, check_ranges
from motion_diffusion.prompts import KNOWN, read_known
from sample.editing import EditOptions, check_edit, edited
from sample.generate import Settings, check, generate
from sample.jobs import JobsOptions, run_jobs
from sample.quality import Quality, QualityName
from sample.segments import frames_of
from sample.text_fit import DEFAULT_MATCHER, TextFit, Tries, best_motion, text_fit, unknown_words
from visualize.film import write_film
from visualize.topdown import draw_path

BATCH = 16
"""Tries sampled together."""
RESULTS = ("motion.npz", "motion.mp4", "path.png", "adherence.json")


@dataclass(frozen=True)
class Options:
    """Generate a motion from a prompt and from goals: where to be, and when.

    With --continue-from or --regenerate: continue an existing motion, or regenerate a part of it.
    With --jobs FILE.jsonl: generate a motion for every line of the file; see `--jobs FILE.jsonl --help`.
    With --known: print what the model was trained on, and generate nothing.
    """

    text: Annotated[str, tyro.conf.Positional] = ""
    """Prompt, e.g. "a tired person walks"; not needed with segments in the goal file."""
    goals: Path | None = None
    """Goal file (JSON), e.g. assets/goals/zigzag.json."""
    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    engine: EngineName = "auto"
    """What evaluates the network: PyTorch, ONNX Runtime (extra `onnx`), or whichever is faster here."""
    seconds: float = 6.0
    """Duration of the motion, or of its continuation; segments in the goal file have their own durations."""
    seed: Seed = 0
    """Seed of the initial noise."""
    quality: QualityName = "normal"
    """live: in a few steps, by the model distilled from --model where there is one; best: the best of 8 tries."""
    tries: Tries | None = None
    """Number of motions to generate, from this seed and those after it. The best is kept: the one that meets the most
    goals, and among those the one that fits its text best. By default that of the quality: 1, or 8."""
    matcher: str = DEFAULT_MATCHER
    """Text-motion embedding model that measures how well a motion fits its text: a shipped name, or a directory."""
    known: bool = False
    """Print the actions and styles that the model was trained on, with minutes and an example, and exit."""
    out: Path = Path("out")
    """Directory for motion.npz, motion.mp4, path.png and adherence.json."""
    overwrite: bool = False
    """Replace existing results."""
    edit: Annotated[EditOptions, tyro.conf.arg(name="")] = field(default_factory=EditOptions)
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)


def check_out(out: Path, overwrite: bool) -> None:
    """Raise InputError if the directory has results that must not be replaced, or is not writable."""
    there = [name for name in RESULTS if (out / name).exists()]
    if there and not overwrite:
        raise InputError(f"{out} has {', '.join(there)}; give another --out, or --overwrite to replace them")
    for name in RESULTS:
        check_place(out / name)


def residual_table(residuals: list[Residual]) -> str:
    """Format a table with a row for each goal: its target, the achieved position, and the error."""
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


def adherence_report(residuals: list[Residual], warnings: list[str], provenance: Mapping[str, Any]) -> str:
    """Format the content of adherence.json.

    Args:
        residuals: The residual of each goal. Motions of pose goals are left out; motion.npz has them.
        warnings: Feasibility warnings on the goals.
        provenance: Of the motion; unknown words, text fit and foot clean-up are taken from it.
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


def _generate(options: Options, goals: GoalSet) -> tuple[Motion, TextFit, list[str]]:
    """Generate the motion and choose the best try; warnings are printed before sampling.

    Returns:
        The motion, with unknown words and text fit in its provenance; its text fit; and the feasibility warnings.
    """
    quality = Quality.of(options.quality, options.model, options.settings, options.tries)
    text, settings, tries = options.text, quality.settings, quality.tries
    seconds = sum(segment.seconds for segment in goals.segments) or options.seconds
    part = options.edit.part(seconds)
    frames = part.frames if part else frames_of(goals.segments) or frame_of(seconds)
    model, encoder = MotionModel.load(quality.model, engine=options.engine), TextMotionEncoder.load(options.matcher)
    if part:
        check_edit(model, text, part, goals, settings)
    else:
        check(model, [text], [frames], [goals], settings)
    warnings, unknown = feasibility(goals, frames), unknown_words(model.known, text, goals)
    for warning in [*unknown, *warnings]:
        print(f"warning: {warning}", file=sys.stderr)
    seeds = range(options.seed, options.seed + tries)
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
    motion, fit = best_motion(motions, [text_fit(encoder, motion, text, goals, part) for motion in motions])
    report = {"unknown": unknown, "fit": asdict(fit), "tries": tries}
    return replace(motion, provenance={**motion.provenance, **report}), fit, warnings


def _training_data(name: str) -> str:
    """The table of actions that a model was trained on; a line if it has none."""
    folder = pretrained.find(name, "models")
    known = read_known(folder)
    if known is None:
        return f"{name} does not say what it was trained on: there is no {folder / KNOWN}"
    return f"{known.table()}\n{len(known.actions)} actions, {known.hours:.2f} hours"


@command
def main() -> None:
    """Run the command."""
    if any(argument.partition("=")[0] == "--jobs" for argument in sys.argv):
        if summary := run_jobs(parse_arguments(JobsOptions, prog="python -m sample")):
            print(summary)
        return
    options = parse_arguments(Options, prog="python -m sample")
    check_ranges(options)
    if options.known:
        print(_training_data(options.model))
        return
    check_out(options.out, options.overwrite)
    goals = load_goals(options.goals, read_motion=read_motion) if options.goals else GoalSet()
    if not 0 < options.seconds <= MAX_SECONDS:
        raise InputError(
            f"--seconds {options.seconds:g}: give how long the motion lasts, such as 6, up to {MAX_SECONDS:g}"
        )
    motion, fit, warnings = _generate(options, goals)
    achieved = zip(goals.goals, motion.provenance["residuals"], strict=True)
    residuals = [Residual(goal=goal, **residual) for goal, residual in achieved]
    motion.save(options.out / "motion.npz")
    write_film(motion, options.out / "motion.mp4", goals=goals)
    draw_path(motion, options.out / "path.png", goals=goals)
    with atomic(options.out / "adherence.json") as path:
        path.write_text(adherence_report(residuals, warnings, motion.provenance))
    if residuals:
        print(residual_table(residuals))
    if "part" in motion.provenance:
        print(f"the new part fits what is kept to within {motion.provenance['part']['seam_cm']:.3f} cm")
    if (tries := motion.provenance["tries"]) > 1:
        print(f"the best of {tries}: seed {motion.provenance['seed']}")
    if fit.sentence and not motion.provenance["unknown"]:  # the embedding model does not know unknown words either
        words = "words that say where the goals lead" if goals.goals else "other words"
        print(fit.sentence + (f"; try --tries 8, or {words}" if fit.words == "hardly" else ""))
    for line in CleanUp(**motion.provenance["clean_up"]).unsettled:
        print(f"warning: {line}", file=sys.stderr)
    print(f"{motion.seconds:g} s of motion: {', '.join(str(options.out / name) for name in RESULTS)}")


if __name__ == "__main__":
    main()
