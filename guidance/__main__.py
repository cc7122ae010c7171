"""python -m guidance: analyses of the network's share in each step and of the undoing of guidance, with figures and
tables.
"""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from data_loaders.load_motion import read_motion
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.store import open_store
from guidance.analysis.compare import RealClips, adherence, adherence_result, compare
from guidance.analysis.crossed_lines import DIMENSIONS, crossed_lines, crossed_lines_result
from guidance.analysis.evolution import evolution
from guidance.analysis.hook import hook
from guidance.analysis.page import FIGURES, PAGE, write_page
from guidance.analysis.path_mixture import PathMixture, root_paths
from guidance.analysis.runs import Chain, alike
from guidance.analysis.share import share
from guidance.analysis.survival import answering, exact, frozen, path_covariance
from guidance.analysis.table import Result, read_table
from guidance.analysis.token_size import TOKENS, token_sizes, token_sizes_result
from guidance.analysis.trainings import trainings, trainings_result
from guidance.analysis.truth import truth, truth_result
from guidance.analysis.undoing import undoing
from guidance.classifier import Classifier, Scale
from guidance.compose import Strength
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from motion_diffusion.assets import ASSETS
from motion_diffusion.atomic_io import check_place
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.motion import MAX_SECONDS
from motion_diffusion.body.skeleton import frame_of
from motion_diffusion.diffusion.schedule import SCHEDULES, Schedule
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel, ScheduleName
from motion_diffusion.model import Steps as Count
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.option_ranges import Range, check_ranges
from visualize.plots.registry import draw

PATHS = ASSETS / "paths" / "open.safetensors"
"""Mixture of Gaussians fitted to paths of the open data."""
ZIGZAG = ASSETS / "goals" / "zigzag.json"
ROOT_MODELS = ("root-x0", "root-eps", "root-v")
"""Shipped models of the path of the root alone, the subject of GMD's claim."""
BODY_MODELS = ("x0-mixed", "eps-mixed", "v-mixed")


@dataclass(frozen=True)
class Motions:
    """Models, and the motions to sample from them."""

    models: tuple[str, ...] = ROOT_MODELS
    """Shipped models or run directories to compare; they must have the same features."""
    texts: tuple[str, ...] = ("a person walks", "a tired person walks", "a happy person walks", "a person runs")
    """Prompts."""
    seeds: Annotated[int, Range(1, 1000)] = 8
    """Motions per text."""
    seconds: Annotated[float, Range(0, MAX_SECONDS, above=True)] = 6.0
    """Duration of the motions."""
    steps: Count = 50
    """Sampling steps."""
    text_scale: Strength = 1.0
    """Strength of classifier-free guidance by the text; 1 is the plain model."""
    out: Path = Path("out/guidance")
    """Folder for tables and figures."""

    def chains(self) -> list[Chain]:
        """A chain for each model, with the same noise. InputError if the models are not comparable."""
        if not self.texts or not all(text.strip() for text in self.texts):
            raise InputError("nothing to sample: give --texts that say something")
        models = [MotionModel.load(name) for name in self.models]
        alike(models)
        first = min(model.times(1)[0] for model in models)
        return [
            Chain.of(
                model,
                self.texts,
                range(self.seeds),
                frames=frame_of(self.seconds),
                steps=self.steps,
                first=first,
                text_scale=self.text_scale,
            )
            for model in models
        ]


@dataclass(frozen=True)
class WithGoals(Motions):
    """Models, motions, goals and methods."""

    goals: Path = ZIGZAG
    """Goal file (JSON)."""
    guidance: str = "classifier"
    """Guidance methods, joined by +."""

    def goal_set(self) -> GoalSet:
        """The goals of the file."""
        return load_goals(self.goals, read_motion=read_motion)


@dataclass(frozen=True)
class Guided(WithGoals):
    """Models, motions, goals and guidance."""

    scale: Scale = Classifier.scale
    """Strength of the gradient."""


@dataclass(frozen=True)
class Steps:
    """Steps on a noise schedule."""

    schedule: ScheduleName = "cosine"
    """Noise schedule."""
    T: Count = 1000
    """Number of noise levels."""
    steps: Annotated[int, Range(0, 100_000)] = 0
    """Sampling steps, 1 to T; 0 for T."""
    out: Path = Path("out/guidance")
    """Folder for tables and figures."""

    def made(self) -> tuple[Schedule, int]:
        """The schedule and the number of steps."""
        return SCHEDULES[self.schedule](self.T), self.steps or self.T


@dataclass(frozen=True)
class Share(Steps):
    """The network's share of each step, for every prediction type. Needs no model."""

    std: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    """Standard deviation of the data: 1 if standardised."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        yield share(*self.made(), self.std)


@dataclass(frozen=True)
class Hook(Steps):
    """The effect of clipping x̂0 on the mean: none until something is clipped, for all prediction types. Needs no
    model.
    """

    error: Annotated[float, Range(0, 1e6)] = 0.1
    """Relative error of the predictions."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        yield hook(*self.made(), self.error)


@dataclass(frozen=True)
class Survival(Motions):
    """Share of a push given at time t that survives with a frozen network, an exact one, and real ones.

    `--models` without a name omits the real ones and needs no model.
    """

    schedule: ScheduleName = "cosine"
    """Schedule of the frozen and the exact network; real ones have their own."""
    T: Count = 1000
    """Number of noise levels of that schedule."""
    pushes: Annotated[int, Range(1, 1000)] = 10
    """Number of times at which the real ones are pushed."""
    reference: str = "root-v"
    """Model of the root whose paths define the Gaussian data of the exact curve."""

    def results(self) -> Iterator[Result]:
        """Two figures, and a third with models."""
        schedule = SCHEDULES[self.schedule](self.T)
        yield frozen(schedule, self.T)
        yield exact(schedule, min(self.T, 100))
        if self.models:
            chains = self.chains()
            motions = dataclasses.replace(self, models=(self.reference,), seeds=max(1, 256 // len(self.texts)))
            yield answering(chains, pushes=self.pushes, covariance=path_covariance(motions.chains()[0]))


@dataclass(frozen=True)
class Undoing(Guided):
    """At every step of a guided run: how far guidance pushed, and how much of that the network took back."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        yield undoing(self.chains(), self.goal_set(), self.guidance, self.scale)


@dataclass(frozen=True)
class Evolution(Guided):
    """The predicted clean path over t under guidance: does it contract at the end?"""

    def results(self) -> Iterator[Result]:
        """One figure."""
        yield evolution(self.chains(), self.goal_set(), self.guidance, self.scale)


@dataclass(frozen=True)
class Compare(Guided):
    """Compare models with the same goals, noise and settings: adherence, skating, jitter, time."""

    def results(self) -> Iterator[Result]:
        """One figure, and a table."""
        yield compare(self.chains(), self.goal_set(), self.guidance, self.scale)


@dataclass(frozen=True)
class Adherence(WithGoals):
    """Realism of the network's own motions at equal error: models at several strengths of guidance."""

    models: tuple[str, ...] = BODY_MODELS
    """Shipped models or run directories to compare; they must have the same features."""
    scales: tuple[Scale, ...] = (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    """Strengths of the gradient."""
    data_root: Path | None = None
    """Prepared store whose test clips the motions are compared with as a set (FID, precision, density, coverage)."""
    matcher: str = "mixed"
    """Text-motion embedding model of that comparison: a shipped name, or a directory."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        real = None
        if self.data_root is not None:
            clips = [clip.joints for clip in open_store(self.data_root).of_split("test")]
            real = RealClips.of(TextMotionEncoder.load(self.matcher), clips, frame_of(self.seconds))
        yield adherence(self.chains(), self.goal_set(), self.guidance, self.scales, real)


@dataclass(frozen=True)
class World:
    """A world of Gaussian paths in which every posterior is known. Needs no model."""

    data_root: Path | None = None
    """Prepared store of clips whose paths the mixture is fitted to; by default the shipped mixture of open data."""
    out: Path = Path("out/guidance")
    """Folder for tables and figures."""

    def mixture(self) -> PathMixture:
        """The shipped mixture, or one that is fitted to the training clips of a store."""
        if self.data_root is None:
            return PathMixture.load(PATHS)
        clips = open_store(self.data_root).of_split("train")
        return PathMixture.fit(root_paths([clip.joints for clip in clips]))


@dataclass(frozen=True)
class Truth(World):
    """Every guidance method against the true posterior, where it is known."""

    tasks: Annotated[int, Range(1, 1000)] = 4
    """Sets of way-points, over which intervals are taken."""
    motions: Annotated[int, Range(8, 10_000)] = 128
    """Samples of each."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        yield truth(self.mixture(), tasks=self.tasks, count=self.motions)


@dataclass(frozen=True)
class Trainings(World):
    """x0, ε and v over several trainings and during training, where the exact network is known. Takes two and a half
    hours of one core; finished trainings are not repeated.
    """

    seeds: Annotated[int, Range(1, 1000)] = 5
    """Trainings of each prediction type, over which intervals are taken."""
    runs: Path = Path("runs/trainings")
    """Folder for the measures of each finished training."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        check_place(self.runs / "exact.csv")
        yield trainings(self.mixture(), self.runs, seeds=self.seeds)


@dataclass(frozen=True)
class CrossedLines:
    """Lee & Lee's crossed lines in D dimensions: which prediction types keep guided samples on the data? Needs no
    model.
    """

    dimensions: tuple[int, ...] = DIMENSIONS
    """Numbers of dimensions."""
    steps: Annotated[int, Range(1, 1_000_000)] = 2000
    """Training steps of each network."""
    seeds: Annotated[int, Range(1, 1000)] = 2
    """Trainings of each network."""
    out: Path = Path("out/guidance")
    """Folder for tables and figures."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        if not self.dimensions or min(self.dimensions) < 2:
            raise InputError("--dimensions: the lines lie in a plane; give numbers of 2 or more")
        yield crossed_lines(dimensions=self.dimensions, steps=self.steps, seeds=self.seeds)


@dataclass(frozen=True)
class TokenSizes:
    """Frames per token against the dimension of the data: where do networks of a fixed width fail to predict ε?"""

    data_root: Path | None = None
    """Prepared store of clips; by default procedural walks."""
    features: str = BODY_MODELS[0]
    """Model whose normalised features, without those of the root's path, are learned."""
    tokens: tuple[int, ...] = TOKENS
    """Frames per token."""
    steps: Annotated[int, Range(1, 1_000_000)] = 2000
    """Training steps of each network."""
    out: Path = Path("out/guidance")
    """Folder for tables and figures."""

    def results(self) -> Iterator[Result]:
        """One figure."""
        if not self.tokens or min(self.tokens) < 1:
            raise InputError("--tokens: give numbers of frames, 1 or more")
        representation = MotionModel.load(self.features).representation
        if self.data_root is None:
            walks = ProceduralWalks(0, 120, 40)
            motions = [walks.example(index).joints for index in range(500)]
        else:
            motions = [clip.joints for clip in open_store(self.data_root).of_split("train")]
        joints = (to_origin(torch.from_numpy(np.array(motion)).float()) for motion in motions if len(motion) > 1)
        features = (representation.normalise(encode(motion, groups=representation.groups)) for motion in joints)
        path = representation.columns("root").stop
        yield token_sizes([clip[:, path:] for clip in features], tokens=self.tokens, steps=self.steps)


@dataclass(frozen=True)
class Page:
    """Regenerate docs/where-guidance-gets-undone.md: all analyses on the shipped models, figures and numbers.

    The results of truth, trainings, crossed-lines, token-sizes and adherence, which take longer or need data, are read
    from the files beside the page; renew these by python -m guidance truth --out docs/figures, and likewise the others.
    """

    page: Path = PAGE
    """The page to renew."""

    def renew(self) -> None:
        """Run all analyses, then write the page."""
        figures = self.page.parent / FIGURES
        read = {
            "truth": truth_result,
            "trainings": trainings_result,
            "crossed-lines": crossed_lines_result,
            "token-sizes": token_sizes_result,
            "adherence": adherence_result,
        }
        results = [(name, made(read_table(figures / f"{name}.csv"))) for name, made in read.items()]
        results += [(verb.__name__.lower(), r) for verb in (Share, Hook) for r in verb().results()]
        for models in (ROOT_MODELS, BODY_MODELS):
            seeds = 8 if models is ROOT_MODELS else 4
            whose = "root" if models is ROOT_MODELS else "body"
            for verb in (Survival, Undoing, Evolution, Compare):
                for result in verb(models=models, seeds=seeds).results():
                    needs_model = result.name not in ("survival-frozen", "survival-exact")
                    if needs_model or models is ROOT_MODELS:
                        results.append((f"{result.name}-{whose}" if needs_model else result.name, result))
        draw_beside(write_page(self.page, results))
        print(f"renewed {self.page}, {len(results)} figures beside it")


def draw_beside(tables: Sequence[Path]) -> list[Path]:
    """Draw the figures of CSV files into their folders. Returns their paths."""
    return [path for table in tables for path in draw([table], table.parent)]


@command
def main() -> None:
    """The command."""
    verb = parse_arguments(
        Share
        | Hook
        | Survival
        | Undoing
        | Evolution
        | Compare
        | Adherence
        | Truth
        | Trainings
        | CrossedLines
        | TokenSizes
        | Page,
        prog="python -m guidance",
        description=__doc__,
    )
    if isinstance(verb, Page):
        check_place(verb.page)
        verb.renew()
        return
    check_ranges(verb)
    check_place(verb.out / "figure.csv")
    for result in verb.results():
        table = result.save(verb.out)
        print(f"{result.conclusion}\n  {', '.join(map(str, [table, *draw_beside([table])]))}", flush=True)


if __name__ == "__main__":
    main()
