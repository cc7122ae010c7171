"""python -m sample.evaluate: measure a model under guidance, on motions of a test split, beside the real clips."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor

from data_loaders.bandai import Clip, load_bandai, split_of
from data_loaders.captions import motion_facts, true_caption
from guidance.goals import Goals, Waypoint
from motion_diffusion.errors import InputError, command
from motion_diffusion.files import atomic
from motion_diffusion.heading import to_origin
from motion_diffusion.metrics import fastest_root, foot_skating_ratio, key_frame_errors, root_jitter
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from sample.judge import ActionJudge

MIN_FRAMES = 40


@dataclass(frozen=True)
class Options:
    """Measure a model: how well it meets key frames, how its feet and root move, and whether it does what was asked."""

    model: str = "v-small"
    """Name of a shipped model, or a run directory."""
    data: Literal["bandai"] = "bandai"
    data_root: Path | None = None
    """Folder with the clips."""
    num: int = 64
    """Motions to make, one for each of so many clips of the test split (repeated if there are fewer)."""
    keyframes: int = 5
    """Frames at which the pelvis shall be where it is in the real clip, at random."""
    batch: int = 16
    seed: int = 0
    judge_steps: int = 1500
    """Training steps of the judge of actions."""
    json: Path | None = None
    """File to write the figures to."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = field(default_factory=Settings)


@dataclass(frozen=True)
class Trial:
    """A test clip as a task: its joints (F, 22, 3), its words, its action and the frames of its goals."""

    joints: Tensor
    text: str
    action: str
    key_frames: Tensor

    @property
    def goals(self) -> Goals:
        """The pelvis above the floor where the clip has it."""
        root = self.joints[:, 0]
        return Goals(
            goals=[Waypoint(frame=k, x=root[k, 0].item(), z=root[k, 2].item()) for k in self.key_frames.tolist()]
        )


def trials(clips: Sequence[Clip], options: Options, longest: int) -> list[Trial]:
    """Test clips in random order, cut to the model's length, with key frames; the same for the same seed."""
    generator = torch.Generator().manual_seed(options.seed)
    clips = [clip for clip in clips if len(clip.joints) >= MIN_FRAMES]
    if not clips:
        raise InputError(f"no test clip has {MIN_FRAMES} frames or more; check --data-root")
    result: list[Trial] = []
    while len(result) < options.num:
        for index in torch.randperm(len(clips), generator=generator).tolist():
            clip = clips[index]
            joints = to_origin(torch.from_numpy(clip.joints[:longest]))
            frames = torch.randperm(len(joints), generator=generator)[: options.keyframes].sort().values
            text = true_caption(clip.action, clip.style, motion_facts(joints.numpy()))
            result.append(Trial(joints, text, clip.action, frames))
    return result[: options.num]


def measure(
    motions: Sequence[Tensor], tasks: Sequence[Trial], judge: ActionJudge, pace: dict[str, float]
) -> dict[str, float]:
    """The figures of motions (F, 22, 3) made for the trials; pace: mean fastest root of real clips by action, m/s."""
    errors = [key_frame_errors(m, task.joints, task.key_frames) for m, task in zip(motions, tasks, strict=True)]
    every = torch.cat(errors)
    named = judge.name(motions)
    fastest = [fastest_root(motion) for motion in motions]
    return {
        "average error, cm": 100 * every.mean().item(),
        "key frames off by 20 cm": (every > 0.2).double().mean().item(),
        "key frames off by 50 cm": (every > 0.5).double().mean().item(),
        "motions off by 20 cm": sum((error > 0.2).any().item() for error in errors) / len(errors),
        "motions off by 50 cm": sum((error > 0.5).any().item() for error in errors) / len(errors),
        "foot skating ratio": sum(map(foot_skating_ratio, motions)) / len(motions),
        "root jitter, m/s3": sum(map(root_jitter, motions)) / len(motions),
        "fastest root, m/s": sum(fastest) / len(fastest),
        "fastest root / real clips of the action": sum(f / pace[t.action] for f, t in zip(fastest, tasks, strict=True))
        / len(tasks),
        "action recognised": sum(name == task.action for name, task in zip(named, tasks, strict=True)) / len(tasks),
    }


def evaluate(options: Options) -> dict[str, Any]:
    """All figures, for the model's motions without and with guidance and for the real clips."""
    if options.data_root is None:
        raise InputError("give --data-root, the folder with the clips to judge by")
    model = MotionModel.load(options.model)
    clips = load_bandai(options.data_root)
    longest = model.config.max_frames
    tasks = trials([clip for clip in clips if split_of(clip.name) == "test"], options, longest)
    train = [clip for clip in clips if split_of(clip.name) == "train" and len(clip.joints) >= MIN_FRAMES]
    judge = ActionJudge.train(
        [torch.from_numpy(clip.joints) for clip in train],
        [clip.action for clip in train],
        frames=longest,
        steps=options.judge_steps,
    )
    actions = {task.action for task in tasks}
    pace = {
        action: sum(speeds) / len(speeds)
        for action in actions
        if (speeds := [fastest_root(torch.from_numpy(c.joints[:longest])) for c in clips if c.action == action])
    }
    figures = {"real clips": measure([task.joints for task in tasks], tasks, judge, pace)}
    for name, method in (("unguided", "none"), ("guided", options.settings.guidance)):
        if name == "guided" and method == "none":
            continue
        started = time.monotonic()
        motions = _generate(model, tasks, options, Settings(**{**vars(options.settings), "guidance": method}))
        seconds = (time.monotonic() - started) / len(tasks)
        figures[name] = measure(motions, tasks, judge, pace) | {"seconds a motion": seconds}
    return {
        "model": options.model,
        "weights": model.digest,
        "settings": vars(options.settings),
        "motions": options.num,
        "key frames": options.keyframes,
        "memory, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (2**30 if sys.platform == "darwin" else 2**20),
        "figures": figures,
    }


def _generate(model: MotionModel, tasks: Sequence[Trial], options: Options, settings: Settings) -> list[Tensor]:
    motions: list[Tensor] = []
    for start in range(0, len(tasks), options.batch):
        some = tasks[start : start + options.batch]
        made = generate(
            model,
            [task.text for task in some],
            [len(task.joints) for task in some],
            goals=[task.goals for task in some],
            seeds=[options.seed + start + i for i in range(len(some))],
            settings=settings,
            progress=True,
        )
        motions += [motion.joints for motion in made]
    return motions


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
    options = tyro.cli(Options, prog="python -m sample.evaluate")
    result = evaluate(options)
    print(table(result["figures"]))
    if options.json is not None:
        with atomic(options.json) as path:
            path.write_text(json.dumps(result, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
