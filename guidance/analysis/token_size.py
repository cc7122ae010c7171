"""Frames per token against the dimension of the data: where does a network of fixed width fail to predict ε?

A token of k frames has d = k·D numbers. White noise fills all d dimensions, motion only some. A network without a skip
passes both through its width w, hence fails to predict ε where d > w (as JiT argues for images, Li & He 2025), and x0
only where the data's own dimension exceeds w. What is predicted for a linear network of rank w: with eigenvalues λ_i of
the data's covariance, the best coefficient of direction i is

    c_i = Cov(y_i, x_i) / Var(x_i),   Var(x_i) = α²λ_i + σ²,

and the network keeps the w directions with the largest c_i²·Var(x_i). The others are lost in y, and in x̂0 by their sum
divided by the weight of the prediction type, (D/σ)². Perceptrons of width w (see `perceptron`) are trained beside it.
Columns: `dimension` d, `intrinsic`, the number of principal components with 99 % of the data's variance; `linear` and
`expected`, the error of x̂0 of the best linear denoiser of full rank and of rank w; `error`, that of the trained
network; all relative to the variance of the data, at time `t`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from guidance.analysis.perceptron import WIDTH, train_perceptron
from guidance.analysis.runs import TYPES
from guidance.analysis.style import PREDICTION_STYLES, label, legend, line, panels
from guidance.analysis.table import Result, Row, columns, floats, group_by
from motion_diffusion.diffusion.losses import Network
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
from motion_diffusion.diffusion.schedule import Schedule, cosine
from motion_diffusion.errors import InputError

TOKENS = (1, 2, 4, 8)
"""Frames per token."""
TIMES = (125, 375, 625, 875)
"""Times at which errors are measured."""


class Tokens:
    """Tokens of so many frames from normalised features of clips, each (F, D); shorter clips are left out.

    Raises:
        InputError: If no clip is long enough.
    """

    def __init__(self, clips: Sequence[Tensor], frames: int):
        self.frames, self.clips = frames, [clip.float() for clip in clips if len(clip) >= frames]
        if not self.clips:
            raise InputError(f"no clip has {frames} frames; give longer clips, or fewer frames per token")
        counts = torch.tensor([len(clip) - frames + 1 for clip in self.clips])
        self._ends = counts.cumsum(0)
        self.dimension = frames * self.clips[0].shape[1]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, d) tokens at random frames."""
        places = torch.randint(int(self._ends[-1]), (count,), generator=generator)
        which = torch.searchsorted(self._ends, places, right=True)
        starts = (places - torch.cat([torch.zeros(1, dtype=torch.long), self._ends])[which]).tolist()
        chosen = zip(which.tolist(), starts, strict=True)
        return torch.stack([self.clips[i][start : start + self.frames].flatten() for i, start in chosen])


def spectrum(data: Tokens, count: int = 20_000) -> Tensor:
    """Eigenvalues (d,) of the covariance of tokens, descending, float64."""
    tokens = data.sample(count, torch.Generator().manual_seed(0)).double()
    return torch.linalg.svdvals(tokens - tokens.mean(0)).square() / (len(tokens) - 1)


def intrinsic_dimension(eigenvalues: Tensor, share: float = 0.99) -> int:
    """Number of principal components with this share of the variance."""
    return int((eigenvalues.cumsum(0) < share * eigenvalues.sum()).sum()) + 1


def linear_error(
    eigenvalues: Tensor, prediction: Prediction, schedule: Schedule, t: int, *, rank: int | None = None
) -> float:
    """Squared error of x̂0 of the best linear prediction of this rank, relative to the variance; see the module.

    Args:
        eigenvalues: (d,) of the data's covariance.
        prediction: What is predicted.
        schedule: The noise schedule.
        t: The time.
        rank: Rank of the prediction as a function of x_t; full by default.
    """
    level = schedule.at(t)
    alpha, sigma = schedule.row(t)
    p, q = (float(value) for value in prediction.row(level))
    variance = alpha**2 * eigenvalues + sigma**2
    outputs = (p * alpha * eigenvalues + q * sigma) ** 2 / variance  # c²·Var(x)
    lost = 0.0 if rank is None else outputs.sort(descending=True).values[rank:].sum() / prediction.weight(level)
    return float(((eigenvalues * sigma**2 / variance).sum() + lost) / eigenvalues.sum())


def network_error(
    network: Network, data: Tokens, prediction: Prediction, schedule: Schedule, t: int, count: int = 2000
) -> float:
    """Squared error of x̂0 of a network, relative to the variance of the data."""
    generator = torch.Generator().manual_seed(1)
    x0 = data.sample(count, generator)[:, None]
    x_t = schedule.add_noise(x0, torch.randn(x0.shape, generator=generator), t)
    level = schedule.at(t)
    with torch.no_grad():
        estimate = prediction.to_x0(network(x_t, level), x_t, level)
    return float((estimate - x0).square().sum() / (x0 - x0.mean(0)).square().sum())


def token_sizes(
    clips: Sequence[Tensor], *, tokens: Sequence[int] = TOKENS, steps: int = 2000, predictions: Sequence[str] = TYPES
) -> Result:
    """Train perceptrons for each number of frames per token, prediction type, with and without a skip.

    Args:
        clips: Normalised features of each clip, (F, D).
        tokens: Frames per token.
        steps: Training steps.
        predictions: Prediction types.
    """
    schedule = cosine(1000)
    rows: list[Row] = []
    every = [(k, skip, name) for k in tokens for skip in (False, True) for name in predictions]
    data = {k: Tokens(clips, k) for k in tokens}
    eigenvalues = {k: spectrum(data[k]) for k in tokens}
    for k, skip, name in tqdm(every, desc="frames per token", unit="network", disable=None):
        prediction, tail = PREDICTIONS[name], eigenvalues[k]
        network = train_perceptron(
            data[k].sample, data[k].dimension, prediction, schedule, skip=skip, steps=steps, seed=0
        )
        for t in TIMES:
            rows.append(
                {
                    "frames_per_token": k,
                    "dimension": data[k].dimension,
                    "intrinsic": intrinsic_dimension(tail),
                    "width": WIDTH,
                    "skip": "skip" if skip else "no skip",
                    "prediction": name,
                    "t": t,
                    "linear": linear_error(tail, prediction, schedule, t),
                    "expected": linear_error(tail, prediction, schedule, t, rank=None if skip else WIDTH),
                    "error": network_error(network, data[k], prediction, schedule, t),
                }
            )
    return token_sizes_result(rows)


def token_sizes_result(rows: Sequence[Row]) -> Result:
    """The result with these rows, of an analysis or its file; the conclusion is a table at the third of the times."""
    t = TIMES[2]
    at = [row for row in rows if int(row["t"]) == t]
    head = [
        f"{k} ({mine[0]['dimension']}, {mine[0]['intrinsic']})" for k, mine in group_by(at, "frames_per_token").items()
    ]
    lines = [["frames (d, intrinsic)", *head]]
    for skip, with_skip in group_by(at, "skip").items():
        for name, mine in group_by(with_skip, "prediction").items():
            pairs = zip(floats(mine, "error"), floats(mine, "expected"), strict=True)
            lines.append([f"{name}, {skip}", *(f"{error:.2g} ({expected:.2g})" for error, expected in pairs)])
    width = at[0]["width"]
    return Result(
        "token-sizes",
        rows,
        f"frames per token (width {width}): error of x̂0 at t = {t}, relative to the data's variance; in brackets, that "
        f"of the best linear denoiser of that rank.\n{columns(lines)}",
    )


def token_sizes_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `token_sizes`: error of x̂0 against frames per token, trained (solid) and expected (dashed)."""
    kinds, times = group_by(rows, "skip"), group_by(rows, "t")
    title = f"Frames per token and prediction types  (width {rows[0]['width']}; dashed: best linear one of that rank)"
    figure, axes = panels(len(kinds), len(times), size=(3.6 * len(times), 3.4 * len(kinds)), title=title)
    cells = [(kind, t) for kind in kinds for t in times]
    for axis, (kind, t) in zip(axes, cells, strict=True):
        mine = [row for row in kinds[kind] if row["t"] == t]
        for name, points in group_by(mine, "prediction").items():
            k = floats(points, "frames_per_token")
            style = PREDICTION_STYLES[name]
            line(axis, k, floats(points, "error"), style, name)
            line(axis, k, floats(points, "expected"), replace(style, dashes=(2.0, 2.0)), "")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(k, [f"{int(n)}" for n in k])
        axis.minorticks_off()
        label(axis, title=f"{kind}, t = {t}", x="frames per token", y="error of x̂0 / variance")
    legend(axes[0])
    return figure
