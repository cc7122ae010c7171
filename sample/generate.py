"""From a request to a motion: the whole path, callable from a notebook."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from guidance.compose import EXACT, Guidance, Method, MethodOptions, Strength, check_segments, parse_methods
from guidance.foot_cleanup import CleanUp, clean_up
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from guidance.protocol import Function, GuidanceProblem
from guidance.two_stage import check_stages, with_paths
from guidance.windows import Separate, Timeline, Woven
from motion_diffusion.body.motion import MAX_SECONDS, Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Estimate, SamplerName
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel, Steps
from motion_diffusion.option_ranges import SEED, Range
from sample.segments import said, windows

T = TypeVar("T")
BatchSize = Annotated[int, Range(1, 65_536)]
"""Motions that are sampled together."""

START = Waypoint(frame=0, x=0.0, z=0.0)
"""Motions begin at the origin of the floor, as the goals' coordinates want it."""


@dataclass(frozen=True)
class Settings(MethodOptions):
    """How to sample and to guide."""

    guidance: str = "projection"
    """How goals steer: none, classifier, imputation, projection, noise, masks, stages, or several joined by +."""
    text_scale: Strength = 1.5
    """Strength of the words (classifier-free guidance); 1 is the plain model."""
    mask_scale: Strength = 1.0
    """Strength of what a model with masks is told, in the same way."""
    steps: Steps = 50
    """Denoising steps, 1 to 1000."""
    sampler: SamplerName = "ancestral"
    clean_up: bool = True
    """After the last step, let feet stand where they stand, on the floor (see `guidance.foot_cleanup`)."""


def generate(
    model: MotionModel,
    texts: Sequence[str],
    frames: Sequence[int],
    *,
    goals: Sequence[GoalSet] | None = None,
    seeds: Sequence[int] | None = None,
    settings: Settings = Settings(),
    functions: Sequence[Function] = (),
    progress: bool = False,
) -> list[Motion]:
    """One motion for each text, with as many frames, its goals and its seed; without them no goals, and seeds 0, 1, …

    Goals with segments say themselves what is done and for how long, in place of text and frames. functions: further
    wishes in Python, see `guidance.protocol.Function`. Motions begin at (0, 0); a goal for the pelvis at frame 0 takes
    precedence. Those with goals are sampled in one batch, those without in another, and a motion does not depend on the
    others. Raises InputError for empty texts, motions longer than the model knows, seeds and numbers of steps it cannot
    take, goals beyond the motion's end or against each other, and guidance that cannot do what is asked.
    """
    goals = [GoalSet()] * len(texts) if goals is None else goals
    seeds = range(len(texts)) if seeds is None else seeds
    methods = parse_methods(settings.guidance)
    check(model, texts, frames, goals, settings, functions)
    for seed in seeds:
        SEED.check("--seed", seed)
    texts, frames, goals = _said(model, texts, frames, goals)
    known = known_by(model)
    batches: dict[tuple[bool, int], list[int]] = {}
    for i, wanted in enumerate(goals):
        guided = bool(methods) and bool(wanted.goals or functions)
        batches.setdefault((guided, i + 1 if wanted.segments else 0), []).append(i)
    made: dict[int, Motion] = {}
    total = sum(steps_of(settings) if guided else settings.steps for guided, _ in batches)
    with tqdm(total=total, desc="sampling", unit="step", disable=not progress or None) as bar:
        for (guided, segmented), chosen in batches.items():
            request = Request.of_segments if segmented else Request.of_motions
            asked = request(
                model, _some(texts, chosen), _some(frames, chosen), _some(goals, chosen), _some(seeds, chosen)
            )
            sampled = asked.sample(methods if guided else (), functions, settings, bar)
            for i, (_, rig, report) in zip(chosen, sampled, strict=True):
                came = provenance(rig, goals[i], seeds[i], settings, known, report)
                made[i] = Motion.of(rig, text=words(texts[i], goals[i]), provenance=came)
    return [made[i] for i in range(len(texts))]


def _said(
    model: MotionModel, texts: Sequence[str], frames: Sequence[int], goals: Sequence[GoalSet]
) -> tuple[list[str], list[int], list[GoalSet]]:
    """Texts, frames and goals as the segments among the goals want them."""
    longest = model.config.max_frames
    every = [said(text, n, wanted, longest) for text, n, wanted in zip(texts, frames, goals, strict=True)]
    return [text for text, _, _ in every], [n for _, n, _ in every], [wanted for _, _, wanted in every]


def _some(every: Sequence[T], chosen: Sequence[int]) -> list[T]:
    return [every[i] for i in chosen]


def check(
    model: MotionModel,
    texts: Sequence[str],
    frames: Sequence[int],
    goals: Sequence[GoalSet],
    settings: Settings,
    functions: Sequence[Function] = (),
) -> None:
    """InputError for what `generate` refuses, before anything is sampled."""
    methods = parse_methods(settings.guidance)
    check_settings(model, settings)
    longest = model.config.max_frames
    for text, count, wanted in zip(*_said(model, texts, frames, goals), strict=True):
        check_words(text, wanted)
        if not wanted.segments and not 2 <= count <= longest:
            raise InputError(
                f"{count / FPS:g} s is too {'short' if count < 2 else 'long'}: this model makes motions of up to "
                f"{longest / FPS:g} s; choose --seconds within that, or give several segments in the goal file"
            )
        if count > MAX_SECONDS * FPS:
            raise InputError(f"the segments last {count / FPS:g} s together; give {MAX_SECONDS:g} s at most")
        wanted.check(count)
        guided = bool(methods) and bool(wanted.goals or functions)
        if wanted.segments:
            windows(wanted.segments, longest)
            check_segments(methods if guided else ())
        if guided:
            if "stages" in methods:
                check_stages(settings.stages, count)
            Guidance(methods, GuidanceProblem.of(model, [wanted], torch.tensor([count]), functions), settings)


def check_settings(model: MotionModel, settings: Settings) -> None:
    """InputError for a model that makes no bodies, and for numbers of steps that it cannot take."""
    methods = parse_methods(settings.guidance)
    if not model.representation.whole_body:
        raise InputError(f"{model.name} makes only the path of the root, no body; choose another --model")
    possible = Range(1, model.times(1)[0])
    possible.check("--steps", settings.steps)
    if "noise" in methods:
        possible.check("--noise.steps", settings.noise.steps)


def steps_of(settings: Settings) -> int:
    """Of one guided batch: denoising steps, and rounds of seeking the noise."""
    if "noise" in parse_methods(settings.guidance):
        return settings.noise.rounds + settings.noise.steps
    return settings.steps


def check_words(text: str, goals: GoalSet) -> None:
    """InputError for a prompt, or those of the segments in its place, that is empty or that no encoder reads."""
    for prompt in [segment.text for segment in goals.segments] or [text]:
        if not prompt.strip():
            raise InputError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
        if re.search("[\0\ud800-\udfff]", prompt):
            raise InputError(
                f"the prompt {prompt[:40]!a} has a NUL, or half of a surrogate pair, which no text encoder reads; take "
                "it out"
            )


class Sampled(NamedTuple):
    """The joints (F, 22, 3) that the network made, the body that was fitted to them, and the report of the fit."""

    points: Tensor
    rig: Rig
    report: CleanUp


@dataclass(frozen=True, eq=False)
class Request:
    """Windows for the model to make, with a text, frames and a seed each, and the motions they are to become."""

    model: MotionModel
    texts: Sequence[str]
    frames: Sequence[int]
    seeds: Sequence[int]
    goals: Sequence[GoalSet]
    """Of each motion."""
    timeline: Timeline
    kept: tuple[Rig, Tensor] | None = None
    """Of a motion that is there: its body, and the frames (F,) bool that stay as they are."""

    @staticmethod
    def of_motions(
        model: MotionModel, texts: list[str], frames: list[int], goals: list[GoalSet], seeds: list[int]
    ) -> Request:
        """Every motion in a window of its own, from the origin."""
        lengths = torch.tensor(frames, device=model.device)
        goals = [from_the_origin(wanted, n) for wanted, n in zip(goals, frames, strict=True)]
        return Request(model, texts, frames, seeds, goals, Separate(model.representation, lengths))

    @staticmethod
    def of_segments(
        model: MotionModel, texts: list[str], frames: list[int], goals: list[GoalSet], seeds: list[int]
    ) -> Request:
        """One motion of several windows, each with noise of its own, from the origin."""
        of = windows(goals[0].segments, model.config.max_frames)
        timeline = Woven(model.representation, of.starts, of.lengths)
        goals = [from_the_origin(goals[0], int(timeline.lengths))]
        return Request(model, of.texts, of.lengths, of.seeds(seeds[0]), goals, timeline)

    def sample(
        self, methods: tuple[Method, ...], functions: Sequence[Function], settings: Settings, bar: tqdm
    ) -> list[Sampled]:
        """Every motion."""
        model, lengths, goals = self.model, self.timeline.lengths, self.goals
        if "stages" in methods:
            goals = with_paths(goals, self.texts, lengths, self.seeds, settings.stages)
        task = GuidanceProblem(model, tuple(goals), self.timeline, tuple(functions))
        guidance = Guidance(methods, task, settings)
        by_noise = "noise" in methods  # which is sought through DDIM, for just these steps

        def advance(_t: int, _estimate: Estimate) -> None:
            bar.update()

        x = model.sample(
            self.texts,
            self.frames,
            seeds=self.seeds,
            steps=settings.noise.steps if by_noise else settings.steps,
            sampler="ddim" if by_noise else settings.sampler,
            text_scale=settings.text_scale,
            observed=guidance.observed,
            mask_scale=settings.mask_scale,
            start=partial(guidance.start, on_round=bar.update) if by_noise else None,
            guide=guidance.guide,
            on_step=advance,
        )
        joints = task.joints(x).cpu()
        if not methods:
            joints = joints - joints[:, :1, :1] * torch.tensor([1.0, 0.0, 1.0])
        motions = [motion[:n] for motion, n in zip(joints, lengths.tolist(), strict=True)]
        exact = bool(EXACT & set(methods))
        return [
            Sampled(motion, *clean_up(motion, wanted, exact=exact, feet=settings.clean_up, kept=self.kept))
            for motion, wanted in zip(motions, self.goals, strict=True)
        ]


def from_the_origin(goals: GoalSet, frames: int) -> GoalSet:
    """The same goals, and `START` if they do not say where to begin."""
    begun = goals.observe(frames).mask[0, 0, [0, 2]].any()
    return goals if begun else goals.model_copy(update={"goals": [START, *goals.goals]})


def words(text: str, goals: GoalSet) -> str:
    """What a motion shows: the text, or those of the segments in its place."""
    return "; then ".join(segment.text for segment in goals.segments) or text


def known_by(model: MotionModel) -> dict[str, str]:
    """What tells a model from others."""
    return {"name": model.name, "weights": model.digest, "licence": model.config.licence}


def provenance(
    body: Rig, goals: GoalSet, seed: int, settings: Settings, model: dict[str, str], report: CleanUp
) -> dict[str, Any]:
    """Where a motion comes from, and how well it meets its goals; model: what that is known by."""
    return {
        "model": model,
        "settings": dataclasses.asdict(settings),
        "seed": seed,
        "goals": goals.model_dump(exclude_none=True),
        "clean_up": dataclasses.asdict(report),
        "residuals": [
            residual.model_dump(exclude={"goal"}) for residual in goals.residuals(body.joints.float(), body.world)
        ],
    }
