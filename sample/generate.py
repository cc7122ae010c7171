"""Generation of motions from prompts, goals and settings, callable from a notebook."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar, overload

import torch
from torch import Tensor
from tqdm.auto import tqdm

from guidance.compose import (
    ComposedGuidance,
    MethodOptions,
    Sampling,
    Strength,
    check_request,
    check_segments,
    check_steps,
    check_without_gradient,
    described,
    is_exact,
    with_further_goals,
)
from guidance.foot_cleanup import CleanUp, clean_up
from guidance.goals.base import GoalBase
from guidance.goals.goal_set import Goal, GoalSet
from guidance.goals.positions import Waypoint
from guidance.kinematic_constraints import KinematicConstraints
from guidance.protocol import Function, Guidance, GuidanceProblem
from guidance.windows import Independent, Stitched, Windows
from motion_diffusion.body.motion import MAX_SECONDS, Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import FPS, frame_of
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise, Sampler, SamplerName, with_hook
from motion_diffusion.diffusion.text_guidance import TextGuidance
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel, Recommended, Shift, Steps
from motion_diffusion.option_ranges import SEED, Range, check_ranges
from motion_diffusion.sampling import MotionDenoiser, sample_features, sampling_times
from motion_diffusion.threads import all_threads, one_thread
from sample.segments import resolve_segments, segment_windows

T = TypeVar("T")
BatchSize = Annotated[int, Range(1, 65_536)]
"""Motions that are sampled together."""

START = Waypoint(frame=0, x=0.0, z=0.0)
"""Goal of all motions: they begin at the origin of the floor."""


@dataclass(frozen=True)
class Settings(MethodOptions):
    """Settings of sampling and guidance."""

    guidance: str = "projection"
    """Guidance methods: none, classifier, tfg, mmps, dsg, imputation, projection, noise, smc, masks, stages, or several
    joined by +."""
    text_scale: Strength | None = None
    """Strength of the text (classifier-free guidance); 1 is the plain conditional model. By default what the model
    recommends, usually 1.5."""
    text_guidance: TextGuidance = field(default_factory=partial(TextGuidance, end=0.5))
    mask_scale: Strength = 1.0
    """Strength of the observed motion in models with masks, likewise."""
    steps: Steps | None = None
    """Denoising steps, 1 to 1000. By default what the model recommends, usually 50."""
    shift: Shift | None = None
    """Spacing of the steps' times: above 1, more of them are at high noise (see `Schedule.times`). By default what the
    model recommends, usually 1."""
    sampler: SamplerName | None = None
    """By default what the model recommends, usually ancestral."""
    clean_up: bool = True
    """Hold feet that are on the floor in place: in the steps of sampling, where too long bones are shortened as well
    (see `guidance.kinematic_constraints`), and in the fit of the body after the last one (`guidance.foot_cleanup`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self.text_guidance, "text-guidance.")

    def of(self, model: MotionDenoiser) -> ModelSettings:
        """These settings, completed by what a model recommends.

        Raises:
            InputError: For other steps, sampler or strength of the text than those a distilled model was made for.
        """
        own = model.config.recommended if isinstance(model, MotionModel) else Recommended()
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        for name in ("text_scale", "steps", "shift", "sampler"):
            if values[name] is None:
                values[name] = getattr(own, name)
            elif own.only and values[name] != getattr(own, name):
                raise InputError(
                    f"--{name.replace('_', '-')} {values[name]}: {model.name} was distilled for {own.steps} steps of "
                    f"{own.sampler} with --text-scale {own.text_scale:g}; leave it out"
                )
        return ModelSettings(**values)


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Settings for a certain model, in which nothing is left open; see `Settings.of`."""

    text_scale: Strength = Recommended.text_scale
    steps: Steps = Recommended.steps
    shift: Shift = Recommended.shift
    sampler: SamplerName = Recommended.sampler


def generate(
    model: MotionDenoiser,
    texts: Sequence[str],
    frames: Sequence[int],
    *,
    goals: Sequence[GoalSet] | None = None,
    seeds: Sequence[int] | None = None,
    settings: Settings = Settings(),
    guidance: str | Sequence[Guidance] | None = None,
    sampler: SamplerName | Sampler | None = None,
    functions: Sequence[Function] = (),
    progress: bool = False,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> list[Motion]:
    """Sample a motion for each text.

    Motions with goals are sampled in one batch, those without in another, and a motion does not depend on the others.
    Motions begin at (0, 0); a goal for the pelvis at frame 0 takes precedence.

    Args:
        model: A motion model, or any denoiser of motion features (see `motion_diffusion.sampling.MotionDenoiser`).
        texts: Prompts.
        frames: Length of each motion. Segments among its goals take the place of text and length.
        goals: Of each motion; none by default.
        seeds: Of each motion; 0, 1, … by default.
        settings: How to sample and to guide.
        guidance: Names as in `Settings.guidance`, or methods as objects, each wrapping those before it; by default
            those of the settings.
        sampler: A name as in `Settings.sampler`, or a sampler as an object; by default that of the settings.
        functions: Further objectives in Python, see `guidance.protocol.Function`.
        progress: Whether to show a progress bar.
        on_step: Called after each step of a batch with its time and estimate, `sampling_of(…).total` times (a
            round of optimising the noise counts as a step); exceptions that it raises end sampling.

    Raises:
        InputError: For empty texts, motions longer than the model's, seeds and numbers of steps out of range, goals
            beyond the motion's end or in contradiction, and methods that cannot be combined or cannot meet the request.
    """
    goals = [GoalSet()] * len(texts) if goals is None else goals
    seeds = range(len(texts)) if seeds is None else seeds
    methods = methods_of(settings, guidance)
    check(model, texts, frames, goals, settings, functions, guidance=guidance)
    settings = settings.of(model)
    for seed in seeds:
        SEED.check("--seed", seed)
    texts, frames, goals = _resolved(model, texts, frames, goals)
    known = known_by(model)
    batches: dict[tuple[bool, int], list[int]] = {}
    for i, wanted in enumerate(goals):
        guided = bool(methods) and bool(wanted.goals or functions)
        batches.setdefault((guided, i + 1 if wanted.segments else 0), []).append(i)
    made: dict[int, Motion] = {}
    total = sum(sampling_of(settings, methods if guided else ()).total for guided, _ in batches)
    with tqdm(total=total, desc="sampling", unit="step", disable=not progress or None) as bar:
        for (guided, segmented), chosen in batches.items():
            request = Request.of_segments if segmented else Request.of_motions
            asked = request(
                model, _some(texts, chosen), _some(frames, chosen), _some(goals, chosen), _some(seeds, chosen)
            )
            sampled = asked.sample(methods if guided else (), functions, settings, bar, on_step, sampler=sampler)
            with one_thread():
                for i, (_, rig, report) in zip(chosen, sampled, strict=True):
                    came = provenance(rig, goals[i], seeds[i], settings, known, report, guidance, sampler)
                    made[i] = Motion.of(rig, text=words(texts[i], goals[i]), provenance=came)
    return [made[i] for i in range(len(texts))]


@overload
def generate_motions(  # type: ignore[overload-overlap]  # a str is a sequence of them
    model: MotionDenoiser,
    text: str,
    *,
    seconds: float = ...,
    goals: GoalSet | Sequence[Goal] | None = ...,
    seed: int = ...,
    guidance: str | Sequence[Guidance] | None = ...,
    sampler: SamplerName | Sampler | None = ...,
    functions: Sequence[Function] = ...,
    settings: Settings | None = ...,
    progress: bool = ...,
    on_step: Callable[[int, Estimate], None] | None = ...,
) -> Motion: ...


@overload
def generate_motions(
    model: MotionDenoiser,
    text: Sequence[str],
    *,
    seconds: float | Sequence[float] = ...,
    goals: GoalSet | Sequence[Goal] | Sequence[GoalSet | Sequence[Goal]] | None = ...,
    seed: int | Sequence[int] = ...,
    guidance: str | Sequence[Guidance] | None = ...,
    sampler: SamplerName | Sampler | None = ...,
    functions: Sequence[Function] = ...,
    settings: Settings | None = ...,
    progress: bool = ...,
    on_step: Callable[[int, Estimate], None] | None = ...,
) -> list[Motion]: ...


def generate_motions(
    model: MotionDenoiser,
    text: str | Sequence[str],
    *,
    seconds: float | Sequence[float] = 6.0,
    goals: Any = None,
    seed: int | Sequence[int] = 0,
    guidance: str | Sequence[Guidance] | None = None,
    sampler: SamplerName | Sampler | None = None,
    functions: Sequence[Function] = (),
    settings: Settings | None = None,
    progress: bool = False,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> Motion | list[Motion]:
    """Generate a motion of a prompt, or a list of motions of a list of prompts.

    Args:
        model: A motion model, or any denoiser of motion features.
        text: The prompt; a list for several motions.
        seconds: Duration of each motion; one number for all, or one each.
        goals: Goals, or a `GoalSet`; of several motions one for all, or a list with one for each.
        seed: Random seed; of several motions that of the first, followed by consecutive numbers, or one each.
        guidance: Names joined by +, such as "classifier+projection", or methods as objects, each wrapping those before
            it, such as [Classifier(scale=10), Projection()]; projection by default.
        sampler: A name such as "ddim", or a sampler as an object (see `motion_diffusion.diffusion.samplers.Sampler`).
        functions: Further objectives in Python, see `guidance.protocol.Function`.
        settings: Sampler, steps and strengths.
        progress: Whether to show a progress bar.
        on_step: Called after each step of a batch with its time and estimate; exceptions that it raises end sampling.

    Returns:
        A motion, or a list of motions for a list of prompts.

    Raises:
        InputError: As `generate`; and for lists of other lengths than that of the prompts.
    """
    texts = [text] if isinstance(text, str) else list(text)
    frames = [frame_of(each) for each in _one_each(seconds, len(texts), "seconds")]
    seeds = list(range(seed, seed + len(texts))) if isinstance(seed, int) else _one_each(seed, len(texts), "seeds")
    motions = generate(
        model,
        texts,
        frames,
        goals=_goal_sets(goals, len(texts)),
        seeds=seeds,
        settings=settings or Settings(),
        guidance=guidance,
        sampler=sampler,
        functions=functions,
        progress=progress,
        on_step=on_step,
    )
    return motions[0] if isinstance(text, str) else motions


def _one_each(values: Any, count: int, what: str) -> list[Any]:
    """A list of `count` values from one for all, or one for each; InputError for another number of values."""
    every = [values] * count if isinstance(values, int | float) else list(values)
    if len(every) != count:
        raise InputError(f"{len(every)} {what} for {count} prompts; give one for each")
    return every


def _goal_sets(goals: Any, count: int) -> list[GoalSet]:
    """The goals of each motion, from one set for all or one for each."""
    if goals is None or isinstance(goals, GoalSet):
        return [goals or GoalSet()] * count
    if all(isinstance(goal, GoalBase) for goal in goals):
        return [GoalSet(goals=list(goals))] * count
    every = [each if isinstance(each, GoalSet) else GoalSet(goals=list(each)) for each in goals]
    if len(every) != count:
        raise InputError(f"goals for {len(every)} motions and {count} prompts; give one set for each")
    return every


def methods_of(settings: Settings, guidance: str | Sequence[Guidance] | None = None) -> tuple[Guidance, ...]:
    """The methods named by the settings, or those given instead as names or objects."""
    if guidance is None or isinstance(guidance, str):
        return settings.methods(settings.guidance if guidance is None else guidance)
    return tuple(guidance)


def _resolved(
    model: MotionDenoiser, texts: Sequence[str], frames: Sequence[int], goals: Sequence[GoalSet]
) -> tuple[list[str], list[int], list[GoalSet]]:
    """Texts, frames and goals, with those of segments among the goals in their place."""
    longest = model.max_frames
    every = [resolve_segments(text, n, wanted, longest) for text, n, wanted in zip(texts, frames, goals, strict=True)]
    return [text for text, _, _ in every], [n for _, n, _ in every], [wanted for _, _, wanted in every]


def _some(every: Sequence[T], chosen: Sequence[int]) -> list[T]:
    return [every[i] for i in chosen]


def check(
    model: MotionDenoiser,
    texts: Sequence[str],
    frames: Sequence[int],
    goals: Sequence[GoalSet],
    settings: Settings,
    functions: Sequence[Function] = (),
    *,
    guidance: str | Sequence[Guidance] | None = None,
) -> None:
    """Raise InputError for requests that `generate` refuses, before anything is sampled."""
    methods = methods_of(settings, guidance)
    check_settings(model, settings, methods)
    longest = model.max_frames
    for text, count, wanted in zip(*_resolved(model, texts, frames, goals), strict=True):
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
            segment_windows(wanted.segments, longest)
            check_segments(methods if guided else ())
        if guided:
            check_request(methods, model, count)
            problem = GuidanceProblem.of(model, [wanted], torch.tensor([count]), functions)
            ComposedGuidance.of(methods, problem, model)


def check_settings(model: MotionDenoiser, settings: Settings, methods: Sequence[Guidance] | None = None) -> None:
    """Raise InputError for a model of the path alone, for numbers of steps out of its range, and for methods that its
    engine cannot serve."""
    if not model.representation.whole_body:
        raise InputError(f"{model.name} makes only the path of the root, no body; choose another --model")
    possible = Range(1, sampling_times(model, 1)[0])
    possible.check("--steps", settings.of(model).steps)
    methods = methods_of(settings) if methods is None else methods
    check_steps(methods, possible)
    if isinstance(model, MotionModel) and model.engine.name == "onnx":
        check_without_gradient(methods)


def sampling_of(settings: ModelSettings, methods: Sequence[Guidance]) -> Sampling:
    """Steps of a batch: those that its methods prescribe, else those of the settings."""
    return Sampling(settings.steps, settings.shift).guided_by(methods)


def check_words(text: str, goals: GoalSet) -> None:
    """Raise InputError for prompts, of the motion or of its segments, that are empty or that no encoder reads."""
    for prompt in [segment.text for segment in goals.segments] or [text]:
        if not prompt.strip():
            raise InputError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
        if re.search("[\0\ud800-\udfff]", prompt):
            raise InputError(
                f"the prompt {prompt[:40]!a} has a NUL, or half of a surrogate pair, which no text encoder reads; take "
                "it out"
            )


class Sampled(NamedTuple):
    """A sampled motion: joints (F, 22, 3) of the network, the body fitted to them, and the report of the fit."""

    points: Tensor
    rig: Rig
    report: CleanUp


@dataclass(frozen=True, eq=False)
class Request:
    """Windows to sample, with text, length and seed of each, and the motions that they form."""

    model: MotionDenoiser
    texts: Sequence[str]
    frames: Sequence[int]
    seeds: Sequence[int]
    goals: Sequence[GoalSet]
    """Goals of each motion."""
    windows: Windows
    kept: tuple[Rig, Tensor] | None = None
    """For editing: the body of the original motion, and the frames (F,) bool that are kept."""

    @staticmethod
    def of_motions(
        model: MotionDenoiser, texts: list[str], frames: list[int], goals: list[GoalSet], seeds: list[int]
    ) -> Request:
        """A window for every motion, beginning at the origin."""
        lengths = torch.tensor(frames, device=model.device)
        goals = [from_the_origin(wanted, n) for wanted, n in zip(goals, frames, strict=True)]
        return Request(model, texts, frames, seeds, goals, Independent(model.representation, lengths))

    @staticmethod
    def of_segments(
        model: MotionDenoiser, texts: list[str], frames: list[int], goals: list[GoalSet], seeds: list[int]
    ) -> Request:
        """Several windows for one motion, each with its own noise, beginning at the origin."""
        of = segment_windows(goals[0].segments, model.max_frames)
        windows = Stitched(model.representation, of.starts, of.lengths)
        goals = [from_the_origin(goals[0], int(windows.lengths))]
        return Request(model, of.texts, of.lengths, of.seeds(seeds[0]), goals, windows)

    def sample(
        self,
        methods: Sequence[Guidance],
        functions: Sequence[Function],
        settings: ModelSettings,
        bar: tqdm,
        on_step: Callable[[int, Estimate], None] | None = None,
        *,
        sampler: SamplerName | Sampler | None = None,
    ) -> list[Sampled]:
        """Sample every motion. on_step is called after each step with its time and estimate, and after each round of
        optimising the noise with those of the round's last step."""
        model, lengths = self.model, self.windows.lengths
        goals = with_further_goals(methods, self.goals, self.texts, lengths, self.seeds)
        problem = GuidanceProblem.of(model, goals, self.windows, functions)
        composed = ComposedGuidance.of(methods, problem, model)

        def guide(denoise: Denoise, noise: Noise) -> Denoise:
            if settings.clean_up:
                frames = torch.tensor(self.frames, device=model.device)
                constraints = KinematicConstraints(model.representation, frames, model.schedule.T)
                denoise = with_hook(denoise, constraints, model.schedule)
            return composed.guide(denoise, noise)

        def advance(t: int, estimate: Estimate) -> None:
            bar.update()
            if on_step is not None:
                on_step(t, estimate)

        def start(denoise: Denoise, z: Tensor) -> Tensor:
            last: tuple[int, Estimate] | None = None

            def recorded(x: Tensor, t: int, s: int) -> Estimate:
                nonlocal last
                estimate = denoise(x, t, s)
                last = t, estimate._replace(x0=estimate.x0.detach(), eps=estimate.eps.detach())
                return estimate

            def on_round() -> None:
                if last is None:
                    bar.update()
                else:
                    advance(*last)

            return composed.start(recorded, z, on_round=on_round)

        sampling = sampling_of(settings, methods)
        with one_thread() if len(self.texts) == 1 else all_threads():
            x = sample_features(
                model,
                self.texts,
                self.frames,
                seeds=self.seeds,
                steps=sampling.steps,
                shift=sampling.shift,
                sampler=composed.sampler(settings.sampler if sampler is None else sampler),
                text_scale=settings.text_scale,
                text_guidance=settings.text_guidance,
                observed=composed.observed,
                mask_scale=settings.mask_scale,
                start=start if composed.chooses_noise else None,
                guide=guide,
                on_step=advance,
            )
        exact = is_exact(methods)
        with one_thread():
            joints = self.joints(x, guided=bool(methods))
            motions = [motion[:n] for motion, n in zip(joints, lengths.tolist(), strict=True)]
            return [
                Sampled(motion, *clean_up(motion, wanted, exact=exact, feet=settings.clean_up, kept=self.kept))
                for motion, wanted in zip(motions, self.goals, strict=True)
            ]

    def joints(self, x: Tensor, *, guided: bool) -> Tensor:
        """Joints (M, N, 22, 3) in metres of sampled features; without guidance, moved to begin at the origin."""
        joints = self.windows.joints(self.model.representation.denormalise(x)).cpu()
        return joints if guided else joints - joints[:, :1, :1] * torch.tensor([1.0, 0.0, 1.0])


def from_the_origin(goals: GoalSet, frames: int) -> GoalSet:
    """The same goals, with `START` in front unless they determine the beginning."""
    begun = goals.observe(frames).mask[0, 0, [0, 2]].any()
    return goals if begun else goals.model_copy(update={"goals": [START, *goals.goals]})


def words(text: str, goals: GoalSet) -> str:
    """The description of a motion: its text, or the texts of its segments."""
    return "; then ".join(segment.text for segment in goals.segments) or text


def known_by(model: MotionDenoiser) -> dict[str, str]:
    """Identification of a model for provenance: name, and digest of the weights and licence of a `MotionModel`."""
    if not isinstance(model, MotionModel):
        return {"name": model.name, "weights": "", "licence": ""}
    return {"name": model.name, "weights": model.digest, "licence": model.config.licence}


def _name_of(sampler: object) -> str:
    """The name of a sampler, with the arguments that it was given in advance: "ddim(eta=0.5)"."""
    if isinstance(sampler, partial):
        return f"{_name_of(sampler.func)}({', '.join(f'{key}={value}' for key, value in sampler.keywords.items())})"
    return sampler if isinstance(sampler, str) else getattr(sampler, "__name__", type(sampler).__name__)


def provenance(
    body: Rig,
    goals: GoalSet,
    seed: int,
    settings: ModelSettings,
    model: dict[str, str],
    report: CleanUp,
    guidance: str | Sequence[Guidance] | None = None,
    sampler: SamplerName | Sampler | None = None,
) -> dict[str, Any]:
    """Provenance of a motion: model (see `known_by`), settings, seed, goals and their residuals."""
    used: dict[str, Any] = dataclasses.asdict(settings)
    if sampler is not None:
        used["sampler"] = _name_of(sampler)
    if guidance is not None:
        used["guidance"] = guidance if isinstance(guidance, str) else [described(method) for method in guidance]
    return {
        "model": model,
        "settings": used,
        "seed": seed,
        "goals": goals.model_dump(exclude_none=True),
        "clean_up": dataclasses.asdict(report),
        "residuals": [
            residual.model_dump(exclude={"goal"}) for residual in goals.residuals(body.joints.float(), body.world)
        ],
    }
