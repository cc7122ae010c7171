"""Generation: models on offer, feasibility of a plan, and takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidance.goals.feasibility import feasibility
from guidance.goals.goal_set import GoalSet, Residual
from motion_diffusion import pretrained
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Estimate, OnStep
from motion_diffusion.errors import InputError
from motion_diffusion.model import ModelConfig, MotionModel, Recommended
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, Verdict
from motion_diffusion.prompts import Known, read_known
from sample.editing import check_edit, edited
from sample.generate import check, generate, methods_of, sampling_of
from sample.segments import is_stitched
from sample.text_fit import DEFAULT_MATCHER, text_fit, unknown_words
from visualize.drawing.goal_glyphs import frame_at
from visualize.studio.goal_editing import restrict_to
from visualize.studio.job_queue import JobMonitor
from visualize.studio.plan import Base, Plan, PromptPart, text_at

Array = NDArray[np.float64]
SYMBOLS = {"eps": "ε"}
"""Symbols of prediction types whose name is not the symbol."""


class Models:
    """Models by name, each loaded once, at its first use. No other name is ever looked up on disk."""

    def __init__(self, runs: Sequence[str | Path] = ()):
        """Find the models.

        Args:
            runs: run directories to offer first.

        Raises:
            FileNotFoundError: for a directory without a model.
            InputError: for one that cannot be offered.
        """
        self._folders: dict[str, Path] = {}
        self.symbols: dict[str, str] = {}
        """Prediction type of each: ε, x0, v …"""
        self.known: dict[str, Known | None] = {}
        """Actions that each was trained on, where recorded."""
        self.recommended: dict[str, Recommended] = {}
        """How each is sampled unless other settings are chosen."""
        self._loaded: dict[str, MotionModel] = {}
        self._text_motion_encoder: TextMotionEncoder | None = None
        self._lock = Lock()
        for name in [*runs, *pretrained.shipped("models")]:
            folder = pretrained.find(name, "models").resolve()
            config = pretrained.read_config(folder, ModelConfig)
            if "positions" not in config.features:
                if name in runs:
                    raise InputError(f"{name} makes only the path of the root, no body; offer another one")
                continue
            if name in runs and self._folders.get(folder.name, folder) != folder:
                raise InputError(f"two models are called {folder.name}; rename the directory of one")
            self._folders.setdefault(folder.name, folder)
            self.known.setdefault(folder.name, read_known(folder))
            self.recommended.setdefault(folder.name, config.recommended)
            self.symbols.setdefault(folder.name, SYMBOLS.get(config.prediction, config.prediction))

    @property
    def names(self) -> list[str]:
        """Names of all models."""
        return list(self._folders)

    @property
    def default(self) -> str:
        """The first of the given run directories, or else the project's default model."""
        shipped = ASSETS / "models" / "v-masks"
        name, folder = next(iter(self._folders.items()))
        return name if folder.parent != shipped.parent else shipped.name

    def get(self, name: str) -> MotionModel:
        """Load a model.

        Raises:
            InputError: for a name that is not offered.
        """
        if name not in self._folders:
            raise InputError(f"no model {name[:60]!r} here; choose one of {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = MotionModel.load(self._folders[name], engine="auto")
            return self._loaded[name]

    @property
    def text_motion_encoder(self) -> TextMotionEncoder:
        """Embedding model that rates how well takes fit their prompt."""
        with self._lock:
            if self._text_motion_encoder is None:
                self._text_motion_encoder = TextMotionEncoder.load(DEFAULT_MATCHER)
            return self._text_motion_encoder


DISPLAY_FPS = 60.0
"""Frames per second of the display."""


@dataclass(frozen=True, eq=False)
class Poses:
    """Joint positions and orientations of a motion at `DISPLAY_FPS`."""

    positions: Array
    """(frames, 22, 3) metres."""
    orientations: Array
    """(frames, 22, 4) world orientations, quaternions wxyz."""
    fps: float

    @staticmethod
    def of(motion: Motion) -> Poses:
        """Compute them from a motion's rig."""
        rig = motion.rig.at(DISPLAY_FPS)
        return Poses.of_joints(rig.joints, rig.world, rig.fps)

    @staticmethod
    def of_joints(joints: Tensor, world: Tensor, fps: float) -> Poses:
        """Those of joints (F, 22, 3) with orientations (F, 22, 3, 3)."""
        return Poses(joints.numpy(), roma.rotmat_to_unitquat(world)[..., [3, 0, 1, 2]].numpy(), fps)

    def frame(self, time: float) -> int:
        """Index of the frame nearest to `time` seconds."""
        return frame_at(time, self.fps, len(self.positions))

    def joints_at(self, time: float) -> Tensor:
        """Joints (22, 3) at `time` seconds."""
        return torch.from_numpy(self.positions[self.frame(time)])


@dataclass(frozen=True, eq=False)
class Take:
    """A generated or loaded motion with its plan.

    Attributes:
        motion: the motion.
        plan: that it was generated from.
        poses: of the motion, for display.
        fit: how well it fits its prompt; None if the model did not learn the words.
        number: in its session, counted from 1; 0 before it is added to one.
    """

    motion: Motion
    plan: Plan
    poses: Poses
    fit: Verdict | None = None
    number: int = 0

    @property
    def name(self) -> str:
        """Name on the page."""
        return f"Take {self.number}"

    @property
    def last(self) -> float:
        """Time of the last frame, seconds."""
        return (self.motion.frames - 1) / FPS

    @cached_property
    def residuals(self) -> list[Residual]:
        """Error at each goal of the plan; empty if goals lie beyond the motion."""
        try:
            return GoalSet(goals=list(self.plan.goals)).residuals(self.motion.joints, self.motion.rig.world)
        except InputError:  # goals after the end of the motion
            return []

    def joints_at(self, time: float) -> Tensor:
        """Joints (22, 3) at `time` seconds."""
        return self.motion.joints[frame_at(time, FPS, self.motion.frames)]


def check_plan(plan: Plan, model: MotionModel) -> None:
    """Raise InputError for a plan that the model cannot generate."""
    if plan.base is not None:
        check_edit(model, plan.text, plan.base.part(plan.generated_seconds), plan.goal_set, plan.settings)
    else:
        check(model, [plan.text], [plan.frames], [plan.goal_set], plan.settings)


@dataclass(frozen=True)
class PlanReport:
    """Feasibility of a plan.

    Attributes:
        error: why it cannot be generated; empty if it can.
        warnings: what is hard for a person.
        unlearned: words that the model did not learn.
    """

    error: str = ""
    warnings: tuple[str, ...] = ()
    unlearned: tuple[str, ...] = ()


def report_plan(plan: Plan, models: Models) -> PlanReport:
    """Check whether a plan can be generated, is humanly possible, and uses words that the model learned."""
    try:
        check_plan(plan, models.get(plan.model))
        return PlanReport(
            warnings=tuple(feasibility(GoalSet(goals=list(plan.goals)), plan.frames)),
            unlearned=tuple(unknown_words(models.known[plan.model], plan.text, plan.goal_set)),
        )
    except (InputError, OSError) as error:
        return PlanReport(error=" ".join(str(error).split()))


def generate_takes(
    plan: Plan,
    model: MotionModel,
    monitor: JobMonitor,
    text_motion_encoder: TextMotionEncoder | None = None,
) -> list[Take]:
    """Generate takes of a plan.

    Args:
        plan: to generate.
        model: its model.
        monitor: progress and cancellation.
        text_motion_encoder: rates how well the takes fit their prompt.

    Raises:
        InputError: for a plan that cannot be generated.
        JobStopped: if the monitor stops the job.
    """
    judge = None if unknown_words(model.known, plan.text, plan.goal_set) else text_motion_encoder
    part = None if plan.base is None else plan.base.part(plan.generated_seconds)
    takes = []
    for k, motion in enumerate(_generate_motions(plan, model, report_steps(monitor, step_count(plan, model)))):
        monitor.step(0.9 + 0.1 * k / plan.count)
        fit = text_fit(judge, motion, plan.text, plan.goal_set, part).words if judge else None
        takes.append(Take(motion, plan, Poses.of(motion), fit))
    return takes


def _generate_motions(plan: Plan, model: MotionModel, on_step: OnStep) -> list[Motion]:
    seeds, many, wanted = range(plan.seed, plan.seed + plan.count), plan.count, plan.goal_set
    if plan.base is None:
        return generate(
            model,
            [plan.text] * many,
            [plan.frames] * many,
            goals=[wanted] * many,
            seeds=seeds,
            settings=plan.settings,
            on_step=on_step,
        )
    part = plan.base.part(plan.generated_seconds)
    return [
        edited(model, plan.text, part, goals=wanted, seed=seed, settings=plan.settings, on_step=on_step)
        for seed in seeds
    ]


def step_count(plan: Plan, model: MotionModel) -> int:
    """Number of sampling steps of all takes of a plan, rounds of optimising the noise included. Takes are sampled in
    one batch, or each in one of its own."""
    guided = plan.base is not None or bool(plan.goals)
    one_by_one = plan.base is not None or is_stitched(plan.parts, model.config.max_frames)
    steps = sampling_of(plan.settings.of(model), methods_of(plan.settings) if guided else ()).total
    return steps * plan.count if one_by_one else steps


def report_steps(monitor: JobMonitor, total: int, share: float = 0.9) -> OnStep:
    """Callback after each of `total` sampling steps, which together make up `share` of the job. It stops the sampling
    when the job is to stop."""
    monitor.step(0.0)
    done = 0

    def report_step(t: int, estimate: Estimate) -> None:
        nonlocal done
        done += 1
        monitor.step(share * min(done / total, 1.0))

    return report_step


def plan_continuation(take: Take, plan: Plan) -> Plan:
    """A plan without goals that continues a take."""
    return plan.changed("base", Base.after(take.motion)).changed("goals", ())


def plan_regeneration(take: Take, plan: Plan, start: float, end: float) -> Plan:
    """A plan that regenerates a take from second `start` to second `end`, with its prompt and goals there.

    Raises:
        InputError: for an interval outside of the take.
    """
    base = Base(take.motion, start, end)
    part = base.part(end - start)
    first, last = part.start / FPS, (part.end - 1) / FPS
    text = text_at(take.plan, (first + last) / 2)
    prompt_part = PromptPart(text=text, seconds=(part.end - part.start) / FPS)
    cuts = [restrict_to(goal, first, last, take.last) for goal in take.plan.goals]
    goals = tuple(cut for cut in cuts if cut is not None)
    return plan.changed("base", None).changed("parts", (prompt_part,)).changed("goals", goals).changed("base", base)
