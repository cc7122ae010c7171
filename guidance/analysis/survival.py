"""Survival of a push: how much of a displacement that guidance adds to x_t remains at the end.

A push is a displacement of the clean motion, added to x_t as α_t times itself. There are three measurements:

* `frozen`: the network's output is held fixed. Then each step multiplies the push by c_x, in closed form: all of it
  survives for ε, nothing for x0, ᾱ_t of it for v. This is GMD's argument.
* `exact`: the network responds and is exact. Then the prediction type is a change of coordinates, and the same share
  survives for all types. This is the objection to the argument.
* `answering`: real networks respond. What survives is what the arithmetic keeps, plus what the network's response
  restores or removes, which is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from guidance.analysis.runs import Chain, Trace, confidence
from guidance.analysis.style import (
    LINE_STYLES,
    PREDICTION_STYLES,
    WIDTH,
    band,
    label,
    legend,
    line,
    model_styles,
    panels,
    reference_line,
    time_axis,
)
from guidance.analysis.table import Result, Row, columns, floats, group_by, rows_with
from motion_diffusion.body.features import displaced
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction, defined_on
from motion_diffusion.diffusion.samplers import Denoise, Estimate, ancestral
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError

PUSH = 0.5
"""Metres by which the path of the root is pushed to its left."""
SHAPES = ("shift", "ramp")
"""Shape of a push over time: constant, so that the path no longer begins at the origin as all paths of the data do; or
growing linearly from 0 in the first frame, so that it still does.
"""

Mean = Callable[[Tensor, float, float], Tensor]
"""(x_t, α, σ) → E[x0 | x_t]."""


def mixture_mean(means: Tensor, std: float) -> Mean:
    """E[x0 | x_t] for a mixture of equally likely Gaussians in one dimension: means (K,), one standard deviation."""

    def mean(x: Tensor, alpha: float, sigma: float) -> Tensor:
        variance = alpha**2 * std**2 + sigma**2
        off = x[..., None] - alpha * means
        chance = torch.softmax(-off.square() / (2 * variance), dim=-1)
        return (chance * (means + alpha * std**2 / variance * off)).sum(-1)

    return mean


def through(prediction: Prediction, mean: Mean, schedule: Schedule) -> Denoise:
    """The exact denoiser expressed by a prediction type: the target is computed and converted back to x0 and ε."""

    def denoise(x: Tensor, t: int, s: int) -> Estimate:
        level = schedule.at(t)
        alpha, sigma = schedule.row(t)
        x0 = mean(x, alpha, sigma)
        y = prediction.target(x0, (x - alpha * x0) / sigma, level)
        return Estimate(prediction.to_x0(y, x, level), prediction.to_eps(y, x, level))

    return denoise


def gaussian_survival(covariance: Tensor, push: Tensor, schedule: Schedule, times: list[int]) -> Tensor:
    """The share of a push that ancestral sampling with the exact denoiser of Gaussian data keeps, in closed form.

    In the eigenbasis of the covariance a step from t to s multiplies by A + B·αλ/(α²λ + σ²).

    Args:
        covariance: (N, N) of x0.
        push: (N,) displacement, added to x_t as α_t·push.
        schedule: the noise schedule.
        times: the chain, descending to 0.

    Returns:
        (len(times) − 1,): for each t of times the share of the push, along itself, that remains at t = 0.
    """
    variance, basis = torch.linalg.eigh(covariance.double())
    variance = variance.clamp_min(0)
    weight = (basis.T @ push.double()).square() / push.double().square().sum()
    factor = torch.ones_like(variance)
    kept = []
    for s, t in pairwise(times[::-1]):
        (alpha, sigma), (A, B) = schedule.row(t), schedule.posterior(t, s)[:2]
        factor = factor * (A + B * alpha * variance / (alpha**2 * variance + sigma**2))
        kept.append(alpha * (weight * factor).sum())
    return torch.stack(kept[::-1])


def kept_when_frozen(prediction: Prediction, schedule: Schedule, times: Sequence[int]) -> list[float]:
    """For each t of a descending chain except its last time v: the share of δ added to x_t that is in x_v if the
    network's output is fixed, i.e. the product of c_x over the steps from t to v.
    """
    kept, product = [], 1.0
    for v, t in pairwise(list(times)[::-1]):
        A, B = (float(c) for c in schedule.posterior(t, v)[:2])
        product *= float(prediction.mean_coefficients(schedule.at(t), A, B)[0])
        kept.append(product)
    return kept[::-1]


def frozen(schedule: Schedule, steps: int) -> Result:
    """(a) The closed form for every prediction type, down to t = 0 and to 2 % of T, where GMD stops guiding.

    Columns: NAME_to_V, the share of a displacement of x_t that is in x_v; NAME_left_at_V, the same for a push.
    """
    times = schedule.times(steps)
    until = max(min(times[:-1], key=lambda t: abs(t - 0.02 * schedule.T)), times[-2])
    what = f"{schedule.name} schedule, T = {schedule.T}, {steps} steps"
    names = [name for name in defined_on(schedule) if name != "mu"]
    table: dict[int, dict[str, str | float | int]] = {t: {"schedule": schedule.name, "t": t} for t in times[:-1]}
    for end in (0, until):
        chain = [t for t in times if t >= end]
        for name in names:
            kept = kept_when_frozen(PREDICTIONS[name], schedule, chain)
            for t, value in zip(chain, kept, strict=False):
                left = value * schedule.row(t)[0] / schedule.row(end)[0]
                table[t] |= {f"{name}_to_{end}": value, f"{name}_left_at_{end}": left}
    rows = list(table.values())
    at = min(times[:-1], key=lambda t: abs(t - schedule.T / 2))
    x0_kept = f"x0 keeps {100 * float(table[at][f'x0_to_{until}']):.2f} % of what is added to x_t at t = {until}"
    eps_kept = f"eps {100 * float(table[at]['eps_to_0']):.0f} % at t = 0" if "eps" in names else "eps is not defined"
    conclusion = f"network frozen ({what}), pushed at t = {at}: {x0_kept}, {eps_kept}."
    return Result("survival-frozen", rows, conclusion)


def exact(schedule: Schedule, steps: int, count: int = 500, seed: int = 0) -> Result:
    """(c) Two data distributions with exact denoisers, a Gaussian and a mixture of two, expressed by every prediction
    type.
    """
    times = schedule.times(steps)
    starts = sorted({round(i) for i in np.linspace(0, steps - 1, min(steps, 11))})
    what = f"{schedule.name} schedule, T = {schedule.T}, {steps} steps, {count} samples"
    data = {
        "a Gaussian of standard deviation 0.5": (torch.tensor([0.0], dtype=torch.float64), 0.5),
        "a mixture: ±1, each of standard deviation 0.2": (torch.tensor([-1.0, 1.0], dtype=torch.float64), 0.2),
    }
    names = list(defined_on(schedule))
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(len(times), count, generator=generator, dtype=torch.float64)
    rows: list[Row] = []
    worst = 0.0
    about: dict[str, str | float | int] = {"schedule": schedule.name, "steps": steps, "samples": count}
    for words, (means, std) in data.items():
        curves: dict[str, list[float]] = {}
        for name in names:
            denoise = through(PREDICTIONS[name], mixture_mean(means, std), schedule)
            curves[name] = _kept_by(denoise, schedule, times, z, starts)
            for k, kept in zip(starts, curves[name], strict=True):
                rows.append(about | {"data": words, "prediction": name, "t": times[k], "kept": kept})
        worst = max(worst, float(np.ptp(list(curves.values()), axis=0).max()))
    conclusion = f"network exact ({what}): all {len(names)} prediction types keep the same, to {worst:.1e} of the push."
    return Result("survival-exact", rows, conclusion)


def _kept_by(denoise: Denoise, schedule: Schedule, times: list[int], z: Tensor, starts: Sequence[int]) -> list[float]:
    """For each step index in starts, the mean share of a push before that step that remains at the end."""
    xs: list[Tensor] = []

    def watched(x: Tensor, t: int, s: int) -> Estimate:
        xs.append(x)
        return denoise(x, t, s)

    def finished(start: int, x: Tensor, denoise: Denoise) -> Tensor:
        return ancestral(denoise, x, schedule, times[start:], noise=iter(z[start + 1 :]).__next__)

    literal = finished(0, schedule.prior_std * z[0], watched)
    pushed = [finished(k, xs[k] + schedule.row(times[k])[0] * PUSH, denoise) for k in starts]
    return [(final - literal).mean().item() / PUSH for final in pushed]


def displacement(shape: str, frames: int, joints: int) -> Tensor:
    """(F, J, 3): a push to the left in metres, of one of `SHAPES`."""
    if shape not in SHAPES:
        raise InputError(f"unknown shape {shape!r} of a push; choose from {', '.join(SHAPES)}")
    size = torch.ones(frames) if shape == "shift" else torch.linspace(0, 1, frames)
    return (PUSH * size)[:, None, None] * torch.tensor([1.0, 0.0, 0.0]).expand(frames, joints, 3)


def path_covariance(chain: Chain) -> Tensor:
    """(F, F), m²: covariance over frames of x of the paths that a model generates without guidance."""
    x = chain.paths(chain.run(words=f"{chain.model.name}, paths for the exact curve").final)[..., 0].double()
    return torch.cov(x.T) + 1e-6 * torch.eye(x.shape[1], dtype=torch.float64)


def answering(chains: Sequence[Chain], *, pushes: int = 10, covariance: Tensor | None = None) -> Result:
    """(b) Real networks respond: the same noise with and without a push, and the rest of the push in metres.

    Args:
        chains: one per model.
        pushes: number of times at which a push is given.
        covariance: (F, F) of the path's x in m², for the curve of an exact network on Gaussian data with it. The noise
            of a chain has unit size in normalised features, in which the path is shorter by the metres of a unit.
    """
    rows: list[Row] = []
    first = chains[0]
    steps = len(first.times) - 1
    starts = sorted({round(i) for i in np.linspace(0, steps - 1, pushes)})
    t = [first.times[k] for k in starts]
    literal = [chain.run(words=f"{chain.model.name}, not pushed") for chain in chains]
    for shape in SHAPES:
        for chain, unpushed in zip(chains, literal, strict=True):
            name, schedule = chain.model.prediction.name, chain.model.schedule
            truth: list[float] | None = None
            if covariance is not None:
                push = displacement(shape, chain.frames, 1)[:, 0, 0]
                normalised = covariance / chain.model.representation.path_unit**2
                truth = gaussian_survival(normalised, push, schedule, chain.times)[starts].tolist()
            arithmetic = kept_when_frozen(chain.model.prediction, schedule, chain.times)
            kept_by_arithmetic = torch.tensor([arithmetic[k] * schedule.row(chain.times[k])[0] for k in starts])
            mean, spread = confidence(torch.stack(_answer(chain, unpushed, shape, starts)))
            by_network = mean - kept_by_arithmetic
            for i, time in enumerate(t):
                row: dict[str, str | float | int] = {
                    "model": chain.model.name,
                    "prediction": name,
                    "push": shape,
                    "t": time,
                    "motions": chain.z.shape[1],
                    "kept_m": PUSH * mean[i].item(),
                    "kept": mean[i].item(),
                    "kept_95": spread[i].item(),
                    "by_arithmetic": kept_by_arithmetic[i].item(),
                    "by_network": by_network[i].item(),
                }
                rows.append(row if truth is None else row | {"exact_gaussian": truth[i]})
    return Result("survival-answering", rows, _conclusion(chains, rows))


def _answer(chain: Chain, literal: Trace, shape: str, starts: Sequence[int]) -> list[Tensor]:
    """For each step index in starts, the share (B,) of a push before that step that remains at the end."""
    model = chain.model
    representation = model.representation
    push = displacement(shape, chain.frames, 22 if representation.whole_body else 1).to(chain.z)
    push = push.expand(chain.z.shape[1], *push.shape)
    path = chain.paths(literal.final)
    along = push[0, :, 0, [0, 2]]
    left = []
    for k in tqdm(starts, desc=f"{model.name}, {shape}", leave=False, disable=None):
        x0 = literal.network[k]
        moved = representation.normalise(displaced(representation.denormalise(x0), push))
        alpha = model.schedule.row(chain.times[k])[0]
        final = chain.run(start=k, x=literal.x[k] + alpha * (moved - x0)).final
        change = chain.paths(final) - path
        left.append((change * along).sum((1, 2)) / along.square().sum())
    return left


def _conclusion(chains: Sequence[Chain], rows: Sequence[Row]) -> str:
    """A table of what remains in centimetres, with the exact curve's values where there is one."""
    times = sorted({int(row["t"]) for row in rows}, reverse=True)
    shares = (0.9, 0.8, 0.5, 0.12, 0.02)
    picked = sorted({min(times, key=lambda t: abs(t - share * times[0])) for share in shares}, reverse=True)
    lines = [["push", "model", *(f"at t = {t}" for t in picked)]]
    for shape in SHAPES:
        for chain in chains:
            mine = {row["t"]: row for row in rows if row["model"] == chain.model.name and row["push"] == shape}
            cells = [
                f"{100 * float(mine[t]['kept_m']):.1f} ± {100 * PUSH * float(mine[t]['kept_95']):.1f}" for t in picked
            ]
            lines.append([shape, chain.model.name, *cells])
        if "exact_gaussian" in rows[0]:
            cells = [f"{100 * PUSH * float(mine[t]['exact_gaussian']):.1f}" for t in picked]
            lines.append([shape, "exact, Gaussian data", *cells])  # the same for all: they share their features
    return (
        f"network answering ({chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps): centimetres "
        f"left of a push of {100 * PUSH:g} cm, by the t at which it was given.\n{columns(lines)}"
    )


PUSHES = {"shift": "whole path shifted", "ramp": "path turned aside: 0 at its start"}
"""Labels of the shapes."""


def frozen_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `frozen`."""
    T = floats(rows, "t")[0]
    ends = sorted({int(column.rsplit("_", 1)[1]) for column in rows[0] if "_left_at_" in column})
    what = f"{rows[0]['schedule']} schedule, T = {T:g}, {len(rows)} steps"
    title = f"A push that the network does not answer  ({what})"
    figure, axes = panels(1, len(ends), size=(11, 4.2), title=title)
    for axis, end in zip(axes, ends, strict=True):
        for name in (name for name in PREDICTION_STYLES if f"{name}_left_at_{end}" in rows[0]):
            column = f"{name}_left_at_{end}"
            pushed = rows_with(rows, column)
            line(axis, floats(pushed, "t"), floats(pushed, column), PREDICTION_STYLES[name], name)
        axis.set_ylim(-0.03, 1.08)
        time_axis(axis, T)
        label(axis, title=f"left at t = {end}", x="t at which the clean motion is pushed", y="share of the push")
    legend(axes[0])
    return figure


def exact_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `exact`: one curve for all prediction types, on which their markers alternate."""
    data, T = group_by(rows, "data"), max(floats(rows, "t"))
    what = f"{rows[0]['schedule']} schedule, T = {T:g}, {rows[0]['steps']} steps, {rows[0]['samples']} samples"
    title = f"A push that an exact network answers  ({what})"
    styles = model_styles({str(row["prediction"]): str(row["prediction"]) for row in rows})
    figure, axes = panels(1, len(data), size=(11, 4.2), title=title)
    for axis, (words, of_data) in zip(axes, data.items(), strict=True):
        types = group_by(of_data, "prediction")
        for name, mine in types.items():
            line(axis, floats(mine, "t"), floats(mine, "kept"), styles[name], name, every=len(types))
        axis.set_ylim(bottom=min(-0.03, min(floats(of_data, "kept")) - 0.03))
        time_axis(axis, T)
        label(axis, title=words, x="t at which the clean motion is pushed", y="share of the push left at t = 0")
    legend(axes[0])
    return figure


def answering_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `answering`: what remains of a push, and the network's contribution to it."""
    shapes = group_by(rows, "push")
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    title = f"A push that the network answers  ({', '.join(styles)}; {rows[0]['motions']} motions each)"
    figure, axes = panels(2, len(shapes), size=(11, 7.6), title=title)
    for column, (shape, pushed) in enumerate(shapes.items()):
        left, network = axes[column], axes[len(shapes) + column]
        models = group_by(pushed, "model")
        if "exact_gaussian" in rows[0]:
            any_model = next(iter(models.values()))
            t, kept = floats(any_model, "t"), floats(any_model, "exact_gaussian")
            line(left, t, kept, LINE_STYLES[-1], "exact, Gaussian data", width=WIDTH / 1.5)
        for name, mine in models.items():
            t, half = floats(mine, "t"), floats(mine, "kept_95", least=0)
            band(left, t, floats(mine, "kept"), half, styles[name], name)
            band(network, t, floats(mine, "by_network"), half, styles[name], name)
        label(left, title=f"left at t = 0: {PUSHES.get(shape, shape)}", x="t of the push", y="share of the push")
        label(network, title="… of it the network's doing", x="t of the push", y="left − kept by arithmetic")
    for axis in axes:
        reference_line(axis, 0)
        time_axis(axis, max(floats(rows, "t")))
    legend(axes[0])
    return figure
