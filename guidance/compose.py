"""The ways of guiding by name, alone or together, and what does not go together.

Every method takes a denoiser and gives back a denoiser, so any sampler can use it; a method is a file of its own. Two
stages come before (they add a path to the goals), the noise is sought before the first step, and masks are told to the
network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast, get_args

from torch import Tensor

from guidance.classifier import ClassifierOptions, classifier
from guidance.imputation import ImputationOptions, imputation
from guidance.noise_optimization import NoiseOptions, optimised
from guidance.projection import ProjectionOptions, projection
from guidance.protocol import GuidanceProblem
from guidance.two_stage import StagesOptions
from guidance.windows import Woven
from motion_diffusion.body.representation import Observed
from motion_diffusion.diffusion.samplers import Denoise, Noise, with_hook
from motion_diffusion.errors import InputError
from motion_diffusion.option_ranges import Range, check_ranges

Method = Literal["classifier", "imputation", "projection", "noise", "masks", "stages"]
Guide = Callable[[Denoise, Noise], Denoise]
Strength = Annotated[float, Range(-100, 100)]
"""Of classifier-free guidance: 0 without what is told, 1 the plain model."""

APART = {
    frozenset({"imputation", "projection"}): "both put the goals into the predicted motion, and the last one would win",
    frozenset({"classifier", "noise"}): "the noise is already sought along the gradient through all steps",
}
"""Methods that do not go together, and why."""

EXACT = frozenset({"imputation", "projection"})
"""Methods that put the goals into the predicted motion."""

NOT_WITH_SEGMENTS: dict[str, str] = {
    "masks": "the place of a segment, which they would tell, is found while sampling",
    "stages": "a path is made for one sentence",
}
"""Methods that cannot make a motion of several windows, and why."""


@dataclass(frozen=True)
class MethodOptions:
    """The settings of every way of guiding."""

    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)
    imputation: ImputationOptions = field(default_factory=ImputationOptions)
    projection: ProjectionOptions = field(default_factory=ProjectionOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    stages: StagesOptions = field(default_factory=StagesOptions)

    def __post_init__(self) -> None:
        """InputError for a number, of these or of a method, that is out of its range."""
        check_ranges(self)
        for name in get_args(Method):
            if options := getattr(self, name, None):
                check_ranges(options, f"{name}.")


def parse_methods(guidance: str) -> tuple[Method, ...]:
    """The methods of "a+b", each once; "none" is none. InputError says which there are, or why not together."""
    names = () if guidance == "none" else tuple(name.strip() for name in guidance.split("+"))
    known = get_args(Method)
    for name in names:
        if name not in known:
            raise InputError(f"unknown guidance {name!r}; choose from none, {', '.join(known)}, or several with +")
    if len(set(names)) < len(names):
        raise InputError(f"guidance {guidance} names a method twice; name each once")
    for pair, reason in APART.items():
        if pair <= set(names):
            raise InputError(f"guidance {guidance}: {' and '.join(sorted(pair))} do not go together: {reason}")
    if names == ("stages",):
        raise InputError("guidance stages only finds a path; add what leads the body along it, e.g. stages+projection")
    return cast(tuple[Method, ...], names)


def check_segments(methods: Sequence[Method]) -> None:
    """InputError if one of the methods does not go with segments."""
    for method in methods:
        if method in NOT_WITH_SEGMENTS:
            raise InputError(f"{method} does not go with segments: {NOT_WITH_SEGMENTS[method]}; leave {method} out")


@dataclass(frozen=True, eq=False)
class Guidance:
    """Some methods for a task, ready to sample with."""

    methods: tuple[Method, ...]
    problem: GuidanceProblem
    options: MethodOptions = MethodOptions()

    def __post_init__(self) -> None:
        """InputError if a method, or the model, cannot do what the task asks."""
        model, _ = self.problem.model, self.problem.known
        if "masks" in self.methods and not model.config.masks:
            raise InputError(f"{model.name} was not trained with masks; give --model v-masks, or leave masks out")
        if self.problem.functions and not {"classifier", "noise"} & set(self.methods):
            raise InputError("functions of the joints need a gradient; add classifier or noise to the guidance")

    @property
    def observed(self) -> Observed | None:
        """What a model with masks is told."""
        return (self.problem.known.values, self.problem.known.mask) if "masks" in self.methods else None

    def start(self, denoise: Denoise, z: Tensor, *, on_round: Callable[[], object] = lambda: None) -> Tensor:
        """The noise to begin with, given one that was drawn. on_round is called after each round of seeking it."""
        if "noise" not in self.methods:
            return z
        return optimised(denoise, z, self.problem, self.options.noise, on_round=on_round)

    def guide(self, denoise: Denoise, noise: Noise) -> Denoise:
        """The denoiser with all methods that wrap it; what puts goals into x̂0 comes last."""
        if "classifier" in self.methods:
            denoise = classifier(denoise, self.problem, self.options.classifier)
        if "imputation" in self.methods:
            denoise = imputation(denoise, self.problem, noise, self.options.imputation)
        if "projection" in self.methods:
            denoise = projection(denoise, self.problem, noise, self.options.projection)
        elif "imputation" not in self.methods and isinstance(self.problem.timeline, Woven):
            denoise = with_hook(denoise, self._weave, self.problem.model.schedule)
        return denoise

    def _weave(self, x0: Tensor, t: int, s: int) -> Tensor:
        """Windows made the same where they overlap, which methods that write x̂0 do by themselves."""
        representation, timeline = self.problem.model.representation, self.problem.timeline
        features = representation.denormalise(x0)
        return representation.normalise(timeline.meet(features, timeline.joints(features)))
