"""What is left in the end of a push that guidance gives to x_t.

A push is a displacement of the clean motion, added to x_t as α_t times itself. Three measurements belong together:

* `frozen`: the network's output stays what it was. Then each step multiplies the push by c_x, in closed form: all of
  it survives if ε is predicted, nothing if x0 is, ᾱ_t if v is. This is GMD's argument.
* `exact`: the network answers and is exact. Then the prediction type is a change of coordinates, and every type keeps
  the same. This is the objection to it.
* `answering`: the real networks answer. What they keep is what the arithmetic keeps, plus what the network's answer
  restores or takes back, which is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from guidance.analysis.exact import gaussian_survival, mixture_mean, through
from guidance.analysis.output import Result, Row, columns
from guidance.analysis.runs import Chain, Trace, confidence
from motion_diffusion.body.features import displaced
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction, defined_on
from motion_diffusion.diffusion.samplers import Denoise, Estimate, ancestral
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.errors import InputError

PUSH = 0.5
"""Metres that the path of the root is pushed to its left."""

SHAPES = ("shift", "ramp")
"""Of a push over time: the same in all frames, so that the path no longer begins at the origin, as all paths of the
data do; or growing from nothing in the first frame, so that it still does."""


def kept_when_frozen(prediction: Prediction, schedule: Schedule, times: Sequence[int]) -> list[float]:
    """For each t of a descending chain but the last time v, how much of δ added to x_t is in x_v if the network's
    output does not change: the product of c_x over the steps from t to v."""
    kept, product = [], 1.0
    for v, t in pairwise(list(times)[::-1]):
        A, B = (float(c) for c in schedule.posterior(t, v)[:2])
        product *= float(prediction.mean_coefficients(schedule.at(t), A, B)[0])
        kept.append(product)
    return kept[::-1]


def frozen(schedule: Schedule, steps: int) -> Result:
    """(a) The closed form, for every prediction type, down to t = 0 and to 2 % of T, where GMD stops guiding.

    NAME_to_V: of what is added to x_t, how much is in x_v; NAME_left_at_V: the same of the clean motion.
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
    """(c) Two kinds of data whose exact denoiser is known, a Gaussian and a mixture of two; every type predicts it."""
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
    """For each step number in starts, the mean share of a push before that step that is left at the end."""
    xs: list[Tensor] = []

    def watched(x: Tensor, t: int, s: int) -> Estimate:
        xs.append(x)
        return denoise(x, t, s)

    def finished(start: int, x: Tensor, denoise: Denoise) -> Tensor:
        return ancestral(denoise, x, schedule, times[start:], noise=iter(z[start + 1 :]).__next__)

    plain = finished(0, schedule.prior_std * z[0], watched)
    pushed = [finished(k, xs[k] + schedule.row(times[k])[0] * PUSH, denoise) for k in starts]
    return [(final - plain).mean().item() / PUSH for final in pushed]


def displacement(shape: str, frames: int, joints: int) -> Tensor:
    """(F, J, 3): a push to the left in metres, of one of SHAPES."""
    if shape not in SHAPES:
        raise InputError(f"unknown shape {shape!r} of a push; choose from {', '.join(SHAPES)}")
    size = torch.ones(frames) if shape == "shift" else torch.linspace(0, 1, frames)
    return (PUSH * size)[:, None, None] * torch.tensor([1.0, 0.0, 0.0]).expand(frames, joints, 3)


def path_covariance(chain: Chain) -> Tensor:
    """(F, F), m²: of x over the frames of the paths that a model makes, unguided."""
    x = chain.paths(chain.run(words=f"{chain.model.name}, paths for the exact curve").final)[..., 0].double()
    return torch.cov(x.T) + 1e-6 * torch.eye(x.shape[1], dtype=torch.float64)


def answering(chains: Sequence[Chain], *, pushes: int = 10, covariance: Tensor | None = None) -> Result:
    """(b) The real networks answer: the same noise with and without a push, and what is left of it, in metres.

    chains: one a model. pushes: at how many times. covariance: of the path (x of all frames, in metres), for the curve
    that an exact network would give on Gaussian data like it.
    """
    rows: list[Row] = []
    first = chains[0]
    steps = len(first.times) - 1
    starts = sorted({round(i) for i in np.linspace(0, steps - 1, pushes)})
    t = [first.times[k] for k in starts]
    plain = [chain.run(words=f"{chain.model.name}, not pushed") for chain in chains]
    for shape in SHAPES:
        truth: list[float] | None = None
        if covariance is not None:
            push = displacement(shape, first.frames, 1)[:, 0, 0]
            truth = gaussian_survival(covariance, push, first.model.schedule, first.times)[starts].tolist()
        for chain, unpushed in zip(chains, plain, strict=True):
            name, schedule = chain.model.config.prediction, chain.model.schedule
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


def _answer(chain: Chain, plain: Trace, shape: str, starts: Sequence[int]) -> list[Tensor]:
    """For each step number in starts, the share (B,) of a push before that step that is left at the end."""
    model = chain.model
    representation = model.representation
    push = displacement(shape, chain.frames, 22 if representation.whole_body else 1).to(chain.z)
    push = push.expand(chain.z.shape[1], *push.shape)
    path = chain.paths(plain.final)
    along = push[0, :, 0, [0, 2]]
    left = []
    for k in tqdm(starts, desc=f"{model.name}, {shape}", leave=False, disable=None):
        x0 = plain.network[k]
        moved = representation.normalise(displaced(representation.denormalise(x0), push))
        alpha = model.schedule.row(chain.times[k])[0]
        final = chain.run(start=k, x=plain.x[k] + alpha * (moved - x0)).final
        change = chain.paths(final) - path
        left.append((change * along).sum((1, 2)) / along.square().sum())
    return left


def _conclusion(chains: Sequence[Chain], rows: Sequence[Row]) -> str:
    """A table of what is left in centimetres, with the exact curve's below where there is one."""
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
            lines.append([shape, "exact, Gaussian data", *cells])
    return (
        f"network answering ({chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps): centimetres "
        f"left of a push of {100 * PUSH:g} cm, by the t at which it was given.\n{columns(lines)}"
    )
