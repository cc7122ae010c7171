"""Effect of changing x̂0 on the posterior mean (the question of improved-diffusion's issue #64).

ε → x̂0 → posterior mean equals the direct formula μ = c_x·x_t + c_y·y, an identity for every prediction type. If x̂0 is
changed, by clipping or imputed goals, the mean moves by B·(new − old), depending on the error of x̂0. That error is
σ/|D| times the error of y: for ε σ/α, which is 2·10⁴ at t = T of the cosine schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from matplotlib.figure import Figure

from guidance.analysis.runs import TYPES
from guidance.analysis.style import WIDTH, label, legend, line, model_styles, panels, time_axis
from guidance.analysis.table import Result, Row, floats, group_by
from motion_diffusion.diffusion.prediction import PREDICTIONS, defined_on
from motion_diffusion.diffusion.samplers import clip, estimate_from_x0, with_hook
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError


def hook(schedule: Schedule, steps: int, error: float, *, count: int = 2000, seed: int = 0) -> Result:
    """Run the analysis on data uniform in [−1, 1] with outputs wrong by `error` relative to their size, x̂0 clipped to
    [−1, 1].

    The rows contain, at every step: the difference of the mean through x̂0 from the direct formula, with and without
    clipping, and the share of clipped entries.

    Args:
        schedule: the noise schedule.
        steps: number of sampling steps.
        error: relative error of the predictions.
        count: number of samples.
        seed: of the data and errors.
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


LEAST = 1e-17
"""Less is drawn as this, on an axis of logarithms."""


def hook_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance hook`."""
    first, T = rows[0], max(floats(rows, "t"))
    types = group_by(rows, "prediction")
    styles = model_styles({name: name for name in types})
    steps = len(next(iter(types.values())))
    error = 100 * floats(rows, "error")[0]
    what = f"{first['schedule']} schedule, T = {T:g}, {steps} steps, outputs off by {error:g} %"
    figure, axes = panels(1, 2, size=(11, 4.4), title=f"Through x̂0 or not?  ({what})")
    for column, width in (("clipped", WIDTH), ("untouched", WIDTH / 2)):
        for name, mine in types.items():
            values = [max(value, LEAST) for value in floats(mine, column)]
            line(axes[0], floats(mine, "t"), values, styles[name], f"{name}, x̂0 {column}", width=width)
    for name, mine in types.items():
        clipped = [100 * value for value in floats(mine, "share_clipped")]
        line(axes[1], floats(mine, "t"), clipped, styles[name], name)
    axes[0].set_yscale("log")
    for axis, title, y_words in (
        (axes[0], "mean through x̂0 against the direct formula", "difference of μ"),
        (axes[1], "numbers of x̂0 that the clip to [−1, 1] changes", "%"),
    ):
        time_axis(axis, T)
        label(axis, title=title, x="t (sampling goes to the right)", y=y_words)
        legend(axis, place="center" if axis is axes[0] else "upper right")
    return figure
