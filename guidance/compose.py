"""Guidance methods by name, several together, and which of them exclude each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from torch import Tensor

from guidance.classifier import Classifier
from guidance.goals.goal_set import GoalSet
from guidance.imputation import Imputation
from guidance.masks import Masks
from guidance.moment_matching import MomentMatching
from guidance.noise_optimization import NoiseOptimization
from guidance.projection import Projection
from guidance.protocol import (
    CheckedGuidance,
    ConditioningGuidance,
    GoalGuidance,
    Guidance,
    GuidanceProblem,
    NoiseGuidance,
    SamplingGuidance,
)
from guidance.spherical import Spherical
from guidance.training_free import TrainingFree
from guidance.twisted_smc import TwistedSMC
from guidance.two_stage import TwoStage
from guidance.windows import Stitched
from motion_diffusion.body.representation import Observed
from motion_diffusion.diffusion.samplers import Denoise, Noise, Sampler, SamplerName, with_hook
from motion_diffusion.engine import NO_GRADIENT
from motion_diffusion.errors import InputError
from motion_diffusion.option_ranges import Range, check_ranges
from motion_diffusion.sampling import MotionDenoiser

METHODS: dict[str, type[Guidance]] = {
    "classifier": Classifier,
    "tfg": TrainingFree,
    "mmps": MomentMatching,
    "dsg": Spherical,
    "imputation": Imputation,
    "projection": Projection,
    "noise": NoiseOptimization,
    "smc": TwistedSMC,
    "masks": Masks,
    "stages": TwoStage,
}
"""The methods that have a name; those that write goals into x̂0 wrap the others."""

Strength = Annotated[float, Range(-100, 100)]
"""Strength of classifier-free guidance: 0 is the unconditional model, 1 the plain conditional one."""

EXCLUSIVE = {
    frozenset({"imputation", "projection"}): "both put the goals into the predicted motion, and the last one would win",
    frozenset({"classifier", "noise", "tfg", "mmps", "dsg", "smc"}): (
        "each follows the gradient towards the goals, and one of them suffices"
    ),
    frozenset({"projection", "smc"}): "projected particles meet the goals already, and nothing is left to weigh",
    frozenset({"imputation", "smc"}): "imputed particles meet the goals already, and nothing is left to weigh",
}
"""Groups of methods that exclude each other, and why."""


@dataclass(frozen=True)
class MethodOptions:
    """The settings of every method."""

    classifier: Classifier = field(default_factory=Classifier)
    tfg: TrainingFree = field(default_factory=TrainingFree)
    mmps: MomentMatching = field(default_factory=MomentMatching)
    dsg: Spherical = field(default_factory=Spherical)
    imputation: Imputation = field(default_factory=Imputation)
    projection: Projection = field(default_factory=Projection)
    noise: NoiseOptimization = field(default_factory=NoiseOptimization)
    smc: TwistedSMC = field(default_factory=TwistedSMC)
    stages: TwoStage = field(default_factory=TwoStage)

    def __post_init__(self) -> None:
        """InputError for a number, of these or of a method, that is out of its range."""
        check_ranges(self)
        for name in METHODS:
            if options := getattr(self, name, None):
                check_ranges(options, f"{name}.")

    def methods(self, guidance: str) -> tuple[Guidance, ...]:
        """The methods of "a+b" with these settings, in the order in which they wrap. InputError as `parse_methods`."""
        names = parse_methods(guidance)
        return tuple(getattr(self, name, None) or METHODS[name]() for name in METHODS if name in names)


def parse_methods(guidance: str) -> tuple[str, ...]:
    """The names in "a+b", each once; "none" is none.

    Raises:
        InputError: For a name that does not exist, twice the same, and methods that exclude each other.
    """
    names = () if guidance == "none" else tuple(name.strip() for name in guidance.split("+"))
    for name in names:
        if name not in METHODS:
            raise InputError(f"unknown guidance {name!r}; choose from none, {', '.join(METHODS)}, or several with +")
    if len(set(names)) < len(names):
        raise InputError(f"guidance {guidance} names a method twice; name each once")
    for group, reason in EXCLUSIVE.items():
        if len(together := sorted(group & set(names))) > 1:
            raise InputError(f"guidance {guidance}: {' and '.join(together)} do not go together: {reason}")
    if names == ("stages",):
        raise InputError("guidance stages only finds a path; add what leads the body along it, e.g. stages+projection")
    return names


def name_of(method: Guidance) -> str:
    """The name of a method; of one without a name, its class."""
    return next((name for name, known in METHODS.items() if type(method) is known), type(method).__name__)


def described(method: Guidance) -> dict[str, Any]:
    """Identification of a method in a motion's provenance: its name and its settings."""
    settings: dict[str, Any] = dataclasses.asdict(method) if dataclasses.is_dataclass(method) else {}
    return {"method": name_of(method), **settings}


def check_segments(methods: Sequence[Guidance]) -> None:
    """InputError if one of the methods does not go with segments."""
    if (method := single_window(methods)) is not None:
        name, reason = name_of(method), getattr(method, "single_window", "")
        raise InputError(f"{name} does not go with segments: {reason}; leave {name} out")


def single_window(methods: Sequence[Guidance]) -> Guidance | None:
    """The first method that cannot generate a motion of several windows, if one cannot."""
    return next((method for method in methods if getattr(method, "single_window", "")), None)


def check_request(methods: Sequence[Guidance], model: MotionDenoiser, frames: int) -> None:
    """InputError if one of the methods refuses to guide a motion of so many frames; see `CheckedGuidance`."""
    for method in methods:
        if isinstance(method, CheckedGuidance):
            method.check(model, frames)


def check_steps(methods: Sequence[Guidance], possible: Range) -> None:
    """InputError if one of the methods prescribes a number of sampling steps that the model does not have."""
    for method in methods:
        if isinstance(method, SamplingGuidance) and method.steps is not None:
            named = type(method) in METHODS.values()
            possible.check(f"{'--' * named}{name_of(method)}.steps", method.steps)


def check_without_gradient(methods: Sequence[Guidance]) -> None:
    """InputError if one of the methods differentiates the denoiser."""
    for method in methods:
        if getattr(method, "differentiates_denoiser", False):
            raise InputError(f"{name_of(method)} needs the gradient of the network, which {NO_GRADIENT}")


@dataclass(frozen=True)
class Sampling:
    """Steps of a batch."""

    steps: int
    shift: float = 1.0
    """How their times are spaced, see `Schedule.times`."""
    rounds: int = 0
    """Rounds of choosing the initial noise, before the steps."""

    def guided_by(self, methods: Sequence[Guidance]) -> Sampling:
        """The same, unless a method prescribes other steps, which are evenly spaced, or rounds; see `SamplingGuidance`
        and `NoiseGuidance`.
        """
        prescribed = [method.steps for method in methods if isinstance(method, SamplingGuidance)]
        steps = next((n for n in prescribed if n is not None), None)
        rounds = sum(getattr(method, "rounds", 0) for method in methods if isinstance(method, NoiseGuidance))
        return replace(self, rounds=rounds) if steps is None else Sampling(steps, rounds=rounds)

    @property
    def total(self) -> int:
        """Rounds and steps, for a progress bar."""
        return self.rounds + self.steps


def is_exact(methods: Sequence[Guidance]) -> bool:
    """Whether the final x̂0 meets the goals."""
    return any(getattr(method, "exact", False) for method in methods)


@dataclass(frozen=True, eq=False)
class ComposedGuidance:
    """Several methods on one problem. Each wraps those before it, so the last one acts last.

    Raises:
        InputError: If a method, or the model, cannot do what the problem asks.
    """

    methods: tuple[Guidance, ...]
    problem: GuidanceProblem

    @staticmethod
    def of(methods: Sequence[Guidance], problem: GuidanceProblem, model: MotionDenoiser) -> ComposedGuidance:
        """The methods, checked against what the model takes."""
        composed = ComposedGuidance(tuple(methods), problem)
        if any(composed._with(ConditioningGuidance)) and not model.takes_masks:
            raise InputError(f"{model.name} was not trained with masks; give --model v-masks, or leave masks out")
        return composed

    def __post_init__(self) -> None:
        _ = self.problem.known
        named = [method for method in self.methods if type(method) in METHODS.values()]
        follow = any(getattr(method, "differentiates", False) for method in self.methods)
        if self.problem.functions and len(named) == len(self.methods) and not follow:
            able = ", ".join(name for name, method in METHODS.items() if getattr(method, "differentiates", False))
            raise InputError(f"functions of the joints need a gradient; add one of {able} to the guidance")

    @property
    def observed(self) -> Observed | None:
        """Positions and mask for a network that takes the goals as input; None without such a method."""
        return next((method.observed(self.problem) for method in self._with(ConditioningGuidance)), None)

    def sampler(self, given: SamplerName | Sampler) -> SamplerName | Sampler:
        """The sampler that a method prescribes for the problem, else the given one."""
        return next((method.sampler(self.problem) for method in self._with(SamplingGuidance)), given)

    @property
    def chooses_noise(self) -> bool:
        """Whether a method chooses the initial noise."""
        return any(self._with(NoiseGuidance))

    def start(self, denoise: Denoise, z: Tensor, *, on_round: Callable[[], object] = lambda: None) -> Tensor:
        """The initial noise (B, F, D), given a draw. on_round is called after each round of optimising it."""
        for method in self._with(NoiseGuidance):
            z = method.start(denoise, z, self.problem, on_round)
        return z

    def guide(self, denoise: Denoise, noise: Noise) -> Denoise:
        """The denoiser, wrapped by all methods."""
        for method in self.methods:
            denoise = method.wrap(denoise, self.problem, noise)
        if not is_exact(self.methods) and isinstance(self.problem.windows, Stitched):
            denoise = with_hook(denoise, self._agree, self.problem.schedule)
        return denoise

    def _agree(self, x0: Tensor, t: int, s: int) -> Tensor:
        """Windows made equal where they overlap, which exact methods do by themselves."""
        representation, windows = self.problem.representation, self.problem.windows
        features = representation.denormalise(x0)
        return representation.normalise(windows.meet(features, windows.joints(features)))

    def _with(self, kind: type) -> Iterator[Any]:
        """Methods that have an optional hook."""
        return (method for method in self.methods if isinstance(method, kind))


def with_further_goals(
    methods: Sequence[Guidance], goals: Sequence[GoalSet], texts: Sequence[str], lengths: Tensor, seeds: Sequence[int]
) -> list[GoalSet]:
    """The goals of each motion, with those that methods derive in front; see `GoalGuidance`."""
    for method in methods:
        if isinstance(method, GoalGuidance):
            goals = method.goals(goals, texts, lengths, seeds)
    return list(goals)
