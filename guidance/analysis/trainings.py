"""x0, ε and v networks over several trainings and during training, in a world where the exact network is known.

Networks learn the paths of `path_mixture` from endless samples. They have the same sizes, data, noise and loss, and
differ in seed and in what they predict. After some numbers of steps each is measured like a shipped model, and so is
the exact denoiser. Columns:

* `error_1` … `error_4`: mean squared distance of x̂0 from the exact x̂0 in the middle of each quarter of t, relative to
  the variance of a path.
* `kept_shift_T`, `kept_ramp_T`: share of a push at about t = T that is left at t = 0, see `survival`.
* `undone`, `left`: share of all pushes of classifier guidance that is taken back, and share of the way to the goals
  that is left at the end, see `undoing`.
* `contraction_m`: see `evolution`.
* `jitter`: of unguided paths.
* `distance_NAME`: of samples guided by a method from the true posterior, see `truth`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from guidance.analysis.evolution import contraction
from guidance.analysis.mixture_world import (
    MixtureDenoiser,
    Task,
    guided_paths,
    middles,
    trained_networks,
    x0_error,
)
from guidance.analysis.path_mixture import PathMixture
from guidance.analysis.runs import PRIME, TYPES, Chain, confidence, ratio
from guidance.analysis.style import PREDICTION_STYLES, band, label, legend, line, panels, reference_line
from guidance.analysis.survival import SHAPES, answering
from guidance.analysis.table import Result, Row, columns, floats, group_by, read_table
from guidance.analysis.truth import AT, METHODS, Scores
from guidance.analysis.undoing import ledger
from guidance.classifier import Classifier
from motion_diffusion.body.motion_metrics import joint_jitter
from motion_diffusion.diffusion.losses import Network
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.schedule import cosine
from motion_diffusion.errors import InputError

CHECKPOINTS = (250, 500, 1000, 2000, 4000, 10_000)
"""Numbers of training steps after which networks are measured."""
PUSHED = (880, 460, 120, 20)
"""Times at which pushes are given, approximately."""
GUIDED = {"gmd": "classifier, GMD's step", "search": "classifier, line search", "projection": "projection"}
"""Methods whose samples are compared with the posterior, by name of their column."""
PAIRS = (("x0", "eps"), ("v", "eps"))
"""Prediction types whose differences are taken, training by training."""
TASKS, CHAINED, SAMPLES, STEPS = 2, 32, 128, 50
"""Sets of way-points, motions of a chain, samples that are compared with the posterior, and sampling steps."""


def trainings(
    mixture: PathMixture,
    out: Path,
    *,
    seeds: int = 5,
    checkpoints: Sequence[int] = CHECKPOINTS,
    predictions: Sequence[str] = TYPES,
) -> Result:
    """Train and measure networks. The measures of each finished training are kept in `out`, and it is not repeated.

    Args:
        mixture: The data.
        out: Folder for a CSV file of each training.
        seeds: Trainings of each prediction type.
        checkpoints: Numbers of steps, ascending.
        predictions: Prediction types.
    """
    tasks = [Task.draw(mixture, AT, SAMPLES, seed) for seed in range(TASKS)]
    rows = _kept(out, "exact", mixture, lambda: [_row(mixture, "exact", 0, 0, None, tasks)])
    for seed in range(seeds):
        for prediction in predictions:
            train = partial(_train, mixture, prediction, seed, checkpoints, tasks)
            rows += _kept(out, f"{prediction}-{seed}", mixture, train)
    return trainings_result(rows)


def _kept(out: Path, name: str, mixture: PathMixture, make: Callable[[], Sequence[Row]]) -> list[Row]:
    """The rows of a file in `out`, made and written if it does not exist. InputError if they are of another mixture."""
    path = out / f"{name}.csv"
    if not path.is_file():
        Result(name, make(), "").save(out)
    rows = read_table(path)
    if any(abs(value - mixture.unit) > 1e-5 for value in floats(rows, "unit_m")):
        raise InputError(f"{path} is of another mixture of paths; give another --runs, or remove it")
    return rows


def _train(
    mixture: PathMixture, prediction: str, seed: int, checkpoints: Sequence[int], tasks: Sequence[Task]
) -> list[Row]:
    """Train and measure one network; a row for each checkpoint."""
    networks = trained_networks(mixture, PREDICTIONS[prediction], cosine(1000), checkpoints, seed=seed)
    shown = tqdm(networks, desc=f"{prediction}, seed {seed}", total=len(checkpoints), disable=None)
    return [
        _row(mixture, prediction, seed, steps, network, tasks)
        for steps, network in zip(checkpoints, shown, strict=True)
    ]


def _row(
    mixture: PathMixture, prediction: str, seed: int, steps: int, network: Network | None, tasks: Sequence[Task]
) -> Row:
    about = {"prediction": prediction, "seed": seed, "steps": steps, "unit_m": mixture.unit}
    return about | measured(mixture, network, "eps" if network is None else prediction, tasks)


def measured(mixture: PathMixture, network: Network | None, prediction: str, tasks: Sequence[Task]) -> dict[str, float]:
    """Measure a network, or with None the exact one; see the module for the columns."""
    model = MixtureDenoiser(mixture, prediction=PREDICTIONS[prediction], network=network)
    variance = mixture.sample(2000, torch.Generator().manual_seed(0)).var().item()
    row = {f"error_{i + 1}": x0_error(model, t) / variance for i, t in enumerate(middles(model.schedule))}
    first = PREDICTIONS["eps"].first(model.schedule)  # the same times for every prediction type
    chain = Chain.of(model, ["a path"], range(CHAINED), frames=mixture.frames, steps=STEPS, text_scale=1.0, first=first)
    kept = answering([chain], pushes=10).rows
    for shape in SHAPES:
        for wanted in PUSHED:
            nearest = min((r for r in kept if r["push"] == shape), key=lambda r: abs(r["t"] - wanted))
            row[f"kept_{shape}_{wanted}"] = nearest["kept"]
    literal = chain.run()
    row["jitter"] = sum(joint_jitter(path[:, None]) for path in chain.paths(literal.final)) / CHAINED
    goals = tasks[0].goals
    guided = chain.run(chain.guide(goals, "classifier", Classifier.scale))
    book = ledger(chain, guided, literal, goals)
    row["undone"] = ratio(book.back.sum(0), book.push.sum(0))[0].item()
    row["left"] = ratio(book.left, book.wanted)[0].item()
    off = tasks[0].distances(torch.cat([guided.guided, guided.final[None]])[..., 1:3].flatten(2))
    row["contraction_m"] = contraction(off).mean().item()
    for name, method in GUIDED.items():
        scores = [
            Scores.of(
                guided_paths(
                    model, task, METHODS[method], sampler="ancestral", steps=STEPS, count=SAMPLES, seed=PRIME * (i + 1)
                ),
                task.posterior,
            )
            for i, task in enumerate(tasks)
        ]
        row[f"distance_{name}"] = sum(score.distance for score in scores) / len(scores)
    return row


def trainings_result(rows: Sequence[Row]) -> Result:
    """The result with these rows, of an analysis or its file; the conclusion is a table of the last checkpoint, with
    paired differences of prediction types.
    """
    last = max(int(row["steps"]) for row in rows)
    shown = ("error_4", "kept_shift_460", "kept_shift_20", "contraction_m", "undone", "jitter", "distance_projection")
    at_last = [row for row in rows if int(row["steps"]) in (0, last)]
    values = {
        name: {column: torch.tensor(floats(mine, column), dtype=torch.float64) for column in shown}
        for name, mine in group_by(sorted(at_last, key=lambda row: int(row["seed"])), "prediction").items()
    }
    for one, other in PAIRS:  # trainings of a seed have the same data, noise and times
        if one in values and other in values and len(values[one][shown[0]]) == len(values[other][shown[0]]) > 1:
            values[f"{one} - {other}"] = {c: values[one][c] - values[other][c] for c in shown}
    lines = [["network", *shown]]
    for name, of in values.items():
        cells = []
        for column in shown:
            mean, half = confidence(of[column])
            cells.append(f"{mean:.3g}" + (f" ± {half:.2g}" if len(of[column]) > 1 else ""))
        lines.append([name, *cells])
    seeds = len({row["seed"] for row in rows if row["prediction"] != "exact"})
    conclusion = f"trainings ({seeds} of each type, {last} steps; ± over trainings):\n{columns(lines)}"
    return Result("trainings", rows, conclusion)


PANELS: Mapping[str, tuple[str, str, bool]] = {
    "error of x̂0, last quarter of t": ("error_4", "of the variance", True),
    "error of x̂0, second quarter": ("error_2", "of the variance", True),
    "left of a shift given at t = 460": ("kept_shift_460", "share", False),
    "left of a shift given at t = 20": ("kept_shift_20", "share", False),
    "contraction under GMD's guidance": ("contraction_m", "m", False),
    "share of its pushes taken back": ("undone", "share", False),
    "jitter, unguided": ("jitter", "m/s³", True),
    "distance from the posterior: projection": ("distance_projection", "standard deviations", True),
}
"""Titles of the panels, their columns, axis label, and whether the axis is logarithmic."""


AGAINST: Mapping[str, tuple[str, str]] = {
    "kept_shift_460": ("error_2", "second quarter"),
    "kept_shift_20": ("error_1", "first quarter"),
    "contraction_m": ("error_1", "first quarter"),
    "undone": ("error_4", "last quarter"),
}
"""Measures that are also drawn against an error of x̂0: its column, and the part of t it is from."""


def trainings_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `trainings`: measures against training steps, with intervals over trainings, and some against the
    error of x̂0.
    """
    exact = next((row for row in rows if row["prediction"] == "exact"), None)
    networks = [row for row in rows if row["prediction"] != "exact"]
    seeds = len({row["seed"] for row in networks})
    figure, axes = panels(3, 4, size=(15, 10.2), title=f"x0, ε and v during training  (trainings of each: {seeds})")
    checkpoints = [int(steps) for steps in group_by(networks, "steps")]

    def means(points: Sequence[Row], column: str) -> list[tuple[float, float]]:
        values = (floats(of_steps, column) for of_steps in group_by(points, "steps").values())
        return [tuple(map(float, confidence(torch.tensor(each, dtype=torch.float64)))) for each in values]  # type: ignore[misc]

    for axis, (title, (column, unit, logarithmic)) in zip(axes, PANELS.items(), strict=False):
        for name, mine in group_by(networks, "prediction").items():
            centres, halves = zip(*means(mine, column), strict=True)
            band(axis, [float(steps) for steps in checkpoints], centres, halves, PREDICTION_STYLES[name], name)
        axis.set_xscale("log")
        axis.set_xticks(checkpoints, [f"{steps:,}" for steps in checkpoints])
        if logarithmic:
            axis.set_yscale("log")
        label(axis, title=title, x="training steps (dotted: exact network)", y=unit)
    titles = {column: (title, unit) for title, (column, unit, _) in PANELS.items()}
    for axis, (column, (error, part)) in zip(axes[len(PANELS) :], AGAINST.items(), strict=True):
        for name, mine in group_by(networks, "prediction").items():
            x, y = ([centre for centre, _ in means(mine, of)] for of in (error, column))
            line(axis, x, y, PREDICTION_STYLES[name], name)
        axis.set_xscale("log")
        axis.invert_xaxis()
        title, unit = titles[column]
        label(axis, title=title, x=f"error of x̂0, {part} of t", y=unit)
    for axis, column in zip(axes, (*(column for column, *_ in PANELS.values()), *AGAINST), strict=True):
        if exact is not None and not column.startswith("error"):
            reference_line(axis, float(exact[column]), dotted=True)
        axis.minorticks_off()
    legend(axes[0])
    return figure
