"""Two crossed lines in D dimensions: which prediction types keep guided samples on the data? (Lee & Lee 2026)

The data lie on two lines that cross in a plane, which a random rotation places in D dimensions. A perceptron of fixed
width learns them as x0, ε or v, with or without a skip from x_t to its output (see `perceptron`). Guidance by
a classifier that knows the lines leads samples onto the second one,

    x̂0 ← x̂0 + ρ (σ_t²/α_t) ∇_{x_t} log p(second line | x̂0(x_t)).

Lee & Lee find x0 > v > ε in staying on the data as D grows, since x̂0 = (x_t − σ ε̂)/α multiplies the network's error
by σ/α. With the skip, white noise need not pass through the network's width. Columns: `on_target`, the share of samples
that are nearer to the second line; `off`, the mean distance from the nearer line; `off_plane`, the part of it outside
of the plane of the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from guidance.analysis.perceptron import WIDTH, train_perceptron
from guidance.analysis.runs import TYPES
from guidance.analysis.style import PREDICTION_STYLES, label, legend, line, panels
from guidance.analysis.table import Result, Row, columns, floats, group_by
from guidance.gradients import slope, with_pullback
from motion_diffusion.diffusion.losses import Network
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
from motion_diffusion.diffusion.samplers import Denoise, Estimate, ancestral, estimate_from_x0
from motion_diffusion.diffusion.schedule import Schedule, cosine

DIMENSIONS = (2, 8, 32, 128, 512)
SCALES = (0.0, 0.3, 1.0, 3.0, 10.0)
"""Strengths of guidance, ρ."""
HALF_LENGTH, SHARPNESS = 2.0, 10.0
"""Half the length of a line, and the factor of squared distances in the classifier's logits."""


class CrossedLines:
    """The data in D dimensions."""

    def __init__(self, dimension: int, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        self.plane = torch.linalg.qr(torch.randn(dimension, 2, generator=generator))[0]
        """(D, 2), orthonormal columns."""
        self.lines = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
        """Directions in the plane."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, D) points."""
        place = HALF_LENGTH * (2 * torch.rand(count, 1, generator=generator) - 1)
        which = torch.randint(2, (count,), generator=generator)
        return (place * self.lines[which]) @ self.plane.T

    def distances(self, x: Tensor) -> Tensor:
        """(B, 2): squared distances of x (B, D), within the plane, from the two lines."""
        inside = x @ self.plane
        along = inside @ self.lines.T
        beyond = (along.abs() - HALF_LENGTH).clamp_min(0)
        return inside.square().sum(-1, keepdim=True) - along.square() + beyond.square()

    def log_target(self, x: Tensor) -> Tensor:
        """(B,): log-probability of the second line."""
        return torch.log_softmax(-SHARPNESS * self.distances(x), dim=-1)[:, 1]


def guided(network: Network, data: CrossedLines, prediction: Prediction, schedule: Schedule, scale: float) -> Denoise:
    """The denoiser of a network with classifier guidance."""

    def plain(x: Tensor, t: int, s: int) -> Estimate:
        level = schedule.at(t)
        return estimate_from_x0(prediction.to_x0(network(x, level), x, level), x, t, schedule)

    def denoise(x: Tensor, t: int, s: int) -> Estimate:
        estimate, pullback = with_pullback(plain, x, t, s, through=scale > 0)
        if scale == 0:
            return estimate
        (alpha, sigma), (gradient, _) = schedule.row(t), slope(lambda x0: data.log_target(x0[:, 0]), estimate.x0)
        return estimate.with_x0(estimate.x0 + scale * sigma**2 / alpha * pullback(gradient), t, schedule)

    return denoise


def crossed_lines(
    *, dimensions: Sequence[int] = DIMENSIONS, steps: int = 2000, count: int = 1000, seeds: int = 2
) -> Result:
    """Train and sample with every prediction type, with and without the skip.

    Args:
        dimensions: Numbers of dimensions D.
        steps: Training steps.
        count: Samples of a network and strength.
        seeds: Trainings of each network, in a row each.
    """
    schedule = cosine(1000)
    rows: list[Row] = []
    every = [
        (D, skip, name, seed) for D in dimensions for skip in (False, True) for name in TYPES for seed in range(seeds)
    ]
    for D, skip, name, seed in tqdm(every, desc="crossed lines", unit="network", disable=None):
        data, prediction = CrossedLines(D, seed), PREDICTIONS[name]
        network = train_perceptron(data.sample, D, prediction, schedule, skip=skip, steps=steps, seed=seed)
        times = schedule.times(50, first=PREDICTIONS["eps"].first(schedule))
        for scale in SCALES:
            generator = torch.Generator().manual_seed(seed)
            noise = partial(torch.randn, count, 1, D, generator=generator)
            denoise = guided(network, data, prediction, schedule, scale)
            x = ancestral(denoise, schedule.prior_std * noise(), schedule, times, noise=noise)[:, 0]
            about = {"dimensions": D, "skip": "skip" if skip else "no skip", "prediction": name, "seed": seed}
            rows.append(about | {"scale": scale, "samples": count} | measured(data, x))
    return crossed_lines_result(rows)


def measured(data: CrossedLines, x: Tensor) -> dict[str, float]:
    """Shares and distances of samples x (B, D); see the module."""
    distances = data.distances(x)
    outside = (x.square().sum(-1) - (x @ data.plane).square().sum(-1)).clamp_min(0)
    return {
        "on_target": (distances.argmin(-1) == 1).double().mean().item(),
        "off": (distances.min(-1).values.clamp_min(0) + outside).sqrt().mean().item(),
        "off_plane": outside.sqrt().mean().item(),
    }


def crossed_lines_result(rows: Sequence[Row]) -> Result:
    """The result with these rows, of an analysis or its file; the conclusion is a table."""
    lines = [["network", *(f"D = {D}" for D in group_by(rows, "dimensions"))]]
    for skip, with_skip in group_by(rows, "skip").items():
        for name, mine in group_by(with_skip, "prediction").items():
            cells = []
            for points in group_by(mine, "dimensions").values():
                free, pushed = (
                    _mean([row for row in points if float(row["scale"]) == scale], "off") for scale in (0.0, 1.0)
                )
                cells.append(f"{free:.2f} → {pushed:.2f}")
            lines.append([f"{name}, {skip}", *cells])
    first = rows[0]
    return Result(
        "crossed-lines",
        rows,
        f"crossed lines ({len(group_by(rows, 'seed'))} trainings, {first['samples']} samples each, 50 steps): mean "
        f"distance from the data, unguided → guided with ρ = 1.\n{columns(lines)}",
    )


def _mean(rows: Sequence[Row], column: str) -> float:
    values = floats(rows, column)
    return sum(values) / len(values)


def crossed_lines_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `crossed_lines`: distance from the data against D, and for the largest D against adherence."""
    kinds = group_by(rows, "skip")
    title = f"Two crossed lines in D dimensions, guided onto the second  (after Lee & Lee 2026; width {WIDTH})"
    figure, axes = panels(2, len(kinds), size=(10, 7.6), title=title)
    largest = max(int(row["dimensions"]) for row in rows)
    for column, (kind, mine) in enumerate(kinds.items()):
        above, below = axes[column], axes[len(kinds) + column]
        for name, of_type in group_by(mine, "prediction").items():
            style = PREDICTION_STYLES[name]
            for scale, dashes in ((0.0, True), (1.0, False)):
                points = group_by([row for row in of_type if float(row["scale"]) == scale], "dimensions")
                words = f"{name}, {'unguided' if dashes else 'ρ = 1'}"
                drawn = replace(style, dashes=(2.0, 2.0) if dashes else ())
                x, y = [float(D) for D in points], [_mean(p, "off") for p in points.values()]
                line(above, x, y, drawn, words, width=0.9 if dashes else 1.8)
            scales = group_by([row for row in of_type if int(row["dimensions"]) == largest], "scale").values()
            x, y = ([_mean(points, key) for points in scales] for key in ("on_target", "off"))
            line(below, x, y, style, name)
        above.set_xscale("log", base=2)
        for axis in (above, below):
            axis.set_yscale("log")
        label(above, title=f"{kind} from x_t to the output", x="D", y="distance from the data")
        label(
            below,
            title=f"{kind}, D = {largest}: ρ from 0 to {SCALES[-1]:g}",
            x="share on the second line",
            y="distance",
        )
    legend(axes[0])
    return figure
