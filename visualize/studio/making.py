"""From a plan to takes: the motions that are made of it, with what else is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from guidance.compose import parse_methods
from guidance.goals.goal_set import GoalSet, Residual
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_fit_scale import Verdict
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from sample.editing import check_edit, edited
from sample.generate import Settings, check, generate
from sample.segments import woven
from sample.text_fit import text_fit, unknown_words
from visualize.drawing.frames import frame_at
from visualize.studio import timing
from visualize.studio.document import Base, Document, Said
from visualize.studio.watched import Watched
from visualize.studio.work import Watch

SMOOTH = 60.0
"""Frames a second that are shown."""


@dataclass(frozen=True, eq=False)
class Take:
    """A motion that was made, or loaded, and the plan that it belongs to."""

    number: int
    motion: Motion
    plan: Document
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

    def standing(self, time: float) -> Tensor:
        """(22, 3): where its joints are at a second."""
        return self.motion.joints[frame_at(time, FPS, self.motion.frames)]


def rig_shown(motion: Motion) -> Rig:
    """The rig of a motion at `SMOOTH` frames a second."""
    return motion.rig.at(SMOOTH)


def check_plan(plan: Document, model: MotionModel) -> None:
    """InputError for a plan that the model cannot make."""
    if plan.base is not None:
        check_edit(model, plan.text, plan.base.part(plan.made), plan.wanted, plan.settings)
    else:
        check(model, [plan.text], [plan.frames], [plan.wanted], plan.settings)


def make(
    plan: Document, model: MotionModel, number: int, watch: Watch, matcher: TextMotionEncoder | None = None
) -> list[Take]:
    """Takes of a plan, numbered from `number`. matcher: judges how well they fit their words.

    Raises InputError for what cannot be made, and what `watch` raises.
    """
    alone = plan.base is not None or woven(plan.parts, model.config.max_frames)
    watched = Watched.of(model, counting(watch, calls(plan.settings, plan.count if alone else 1)))
    judge = None if unknown_words(model.known, plan.text, plan.wanted) else matcher
    part = None if plan.base is None else plan.base.part(plan.made)
    takes = []
    for k, motion in enumerate(_motions(plan, watched)):
        watch.step(0.9)
        fit = text_fit(judge, motion, plan.text, plan.wanted, part).words if judge else None
        takes.append(Take(number + k, motion, plan, rig_shown(motion), fit))
    return takes


def _motions(plan: Document, model: MotionModel) -> Iterator[Motion]:
    seeds, many, wanted = range(plan.seed, plan.seed + plan.count), plan.count, plan.wanted
    if plan.base is None:
        yield from generate(
            model, [plan.text] * many, [plan.frames] * many, goals=[wanted] * many, seeds=seeds, settings=plan.settings
        )
        return
    part = plan.base.part(plan.made)
    for seed in seeds:
        yield edited(model, plan.text, part, goals=wanted, seed=seed, settings=plan.settings)


def calls(settings: Settings, batches: int) -> int:
    """How often the network is asked, for so many batches."""
    if "noise" in parse_methods(settings.guidance):
        return batches * settings.noise.steps * (settings.noise.rounds + 1)
    return batches * settings.steps


def counting(watch: Watch, calls: int, share: float = 0.9) -> Callable[[], None]:
    """What a watched model calls: each of so many calls is a step, together `share` of the whole."""
    done = 0

    def look() -> None:
        nonlocal done
        watch.step(share * min(done / calls, 1.0))
        done += 1

    return look


def going_on(take: Take, plan: Document) -> Document:
    """The plan, without goals, of what comes after a take."""
    return plan.changed("base", Base.after(take.motion)).changed("goals", ())


def anew(take: Take, plan: Document, start: float, end: float) -> Document:
    """The plan of a take made anew from second `start` to second `end`, with what it says and wants there. InputError
    for no such part."""
    base = Base(take.motion, start, end)
    part = base.part(end - start)
    first, last = part.start / FPS, (part.end - 1) / FPS
    text = timing.text_at(take.plan, (first + last) / 2)
    said = Said(text=text, seconds=(part.end - part.start) / FPS)
    cuts = [timing.within(goal, first, last, take.last) for goal in take.plan.goals]
    goals = tuple(cut for cut in cuts if cut is not None)
    return plan.changed("base", None).changed("parts", (said,)).changed("goals", goals).changed("base", base)


def resting() -> Tensor:
    """(22, 3): somebody who stands at the origin, arms out."""
    return (REST + torch.tensor([0.0, STANDING, 0.0])).float()
