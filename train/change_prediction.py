"""Changes what a trained network predicts while it keeps its estimates, so that a training can start from it.

x̂0 and ε̂ are linear in x_t and in the prediction y, so another prediction is y' = a·x_t + b·y with a and b that depend
on the noise level. The denoiser's output is y = skip(t) ⊙ x_t + gate(t) ⊙ F(…), hence

    skip' = a + b·skip,    gate' = b·gate.

Both are linear in an embedding of the noise level; the new ones are fitted to these values by least squares over all
times of the schedule, weighted by what an error of y' means for x̂0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from motion_diffusion.diffusion.prediction import Prediction
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.network.denoiser import Denoiser

NEGLIGIBLE = 1e-10
"""Singular values of the embedding of all times below this share of the largest one are ignored."""


@torch.no_grad()
def change_prediction(denoiser: Denoiser, schedule: Schedule, old: Prediction, new: Prediction) -> None:
    """Let a denoiser of one prediction type predict another one, in place.

    Args:
        denoiser: The network of a `motion_diffusion.model.MotionModel`.
        schedule: Its noise schedule. Times before both types start sampling are left out (`Prediction.first`).
        old: What it predicts.
        new: What it is to predict.
    """
    level = schedule.at(torch.arange(1, min(old.first(schedule), new.first(schedule)) + 1))
    alpha, sigma, old_size, new_size = (
        torch.as_tensor(value, dtype=torch.float64)[:, None]
        for value in (level.alpha, level.sigma, old.size(level), new.size(level))
    )
    r = (alpha**2 + sigma**2).sqrt()  # the denoiser works at unit scale, see `MotionModel.network`
    embedding = denoiser.noise_level((alpha / r)[:, 0].float(), (sigma / r)[:, 0].float()).double()
    inputs = torch.cat([nn.functional.silu(embedding), alpha / r, sigma / r, torch.ones_like(r)], dim=-1)

    def of(x: float, y: float) -> Tensor:
        """The new prediction at x_t = x where the old one is y."""
        x_t, answer = torch.full_like(alpha[:, 0], x), torch.full_like(alpha[:, 0], y)
        target = new.target(old.to_x0(answer, x_t, level), old.to_eps(answer, x_t, level), level)
        return target[:, None]

    a, b = of(1, 0) * r / new_size, of(0, 1) * old_size / new_size
    weight = sigma / torch.as_tensor(new.determinant(level), dtype=torch.float64)[:, None].abs() * new_size
    _refit(denoiser.skip, inputs, weight, a, b)
    _refit(denoiser.gate, inputs, weight, torch.zeros_like(a), b, outputs=denoiser.config.features)
    if denoiser.hint_gate is not None:
        _refit(denoiser.hint_gate, inputs, weight, torch.zeros_like(a), b)


def _refit(
    layer: nn.Linear, inputs: Tensor, weight: Tensor, a: Tensor, b: Tensor, *, outputs: int | None = None
) -> None:
    """Replace the first outputs (default: all) of a layer, y(t), by a(t) + b(t)·y(t), given its inputs (T, …) and 1."""
    parameters = torch.cat([layer.weight, layer.bias[:, None]], dim=1).double()[:outputs]
    values = a + b * (inputs @ parameters.T)
    fitted = torch.linalg.lstsq(weight * inputs, weight * values, rcond=NEGLIGIBLE, driver="gelsd").solution.T
    layer.weight[:outputs] = fitted[:, :-1].to(layer.weight)
    layer.bias[:outputs] = fitted[:, -1].to(layer.bias)
