"""python -m sample --jobs: a motion for every line of a jobs file, over any number of processes, and on after a kill.

A motion file is whole or not there and says itself what it was made from, so what is left to do can be seen from the
files, and no process waits for another: each has every so many-th batch. A batch that lacks a motion is sampled as a
whole, so that a run that was killed gives, to the bit, what an uninterrupted one gives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import tyro
from tqdm.auto import tqdm

from motion_diffusion.atomic_io import check_place
from motion_diffusion.distributed import locked_by_main, processes
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.option_ranges import check_ranges
from sample.generate import BatchSize, Settings, check, generate
from sample.jobs import Job, Jobs
from sample.results import INDEX, Results
from sample.text_fit import DEFAULT_MATCHER


@dataclass(frozen=True)
class JobsOptions:
    """Make a motion for every line of a jobs file. The same command again goes on where it was stopped.

    A line is a JSON object with text, goals (a list, all that a goal file says, or the path of one), seconds (6), seed
    (the line's number) and name (the line's number). `accelerate launch -m sample --jobs …` shares the motions among
    processes.
    """

    jobs: Path
    """Jobs file (JSON lines)."""
    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    matcher: str = DEFAULT_MATCHER
    """What judges how well motions fit their words: a shipped text-motion model by its name, or a directory."""
    out: Path = Path("out/jobs")
    """Directory for a .npz file a motion, and index.jsonl: what became of each."""
    batch: BatchSize = 16
    """Motions to sample together."""
    overwrite: bool = False
    """Make all motions anew."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)


def make_jobs(options: JobsOptions) -> str:
    """Make this process's share of the motions; the first process, once all are made, also the index.

    What became of them in a line, from the first process. InputError for jobs that cannot be made, before anything is
    sampled; and in the end, if sampling met an error.
    """
    check_ranges(options)
    check_place(options.out / INDEX)
    with locked_by_main(options.out, "--out"):
        return _make_jobs(options)


def _make_jobs(options: JobsOptions) -> str:
    state = processes()
    model = MotionModel.load(options.model).to(state.device)
    check(model, [], [], [], options.settings)
    matcher = TextMotionEncoder.load(options.matcher)
    results, there = Results(options.out, model.digest, options.settings, model.known, matcher), bytearray()

    def look(job: Job) -> None:
        check(model, [job.text], [job.frames], [job.goals], options.settings)
        there.append(not options.overwrite and results.has(job))

    jobs = Jobs.read(options.jobs, look, progress=state.is_main_process)

    def share() -> Iterator[list[int]]:
        return islice(jobs.batches(options.batch), state.process_index, None, state.num_processes)

    if options.overwrite:
        for job in (job for batch in share() for job in jobs.some(batch)):
            results.remove(job)
    left = sum(not there[i] for batch in share() for i in batch)
    with tqdm(total=left, desc="sampling", unit="motion", disable=None if state.is_main_process else True) as bar:
        for batch in share():
            if not all(there[i] for i in batch):
                some = list(jobs.some(batch))
                missing = {job.name for i, job in zip(batch, some, strict=True) if not there[i]}
                _make(model, some, missing, results)
                bar.update(len(missing))
    state.wait_for_everyone()
    return results.write_index(jobs, progress=True) if state.is_main_process else ""


def _make(model: MotionModel, jobs: Sequence[Job], missing: Collection[str], results: Results) -> None:
    """Sample a batch and write the motions of the missing names."""
    try:
        motions = generate(
            model,
            [job.text for job in jobs],
            [job.frames for job in jobs],
            goals=[job.goals for job in jobs],
            seeds=[job.seed for job in jobs],
            settings=results.settings,
        )
    except (InputError, RuntimeError) as error:  # torch's errors are RuntimeErrors
        if len(jobs) == 1:
            results.write_error(jobs[0], error)
        else:  # any of them may be to blame
            for job in jobs:
                if job.name in missing:
                    _make(model, [job], missing, results)
        return
    for job, motion in zip(jobs, motions, strict=True):
        if job.name in missing:
            results.write(job, motion)
