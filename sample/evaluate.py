"""python -m sample.evaluate: evaluate a model by the field's protocols, study a grid, or list recognised actions.

An evaluation writes the figures of each unit of work to a file as soon as they are measured, so that an interrupted one
continues where it was stopped and several processes can share the units. `sample.evaluation.runner.evaluate` returns
the same figures without files.
"""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import dataclasses
import json
import sys
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from data_loaders.types import Clip
from motion_diffusion.atomic_io import atomic, check_place, read_json
from motion_diffusion.distributed import by_main, locked_by_main, processes
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import Range, check_ranges
from sample.evaluation.action_classifier import ActionOptions, action_table
from sample.evaluation.evaluators import load_evaluator
from sample.evaluation.protocols import POOL, PROTOCOLS, REAL, Protocol, Unit, units_of
from sample.evaluation.runner import (
    Evaluation,
    EvaluationRunner,
    by_group,
    check_model,
    progress_bar,
    summarise,
    title_of,
)
from sample.evaluation.study import StudyOptions, study
from sample.evaluation.study_results import as_text
from sample.evaluation.trials import EvaluationOptions, MotionCount, key_of

VERSION = 4
"""Version of the measurements; part of the name of every unit's file."""


@dataclass(frozen=True)
class ProtocolOptions(EvaluationOptions):
    """Measure a model: how well it follows texts, how similar to real motions it is, and how well it meets key frames.

    Each replication draws other test clips and key frames; figures are means over replications with 95 % intervals.
    Measured figures are kept in --out, so the same command continues an interrupted evaluation, and
    `accelerate launch -m sample.evaluate …` distributes replications over processes.

    With --study: a table and a figure that compare several models, guidance methods, densities of key frames and
    joints, see `--study --help`. With --actions: which actions of its data a model can generate.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    protocol: Literal["quick", "text", "gmd", "omnicontrol"] = "quick"
    """Protocol: a table within ten minutes on two cores, or one of the field's."""
    evaluator: str = "mixed"
    """Embeds motions and texts: an embedding model (shipped name or directory), or a folder with T2M's weights."""
    count_padding: bool = False
    """With T2M: reproduce the defect of older evaluations, which count a caption's padding as words."""
    motions: MotionCount = None
    """Motions in a replication; by default the protocol's."""
    replications: Annotated[int | None, Range(1, 1000)] = None
    """Repetitions with other clips, key frames and seeds; by default the protocol's."""
    multimodality: Annotated[int | None, Range(0, 10_000)] = None
    """Prompts with 30 motions each, for multimodality; by default the protocol's, 0 for none."""
    out: Path = Path("out/evaluation")
    """Folder for the results."""

    def resolved(self) -> Protocol:
        """The protocol with the numbers of these options.

        Raises:
            InputError: A number is out of range.
        """
        check_ranges(self)
        usual = PROTOCOLS[self.protocol]
        result = replace(
            usual,
            num=self.motions or usual.num,
            replications=self.replications or usual.replications,
            prompts=usual.prompts if self.multimodality is None else self.multimodality,
        )
        if result.num < POOL:
            raise InputError(f"--motions {result.num}: R-precision needs {POOL} motions or more")
        return result


@dataclass(frozen=True)
class UnitResult:
    """Content of a unit's file."""

    unit: dict[str, Any]
    figures: dict[str, float]


@dataclass(frozen=True)
class UnitFiles:
    """Files with the figures of measured units, named by a hash of everything that determines them."""

    runner: EvaluationRunner
    folder: Path

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the figures of all units."""
        runner = self.runner
        clips = {clip.name: len(clip.joints) for clip in runner.clips[REAL]}
        return {
            "version": VERSION, "weights": runner.model.digest, "evaluator": runner.evaluator.name,
            "data": key_of(clips), "num": runner.protocol.num, "prompts": runner.protocol.prompts,
            "seed": runner.seed, "batch": runner.batch, "settings": dataclasses.asdict(runner.settings),
        }  # fmt: skip

    def path(self, unit: Unit) -> Path:
        """The file of a unit."""
        return self.folder / "units" / f"{key_of(self.identity | {'unit': dataclasses.asdict(unit)})}.json"

    def write(self, unit: Unit, figures: dict[str, float]) -> None:
        """Write the figures of a unit."""
        result = UnitResult(dataclasses.asdict(unit), figures)
        with atomic(self.path(unit)) as path:
            path.write_text(json.dumps(dataclasses.asdict(result), indent=2) + "\n")

    def read(self, unit: Unit) -> dict[str, float] | None:
        """Read the figures of a unit; None if it was not measured yet.

        Raises:
            InputError: The file is damaged.
        """
        path = self.path(unit)
        if not path.is_file():
            return None
        return read_json(path, UnitResult, "remove this file, and the same command measures it again").figures


def evaluate_in_folder(options: ProtocolOptions) -> Evaluation | None:
    """Evaluate a model by a protocol, with the results in a folder.

    Measures the units of this process's share that have no file in options.out yet. When all processes have finished,
    the first one writes table.md and figures.json there.

    Returns:
        The figures, in the first process; None in others.

    Raises:
        FileNotFoundError: The model or the evaluator does not exist.
        InputError: An option is out of range, the model cannot be evaluated, or a unit's file is damaged.
    """
    protocol = options.resolved()
    check_place(options.out / "table.md")
    with locked_by_main(options.out, "--out"):
        return _evaluate_in_folder(options, protocol)


def _evaluate_in_folder(options: ProtocolOptions, protocol: Protocol) -> Evaluation | None:
    model = MotionModel.load(options.model)
    check_model(model, options.settings)
    evaluator = load_evaluator(options.evaluator, count_padding=options.count_padding)
    state = processes()
    runner = EvaluationRunner(
        model.to(state.device), by_group(_clips(options)), protocol, evaluator, options.settings.of(model),
        options.batch, options.seed,
    )  # fmt: skip
    files, units = UnitFiles(runner, options.out), list(units_of(protocol))
    missing = by_main(lambda: [unit for unit in units if files.read(unit) is None])
    share = missing[state.process_index :: state.num_processes]
    with progress_bar(runner, share, disable=None if state.is_main_process else True) as bar:
        for unit in share:
            files.write(unit, runner.measure(unit, bar.update))
    state.wait_for_everyone()
    if not state.is_main_process:
        return None
    evaluation = Evaluation(title_of(runner), summarise((unit, files.read(unit) or {}) for unit in units))
    with atomic(options.out / "table.md") as path:
        path.write_text(evaluation.as_markdown() + "\n")
    about = {"protocol": options.protocol, "memory, GB": peak_memory(), "figures": evaluation.figures}
    with atomic(options.out / "figures.json") as path:
        path.write_text(json.dumps(files.identity | about, indent=2, default=str) + "\n")
    return evaluation


def _clips(options: ProtocolOptions) -> list[Clip]:
    """The clips of the data set, loaded by the main process first, which writes them to the cache for the others."""
    loaded: list[Clip] = []
    by_main(lambda: loaded.extend(options.clips()))
    return loaded or options.clips()


def peak_memory() -> float | None:
    """Peak memory of this process in GiB; None on Windows, whose Python lacks the module `resource`."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


@command
def main() -> None:
    """Run the command."""
    arguments, prog = sys.argv[1:], "python -m sample.evaluate"
    if "--study" in arguments:
        arguments.remove("--study")
        options = parse_arguments(StudyOptions, prog=f"{prog} --study", args=arguments)
        print(as_text(study(options, report=partial(print, flush=True))))
    elif "--actions" in arguments:
        arguments.remove("--actions")
        print(action_table(parse_arguments(ActionOptions, prog=f"{prog} --actions", args=arguments)).as_text())
    elif evaluation := evaluate_in_folder(parse_arguments(ProtocolOptions, prog=prog, args=arguments)):
        print(evaluation.as_markdown())


if __name__ == "__main__":
    main()
