"""Reproducible sampling runs for analysis: ancestral sampling with all noise drawn in advance.

Runs of a chain differ only in what is changed on purpose, and x_t and x̂0 are recorded at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from scipy.stats import t as student_t
from torch import Tensor
from tqdm.auto import tqdm

from guidance.classifier import Classifier
from guidance.compose import ComposedGuidance, MethodOptions
from guidance.goals.goal_set import GoalSet
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise, OnStep, ancestral
from motion_diffusion.errors import InputError
from motion_diffusion.sampling import MotionDenoiser, sampling_times

TYPES = ("x0", "eps", "v")
"""Prediction types that are compared."""
PRIME = 1_000_003
"""Distance of the seeds of two texts' motions; PyTorch's generator uses the last 32 bits of a seed."""
Guide = Callable[[Denoise, Noise], Denoise]
"""Wraps a denoiser, given the source of noise."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Record of a run: N steps of a batch of B motions."""

    x: Tensor
    """(N, B, F, D): x_t before each step."""
    network: Tensor
    """(N, B, F, D): x̂0 of the network."""
    guided: Tensor
    """(N, B, F, D): x̂0 after guidance."""
    final: Tensor
    """(B, F, D)"""


@dataclass(frozen=True, eq=False)
class Chain:
    """A batch with its denoiser and its noise, the same in every run."""

    model: MotionDenoiser
    denoise: Denoise
    times: list[int]
    z: Tensor
    """(N + 1, B, F, D): initial noise, and that of each step."""

    @staticmethod
    def of(
        model: MotionDenoiser,
        texts: Sequence[str],
        seeds: Iterable[int],
        *,
        frames: int,
        steps: int,
        text_scale: float,
        first: int | None = None,
        shift: float = 1.0,
    ) -> Chain:
        """A batch of every text with every seed: B = texts · seeds. Every motion has noise of its own, so that motions
        are independent draws; models are compared on the same noise.

        Args:
            model: the model.
            texts: the prompts.
            seeds: of the noise.
            frames: length of the motions.
            steps: number of sampling steps.
            text_scale: strength of classifier-free guidance.
            first: time to start at; by default where the model starts sampling.
            shift: how times are spaced, see `Schedule.times`.

        Raises:
            InputError: for a length that the model cannot generate.
        """
        if not 2 <= frames <= model.max_frames:
            raise InputError(f"{frames / FPS:g} s: {model.name} makes motions of 0.1 to {model.max_frames / FPS:g} s")
        if first is None:
            times = sampling_times(model, steps, shift)
        else:
            times = model.schedule.times(steps, first=first, shift=shift)
        noise, prompts = [], []
        for number, (text, seed) in enumerate(product(texts, seeds)):
            generator = torch.Generator().manual_seed(seed + PRIME * number)
            noise.append(torch.randn(len(times), frames, model.representation.size, generator=generator))
            prompts.append(text)
        z = torch.stack(noise, dim=1).to(model.device)
        exist = torch.ones(len(prompts), frames, dtype=torch.bool, device=model.device)
        return Chain(model, model.denoise_fn(prompts, exist, text_scale=text_scale), times, z)

    @property
    def frames(self) -> int:
        return self.z.shape[2]

    def run(
        self,
        guide: Guide | None = None,
        *,
        start: int = 0,
        x: Tensor | None = None,
        words: str = "",
        on_step: OnStep | None = None,
    ) -> Trace:
        """Run the chain.

        Args:
            guide: wraps the denoiser with guidance; None for an unguided run.
            start: index of the first step.
            x: x_t to start from; by default the initial noise.
            words: text of the progress bar; empty for none.
            on_step: called after each step with its time and estimate; what it raises ends the run.
        """
        if x is None:
            x = math.hypot(*self.model.schedule.row(self.times[0])) * self.z[0]
        xs: list[Tensor] = []
        network: list[Tensor] = []
        guided: list[Tensor] = []
        draws = iter(self.z[start + 1 :])

        def noise() -> Tensor:
            return next(draws)

        def watched(x: Tensor, t: int, s: int) -> Estimate:
            estimate = self.denoise(x, t, s)
            xs.append(x.detach())
            network.append(estimate.x0.detach())
            return estimate

        # methods that overwrite x_s (imputation of ε) draw from a separate source, so that the steps keep their noise
        spare = torch.Generator().manual_seed(0)

        def other_noise() -> Tensor:
            return torch.randn(self.z.shape[1:], generator=spare).to(self.z)

        denoise = watched if guide is None else guide(watched, other_noise)
        times = self.times[start:]
        hidden = None if words else True  # None: shown on a terminal
        with torch.no_grad(), tqdm(total=len(times) - 1, desc=words, leave=False, disable=hidden) as bar:

            def advance(t: int, estimate: Estimate) -> None:
                guided.append(estimate.x0)
                bar.update()
                if on_step is not None:
                    on_step(t, estimate)

            final = ancestral(denoise, x, self.model.schedule, times, noise=noise, on_step=advance)
        return Trace(torch.stack(xs), torch.stack(network), torch.stack(guided), final)

    def guide(self, goals: GoalSet, method: str, scale: float) -> Guide:
        """Guidance with the same goals for every motion; the gradient as in GMD, times the variance of the step."""
        count = self.z.shape[1]
        task = GuidanceProblem.of(self.model, [goals] * count, torch.full((count,), self.frames, device=self.z.device))
        gradient = Classifier(scaling="variance", scale=scale, inner=0)
        return ComposedGuidance.of(MethodOptions(classifier=gradient).methods(method), task, self.model).guide

    def paths(self, x0: Tensor) -> Tensor:
        """The path of the pelvis on the floor, (..., F, 2) x and z in metres, of x̂0 (..., F, D)."""
        return self.model.representation.decode(x0)[..., 0, [0, 2]]


def ratio(part: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Σ part / Σ whole over the B motions of (..., B), and half the width of its 95 % interval (jackknife)."""
    count = part.shape[-1]
    value = part.sum(-1) / whole.sum(-1)
    if count == 1:
        return value, torch.zeros_like(value)
    without = (part.sum(-1, keepdim=True) - part) / (whole.sum(-1, keepdim=True) - whole)
    spread = ((count - 1) / count * (without - without.mean(-1, keepdim=True)).square().sum(-1)).sqrt()
    return value, float(student_t.ppf(0.975, count - 1)) * spread


def alike(models: Sequence[MotionDenoiser]) -> None:
    """Raise InputError unless all models are comparable: the same features and schedule."""
    if not models:
        raise InputError("no model to look at; give --models, such as root-x0 root-eps root-v")
    first = models[0]
    for other in models[1:]:
        if other.representation.groups != first.representation.groups:
            mine, theirs = (", ".join(model.representation.groups) for model in (first, other))
            raise InputError(f"{first.name} knows {mine}, {other.name} {theirs}; compare models of the same features")
        here, there = first.schedule, other.schedule
        if (here.name, here.T) != (there.name, there.T):
            raise InputError(
                f"{first.name} has a {here.name} schedule of {here.T} times, {other.name} a {there.name} one of "
                f"{there.T}; the same t would not be the same noise"
            )


def confidence(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the B independent draws of (..., B), and half the width of its 95 % interval by Student's t (0 for one
    draw)."""
    mean, count = values.mean(-1), values.shape[-1]
    if count == 1:
        return mean, torch.zeros_like(mean)
    return mean, float(student_t.ppf(0.975, count - 1)) * values.std(-1) / count**0.5
