"""python -m sample.evaluate: measure a model under guidance, on motions of a test split, beside the real clips."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

from data_loaders.clip import Clip
from motion_diffusion.errors import command
from motion_diffusion.files import atomic
from motion_diffusion.metrics import fastest_root
from motion_diffusion.model import MotionModel
from sample.judge import ActionJudge
from sample.study import StudyOptions, study
from sample.trials import Setup, Trial, draw, figures, make, of_split, train_judge


@dataclass(frozen=True)
class Options(Setup):
    """Measure a model: how well it meets key frames, how its feet and root move, and whether it does what was asked.

    With --study: several models, ways of guiding, densities of key frames and joints, each with each, as a table and a
    figure; `--study --help` says how.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    keyframes: int = 5
    """Frames at which the pelvis shall be where it is in the real clip, at random."""
    json: Path | None = None
    """File to write the figures to."""


def trials(clips: Sequence[Clip], options: Options, longest: int) -> list[Trial]:
    """Test clips in random order, cut to the model's length, with key frames; the same for the same seed."""
    drawn = draw(clips, num=options.num, seed=options.seed, longest=longest)
    return [trial.giving(options.keyframes) for trial in drawn]


def measure(
    motions: Sequence[Tensor], tasks: Sequence[Trial], judge: ActionJudge, pace: dict[str, float]
) -> dict[str, float]:
    """The figures of motions (F, 22, 3) made for the trials; pace: mean fastest root of real clips by action, m/s."""
    errors = [task.errors(motion) for motion, task in zip(motions, tasks, strict=True)]
    every = torch.cat(errors)
    each = figures(motions, tasks, judge)
    fastest = each["fastest root, m/s"]
    return {
        "average error, cm": 100 * every.mean().item(),
        "key frames off by 20 cm": (every > 0.2).double().mean().item(),
        "key frames off by 50 cm": (every > 0.5).double().mean().item(),
        "motions off by 20 cm": sum((error > 0.2).any().item() for error in errors) / len(errors),
        "motions off by 50 cm": sum((error > 0.5).any().item() for error in errors) / len(errors),
        **{name: sum(values) / len(values) for name, values in each.items()},
        "fastest root / real clips of the action": sum(f / pace[t.action] for f, t in zip(fastest, tasks, strict=True))
        / len(tasks),
    }


def evaluate(options: Options) -> dict[str, Any]:
    """All figures, for the model's motions without and with guidance and for the real clips."""
    clips = options.clips()
    model = MotionModel.load(options.model)
    longest = model.config.max_frames
    tasks = trials(of_split(clips, "test"), options, longest)
    judge = train_judge(clips, longest=longest, steps=options.judge_steps)
    pace = {
        action: sum(speeds) / len(speeds)
        for action in {task.action for task in tasks}
        if (speeds := [fastest_root(torch.from_numpy(np.array(c.joints[:longest]))) for c in clips if c.action == action])
    }
    result = {"real clips": measure([task.joints for task in tasks], tasks, judge, pace)}
    for name, method in (("unguided", "none"), ("guided", options.settings.guidance)):
        if name == "guided" and method == "none":
            continue
        settings = replace(options.settings, guidance=method)
        made = make(model, tasks, settings, batch=options.batch, seed=options.seed, progress=True)
        seconds = sum(made.seconds) / len(tasks)
        result[name] = measure(made.motions, tasks, judge, pace) | {"seconds a motion": seconds}
    return {
        "model": options.model,
        "weights": model.digest,
        "settings": vars(options.settings),
        "motions": options.num,
        "key frames": options.keyframes,
        "memory, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (2**30 if sys.platform == "darwin" else 2**20),
        "figures": result,
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """A row a figure, a column for each kind of motion."""
    names = list(dict.fromkeys(name for column in figures.values() for name in column))
    lines = [f"{'':42}" + "".join(f"{kind:>12}" for kind in figures)]
    for name in names:
        cells = [f"{column[name]:12.3f}" if name in column else f"{'-':>12}" for column in figures.values()]
        lines.append(f"{name:42}" + "".join(cells))
    return "\n".join(lines)


@command
def main() -> None:
    """The command."""
    arguments = sys.argv[1:]
    if "--study" in arguments:
        arguments.remove("--study")
        print(study(tyro.cli(StudyOptions, prog="python -m sample.evaluate --study", args=arguments)))
        return
    options = tyro.cli(Options, prog="python -m sample.evaluate", args=arguments)
    result = evaluate(options)
    print(table(result["figures"]))
    if options.json is not None:
        with atomic(options.json) as path:
            path.write_text(json.dumps(result, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
