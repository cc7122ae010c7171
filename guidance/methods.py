"""How goals steer sampling. Every method takes a denoiser and gives back a denoiser, so any sampler can use it.

`classifier` pulls x̂0 down the gradient of a loss in metres; `imputation` puts the goals into x̂0 as facts. `guide`
makes the chain that a command line asks for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from guidance.bending import with_goals
from guidance.observation import Observation
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.representation import FEATURES, LAYOUT, Representation
from motion_diffusion.samplers import Denoise, Estimate, Noise, consistent, with_hook
from motion_diffusion.schedule import Schedule

Guidance = Literal["none", "classifier", "imputation", "classifier+imputation"]
Guide = Callable[[Denoise, Noise], Denoise]

CLASSIFIER_SCALE = 100.0
"""GMD's scale of the gradient."""


def classifier(denoise: Denoise, loss: Callable[[Tensor], Tensor], schedule: Schedule, *, scale: float) -> Denoise:
    """Classifier guidance (Dhariwal & Nichol 2021) as in GMD: the mean of x_s moves by −scale·β̃·∇ loss(x̂0(x_t)).

    The gradient goes through the denoiser to x_t. The mean is A·x_t + B·x̂0 with β̃/B = σ_s²/α_s (see `schedule`), so
    moving x̂0 by d = −scale·(σ_s²/α_s)·∇ moves the mean just so, whatever the prediction type and stride.

    Near t = T, σ_s²/α_s is large and the gradient through a real network is not as small as it should be. So x̂0 moves
    along d no further than to the least loss on the way, λ·d with λ ≤ 1, found from the parabola through the loss and
    its slope at x̂0 and the loss at x̂0 + d (exact where the loss is quadratic). Every sample has its own λ.

    loss: x̂0 (B, F, D) → (B,).
    """

    def guided(x: Tensor, t: int, s: int) -> Estimate:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0, _, variance = denoise(x, t, s)
            near = x0.detach().requires_grad_()
            here = loss(near)
            (uphill,) = torch.autograd.grad(here.sum(), near)
            (gradient,) = torch.autograd.grad(x0, x, grad_outputs=uphill)
        alpha_s, sigma_s = schedule.row(s)
        d = -scale * sigma_s**2 / alpha_s * gradient
        slope = (uphill * d).flatten(1).sum(1)
        rise = loss(near.detach() + d) - here.detach() - slope
        share = torch.where(rise > 0, (-slope / (2 * rise)).clamp(0, 1), (slope < 0).to(slope))
        if isinstance(variance, Tensor):
            variance = variance.detach()
        return consistent(x0.detach() + share[:, None, None] * d, x.detach(), t, schedule, variance)

    return guided


def imputation(
    denoise: Denoise,
    impute: Callable[[Tensor], Tensor],
    schedule: Schedule,
    *,
    overwritten: Tensor | None,
    noise: Noise,
) -> Denoise:
    """Imputation: x̂0 is replaced by impute(x̂0), which holds the goals.

    overwritten: None for models of x0 and v: the step uses the new x̂0 with the noise that it leaves in x_t. A mask
    (B, F, D) for models of ε or the score, whose x_t counts for more than their x̂0: there, x_s itself is overwritten
    with α_s·x̂0 + σ_s·z and fresh noise z, so that it carries the goals exactly (GMD, eq. 3).
    """
    imputed = with_hook(denoise, lambda x0, t, s: impute(x0), schedule)
    if overwritten is None:
        return imputed

    def guided(x: Tensor, t: int, s: int) -> Estimate:
        estimate = imputed(x, t, s)
        return estimate._replace(eps=torch.where(overwritten, noise(), estimate.eps))

    return guided


def guide(
    method: Guidance,
    model: MotionModel,
    goals: Observation,
    lengths: Tensor,
    *,
    scale: float = CLASSIFIER_SCALE,
) -> Guide:
    """The chain of methods by name, for `MotionModel.sample`. goals: a batch (B, F, 22, 3); lengths: (B,) frames."""
    if method not in get_args(Guidance):
        raise InputError(f"unknown guidance {method!r}; choose from {', '.join(get_args(Guidance))}")
    representation = model.representation
    goals = goals.known_to(representation)

    def miss(x0: Tensor) -> Tensor:
        return goals.loss(representation.decode(x0, lengths=lengths))

    def impute(x0: Tensor) -> Tensor:
        return with_goals(x0, goals, lengths, representation)

    def wrap(denoise: Denoise, noise: Noise) -> Denoise:
        if "classifier" in method:
            denoise = classifier(denoise, miss, model.schedule, scale=scale)
        if "imputation" in method:
            of_noise = model.prediction.name in ("eps", "score")
            overwritten = _observed_features(goals, representation) if of_noise else None
            denoise = imputation(denoise, impute, model.schedule, overwritten=overwritten, noise=noise)
        return denoise

    return wrap


def _observed_features(goals: Observation, representation: Representation) -> Tensor:
    """(B, F, D) bool: the position features of what is observed, and nothing else."""
    features = goals.mask.new_zeros(*goals.mask.shape[:2], FEATURES)
    features[..., 1:4] = goals.mask[..., 0, [0, 2, 1]]
    if representation.whole_body:
        features[..., LAYOUT["positions"]] = goals.mask[..., 1:, :].flatten(-2)
    return features[..., representation.index]
