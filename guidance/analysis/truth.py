"""Methods of guidance against the true posterior, in a world where it is known.

The data are a Gaussian mixture fitted to real paths of the root (`path_mixture`), or the Gaussian with its mean and
covariance: the denoiser is exact, and for goals at points of the path the posterior is known in closed form. Each
method samples with the same goals; its samples are compared with samples of the posterior in the principal coordinates
of these, in units of their standard deviation:

* `distance`: sliced Wasserstein distance (mean over random directions of the distance of sorted projections).
* `nearest`: share of samples whose nearest neighbour among both sets is of their own set; 0.5 if both are alike.
* `inside_50`, `inside_90`: share of the posterior within the central intervals of the samples, coordinate by
  coordinate; below 0.5 and 0.9 if the samples are too narrow or elsewhere.

The rows `posterior` compare two sets of samples of the posterior: nothing can be better, but for chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import get_args

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from guidance.analysis.mixture_world import (
    ErrorKind,
    MixtureDenoiser,
    OutputError,
    Task,
    guided_paths,
    trained_networks,
)
from guidance.analysis.path_mixture import PathMixture
from guidance.analysis.runs import PRIME, TYPES, confidence
from guidance.analysis.style import (
    PREDICTION_STYLES,
    interval_dot,
    label,
    legend,
    line,
    panels,
    reference_line,
    row_names,
    styles_in_order,
)
from guidance.analysis.table import Result, Row, columns, floats, group_by
from guidance.classifier import Classifier
from guidance.imputation import Imputation
from guidance.moment_matching import MomentMatching
from guidance.projection import Projection
from guidance.protocol import Guidance, SamplingGuidance
from guidance.spherical import Spherical
from guidance.training_free import TrainingFree
from guidance.twisted_smc import TwistedSMC
from motion_diffusion.diffusion.losses import Network
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.samplers import SamplerName
from motion_diffusion.diffusion.schedule import cosine

COORDINATES = 20
"""Principal coordinates of the posterior that samples are compared in."""
DIRECTIONS = 256
"""Random directions of the sliced Wasserstein distance."""
AT = (40, 80, 119)
"""Frames of the way-points."""
METHODS: Mapping[str, Sequence[Guidance]] = MappingProxyType(
    {
        "none": (),
        "classifier, GMD's step": (Classifier(scaling="variance", inner=0),),
        "classifier, line search": (Classifier(),),
        "DPS": (TrainingFree.dps(1.0),),
        "TFG": (TrainingFree(rho=4.0, mu=1.0),),  # found by doubling on another set of way-points
        "ΠGDM": (MomentMatching(covariance="isotropic"),),
        "MMPS": (MomentMatching(iterations=6),),
        "DSG": (Spherical(),),
        "twisted SMC, 16 particles": (TwistedSMC(),),
        "imputation of x0": (Imputation(on="x0"),),
        "imputation of x_s": (Imputation(on="x_s"),),
        "projection, remix 0": (Projection(remix=0.0),),
        "projection": (Projection(),),
    }
)
CHAINS: Sequence[tuple[SamplerName, int]] = (("ancestral", 50), ("ddim", 50), ("ancestral", 10))
"""Samplers and steps with the exact denoiser; only the first with errors, and for methods that have a sampler."""
WITH_ERRORS = ("classifier, GMD's step", "classifier, line search", "projection")
ERRORS = (0.1, 0.3)
"""Methods that are also run with errors of the output, and their sizes."""
LEARNED = 1000
"""Training steps of the networks whose errors are taken."""
SCORES = ("distance", "nearest", "inside_50", "inside_90", "goal_cm")
"""Columns of `score`."""


@dataclass(frozen=True)
class Scores:
    """How near samples are to the posterior; see the module."""

    distance: float
    nearest: float
    inside_50: float
    inside_90: float

    @staticmethod
    def of(samples: Tensor, posterior: Tensor, *, seed: int = 0) -> Scores:
        """Compare samples (n, N) with samples of the posterior (n, N)."""
        mean = posterior.mean(0)
        power, vectors = torch.linalg.eigh(torch.cov(posterior.T))
        axes = vectors[:, -COORDINATES:] / power[-COORDINATES:].sqrt()
        a, b = (samples - mean) @ axes, (posterior - mean) @ axes
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(COORDINATES, DIRECTIONS, generator=generator, dtype=torch.float64)
        directions /= directions.norm(dim=0)
        distance = ((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean().item()
        return Scores(distance, _nearest(a, b), _inside(a, b, 0.5), _inside(a, b, 0.9))


def _nearest(a: Tensor, b: Tensor) -> float:
    """Share of the points of two sets (n, D) whose nearest neighbour is of their own set."""
    both = torch.cat([a, b])
    apart = torch.cdist(both, both).fill_diagonal_(torch.inf)
    own = torch.arange(len(both)) < len(a)
    return (own[apart.argmin(1)] == own).double().mean().item()


def _inside(samples: Tensor, posterior: Tensor, share: float) -> float:
    """Share of the posterior's coordinates within the central intervals of the samples."""
    low, high = samples.quantile(torch.tensor([(1 - share) / 2, (1 + share) / 2]).double(), dim=0)
    return ((posterior >= low) & (posterior <= high)).double().mean().item()


@dataclass(frozen=True)
class Setting:
    """A run of the analysis: data, method and denoiser."""

    method: str
    world: str = "mixture"
    prediction: str = "x0"
    sampler: SamplerName = "ancestral"
    steps: int = 50
    error: OutputError = field(default_factory=OutputError)


def settings() -> Iterator[Setting]:
    """All settings: every method with the exact denoiser, and some with errors in its output."""
    for method in METHODS:
        own = any(isinstance(each, SamplingGuidance) for each in METHODS[method])
        for sampler, steps in CHAINS[:1] if own else CHAINS:
            yield Setting(method, sampler=sampler, steps=steps)
        yield Setting(method, "Gaussian")
    for method in WITH_ERRORS:
        for kind in get_args(ErrorKind):
            for size in ERRORS:
                for prediction in TYPES:
                    yield Setting(method, prediction=prediction, error=OutputError(size, kind))


def truth(mixture: PathMixture, *, tasks: int = 4, count: int = 128, seed: int = 0) -> Result:
    """Score every method with the exact denoiser, and some with errors in its output.

    Args:
        mixture: The data.
        tasks: Number of sets of way-points; intervals are over these.
        count: Samples of each.
        seed: Seed of everything.
    """
    worlds = {"mixture": mixture, "Gaussian": mixture.gaussian()}
    drawn = {name: [Task.draw(world, AT, count, seed + i) for i in range(tasks)] for name, world in worlds.items()}
    about = {"motions": count, "tasks": tasks}
    rows: list[Row] = [
        {"method": "posterior", "world": name} | about | _summary([score(task, task.again) for task in drawn[name]])
        for name in worlds
    ]
    networks: dict[str, Network] = {}
    for each in tqdm(list(settings()), desc="truth", unit="setting", disable=None):
        network = None
        if each.error.kind == "learned":
            if each.prediction not in networks:
                networks[each.prediction] = next(
                    trained_networks(mixture, PREDICTIONS[each.prediction], cosine(1000), [LEARNED], seed=seed)
                )
            network = networks[each.prediction]
        scores = []
        for number, task in enumerate(drawn[each.world]):
            first = seed + PRIME * (number + 1)
            model = MixtureDenoiser(
                worlds[each.world],
                prediction=PREDICTIONS[each.prediction],
                error=each.error,
                network=network,
                seed=first,
            )
            paths = guided_paths(
                model, task, METHODS[each.method], sampler=each.sampler, steps=each.steps, count=count, seed=first
            )
            scores.append(score(task, paths))
        error = {"error": each.error.kind, "size": each.error.size}
        rows.append(asdict(each) | error | about | _summary(scores))
    return truth_result(rows)


def score(task: Task, paths: Tensor) -> dict[str, float]:
    """Scores of paths, with their mean distance from the way-points in centimetres."""
    return asdict(Scores.of(paths, task.posterior)) | {"goal_cm": 100 * task.error(paths)}


def _summary(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over tasks, and half the width of its 95 % interval."""
    result: dict[str, float] = {}
    for name in scores[0]:
        mean, half = confidence(torch.tensor([score[name] for score in scores], dtype=torch.float64))
        result |= {name: mean.item(), f"{name}_95": half.item()}
    return result


def truth_result(rows: Sequence[Row]) -> Result:
    """The result with these rows, of an analysis or its file; the conclusion is a table of the exact denoiser's."""
    first = rows[0]
    lines = [["data", "method", "sampler", "distance", "nearest", "inside 50 %", "inside 90 %", "goals, cm"]]
    for world, mine in group_by([row for row in rows if not float(row.get("size") or 0)], "world").items():
        for row in mine:
            chain = f"{row['sampler']}, {row['steps']}" if row.get("sampler") else ""
            number = {key: float(row[key]) for key in (*SCORES, *(f"{name}_95" for name in SCORES))}
            cells = [f"{number[name]:.2f} ± {number[f'{name}_95']:.2f}" for name in ("distance", "nearest")]
            cells += [
                f"{100 * number[name]:.0f} ± {100 * number[f'{name}_95']:.0f}" for name in ("inside_50", "inside_90")
            ]
            lines.append([world, row["method"], chain, *cells, f"{number['goal_cm']:.1f}"])
    conclusion = (
        f"truth (exact denoiser; {first['tasks']} sets of way-points, {first['motions']} samples each): distance from "
        f"the true posterior in its standard deviations.\n{columns(lines)}"
    )
    return Result("truth", rows, conclusion)


def truth_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `truth`: distance by method with the exact denoiser, and by size of errors for some methods."""
    chance = floats(rows, "distance")[0]
    guided = [row for row in rows if row["method"] != "posterior"]
    exact = [row for row in guided if not float(row["size"]) and row["world"] == "mixture"]
    wrong = [row for row in guided if float(row["size"])]
    methods = group_by(wrong, "method")
    title = f"Guided samples against the true posterior  ({rows[0]['tasks']} × {rows[0]['motions']} paths)"
    figure, axes = panels(1, 1 + len(methods), size=(5 + 3.4 * len(methods), 4.6), title=title)
    chains = [f"{row['sampler']}, {row['steps']} steps" for row in exact]
    styles = styles_in_order(chains)
    names = list(group_by(exact, "method"))
    for row, chain, value, half in zip(
        exact, chains, floats(exact, "distance"), floats(exact, "distance_95"), strict=True
    ):
        place = names.index(row["method"]) + 0.18 * (list(styles).index(chain) - (len(styles) - 1) / 2)
        interval_dot(axes[0], value, place, half, styles[chain])
    for chain, style in styles.items():
        line(axes[0], [], [], style, chain)
    row_names(axes[0], names, shown=True)
    axes[0].set_xscale("log")
    axes[0].axvline(chance, color="#8b93a3", linestyle=":")
    legend(axes[0])
    label(axes[0], title="exact denoiser; dotted: chance", x="sliced Wasserstein distance, standard deviations")
    for axis, (method, mine) in zip(axes[1:], methods.items(), strict=True):
        for kind, of_kind in group_by(mine, "error").items():
            for name, points in group_by(of_kind, "prediction").items():
                style = PREDICTION_STYLES[name]
                width = {"white": 0.9, "smooth": 1.8}.get(kind, 3.0)
                line(axis, floats(points, "size"), floats(points, "distance"), style, f"{name}, {kind}", width=width)
        reference_line(axis, chance, dotted=True)
        axis.set_xscale("log")
        axis.set_yscale("log")
        label(axis, title=method, x="error of the output, of its size", y="distance")
    legend(axes[-1])
    return figure
