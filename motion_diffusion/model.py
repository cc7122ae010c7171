"""A motion model: denoiser, schedule, prediction type, representation and text encoder under one name.

On disk a model is a directory with `config.json`, `model.safetensors` and perhaps `known.json`; nothing in it is ever
executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from motion_diffusion import pretrained
from motion_diffusion.body.representation import Observed, Representation
from motion_diffusion.diffusion.losses import split
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
from motion_diffusion.diffusion.samplers import (
    Denoise,
    Estimate,
    Sampler,
    SamplerName,
    clip,
    estimate_from_x0,
)
from motion_diffusion.diffusion.schedule import SCHEDULES, Level, Schedule, cast, vector
from motion_diffusion.diffusion.text_guidance import PLAIN, Refinement, TextGuidance, each_term, terms, weighted_sum
from motion_diffusion.diffusion.variance import VarianceName, log_variance
from motion_diffusion.engine import Engine, EngineName
from motion_diffusion.errors import InputError
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from motion_diffusion.network.text_encoders import TextEncoder, text_encoder
from motion_diffusion.option_ranges import Range, check_ranges
from motion_diffusion.prompts import Known, read_known
from motion_diffusion.sampling import sample_features, sampling_times

PredictionName = Literal["x0", "eps", "v", "score", "velocity", "mu"]
ScheduleName = Literal["cosine", "linear", "rectified", "variance-exploding"]

Entry = TypeVar("Entry")

MAX_FRAMES = 100_000
Steps = Annotated[int, Range(1, 100_000)]
Shift = Annotated[float, Range(0.1, 10.0)]
Emphasis = Annotated[float, Range(0.0, 1000.0)]


def name_in(registry: Mapping[str, object]) -> AfterValidator:
    """A check of names that are read from a file: ValueError for one that the registry does not have."""

    def check(name: str) -> str:
        if name not in registry:
            *most, last = map(repr, registry)
            raise ValueError(f"Input should be {', '.join(most)} or {last}")
        return name

    return AfterValidator(check)


@dataclass(frozen=True)
class Recommended:
    """Settings with which a model is sampled unless others are asked for."""

    steps: Steps = 50
    """Sampling steps."""
    shift: Shift = 1.0
    """How their times are spaced, see `Schedule.times`."""
    sampler: SamplerName = "ancestral"
    text_scale: Annotated[float, Range(0.0, 100.0)] = 1.5
    """Strength of the text."""
    only: bool = False
    """Whether the model knows no others: it was distilled for these steps (see `train.distillation`)."""


@dataclass(frozen=True)
class ModelConfig:
    """Description of a model apart from its weights; stored in config.json."""

    prediction: Annotated[str, name_in(PREDICTIONS)]
    denoiser: DenoiserConfig
    features: tuple[str, ...]
    """Groups of features that the network processes, in order."""
    emphasis: Emphasis = 1.0
    schedule: Annotated[str, name_in(SCHEDULES)] = "cosine"
    T: Steps = 1000
    variance: VarianceName = "fixed-small"
    text: str = "static"
    """Name of the text encoder, see `network.text_encoders.text_encoder`."""
    max_frames: Annotated[int, Range(2, MAX_FRAMES)] = 120
    """Length of the longest motion trained on."""
    masks: bool = False
    """Whether the network is conditioned on observed positions and their mask."""
    written: bool = False
    """Whether observed positions are also written over its noisy input, as in CondMDI (Cohan et al. 2024)."""
    recommended: Recommended = Recommended()
    """How to sample."""
    teacher: str = ""
    """Model from which this one was distilled; empty for others."""
    training: str = ""
    """One line on the training data and steps."""
    licence: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, file=True)


MAX_BATCH = 128
"""Maximum number of windows that the network processes at once when a motion is sampled."""


@dataclass(frozen=True)
class Condition:
    """The denoiser's condition for a batch: encoded once, used at every step."""

    context: Tensor
    seen: Tensor
    frames: Tensor
    """(B, F) bool, the frames that exist."""
    hints: Tensor | None = None
    """(B, F, 6·J): values and mask of observed positions; None for models without masks."""
    observed: Observed | None = None
    """The same, as positions and mask (B, F, J, 3); None if nothing is observed or it is not written over the input."""

    def rows(self, some: slice) -> Condition:
        """The condition of a part of the batch."""
        hints = None if self.hints is None else self.hints[some]
        observed = None if self.observed is None else (self.observed[0][some], self.observed[1][some])
        return Condition(self.context[some], self.seen[some], self.frames[some], hints, observed)


class MotionModel(nn.Module):
    """Motion model: denoiser, schedule, prediction type, representation and text encoder.

    Args:
        config: Sizes, and the names of the parts.
        representation: Codec between features and joints.
        schedule: In place of the one that the config names.
        prediction: Likewise.
        text: Text encoder, likewise.

    Raises:
        InputError: If a name is in no registry, the prediction type does not determine x0 at every time of the
            schedule, or the text encoder has another dimension than the denoiser's input.
    """

    def __init__(
        self,
        config: ModelConfig,
        representation: Representation,
        *,
        schedule: Schedule | None = None,
        prediction: Prediction | None = None,
        text: TextEncoder | None = None,
    ):
        super().__init__()
        self.name = "untitled"
        if schedule is not None:
            config = replace(config, schedule=schedule.name, T=schedule.T)
        if prediction is not None:
            config = replace(config, prediction=prediction.name)
        self.config = config
        self.denoiser = Denoiser(config.denoiser)
        self.representation = representation
        self.schedule = _named(config.schedule, SCHEDULES, "schedule")(config.T) if schedule is None else schedule
        self.prediction = _named(config.prediction, PREDICTIONS, "prediction") if prediction is None else prediction
        self.prediction.check(self.schedule)
        self.text = _encoder(config, text)
        self._own_text = text is not None
        self._digest = pretrained.Digest()
        self.engine = Engine()
        """Evaluates the denoiser."""
        self.known: Known | None = None
        """Actions and words of the training data, if recorded."""

    @property
    def device(self) -> torch.device:
        return next(self.denoiser.parameters()).device

    @property
    def max_frames(self) -> int:
        """Length of the longest motion trained on."""
        return self.config.max_frames

    @property
    def takes_masks(self) -> bool:
        """Whether observed positions are part of the input."""
        return self.config.masks

    def condition(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        hide: Tensor | None = None,
        observed: Observed | None = None,
    ) -> Condition:
        """Encode a batch of prompts.

        Args:
            texts: B prompts.
            frames: (B, F) bool, the frames that exist.
            hide: (B,) bool, where to drop the text (unconditional).
            observed: For models with masks, observed positions (B, F, J, 3) in metres and their mask.
        """
        return self._condition(self._words(texts), frames, hide=hide, observed=observed)

    def _words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encoded words of B prompts, and where there are any; each different prompt is encoded once."""
        index = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        rows = [index[text] for text in texts]
        words, visible = (encoded[rows].to(self.device) for encoded in self.text(list(index)))
        return words, visible

    def _condition(
        self, encoded: tuple[Tensor, Tensor], frames: Tensor, *, hide: Tensor | None, observed: Observed | None
    ) -> Condition:
        """`condition` of encoded words."""
        words, visible = encoded
        if hide is not None:
            visible = visible & ~hide[:, None]
        context, seen = self.denoiser.text(words, visible)
        hint = None
        if self.config.masks:
            nothing = words.new_zeros(*frames.shape, self.config.denoiser.hints)
            hint = nothing if observed is None else hints(observed)
        return Condition(context, seen, frames, hint, observed if self.config.written else None)

    def network(self, condition: Condition, x_t: Tensor, level: Level) -> Tensor:
        """The prediction at x_t (B, F, D), followed by the variance parameters if they are learned: (B, F, D or 2·D).

        The denoiser itself works at unit scale: x_t and (α, σ) are divided by √(α² + σ²), and its prediction is
        multiplied by the size of the target. On variance-preserving schedules both are 1 for x0, ε and v.
        """
        r = (level.alpha**2 + level.sigma**2) ** 0.5
        alpha, sigma = (vector(number / r, x_t) for number in (level.alpha, level.sigma))
        words = (condition.context, condition.seen)
        x = x_t / cast(r, x_t)
        view = None
        if condition.observed is not None:
            estimate = x * cast(level.alpha / r, x)
            view = self.representation.write_over(x, estimate, condition.observed)
        y = self.engine(self.denoiser, x, alpha, sigma, *words, condition.frames, condition.hints, view)
        y, w = split(y, self.config.variance)
        y = y * cast(self.prediction.size(level), y)
        return y if w is None else torch.cat([y, w], dim=-1)

    def _evaluate(self, condition: Condition, x_t: Tensor, level: Level) -> Tensor:
        """`_in_batches`, without gradients some percent faster."""
        if torch.is_grad_enabled():
            return self._in_batches(condition, x_t, level)
        with torch.inference_mode():
            y = self._in_batches(condition, x_t, level)
        return y.clone()  # gradients may be taken of what is computed from it

    def _in_batches(self, condition: Condition, x_t: Tensor, level: Level) -> Tensor:
        """`network` for up to `MAX_BATCH` windows at a time, so that its memory does not grow with the motion.

        Gradients are taken through one batch at a time, whose activations are computed a second time.
        """
        if len(x_t) <= MAX_BATCH:
            return self.network(condition, x_t, level)
        results = []
        for first in range(0, len(x_t), MAX_BATCH):
            rows = slice(first, first + MAX_BATCH)
            some, x = condition.rows(rows), x_t[rows]
            keeps_graph = torch.is_grad_enabled() and x.requires_grad
            results.append(
                checkpoint(self.network, some, x, level, use_reentrant=False)
                if keeps_graph
                else self.network(some, x, level)
            )
        return torch.cat(results)

    def denoise_fn(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        text_scale: float = 1.5,
        text_guidance: TextGuidance = PLAIN,
        observed: Observed | None = None,
        mask_scale: float = 1.0,
    ) -> Denoise:
        """The denoiser of these prompts, with classifier-free guidance (see `diffusion.text_guidance`).

        x̂0 is kept within the range of the training data.

        Args:
            texts: B prompts.
            frames: (B, F) bool, the frames that exist.
            text_scale: Strength of the text; 1 is the plain conditional model, at no further cost.
            text_guidance: When and how the text acts, see `diffusion.text_guidance`.
            observed: For models with masks, observed positions (B, F, J, 3) in metres and their mask.
            mask_scale: Strength of the observed positions.

        Raises:
            InputError: If positions are observed and the model has no masks.
        """
        if observed is not None and not self.config.masks:
            raise InputError(f"{self.name} was not trained with masks; it cannot be told what is known")
        words = self._words(texts)
        guided = self._denoise_fn(words, frames, text_scale, text_guidance, observed, mask_scale)
        if text_guidance.always:
            return guided
        plain = self._denoise_fn(words, frames, 1.0, PLAIN, observed, mask_scale)
        return text_guidance.within(guided, plain, self.schedule.T)

    def _denoise_fn(
        self,
        words: tuple[Tensor, Tensor],
        frames: Tensor,
        text_scale: float,
        text_guidance: TextGuidance,
        observed: Observed | None,
        mask_scale: float,
    ) -> Denoise:
        """`denoise_fn` inside the interval of text guidance."""
        parts = terms(text_scale, mask_scale, observed=observed is not None, pair=text_guidance.pair)
        known: list[Observed] = []
        if observed is not None:
            values, mask = observed
            known = [(values, mask if part.motion else torch.zeros_like(mask)) for part in parts]
        with torch.no_grad():
            hidden = torch.tensor([not part.words for part in parts], device=self.device)
            condition = self._condition(
                (words[0].repeat(len(parts), 1, 1), words[1].repeat(len(parts), 1)),
                frames.repeat(len(parts), 1),
                hide=hidden.repeat_interleave(len(frames)),
                observed=_joined(known) if known else None,
            )
        keep = clip(self.representation.bound.to(self.device))
        weights = torch.tensor([part.weight for part in parts], device=self.device)
        predictions = each_term(partial(self._evaluate, condition), len(parts), self.config.variance)
        refined = Refinement(text_guidance, frames, text_scale)

        def denoise(x: Tensor, t: int, s: int) -> Estimate:
            level = self.schedule.at(t)
            y, w = predictions(x, level)
            pair = self.prediction.to_x0(y[:2], x, level) if text_guidance.pair else None
            x0 = refined(self.prediction.to_x0(weighted_sum(weights, y), x, level), pair, t)
            variance = None
            if self.config.variance != "fixed-small":
                variance = log_variance(self.config.variance, w, self.schedule, t, s, x).exp()
            estimate = estimate_from_x0(keep(x0, t, s), x, t, self.schedule, variance)
            if pair is not None and text_guidance.unconditional_noise:
                return estimate._replace(eps=estimate_from_x0(keep(pair[1], t, s), x, t, self.schedule).eps)
            return estimate

        return denoise

    times = sampling_times
    sample = sample_features

    def generate(
        self,
        text: str | Sequence[str],
        *,
        seconds: float | Sequence[float] = 6.0,
        goals: Any = None,
        seed: int | Sequence[int] = 0,
        guidance: Any = None,
        sampler: SamplerName | Sampler | None = None,
        functions: Sequence[Callable[[Tensor, Tensor], Tensor]] = (),
        settings: Any = None,
        progress: bool = False,
        on_step: Callable[[int, Estimate], None] | None = None,
    ) -> Any:
        """Generate a motion, or several; see `sample.generate.generate_motions`."""
        from sample.generate import generate_motions  # the one import upwards: what a notebook expects of a model

        return generate_motions(
            self,
            text,
            seconds=seconds,
            goals=goals,
            seed=seed,
            guidance=guidance,
            sampler=sampler,
            functions=functions,
            settings=settings,
            progress=progress,
            on_step=on_step,
        )

    @property
    def digest(self) -> str:
        """Sixteen hex digits that identify the weights, for provenance."""
        return self._digest.of(self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        return pretrained.tensors_of(self.denoiser.state_dict(), "denoiser", self.representation)

    def save(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json, model.safetensors and, if recorded, known.json.

        Args:
            folder: Directory of the model.
            dtype: Type of the denoiser's weights; statistics are written in float32.

        Raises:
            InputError: If the model has a schedule, prediction type or text encoder that no registry has under the name
                in the config; it could not be loaded again.
        """
        self.check_saveable()
        if self.known is not None:
            self.known.write(Path(folder))
        pretrained.write(Path(folder), self.config, self._tensors(), dtype)

    def check_saveable(self) -> None:
        """Raise the InputError of `save`, if there is one."""
        config, own = self.config, ""
        schedule = SCHEDULES.get(config.schedule)
        if schedule is None or not self.schedule.has_table_of(schedule(config.T)):
            own = f"its schedule {config.schedule!r} is not the one in SCHEDULES (diffusion/schedule.py)"
        elif PREDICTIONS.get(config.prediction) != self.prediction:
            own = f"its prediction type {config.prediction!r} is not the one in PREDICTIONS (diffusion/prediction.py)"
        elif self._own_text:
            own = "its text encoder was given as an object and is not in TEXT_ENCODERS (network/text_encoders.py)"
        if own:
            raise InputError(f"{self.name} cannot be saved: {own}; add yours there, and name it in the model's config")

    @staticmethod
    def load(name: str | Path, *, engine: EngineName = "torch") -> MotionModel:
        """Load a shipped model by its name, or any model or run by its directory; ready for sampling.

        Args:
            name: Name or directory.
            engine: What evaluates the denoiser: "torch", "onnx" (ONNX Runtime, the extra `onnx`), or "auto" for the
                faster of them; see `motion_diffusion.engine`.

        Raises:
            FileNotFoundError: If there is none; the message lists those that are shipped.
            InputError: If its files are damaged, or the engine is not installed.
        """
        folder = pretrained.find(name, "models")
        config = pretrained.read_config(folder, ModelConfig)
        _encoder(config)  # refused before the weights are blamed
        with pretrained.reading(folder) as tensors:
            statistics = pretrained.part(tensors, "representation")
            model = MotionModel(config, Representation.from_tensors(config.features, config.emphasis, statistics))
            model.denoiser.load_state_dict(pretrained.part(tensors, "denoiser"))
        model.name, model.known = folder.resolve().name, read_known(folder)
        model.engine = Engine(engine)
        return model.eval().requires_grad_(False)


def _named(name: str, registry: Mapping[str, Entry], kind: str) -> Entry:
    """The entry of a registry; InputError if it has none of this name."""
    if name not in registry:
        raise InputError(f"unknown {kind} {name!r}; choose {', '.join(registry)}, or give one as an object")
    return registry[name]


def _encoder(config: ModelConfig, given: TextEncoder | None = None) -> TextEncoder:
    """The given text encoder, or that of the config.

    Raises:
        InputError: If the encoder is not available, or its dimension is not that of the denoiser's input.
    """
    encoder = text_encoder(config.text) if given is None else given
    if encoder.dim != config.denoiser.text_dim:
        name, remedy = config.text, "the model's config.json must name the encoder that it was trained with"
        if given is not None:
            name, remedy = type(given).__name__, f"give the denoiser text_dim={given.dim}"
        raise InputError(
            f"text encoder {name} gives {encoder.dim} numbers a word and the denoiser reads "
            f"{config.denoiser.text_dim}; {remedy}"
        )
    return encoder


def hints(observed: Observed) -> Tensor:
    """Input (B, F, 6·J) of a network with masks for (values, mask), each (B, F, J, 3); unobserved values are 0."""
    values, mask = observed
    return torch.cat([(values * mask).flatten(-2), mask.to(values).flatten(-2)], dim=-1)


def _joined(several: Sequence[Observed]) -> Observed:
    """Several batches of observed positions as one."""
    return torch.cat([values for values, _ in several]), torch.cat([mask for _, mask in several])
