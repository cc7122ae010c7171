"""TODO."""

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
from guidance.goals.goal_set import GoalSet, Residual
from motion_diffusion import pretrained
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.representation import Observed
from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Denoise, Estimate
from motion_diffusion.errors import InputError
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.network.text_fit_scale import Verdict
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.prompts.known_actions import Known, read_known
from sample.editing import check_edit, edited
from sample.generate import Settings, check, generate
from sample.prompts import unlearned
from sample.segments import woven
from sample.text_fit import DEFAULT_MATCHER, text_fit
from visualize.drawing.goal_glyphs import frame_at
from visualize.studio.goal_editing import restrict_to
from visualize.studio.jobs import JobMonitor
from visualize.studio.plan import Base, Plan, PromptPart, text_at

SYMBOLS = {"eps": "ε"}
"""Of prediction types, where the name is not one."""


class Models:
    """Models by name, each read once, when it is first asked for. No other name is ever looked for on the disk."""

    def __init__(self, runs: Sequence[str | Path] = ()):
        """runs: run directories to offer first. FileNotFoundError or InputError for one that is none."""
        self._folders: dict[str, Path] = {}
        self.symbols: dict[str, str] = {}
        """What each predicts: ε, x0, v …"""
        self.known: dict[str, Known | None] = {}
        """What each was trained on, where that is kept with it."""
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
        """Of all that there are."""
        return list(self._folders)

    @property
    def default(self) -> str:
        """The one to begin with: the first that the studio was told of, else the project's own choice."""
        shipped = ASSETS / "models" / "v-masks"
        told = next(iter(self._folders.items()))
        return told[0] if told[1].parent != shipped.parent else shipped.name

    def get(self, name: str) -> MotionModel:
        """A model. InputError for a name that is not offered."""
        if name not in self._folders:
            raise InputError(f"no model {name[:60]!r} here; choose one of {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = MotionModel.load(self._folders[name])
            return self._loaded[name]

    @property
    def text_motion_encoder(self) -> TextMotionEncoder:
        """What judges how well takes fit their words."""
        with self._lock:
            if self._text_motion_encoder is None:
                self._text_motion_encoder = TextMotionEncoder.load(DEFAULT_MATCHER)
            return self._text_motion_encoder


DISPLAY_FPS = 60.0
"""Frames a second that are shown."""


@dataclass(frozen=True, eq=False)
class Take:
    """A motion that was made, or loaded, and the plan that it belongs to."""

    number: int
    motion: Motion
    plan: Plan
    rig: Rig
    """The same at `SMOOTH` frames a second."""
    fit: Verdict | None = None
    """How well it fits its words, where the model learned them and that can be judged."""

    @property
    def name(self) -> str:
        """For people."""
        return f"Take {self.number}"

    @property
    def last(self) -> float:
        """The second of its last frame."""
        return (self.motion.frames - 1) / FPS

    @cached_property
    def residuals(self) -> list[Residual]:
        """How well it meets each goal of its plan; none if it is another motion than that plan's."""
        try:
            return GoalSet(goals=list(self.plan.goals)).residuals(self.motion.joints, self.motion.rig.world)
        except InputError:  # goals beyond its end
            return []

    def joints_at(self, time: float) -> Tensor:
        """(22, 3): where its joints are at a second."""
        return self.motion.joints[frame_at(time, FPS, self.motion.frames)]


def display_rig(motion: Motion) -> Rig:
    """The rig of a motion at `SMOOTH` frames a second."""
    return motion.rig.at(DISPLAY_FPS)


def check_plan(plan: Plan, model: MotionModel) -> None:
    """InputError for a plan that the model cannot make."""
    if plan.base is not None:
        check_edit(model, plan.text, plan.base.part(plan.generated_seconds), plan.goal_set, plan.settings)
    else:
        check(model, [plan.text], [plan.frames], [plan.goal_set], plan.settings)


@dataclass(frozen=True)
class PlanReport:
    """What is to be said of a plan before it is made."""

    error: str = ""
    """Why it cannot be made, if it cannot."""
    warnings: tuple[str, ...] = ()
    """What a person cannot do of it."""
    unlearned: tuple[str, ...] = ()
    """What of its words the model did not learn."""


def report_plan(plan: Plan, models: Models) -> PlanReport:
    """TODO."""
    try:
        check_plan(plan, models.get(plan.model))
        return PlanReport(
            warnings=tuple(feasibility(GoalSet(goals=list(plan.goals)), plan.frames)),
            unlearned=tuple(unlearned(models.known[plan.model], plan.text, plan.goal_set)),
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
    """Takes of a plan, numbered from `number`. matcher: judges how well they fit their words.

    Raises InputError for what cannot be made, and what `watch` raises.
    """
    standalone = plan.base is not None or woven(plan.parts, model.config.max_frames)
    monitored = MonitoredModel.of(
        model, count_calls(monitor, network_calls(plan.settings, plan.count if standalone else 1))
    )
    judge = None if unlearned(model.known, plan.text, plan.goal_set) else text_motion_encoder
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
    """How often the network is asked, for so many batches."""
    if "noise" in parse_methods(settings.guidance):
        return batches * settings.noise.steps * (settings.noise.rounds + 1)
    return batches * settings.steps


def count_calls(monitor: JobMonitor, network_calls: int, share: float = 0.9) -> Callable[[], None]:
    """What a watched model calls: each of so many calls is a step, together `share` of the whole."""
    done = 0

    def count_call() -> None:
        nonlocal done
        monitor.step(share * min(done / network_calls, 1.0))
        done += 1

    return count_call


def plan_continuation(take: Take, plan: Plan) -> Plan:
    """The plan, without goals, of what comes after a take."""
    return plan.changed("base", Base.after(take.motion)).changed("goals", ())


def plan_regeneration(take: Take, plan: Plan, start: float, end: float) -> Plan:
    """The plan of a take made anew from second `start` to second `end`, with what it says and wants there. InputError
    for no such part."""
    base = Base(take.motion, start, end)
    part = base.part(end - start)
    first, last = part.start / FPS, (part.end - 1) / FPS
    text = text_at(take.plan, (first + last) / 2)
    said = PromptPart(text=text, seconds=(part.end - part.start) / FPS)
    cuts = [restrict_to(goal, first, last, take.last) for goal in take.plan.goals]
    goals = tuple(cut for cut in cuts if cut is not None)
    return plan.changed("base", None).changed("parts", (said,)).changed("goals", goals).changed("base", base)


def rest_pose() -> Tensor:
    """(22, 3): somebody who stands at the origin, arms out."""
    return (REST + torch.tensor([0.0, STANDING, 0.0])).float()


class MonitoredModel(MotionModel):
    """The same model, its weights shared, which calls `look` before each denoising. What `look` raises ends it."""

    _before_step: Callable[[], None]

    @staticmethod
    def of(model: MotionModel, before_step: Callable[[], None]) -> MonitoredModel:
        """Look at this model; itself it stays as it was."""
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
