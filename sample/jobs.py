"""python -m sample --jobs: generate a motion for every line of a jobs file, in any number of processes.

Motion files are written atomically and contain their request, so the missing ones can be determined from the files.
Each process takes every n-th batch and waits for no other. On a CPU it distributes them over workers of one thread
each: threads of one batch wait for each other at every operation, which takes several times as long beside a busy
process, and leave cores idle where motions are fitted one after the other. A batch that lacks a motion is sampled as a
whole, always by one thread, so that an interrupted run and its continuation, with any number of workers, give
bit-identical motions to an uninterrupted one (by the same engine).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tqdm.auto import tqdm

from data_loaders.workers import map_in_processes, usable_cores
from guidance.goals.feasibility import feasibility
from motion_diffusion.atomic_io import atomic, check_place
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.distributed import locked_by_main, processes
from motion_diffusion.engine import EngineName
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.option_ranges import SEED, Range, check_ranges
from motion_diffusion.prompts import Known
from motion_diffusion.threads import one_thread
from sample.generate import BatchSize, Settings, check, generate
from sample.job_file import Job, JobFile
from sample.quality import Quality, QualityName
from sample.text_fit import DEFAULT_MATCHER, Tries, best_motion, text_fit, unknown_words

INDEX = "index.jsonl"


@dataclass(frozen=True)
class JobsOptions:
    """Generate a motion for every line of a jobs file. The same command continues an interrupted run.

    A line is a JSON object with text, goals (a list, all that a goal file holds, or the path of one), seconds (6), seed
    (the line's number) and name (the line's number). `accelerate launch -m sample --jobs …` distributes the motions
    over several processes.
    """

    jobs: Path
    """Jobs file (JSON lines)."""
    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    engine: EngineName = "torch"
    """What evaluates the network: PyTorch, ONNX Runtime (extra `onnx`), or whichever is faster here. With auto,
    processes may differ, and motions are not bit-identical."""
    quality: QualityName = "normal"
    """live: in a few steps, by the model distilled from --model where there is one; best: the best of 8 tries."""
    tries: Tries | None = None
    """Motions generated for each line, from its seed and those after it, of which the best is kept. By default as many
    as the quality says: 1, or 8."""
    matcher: str = DEFAULT_MATCHER
    """Text-motion embedding model that measures how well motions fit their texts: a shipped name, or a directory."""
    out: Path = Path("out/jobs")
    """Directory for a .npz file per motion, and index.jsonl with the results of all of them."""
    batch: BatchSize = 16
    """Motions sampled together."""
    workers: Annotated[int, Range(0, 256)] = 0
    """Processes, of one thread each, to which each process of a launcher distributes its batches; 0: as many as there
    are cores, or on a GPU or with a launcher 1."""
    overwrite: bool = False
    """Generate all motions again."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)

    def resolved(self) -> JobsOptions:
        """With model, settings and tries in place of the quality that stands for them."""
        quality = Quality.of(self.quality, self.model, self.settings, self.tries)
        return replace(self, quality="normal", model=quality.model, settings=quality.settings, tries=quality.tries)


def run_jobs(options: JobsOptions) -> str:
    """Generate this process's share of the motions; the first process finally writes the index.

    Returns:
        A line that summarises the results, in the first process; empty in others.

    Raises:
        InputError: A job is invalid, before anything is sampled; or, at the end, sampling of a job failed.
    """
    check_ranges(options)
    options = options.resolved()
    check_place(options.out / INDEX)
    with locked_by_main(options.out, "--out"):
        return _run_jobs(options)


def _run_jobs(options: JobsOptions) -> str:
    state = processes()
    sampler, done = BatchSampler(options, state.device), bytearray()
    check(sampler.model, [], [], [], options.settings)
    results = sampler.results

    def check_job(job: Job) -> None:
        SEED.check("seed and --tries: the last seed", job.seed + results.tries - 1)
        check(sampler.model, [job.text], [job.frames], [job.goals], options.settings)
        done.append(not options.overwrite and results.has(job))

    jobs = JobFile.read(options.jobs, check_job, progress=state.is_main_process)

    def share() -> Iterator[list[int]]:
        return islice(jobs.batches(options.batch), state.process_index, None, state.num_processes)

    if options.overwrite:
        for job in (job for batch in share() for job in jobs.some(batch)):
            results.remove(job)
    lacking = [(batch, missing) for batch in share() if (missing := [i for i in batch if not done[i]])]
    workers = options.workers or (usable_cores() if state.device.type == "cpu" and state.num_processes == 1 else 1)
    left = sum(len(missing) for _, missing in lacking)
    with tqdm(total=left, desc="sampling", unit="motion", disable=None if state.is_main_process else True) as bar:
        if min(workers, len(lacking)) > 1:
            with closing(map_in_processes(partial(replace(sampler), jobs), lacking, workers)) as counts:
                for count in counts:
                    bar.update(count)
        else:
            for each in lacking:
                bar.update(sampler(jobs, each))
    state.wait_for_everyone()
    return results.write_index(jobs, progress=True) if state.is_main_process else ""


@dataclass(frozen=True)
class BatchSampler:
    """Samples batches of jobs, in this process or in a worker, which loads the models for itself."""

    options: JobsOptions
    device: torch.device

    @cached_property
    def model(self) -> MotionModel:
        """The motion model."""
        return MotionModel.load(self.options.model, engine=self.options.engine).to(self.device)

    @cached_property
    def results(self) -> JobResults:
        """Where motions are written."""
        encoder, settings = TextMotionEncoder.load(self.options.matcher), self.options.settings.of(self.model)
        return JobResults(
            self.options.out, self.model.digest, settings, self.options.tries or 1, self.model.known, encoder
        )

    def __call__(self, jobs: JobFile, batch: tuple[Sequence[int], Sequence[int]]) -> int:
        """Sample the jobs with the first indices and write the motions of those with the second ones; their number."""
        every, missing = batch
        with one_thread():
            _sample(self.model, list(jobs.some(every)), {job.name for job in jobs.some(missing)}, self.results)
        return len(missing)


def _sample(model: MotionModel, jobs: Sequence[Job], missing: Collection[str], results: JobResults) -> None:
    """Sample a batch of jobs and write the motions with missing names."""
    try:
        tried = [
            generate(
                model,
                [job.text for job in jobs],
                [job.frames for job in jobs],
                goals=[job.goals for job in jobs],
                seeds=[job.seed + k for job in jobs],
                settings=results.settings,
            )
            for k in range(results.tries)
        ]
    except (InputError, RuntimeError) as error:  # torch's errors are RuntimeErrors
        if len(jobs) == 1:
            results.write_error(jobs[0], error)
        else:  # any job may have caused the error
            for job in jobs:
                if job.name in missing:
                    _sample(model, [job], missing, results)
        return
    for job, *motions in zip(jobs, *tried, strict=True):
        if job.name in missing:
            results.write(job, motions)


@dataclass(frozen=True)
class JobResults:
    """The output directory of a jobs file: a motion or an error message for each job, and the index."""

    out: Path
    weights: str
    """Digest of the model's weights."""
    settings: Settings
    tries: int
    known: Known | None
    """Actions and words in the model's training data."""
    encoder: TextMotionEncoder
    """Measures how well motions fit their texts."""

    @property
    def index(self) -> Path:
        """The index, one line per job."""
        return self.out / INDEX

    def file(self, job: Job) -> Path:
        """The motion file of a job."""
        return self.out / f"{job.name}.npz"

    def error_file(self, job: Job) -> Path:
        """The file with the error message of a job whose sampling failed."""
        return self.out / f"{job.name}.error"

    def has(self, job: Job) -> bool:
        """Whether the motion of a job exists.

        Raises:
            InputError: A motion of this name exists that was made from another request.
        """
        path = self.file(job)
        if not path.exists():
            return False
        motion = Motion.load(path)
        model = motion.provenance.get("model")
        made = {
            **motion.provenance,
            "text": "" if job.goals.segments else motion.text,
            "seed": motion.provenance.get("first_seed", motion.provenance["seed"]),
            "tries": motion.provenance.get("tries", 1),
            "seconds": motion.seconds,
            "weights": model.get("weights") if isinstance(model, dict) else None,
        }
        requested = {
            "text": job.text,
            "goals": job.goals.model_dump(mode="json", exclude_none=True),
            "seconds": job.frames / FPS,
            "seed": job.seed,
            "tries": self.tries,
            "weights": self.weights,
            "settings": json.loads(json.dumps(dataclasses.asdict(self.settings))),
        }
        for name, value in requested.items():
            if made.get(name) != value:
                raise InputError(
                    f"{path} was made with other {name}; give another --out, or --overwrite to generate all motions "
                    "again"
                )
        return True

    def remove(self, job: Job) -> None:
        """Remove the files of a job."""
        self.file(job).unlink(missing_ok=True)
        self.error_file(job).unlink(missing_ok=True)

    def write(self, job: Job, motions: Sequence[Motion]) -> None:
        """Write the best of a job's motions, with the feasibility of its goals, unknown words, and how well it fits its
        text."""
        motion, fit = best_motion(motions, [text_fit(self.encoder, each, job.text, job.goals) for each in motions])
        report = {
            "first_seed": job.seed,
            "tries": self.tries,
            "fit": dataclasses.asdict(fit),
            "feasibility": feasibility(job.goals, job.frames),
            "unknown": unknown_words(self.known, job.text, job.goals),
        }
        dataclasses.replace(motion, provenance={**motion.provenance, **report}).save(self.file(job))
        self.error_file(job).unlink(missing_ok=True)

    def write_error(self, job: Job, error: Exception) -> None:
        """Write the error message of a job whose sampling failed."""
        with atomic(self.error_file(job)) as path:
            path.write_text(" ".join(str(error).split())[:1000], encoding="utf-8")

    def write_index(self, jobs: JobFile, *, progress: bool = False) -> str:
        """Write the index of all results.

        Returns:
            A line that summarises them.

        Raises:
            InputError: Sampling of a job failed; the index is written nevertheless.
        """
        missed, errors, first = 0, 0, ""
        every = tqdm(jobs.some(range(len(jobs))), "index", len(jobs), unit="motion", disable=not progress or None)
        with atomic(self.index) as path, path.open("w", encoding="utf-8") as file:
            for job in every:
                row = self._row(job)
                missed += row["met"] is False
                if row["error"] is not None:
                    errors, first = errors + 1, first or f"line {job.line}: {row['error']}"
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        if errors:
            raise InputError(f"{errors} of {len(jobs)} jobs met an error, see {self.index}; the first: {first}")
        return f"{len(jobs)} motions, {missed} of them with a goal that was missed: {self.index}"

    def _row(self, job: Job) -> dict[str, Any]:
        row = {"name": job.name, "file": None, "text": job.text, "seconds": job.frames / FPS, "seed": job.seed}
        if not self.file(job).exists():
            error = self.error_file(job).read_text(encoding="utf-8")
            return row | {
                "mean_error_cm": None, "met": None, "feasibility": [], "unknown": [], "fit": None, "error": error
            }  # fmt: skip
        motion = Motion.load(self.file(job))
        residuals = motion.provenance["residuals"]
        mean = 100 * sum(residual["error"] for residual in residuals) / len(residuals) if residuals else None
        return row | {
            "file": self.file(job).name,
            "text": motion.text,
            "mean_error_cm": mean and round(mean, 3),
            "met": all(residual["met"] for residual in residuals),
            "feasibility": motion.provenance.get("feasibility", []),
            "unknown": (unknown := motion.provenance.get("unknown", [])),
            "fit": None if unknown else motion.provenance.get("fit", {}).get("words"),
            "error": None,
        }
