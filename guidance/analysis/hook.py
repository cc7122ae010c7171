"""What touching x̂0 does to the mean, and that nothing else does (the question of improved-diffusion's thread #64).

ε → x̂0 → posterior mean is the direct formula μ = c_x·x_t + c_y·y, an identity for every prediction type. Change x̂0,
by a clip or by imputed goals, and the mean moves by B·(new − old): much or little, as x̂0 was wrong. The error of x̂0 is
σ/|D| times that of y, for ε σ/α, which is 2·10⁴ at t = T of the cosine schedule.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from guidance.analysis.output import Result, Row
from motion_diffusion.diffusion.prediction import PREDICTIONS, defined_on
from motion_diffusion.diffusion.samplers import clip, estimate_from_x0, with_hook
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError

TYPES = ("x0", "eps", "v")


def hook(schedule: Schedule, steps: int, error: float, *, count: int = 2000, seed: int = 0) -> Result:
    """The analysis: data uniform in [−1, 1], outputs wrong by `error` of their size, x̂0 clipped to [−1, 1].

    At every step: how far the mean through x̂0 is from the direct formula, without and with the clip, and how many
    numbers were clipped.
    """
    if not error >= 0:
        raise InputError(f"error is {error}; give the relative error of the prediction, 0 or more")
    names = [name for name in TYPES if name in defined_on(schedule)]
    generator = torch.Generator().manual_seed(seed)
    x0 = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
    eps, wrong = torch.randn(2, count, generator=generator, dtype=torch.float64)
    what = f"{schedule.name} schedule, T = {schedule.T}, {steps} steps, outputs off by {100 * error:g} %"
    rows: list[Row] = []
    for t, s in pairwise(schedule.times(steps)):
        level, (A, B, _, _) = schedule.at(t), schedule.posterior(t, s)
        x_t = schedule.add_noise(x0, eps, t)
        for name in names:
            prediction = PREDICTIONS[name]
            y = prediction.target(x0, eps, level)
            y = y + error * y.square().mean().sqrt() * wrong
            c_x, c_y = prediction.mean_coefficients(level, A, B)
            direct = c_x * x_t + c_y * y
            guess = prediction.to_x0(y, x_t, level)
            hooked = with_hook(
                lambda x, t, s, guess=guess: estimate_from_x0(guess, x, t, schedule),  # type: ignore[misc]
                clip(torch.ones(())),
                schedule,
            )(x_t, t, s).x0
            rows.append(
                {
                    "schedule": schedule.name,
                    "error": error,
                    "t": t,
                    "prediction": name,
                    "untouched": (A * x_t + B * guess - direct).abs().max().item(),
                    "clipped": (A * x_t + B * hooked - direct).square().mean().sqrt().item(),
                    "share_clipped": (guess != hooked).double().mean().item(),
                }
            )
    most = max(float(row["untouched"]) for row in rows)
    last = {row["prediction"]: row for row in rows if row["t"] == schedule.T}
    touched = ", ".join(
        f"{n} {float(r['clipped']):.2g} ({100 * float(r['share_clipped']):.0f} %)" for n, r in last.items()
    )
    return Result(
        "hook",
        rows,
        f"hook ({what}): through an untouched x0 the mean is the direct formula, to {most:.0e}; clipped, it moves at "
        f"t = {schedule.T} by {touched} (share of numbers clipped).",
    )
