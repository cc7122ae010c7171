"""Sampling of motion features from any denoiser: what is needed of a model, and the path from noise to features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from motion_diffusion.body.representation import Observed, Representation
from motion_diffusion.diffusion.prediction import Prediction
from motion_diffusion.diffusion.samplers import SAMPLERS, Denoise, Estimate, Noise, Sampler, SamplerName
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.diffusion.text_guidance import PLAIN, TextGuidance
from motion_diffusion.errors import InputError


class MotionDenoiser(Protocol):
    """What sampling and guidance need of a model: a `motion_diffusion.model.MotionModel`, or any denoiser of motion
    features."""

    name: str
    representation: Representation
    """Codec between features and joints."""
    schedule: Schedule
    prediction: Prediction

    @property
    def device(self) -> torch.device:
        """Device of its inputs and outputs."""
        ...

    @property
    def max_frames(self) -> int:
        """Length of the longest motion, in frames."""
        ...

    @property
    def takes_masks(self) -> bool:
        """Whether observed positions are part of its input."""
        ...

    def denoise_fn(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        text_scale: float = 1.5,
        text_guidance: TextGuidance = ...,
        observed: Observed | None = None,
        mask_scale: float = 1.0,
    ) -> Denoise:
        """The denoiser of B prompts; see `motion_diffusion.model.MotionModel.denoise_fn`."""
        ...


def sampling_times(model: MotionDenoiser, steps: int, shift: float = 1.0) -> list[int]:
    """Times of sampling in so many steps: from where the prediction is defined (`Prediction.first`) down to 0.

    shift: see `Schedule.times`.
    """
    return model.schedule.times(steps, first=model.prediction.first(model.schedule), shift=shift)


def sample_features(
    model: MotionDenoiser,
    texts: Sequence[str],
    lengths: Sequence[int],
    *,
    seeds: Sequence[int],
    steps: int = 50,
    shift: float = 1.0,
    sampler: SamplerName | Sampler = "ancestral",
    text_scale: float = 1.5,
    text_guidance: TextGuidance = PLAIN,
    observed: Observed | None = None,
    mask_scale: float = 1.0,
    start: Callable[[Denoise, Tensor], Tensor] | None = None,
    guide: Callable[[Denoise, Noise], Denoise] | None = None,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> Tensor:
    """Sample normalised features (B, max(lengths), D) for a batch of prompts.

    Each sample draws from its own generator, hence does not depend on the rest of the batch.

    Args:
        model: The denoiser, its schedule and its codec.
        texts: B prompts.
        lengths: Number of frames of each motion.
        seeds: One for each prompt.
        steps: Denoising steps.
        shift: How their times are spaced, see `Schedule.times`.
        sampler: Name of a sampler, or one of your own.
        text_scale: See `MotionDenoiser.denoise_fn`, as for text_guidance, observed and mask_scale.
        start: Chooses the initial noise, given the denoiser and a draw.
        guide: Wraps the denoiser, given the source of noise; this is how every guidance method enters.
        on_step: Called after each step with its time and estimate; exceptions that it raises end sampling.

    Raises:
        InputError: For an empty prompt, the name of no sampler, and where guidance makes the sampling diverge.
    """
    if any(not text.strip() for text in texts):
        raise InputError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise InputError(f"unknown sampler {sampler!r}; choose {', '.join(SAMPLERS)}, or give one as an object")
    lengths_tensor = torch.tensor(list(lengths), device=model.device)
    frames = torch.arange(max(lengths), device=model.device) < lengths_tensor[:, None]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    size = model.representation.size

    def noise() -> Tensor:
        z = [torch.randn(n, size, generator=generator) for n, generator in zip(lengths, generators, strict=True)]
        return pad_sequence(z, batch_first=True).to(model.device)

    denoise = model.denoise_fn(
        texts, frames, text_scale=text_scale, text_guidance=text_guidance, observed=observed, mask_scale=mask_scale
    )
    times = sampling_times(model, steps, shift)
    x = math.hypot(*model.schedule.row(times[0])) * noise()
    if start is not None:
        x = start(denoise, x)
    if guide is not None:
        denoise = guide(denoise, noise)
    run = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    with torch.no_grad():
        x = run(denoise, x, model.schedule, times, noise=noise, on_step=on_step)
    if not x.isfinite().all():
        raise InputError("sampling diverged: a strength of the guidance is too large; give a smaller one")
    return x
