"""Generation jobs: models on offer, feasibility of a plan, and takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from guidance.compose import parse_methods
from guidance.goals.feasibility import feasibility
from guidance.goals.goal_set import Goal, GoalSet, Residual
from motion_diffusion import pretrained
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.representation import Observed
from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Denoise, Estimate
from motion_diffusion.errors import InputError
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, Verdict
from motion_diffusion.prompts import Known, read_known
from sample.editing import check_edit, edited
from sample.generate import Settings, check, generate
from sample.segments import is_stitched
from sample.text_fit import DEFAULT_MATCHER, text_fit, unknown_words
from visualize.drawing.goal_glyphs import frame_at
from visualize.studio.goal_editing import restrict_to
from visualize.studio.jobs import JobMonitor
from visualize.studio.plan import Base, Plan, PromptPart, text_at

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
                self._loaded[name] = MotionModel.load(self._folders[name])
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
class Take:
    """A generated or loaded motion with its plan.

    Attributes:
        number: counted from 1.
        motion: the motion.
        plan: that it was generated from.
        rig: the same at `DISPLAY_FPS`.
        fit: how well it fits its prompt; None if the model did not learn the words.
    """

    number: int
    motion: Motion
    plan: Plan
    rig: Rig
    fit: Verdict | None = None

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


def display_rig(motion: Motion) -> Rig:
    """The rig of a motion at `DISPLAY_FPS`."""
    return motion.rig.at(DISPLAY_FPS)


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
    number: int,
    monitor: JobMonitor,
    text_motion_encoder: TextMotionEncoder | None = None,
) -> list[Take]:
    """Generate takes of a plan.

    Args:
        plan: to generate.
        model: its model.
        number: of the first take.
        monitor: progress and cancellation.
        text_motion_encoder: rates how well the takes fit their prompt.

    Raises:
        InputError: for a plan that cannot be generated.
        JobStopped: if the monitor stops the job.
    """
    standalone = plan.base is not None or is_stitched(plan.parts, model.config.max_frames)
    monitored = MonitoredModel.of(
        model, count_calls(monitor, network_calls(plan.settings, plan.count if standalone else 1))
    )
    judge = None if unknown_words(model.known, plan.text, plan.goal_set) else text_motion_encoder
    part = None if plan.base is None else plan.base.part(plan.generated_seconds)
    takes = []
    for k, motion in enumerate(_generate_motions(plan, monitored)):
        monitor.step(0.9)
        fit = text_fit(judge, motion, plan.text, plan.goal_set, part).words if judge else None
        takes.append(Take(number + k, motion, plan, display_rig(motion), fit))
    return takes


def _generate_motions(plan: Plan, model: MotionModel) -> Iterator[Motion]:
    seeds, many, wanted = range(plan.seed, plan.seed + plan.count), plan.count, plan.goal_set
    if plan.base is None:
        yield from generate(
            model, [plan.text] * many, [plan.frames] * many, goals=[wanted] * many, seeds=seeds, settings=plan.settings
        )
        return
    part = plan.base.part(plan.generated_seconds)
    for seed in seeds:
        yield edited(model, plan.text, part, goals=wanted, seed=seed, settings=plan.settings)


def network_calls(settings: Settings, batches: int) -> int:
    """Number of network calls for `batches` batches."""
    if "noise" in parse_methods(settings.guidance):
        return batches * settings.noise.steps * (settings.noise.rounds + 1)
    return batches * settings.steps


def count_calls(monitor: JobMonitor, total: int, share: float = 0.9) -> Callable[[], None]:
    """Callback before each of `total` network calls, which together make up `share` of the job."""
    done = 0

    def count_call() -> None:
        nonlocal done
        monitor.step(share * min(done / total, 1.0))
        done += 1

    return count_call


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


def rest_pose() -> Tensor:
    """Joints (22, 3) of the T-pose standing at the origin."""
    return (REST + torch.tensor([0.0, STANDING, 0.0])).float()


class MonitoredModel(MotionModel):
    """A model with shared weights that calls a function before each denoising step.

    An exception from that function ends sampling.
    """

    _before_step: Callable[[], None]

    @staticmethod
    def of(model: MotionModel, before_step: Callable[[], None]) -> MonitoredModel:
        """Wrap a model, which itself stays unchanged."""
        monitored = MonitoredModel.__new__(MonitoredModel)
        monitored.__dict__.update(model.__dict__)
        monitored._before_step = before_step
        return monitored

    def denoise_fn(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        text_scale: float = 1.5,
        observed: Observed | None = None,
        mask_scale: float = 1.0,
    ) -> Denoise:
        denoise = super().denoise_fn(texts, frames, text_scale=text_scale, observed=observed, mask_scale=mask_scale)

        def monitored(x: Tensor, t: int, s: int) -> Estimate:
            self._before_step()
            return denoise(x, t, s)

        return monitored


def planned_joints(plan: Plan, time: float) -> Tensor:
    """Expected joints (22, 3) of a plan at `time` seconds.

    The pose is that of the motion that the plan edits, or else the rest pose. Its pelvis is above the last
    position that a way-point or path has fixed up to that time.
    """
    joints, frame = rest_pose(), min(round(time * FPS), plan.frames - 1)
    if plan.base is not None:
        source = plan.base.motion.joints
        joints = source[min(frame, len(source) - 1)]
    targets = _pelvis_targets(plan)
    known = targets[: frame + 1].isfinite().all(-1).nonzero()[:, 0]
    if len(known):
        x, z = targets[known[-1]].tolist()
        joints = joints - joints[:1] * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([x, 0.0, z])
    return joints


def _pelvis_targets(plan: Plan) -> Tensor:
    """Targets (frames, 2), x and z, of the pelvis; NaN where the plan has none."""
    goals: list[Goal] = [
        goal for goal in plan.goals if goal.kind in ("waypoint", "path") and round(goal.last_time * FPS) < plan.frames
    ]
    observed = GoalSet(goals=goals).observe(plan.frames)
    return torch.where(observed.mask, observed.values, torch.nan)[:, 0, [0, 2]]
