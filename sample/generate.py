"""From a request to a motion: the whole path, callable from a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from guidance.cleanup import clean_up
from guidance.goals import Goals, Waypoint
from guidance.methods import Guidance, Method, MethodOptions, check_segments, parse_methods
from guidance.stages import with_paths
from guidance.task import Function, Task
from guidance.timeline import Separate, Timeline, Woven
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.motion import Motion
from motion_diffusion.samplers import Estimate, SamplerName
from motion_diffusion.skeleton import FPS
from sample.segments import frames_of, windows

T = TypeVar("T")

START = Waypoint(frame=0, x=0.0, z=0.0)
"""Motions begin at the origin of the floor, as the goals' coordinates want it."""


@dataclass(frozen=True)
class Settings(MethodOptions):
    """How to sample and to guide."""

    guidance: str = "projection"
    """How goals steer: none, classifier, imputation, projection, noise, masks, stages, or several joined by +."""
    text_scale: float = 2.5
    """Strength of the words (classifier-free guidance); 1 is the plain model."""
    mask_scale: float = 1.0
    """Strength of what a model with masks is told, in the same way."""
    steps: int = 50
    """Denoising steps, 1 to 1000."""
    sampler: SamplerName = "ancestral"
    clean_up: bool = False
    """After the last step, let feet stand where they stand and bones have their lengths (see `guidance.cleanup`)."""


def generate(
    model: MotionModel,
    texts: Sequence[str],
    frames: Sequence[int],
    *,
    goals: Sequence[Goals],
    seeds: Sequence[int],
    settings: Settings = Settings(),
    functions: Sequence[Function] = (),
    progress: bool = False,
) -> list[Motion]:
    """One motion for each text, with as many frames, its goals and its seed.

    Goals with segments say themselves what is done and for how long; their text and frames are not used. functions:
    further wishes in Python, see `guidance.task.Function`. Motions begin at (0, 0); a goal for the pelvis at frame 0
    takes precedence. Those with goals are sampled in one batch, those without in another, and a motion does not depend
    on the others. Raises InputError for empty texts, motions longer than the model knows, numbers of steps it cannot
    take, goals beyond the motion's end or against each other, and guidance that cannot do what is asked.
    """
    methods = parse_methods(settings.guidance)
    frames = [frames_of(wanted.segments) if wanted.segments else n for wanted, n in zip(goals, frames, strict=True)]
    check(model, texts, frames, goals, settings, functions)
    about = {"name": model.name, "weights": model.digest, "licence": model.config.licence}
    batches: dict[tuple[bool, int], list[int]] = {}
    for i, wanted in enumerate(goals):
        guided = bool(methods) and bool(wanted.goals or functions)
        batches.setdefault((guided, i + 1 if wanted.segments else 0), []).append(i)
    made: dict[int, Motion] = {}
    with tqdm(total=len(batches) * settings.steps, desc="sampling", unit="step", disable=not progress or None) as bar:
        for (guided, segmented), chosen in batches.items():
            request = _Request.of_segments if segmented else _Request.of_motions
            asked = request(
                model, _some(texts, chosen), _some(frames, chosen), _some(goals, chosen), _some(seeds, chosen)
            )
            joints = asked.sample(methods if guided else (), tuple(functions), settings, bar)
            for i, motion in zip(chosen, joints, strict=True):
                made[i] = _motion(motion, goals[i], texts[i], seeds[i], settings, about)
    return [made[i] for i in range(len(texts))]


def _some(every: Sequence[T], chosen: Sequence[int]) -> list[T]:
    return [every[i] for i in chosen]


def check(
    model: MotionModel,
    texts: Sequence[str],
    frames: Sequence[int],
    goals: Sequence[Goals],
    settings: Settings,
    functions: Sequence[Function] = (),
) -> None:
    """InputError for what `generate` refuses, before anything is sampled."""
    methods = parse_methods(settings.guidance)
    if not model.representation.whole_body:
        raise InputError(f"{model.name} makes only the path of the root, no body; choose another --model")
    if not 1 <= settings.steps <= model.schedule.T:
        raise InputError(f"{settings.steps} steps: choose --steps from 1 to {model.schedule.T}")
    longest = model.config.max_frames
    for text, count, wanted in zip(texts, frames, goals, strict=True):
        if not wanted.segments:
            if not text.strip():
                raise InputError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
            if not 2 <= count <= longest:
                raise InputError(
                    f"{count / FPS:g} s is too {'short' if count < 2 else 'long'}: this model makes motions of up to "
                    f"{longest / FPS:g} s; choose --seconds within that, or give several segments in the goal file"
                )
        wanted.check(count)
        guided = bool(methods) and bool(wanted.goals or functions)
        if wanted.segments:
            windows(wanted.segments, longest)
            check_segments(methods if guided else ())
        if guided:
            Guidance(methods, Task.of(model, [wanted], torch.tensor([count]), functions), settings)


@dataclass(frozen=True, eq=False)
class _Request:
    """Windows for the model to make, and the motions they are to become."""

    model: MotionModel
    texts: Sequence[str]
    frames: Sequence[int]
    seeds: Sequence[int]
    goals: Sequence[Goals]
    timeline: Timeline

    @staticmethod
    def of_motions(
        model: MotionModel, texts: list[str], frames: list[int], goals: list[Goals], seeds: list[int]
    ) -> _Request:
        lengths = torch.tensor(frames, device=model.device)
        return _Request(model, texts, frames, seeds, goals, Separate(model.representation, lengths))

    @staticmethod
    def of_segments(
        model: MotionModel, texts: list[str], frames: list[int], goals: list[Goals], seeds: list[int]
    ) -> _Request:
        """One motion of several windows, each with noise of its own."""
        of = windows(goals[0].segments, model.config.max_frames)
        own = [seeds[0] + (k << 32) for k in range(len(of.texts))]
        return _Request(model, of.texts, of.lengths, own, goals, Woven(model.representation, of.starts, of.lengths))

    def sample(
        self, methods: tuple[Method, ...], functions: tuple[Function, ...], settings: Settings, bar: tqdm
    ) -> list[Tensor]:
        """The joints (N, 22, 3) of each motion."""
        model, lengths = self.model, self.timeline.lengths
        goals = [_from_the_origin(wanted, n) for wanted, n in zip(self.goals, lengths.tolist(), strict=True)]
        if "stages" in methods:
            goals = with_paths(goals, self.texts, lengths, self.seeds, settings.stages)
        task = Task(model, tuple(goals), self.timeline, functions)
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
            start=guidance.start if by_noise else None,
            guide=guidance.guide,
            on_step=advance,
        )
        joints = task.joints(x).cpu()
        if not methods:
            joints = joints - joints[:, :1, :1] * torch.tensor([1.0, 0.0, 1.0])
        return [motion[:n] for motion, n in zip(joints, lengths.tolist(), strict=True)]


def _from_the_origin(goals: Goals, frames: int) -> Goals:
    """The same goals, and `START` if they do not say where to begin."""
    begun = goals.observe(frames).mask[0, 0, [0, 2]].any()
    return goals if begun else goals.model_copy(update={"goals": [START, *goals.goals]})


def _motion(joints: Tensor, goals: Goals, text: str, seed: int, settings: Settings, about: dict[str, str]) -> Motion:
    """A motion (N, 22, 3) with where it comes from, a model `about` which this is known."""
    report = None
    if settings.clean_up:
        joints, report = clean_up(joints, _from_the_origin(goals, len(joints)))
    provenance = {
        "model": about,
        "settings": dataclasses.asdict(settings),
        "seed": seed,
        "goals": goals.model_dump(exclude_none=True),
        "clean_up": report and dataclasses.asdict(report),
        "residuals": [residual.model_dump(exclude={"goal"}) for residual in goals.residuals(joints)],
    }
    said = "; then ".join(segment.text for segment in goals.segments)
    return Motion(joints, text=said or text, provenance=provenance)
