"""python -m sample.evaluate: measure a model by the field's protocols, beside the real clips."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import dataclasses
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from tqdm.auto import tqdm

from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic, check_place, read_json
from motion_diffusion.distributed import by_main, locked_by_main, processes
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from motion_diffusion.network.embedding_metrics import mean_and_interval
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.action_table import ActionOptions, action_table
from sample.evaluation.evaluators import load_evaluator
from sample.evaluation.protocols import PROTOCOLS, Protocol
from sample.evaluation.runner import POOL, REAL, EvaluationRunner, Unit, units_of
from sample.evaluation.study import StudyOptions, study
from sample.evaluation.study_rows import key_of
from sample.evaluation.trials import MIN_FRAMES, MotionCount, Setup
from sample.generate import START, check

VERSION = 2
"""Of what is measured and how; part of every result's name."""


@dataclass(frozen=True)
class Options(Setup):
    """Measure a model: whether it does what was said, how like real motions are, and how well it meets key frames.

    Each replication draws other test clips and key frames; figures are means over replications with 95 % intervals.
    What was measured is kept in --out, so the same command again goes on where it was stopped, and
    `accelerate launch -m sample.evaluate …` shares replications among processes.

    With --study: several models, ways of guiding, densities of key frames and joints, each with each, as a table and a
    figure; `--study --help` says how. With --actions: which of the actions in its data a model can do.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    protocol: Literal["quick", "text", "gmd", "omnicontrol"] = "quick"
    """What is asked for: a table within ten minutes on two cores, or one of the field's."""
    evaluator: str = "bandai"
    """What embeds motions and words: a matcher (shipped or a directory), or a folder with T2M's published weights."""
    count_padding: bool = False
    """With T2M: repeat the defect of older evaluations, which count a caption's padding as words."""
    motions: MotionCount = None
    """Motions a replication; by default the protocol's."""
    replications: Annotated[int | None, Range(1, 1000)] = None
    """How often all is repeated with other clips, key frames and seeds; by default the protocol's."""
    multimodality: Annotated[int | None, Range(0, 10_000)] = None
    """Sentences of which 30 motions each are made to see how they differ; by default the protocol's, 0 for none."""
    out: Path = Path("out/evaluation")
    """Folder for the results."""

    def asked(self) -> Protocol:
        """The protocol with what is asked to be different. InputError for numbers that cannot be."""
        check_ranges(self)
        usual = PROTOCOLS[self.protocol]
        prompts = usual.prompts if self.multimodality is None else self.multimodality
        asked = Protocol(usual.conditions, self.motions or usual.num, self.replications or usual.replications, prompts)
        if asked.num < POOL:
            raise InputError(f"--motions {asked.num}: R-precision needs {POOL} motions or more")
        return asked


@dataclass(frozen=True)
class Measured:
    """What the file of a unit says."""

    unit: dict[str, Any]
    figures: dict[str, float]


@dataclass(frozen=True)
class Results:
    """What was measured, a file each, so that it is measured once."""

    bench: EvaluationRunner
    folder: Path

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What determines all figures."""
        bench = self.bench
        setup = bench.setup
        clips = {clip.name: len(clip.joints) for clip in bench.clips[REAL]}
        return {
            "version": VERSION, "weights": bench.model.digest, "evaluator": bench.evaluator.name, "data": key_of(clips),
            "num": bench.protocol.num, "prompts": bench.protocol.prompts, "seed": setup.seed, "batch": setup.batch,
            "settings": dataclasses.asdict(setup.settings),
        }  # fmt: skip

    def file(self, unit: Unit) -> Path:
        """Where a unit's figures are."""
        return self.folder / "units" / f"{key_of(self.identity | {'unit': dataclasses.asdict(unit)})}.json"

    def add(self, unit: Unit, figures: dict[str, float]) -> None:
        """Keep the figures of a unit."""
        measured = Measured(dataclasses.asdict(unit), figures)
        with atomic(self.file(unit)) as path:
            path.write_text(json.dumps(dataclasses.asdict(measured), indent=2) + "\n")

    def of(self, unit: Unit) -> dict[str, float] | None:
        """The figures of a unit, if it was measured. InputError for a damaged file."""
        file = self.file(unit)
        if not file.is_file():
            return None
        return read_json(file, Measured, "remove this file, and the same command measures it again").figures


def summary(results: Results, units: Sequence[Unit]) -> dict[str, dict[str, tuple[float, float]]]:
    """Of every group, of every figure, the mean and half of its 95 % interval over replications.

    The conditions of a group are averaged within each replication.
    """
    groups: dict[str, dict[str, dict[int, list[float]]]] = {}
    for unit in units:
        for name, value in (results.of(unit) or {}).items():
            groups.setdefault(unit.group, {}).setdefault(name, {}).setdefault(unit.replication, []).append(value)
    return {
        group: {
            name: mean_and_interval([sum(values) / len(values) for values in of.values()]) for name, of in each.items()
        }
        for group, each in groups.items()
    }


def table(figures: dict[str, dict[str, tuple[float, float]]]) -> str:
    """A row a figure, a column a group, as Markdown."""
    names = list(dict.fromkeys(name for column in figures.values() for name in column))
    widths = [max(len(name) for name in names), *(max(len(group), 15) for group in figures)]
    rows = [["", *figures], ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]]
    for name in names:
        cells = [f"{c[name][0]:.3f} ± {c[name][1]:.3f}" if name in c else "" for c in figures.values()]
        rows.append([name, *cells])
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in aligned)


def evaluate(options: Options) -> str:
    """Measure what is missing of this process's share, and once all is there write table.md and figures.json.

    The table, from the first process.
    """
    protocol = options.asked()
    check_place(options.out / "table.md")
    with locked_by_main(options.out, "--out"):
        return _evaluated(options, protocol)


def _evaluated(options: Options, protocol: Protocol) -> str:
    model = MotionModel.load(options.model)
    check(model, ["a person walks"], [MIN_FRAMES], [GoalSet(goals=[START])], options.settings)
    evaluator = load_evaluator(options.evaluator, count_padding=options.count_padding)
    state = processes()
    bench = EvaluationRunner(options, protocol, model.to(state.device), evaluator)
    results, units = Results(bench, options.out), list(units_of(protocol))
    missing = by_main(lambda: [unit for unit in units if results.of(unit) is None])
    share = missing[state.process_index :: state.num_processes]
    total = sum(map(bench.to_make, share))
    with tqdm(total=total, desc="sampling", unit="motion", disable=None if state.is_main_process else True) as bar:
        for unit in share:
            results.add(unit, bench.measure(unit, bar.update))
    state.wait_for_everyone()
    if not state.is_main_process:
        return ""
    figures = summary(results, units)
    title = f"{model.name}, {options.protocol}, evaluator {evaluator.name}, {protocol.num} motions a replication"
    told = f"{title}\n\n{table(figures)}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    about = results.identity | {"protocol": options.protocol, "memory, GB": memory, "figures": figures}
    with atomic(options.out / "table.md") as path:
        path.write_text(told + "\n")
    with atomic(options.out / "figures.json") as path:
        path.write_text(json.dumps(about, indent=2, default=str) + "\n")
    return told


@command
def main() -> None:
    """The command."""
    arguments = sys.argv[1:]
    if "--study" in arguments:
        arguments.remove("--study")
        print(study(parse_arguments(StudyOptions, prog="python -m sample.evaluate --study", args=arguments)))
        return
    if "--actions" in arguments:
        arguments.remove("--actions")
        prog = "python -m sample.evaluate --actions"
        print(action_table(parse_arguments(ActionOptions, prog=prog, args=arguments)))
        return
    options = parse_arguments(Options, prog="python -m sample.evaluate", args=arguments)
    if told := evaluate(options):
        print(told)


if __name__ == "__main__":
    main()
