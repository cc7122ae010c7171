"""python -m sample.evaluate --study: what is predicted × way of guiding × share of frames given × joints.

Every cell of this grid is a row of rows.jsonl, written as soon as it is done and found there by the next run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm.auto import tqdm

from data_loaders.types import Clip
from guidance.compose import METHODS, parse_methods
from motion_diffusion.atomic_io import check_place, locked
from motion_diffusion.body.skeleton import FPS, KEY_JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.action_classifier import ActionClassifier
from sample.evaluation.study_rows import REAL, Cell, Row, Rows, key_of
from sample.evaluation.study_table import ERROR, OFF, Line, as_text, write_tables
from sample.evaluation.trials import MotionCount, Setup, Trial, draw, figures, make, of_split, train_action_classifier
from sample.generate import Settings, check_settings
from visualize.plots.registry import draw as draw_figures

VERSION = 2
"""Of what is measured and how; part of every row's key."""

GIVEN = {
    "pelvis": ("pelvis",),
    "feet": ("left_foot", "right_foot"),
    "wrists": ("left_wrist", "right_wrist"),
    "head": ("head",),
    "all": KEY_JOINTS,
}
"""Joints that are given together, by name; the pelvis above the floor, the others in space."""


@dataclass(frozen=True)
class StudyOptions(Setup):
    """Compare models × methods × densities × joints on test clips, each cell with the same clips, seeds and frames.

    Writes rows.jsonl (a line a cell; what is there is not made again), table.md, table.csv, and a figure of the means
    over densities and joints (study.csv, .png, .svg). Every model's unguided motions and the real clips are measured
    too, to compare with.
    """

    models: tuple[str, ...] = ("x0-small", "eps-small", "v-small")
    """Shipped models or run directories; of the same longest motion."""
    methods: tuple[str, ...] = ("none", "classifier", "imputation", "projection")
    """Ways of guiding, each as in --guidance of python -m sample: a+b is one way. Always with none."""
    densities: Annotated[tuple[float, ...], Range(0, 1, above=True)] = (0.01, 0.02, 0.05, 0.25, 1.0)
    """Shares of the frames that are given, above 0 and up to 1; at least one frame is."""
    joints: tuple[str, ...] = ("pelvis", "feet", "wrists", "head", "all")
    """Which joints are given at these frames: pelvis, feet, wrists, head, all (of these)."""
    judge_steps: Annotated[int, Range(1, 1_000_000)] = 1500
    """Training steps of the judge of actions."""
    num: Annotated[int, Range(1, 100_000)] = 32
    """Motions a cell, one for each of so many clips of the test split (repeated if there are fewer)."""
    noise_num: MotionCount = None
    """Motions a cell where the noise is sought, which is slow; the first ones of --num."""
    out: Path = Path("out/study")
    """Folder for the results."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=lambda: Settings(steps=25))
    """Of sampling."""

    def check(self) -> None:
        """InputError for lists that are empty or have something unknown in them, and for numbers out of range."""
        check_ranges(self)
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
        """How many motions a cell of this method has."""
        few = self.noise_num if "noise" in parse_methods(method) else None
        return min(self.num, few or self.num)

    def cells(self, model: str, methods: Sequence[str]) -> list[Cell]:
        """A model's part of the grid."""
        return [
            Cell(model, method, density, joints)
            for method in methods
            for density in dict.fromkeys(self.densities)
            for joints in dict.fromkeys(self.joints)
        ]

    def again(self, cell: Cell) -> str:
        """The command that makes this cell, and what it is compared with, in a folder of its own."""
        if cell == REAL:
            cell = Cell(self.models[0], "none", self.densities[0], self.joints[0])
        words = ["--models", cell.model, "--methods", cell.method, "--densities", str(cell.density)]
        words += ["--joints", cell.joints, "--num", str(self.num), "--steps", str(self.settings.steps)]
        words += ["--seed", str(self.seed), *changed(self, StudyOptions())]
        words += ["--data", self.data, "--data-root", "DIR", "--out", "out/again"]
        return shlex.join(["python", "-m", "sample.evaluate", "--study", *words])


def changed(options: StudyOptions, usual: StudyOptions) -> list[str]:
    """Command-line words for whatever is not as usual, but for what every command of a cell says."""
    words: list[str] = []

    def compare(one: Any, other: Any, prefix: str, said: Sequence[str]) -> None:
        for name in (each.name for each in dataclasses.fields(one) if each.name not in said):
            value, before = getattr(one, name), getattr(other, name)
            flag = prefix + name.replace("_", "-")
            if dataclasses.is_dataclass(value):
                compare(value, before, f"{flag}.", ())
            elif value != before:
                words.extend(
                    [f"--{'no-' * (value is False)}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
                )

    said = ("models", "methods", "densities", "joints", "num", "seed", "data", "data_root", "out", "settings")
    compare(options, usual, "", said)
    compare(options.settings, usual.settings, "", ("steps", "guidance"))
    return words


@dataclass(frozen=True)
class Bench:
    """Test clips and the judge, made when they are first needed and then the same for every cell."""

    options: StudyOptions
    clips: list[Clip]
    longest: int
    """Frames of the longest motion that the models make."""

    @cached_property
    def judge(self) -> ActionClassifier:
        return train_action_classifier(self.clips, longest=self.longest, steps=self.options.judge_steps)

    @cached_property
    def tasks(self) -> list[Trial]:
        """Test clips, all their frames in random order."""
        test = of_split(self.clips, "test")
        return draw(test, num=self.options.num, seed=self.options.seed, longest=self.longest)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What determines the figures of real clips."""
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(f"{clip.name} {clip.joints.shape}".encode() + clip.joints.tobytes())
        options = self.options
        return {
            "version": VERSION, "data": digest.hexdigest()[:16], "longest": self.longest, "motions": options.num,
            "seed": options.seed, "judge steps": options.judge_steps,
        }  # fmt: skip

    def given(self, cell: Cell) -> list[Trial]:
        """The tasks of a cell: as many, with as many frames and such joints given as it says."""
        tasks = self.tasks[: self.options.motions(cell.method)]
        share, joints = cell.density or 1.0, GIVEN[cell.joints]
        return [task.giving(max(1, round(share * len(task.joints))), joints) for task in tasks]


def identity_of(bench: Bench, model: MotionModel, weights: str, cell: Cell) -> dict[str, Any]:
    """Everything that determines a cell's figures; of the methods' settings only those of its own."""
    settings = dataclasses.asdict(bench.options.settings)
    methods = parse_methods(cell.method)
    unused = {"guidance", *METHODS} - set(methods) | ({"mask_scale"} if "masks" not in methods else set())
    path_model = MotionModel.load(bench.options.settings.stages.path_model).digest if "stages" in methods else None
    return bench.identity | {
        "motions": bench.options.motions(cell.method), "batch": bench.options.batch, "weights": weights,
        "config": dataclasses.asdict(model.config), "method": cell.method, "density": cell.density,
        "joints": cell.joints, "settings": {k: v for k, v in settings.items() if k not in unused},
        "path model": path_model,
    }  # fmt: skip


def grid(options: StudyOptions, models: Sequence[MotionModel]) -> Iterator[tuple[MotionModel, list[Cell]]]:
    """Models and their cells, of which the unguided come first; says once what a model cannot do."""
    for name, model in zip(dict.fromkeys(options.models), models, strict=True):
        methods = list(dict.fromkeys(["none", *options.methods]))
        for method in [m for m in methods if "masks" in parse_methods(m) and not model.config.masks]:
            print(f"{name} was not trained with masks: {method} is left out", flush=True)
            methods.remove(method)
        yield model, options.cells(name, methods)


def load_models(options: StudyOptions) -> list[MotionModel]:
    """The models. InputError unless all make whole bodies, of the same length, in so many steps."""
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


def study(options: StudyOptions) -> str:
    """Make what is missing of the grid, and write tables and the figure; the table as plain text."""
    options.check()
    check_place(options.out / "rows.jsonl")
    with locked(options.out, "--out"):
        return _studied(options)


def _studied(options: StudyOptions) -> str:
    models = load_models(options)
    bench = Bench(options, options.clips(), models[0].config.max_frames)
    rows = Rows(options.out / "rows.jsonl")
    plan = list(grid(options, models))
    identities = {REAL: bench.identity}
    for model, cells in plan:
        weights = model.digest
        identities |= {cell: identity_of(bench, model, weights, cell) for cell in cells}
    keys = {cell: key_of(identity) for cell, identity in identities.items()}
    if keys[REAL] not in rows:
        measured = figures([task.joints for task in bench.tasks], bench.tasks, bench.judge)
        rows.add(Row(keys[REAL], REAL, "", bench.identity, measured, [], []))
    for model, cells in plan:
        fill(bench, model, {cell: identities[cell] for cell in cells if keys[cell] not in rows}, rows)
    lines = [line_of(cell, keys, rows, options.again(cell)) for cell in keys]
    write_tables(lines, options.out)
    draw_figures([options.out / "study.csv"], options.out)
    return as_text(lines)


def line_of(cell: Cell, keys: dict[Cell, str], rows: Rows, again: str) -> Line:
    """A cell's row beside that of the unguided motions for the same goals."""
    unguided = dataclasses.replace(cell, method="none")
    reference = rows[keys[unguided]] if cell not in (REAL, unguided) else None
    return Line(cell, rows[keys[cell]], reference, again)


def fill(bench: Bench, model: MotionModel, missing: dict[Cell, dict[str, Any]], rows: Rows) -> None:
    """Make and measure cells of a model; its unguided motions, the same for all goals, are made once."""
    if not missing:
        return
    options, judge, unguided = bench.options, bench.judge, None
    total = sum(options.motions(cell.method) for cell in missing if cell.method != "none")
    total += options.num if any(cell.method == "none" for cell in missing) else 0
    begin = dataclasses.replace(options.settings, guidance="none", steps=1)
    make(model, [bench.tasks[0].giving(0)], begin, batch=1, seed=0)  # the first motion takes longer than the rest
    with tqdm(total=total, desc=model.name, unit="motion", disable=None) as bar:
        for cell, identity in missing.items():
            bar.set_postfix_str(f"{cell.method}, {cell.density:g} of the frames, {cell.joints}")
            settings = dataclasses.replace(options.settings, guidance=cell.method)
            tasks = bench.given(cell)
            if cell.method == "none" and unguided is not None:
                made = unguided
            else:
                asked = [task.giving(0) for task in tasks] if cell.method == "none" else tasks
                made = make(model, asked, settings, batch=options.batch, seed=options.seed, on_batch=bar.update)
            if cell.method == "none":
                unguided = made
            errors = [task.errors(motion) for motion, task in zip(made.motions, tasks, strict=True)]
            measured = {
                ERROR: [100 * error.mean().item() for error in errors],
                OFF: [(error > 0.2).double().mean().item() for error in errors],
            } | figures(made.motions, tasks, judge)
            key, prediction = key_of(identity), model.config.prediction
            rows.add(Row(key, cell, prediction, identity, measured, made.seconds, made.sizes))
