"""python -m sample.evaluate --study: a grid of models × guidance methods × densities of key frames × joints.

The measurements of each cell are appended to rows.jsonl as soon as they are complete, so that an interrupted study
continues where it was stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.types import Clip
from guidance.compose import METHODS, check_request, parse_methods
from motion_diffusion.atomic_io import check_place, locked
from motion_diffusion.body.skeleton import FPS, KEY_JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.action_classifier import ActionClassifier, train_action_classifier
from sample.evaluation.metrics import MOTION_METRICS
from sample.evaluation.study_results import ERROR, OFF, REAL, Cell, Line, Row, RowFile, write_tables
from sample.evaluation.trials import (
    EvaluationOptions,
    MotionCount,
    Trial,
    draw_trials,
    generate_trials,
    key_of,
    of_split,
    with_key_frames,
)
from sample.generate import Settings, check_settings, methods_of
from visualize.plots.registry import draw as draw_figures

VERSION = 4
"""Version of the measurements; part of every row's key."""

GIVEN = {
    "pelvis": ("pelvis",),
    "feet": ("left_foot", "right_foot"),
    "wrists": ("left_wrist", "right_wrist"),
    "head": ("head",),
    "all": KEY_JOINTS,
}
"""Groups of joints that are given together; the pelvis on the floor, the others in space."""


@dataclass(frozen=True)
class StudyOptions(EvaluationOptions):
    """Compare models × methods × densities × joints on test clips; all cells have the same clips, seeds and frames.

    Writes rows.jsonl (a line per cell; existing ones are not measured again), table.md, table.csv, and a figure of the
    means over densities and joints (study.csv, .png, .svg). Every model's unguided motions and the real clips are
    measured too, for comparison.
    """

    models: tuple[str, ...] = ("x0-mixed", "eps-mixed", "v-mixed")
    """Names of shipped models or run directories; their longest motions must be the same."""
    methods: tuple[str, ...] = ("none", "classifier", "imputation", "projection")
    """Guidance methods, each as in --guidance of python -m sample: a+b is one method. None is always added."""
    densities: Annotated[tuple[float, ...], Range(0, 1, above=True)] = (0.01, 0.02, 0.05, 0.25, 1.0)
    """Shares of the frames that are key frames, above 0 and up to 1; at least one frame is."""
    joints: tuple[str, ...] = ("pelvis", "feet", "wrists", "head", "all")
    """Joints given at key frames: pelvis, feet, wrists, head, all (of these)."""
    judge_steps: Annotated[int, Range(1, 1_000_000)] = 1500
    """Training steps of the action classifier."""
    num: Annotated[int, Range(1, 100_000)] = 32
    """Motions in a cell, one for each clip of the test split (repeated if there are fewer)."""
    noise_num: MotionCount = None
    """Motions in a cell with noise optimization, which is slow; the first ones of --num."""
    out: Path = Path("out/study")
    """Folder for the results."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=lambda: Settings(steps=25))
    """How to sample."""

    def check(self) -> None:
        """Raise InputError for empty lists, unknown names, and numbers out of range."""
        check_ranges(self)
        self.check_actions()
        for name in ("models", "methods", "densities", "joints"):
            if not getattr(self, name):
                raise InputError(f"--{name} is empty; give one or more")
        for method in self.methods:
            parse_methods(method)
        for joints in self.joints:
            if joints not in GIVEN:
                raise InputError(f"--joints {joints}: choose from {', '.join(GIVEN)}")
        if self.settings.guidance != Settings.guidance:
            raise InputError("--guidance says nothing in a study; give --methods")

    def motions(self, method: str) -> int:
        """Number of motions in a cell of a method."""
        few = self.noise_num if "noise" in parse_methods(method) else None
        return min(self.num, few or self.num)

    def cells(self, model: str, methods: Sequence[str]) -> list[Cell]:
        """The cells of a model."""
        return [
            Cell(model, method, density, joints)
            for method in methods
            for density in dict.fromkeys(self.densities)
            for joints in dict.fromkeys(self.joints)
        ]

    def command_for(self, cell: Cell) -> str:
        """The command that reproduces a cell and its reference in another folder."""
        if cell == REAL:
            cell = Cell(self.models[0], "none", self.densities[0], self.joints[0])
        words = ["--models", cell.model, "--methods", cell.method, "--densities", str(cell.density)]
        words += ["--joints", cell.joints, "--num", str(self.num), "--steps", str(self.settings.steps)]
        words += ["--seed", str(self.seed), *changed(self, StudyOptions())]
        words += ["--data", self.data, "--data-root", "DIR", "--out", "out/again"]
        return shlex.join(["python", "-m", "sample.evaluate", "--study", *words])


def changed(options: StudyOptions, usual: StudyOptions) -> list[str]:
    """Command-line arguments for options that differ from `usual`, except those that `command_for` always adds."""
    words: list[str] = []

    def compare(one: Any, other: Any, prefix: str, skipped: Sequence[str]) -> None:
        for name in (each.name for each in dataclasses.fields(one) if each.name not in skipped):
            value, before = getattr(one, name), getattr(other, name)
            flag = prefix + name.replace("_", "-")
            if dataclasses.is_dataclass(value):
                compare(value, before, f"{flag}.", ())
            elif value != before:
                words.extend(
                    [f"--{'no-' * (value is False)}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
                )

    always = ("models", "methods", "densities", "joints", "num", "seed", "data", "data_root", "out", "settings")
    compare(options, usual, "", always)
    compare(options.settings, usual.settings, "", ("steps", "guidance"))
    return words


@dataclass(frozen=True)
class StudyData:
    """Test clips and the action classifier, shared by all cells; prepared when first needed."""

    options: StudyOptions
    clips: list[Clip]
    longest: int
    """Longest motion of the models, in frames."""

    @cached_property
    def classifier(self) -> ActionClassifier:
        """The action classifier."""
        return train_action_classifier(self.clips, longest=self.longest, steps=self.options.judge_steps)

    @cached_property
    def trials(self) -> list[Trial]:
        """Test clips, with all frames as key frames in random order."""
        test = of_split(self.clips, "test")
        return draw_trials(test, num=self.options.num, seed=self.options.seed, longest=self.longest)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the figures of real clips."""
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(f"{clip.name} {clip.joints.shape}".encode() + clip.joints.tobytes())
        options = self.options
        return {
            "version": VERSION, "data": digest.hexdigest()[:16], "longest": self.longest, "motions": options.num,
            "seed": options.seed, "judge steps": options.judge_steps,
        }  # fmt: skip

    def trials_of(self, cell: Cell) -> list[Trial]:
        """The trials of a cell, with its key frames and joints."""
        trials = self.trials[: self.options.motions(cell.method)]
        share = cell.density or 1.0
        return with_key_frames(trials, lambda frames: max(1, round(share * frames)), GIVEN[cell.joints])


def identity_of(data: StudyData, model: MotionModel, weights: str, cell: Cell) -> dict[str, Any]:
    """Everything that determines a cell's figures; settings of other methods are left out."""
    settings, config = (dataclasses.asdict(each) for each in (data.options.settings.of(model), model.config))
    del config["recommended"]  # the settings are what it is sampled with
    methods = parse_methods(cell.method)
    unused = {"guidance", *METHODS} - set(methods) | ({"mask_scale"} if "masks" not in methods else set())
    path_model = MotionModel.load(data.options.settings.stages.path_model).digest if "stages" in methods else None
    return data.identity | {
        "motions": data.options.motions(cell.method), "batch": data.options.batch, "weights": weights,
        "config": config, "method": cell.method, "density": cell.density,
        "joints": cell.joints, "settings": {k: v for k, v in settings.items() if k not in unused},
        "path model": path_model,
    }  # fmt: skip


def grid(
    options: StudyOptions, models: Sequence[MotionModel], report: Callable[[str], object]
) -> Iterator[tuple[MotionModel, list[Cell]]]:
    """Models and their cells, the unguided ones first. Methods that a model cannot use are left out and reported."""
    for name, model in zip(dict.fromkeys(options.models), models, strict=True):
        methods = list(dict.fromkeys(["none", *options.methods]))
        for method in [m for m in methods if "masks" in parse_methods(m) and not model.config.masks]:
            report(f"{name} was not trained with masks: {method} is left out")
            methods.remove(method)
        yield model, options.cells(name, methods)


def load_models(options: StudyOptions) -> list[MotionModel]:
    """Load the models.

    Raises:
        InputError: A model generates no whole body, cannot take the steps, or its longest motion differs.
    """
    models = [MotionModel.load(name) for name in dict.fromkeys(options.models)]
    for model in models:
        if not model.representation.whole_body:
            raise InputError(f"{model.name} makes only the path of the root, no body; leave it out of --models")
        if model.config.max_frames != models[0].config.max_frames:
            lengths = [f"{m.name} {m.config.max_frames / FPS:g} s" for m in (models[0], model)]
            raise InputError(f"motions last up to: {', '.join(lengths)}; compare models of the same length")
        for method in options.methods:
            check_settings(model, dataclasses.replace(options.settings, guidance=method))
    return models


def study(options: StudyOptions, *, report: Callable[[str], object] = lambda line: None) -> list[Line]:
    """Measure the missing cells of the grid, and write tables and the figure to options.out.

    Args:
        options: The grid, and how to sample and measure.
        report: Called, before anything is measured, with a line for each method that a model cannot use.

    Returns:
        The lines of the table; see `study_results.as_text`.

    Raises:
        InputError: An option is wrong, the models cannot be compared, or a file of results is damaged.
    """
    options.check()
    check_place(options.out / "rows.jsonl")
    with locked(options.out, "--out"):
        return _study(options, report)


def _study(options: StudyOptions, report: Callable[[str], object]) -> list[Line]:
    models = load_models(options)
    data = StudyData(options, options.clips(), models[0].config.max_frames)
    longest = max(len(trial.joints) for trial in data.trials)
    for method in options.methods:
        check_request(methods_of(dataclasses.replace(options.settings, guidance=method)), models[0], longest)
    rows = RowFile(options.out / "rows.jsonl")
    plan = list(grid(options, models, report))
    identities = {REAL: data.identity}
    for model, cells in plan:
        weights = model.digest
        identities |= {cell: identity_of(data, model, weights, cell) for cell in cells}
    keys = {cell: key_of(identity) for cell, identity in identities.items()}
    if keys[REAL] not in rows:
        measured = motion_figures([trial.joints for trial in data.trials], data.trials, data.classifier)
        rows.add(Row(keys[REAL], REAL, "", data.identity, measured, [], []))
    for model, cells in plan:
        measure_cells(data, model, {cell: identities[cell] for cell in cells if keys[cell] not in rows}, rows)
    lines = [line_of(cell, keys, rows, options.command_for(cell)) for cell in keys]
    write_tables(lines, options.out)
    draw_figures([options.out / "study.csv"], options.out)
    return lines


def line_of(cell: Cell, keys: dict[Cell, str], rows: RowFile, command: str) -> Line:
    """The line of a cell, with the unguided motions for the same goals as reference."""
    unguided = dataclasses.replace(cell, method="none")
    reference = rows[keys[unguided]] if cell not in (REAL, unguided) else None
    return Line(cell, rows[keys[cell]], reference, command)


def measure_cells(data: StudyData, model: MotionModel, missing: dict[Cell, dict[str, Any]], rows: RowFile) -> None:
    """Measure cells of a model; its unguided motions, the same for all goals, are generated once.

    Args:
        data: Clips and classifier.
        model: The model of the cells.
        missing: The cells and their identities.
        rows: Receives the rows.
    """
    if not missing:
        return
    options, classifier, unguided = data.options, data.classifier, None
    total = sum(options.motions(cell.method) for cell in missing if cell.method != "none")
    total += options.num if any(cell.method == "none" for cell in missing) else 0
    warm_up = dataclasses.replace(options.settings, guidance="none", steps=1)  # the first motion takes longest
    generate_trials(model, data.trials[:1], warm_up, batch=1, seed=0)
    with tqdm(total=total, desc=model.name, unit="motion", disable=None) as bar:
        for cell, identity in missing.items():
            bar.set_postfix_str(f"{cell.method}, {cell.density:g} of the frames, {cell.joints}")
            settings = dataclasses.replace(options.settings, guidance=cell.method)
            trials = data.trials_of(cell)
            if cell.method == "none" and unguided is not None:
                generated = unguided
            else:
                generated = generate_trials(
                    model,
                    trials,
                    settings,
                    batch=options.batch,
                    seed=options.seed,
                    on_batch=bar.update,
                )
            if cell.method == "none":
                unguided = generated
            errors = [trial.errors(motion) for motion, trial in zip(generated.motions, trials, strict=True)]
            figures = {
                ERROR: [100 * error.mean().item() for error in errors],
                OFF: [(error > 0.2).double().mean().item() for error in errors],
            } | motion_figures(generated.motions, trials, classifier)
            key, prediction = key_of(identity), model.config.prediction
            rows.add(Row(key, cell, prediction, identity, figures, generated.seconds, generated.sizes))


def motion_figures(
    motions: Sequence[Tensor], trials: Sequence[Trial], classifier: ActionClassifier
) -> dict[str, list[float]]:
    """Single-motion metrics and whether the action is recognised: a number for each motion (F, 22, 3), by name."""
    result = {name: [metric(motion) for motion in motions] for name, metric in MOTION_METRICS.items()}
    predicted = classifier.predict(motions)
    recognised = [float(action == trial.action) for action, trial in zip(predicted, trials, strict=True)]
    return result | {"action recognised": recognised}
