"""What became of many jobs: a motion file each, or the words of an error, and an index of them all."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from guidance.goals.feasibility import feasibility
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.prompts.known_actions import Known
from sample.generate import Settings
from sample.jobs import Job, Jobs
from sample.prompts import unlearned
from sample.text_fit import text_fit

INDEX = "index.jsonl"


@dataclass(frozen=True)
class Results:
    """The files in a directory of what a model makes with some settings."""

    out: Path
    weights: str
    """The model's digest."""
    settings: Settings
    known: Known | None
    """What the model was trained on."""
    matcher: TextMotionEncoder
    """Judges how well motions fit their words."""

    @property
    def index(self) -> Path:
        """One line a job."""
        return self.out / INDEX

    def file(self, job: Job) -> Path:
        """Of its motion."""
        return self.out / f"{job.name}.npz"

    def error_file(self, job: Job) -> Path:
        """With the words of the error that its sampling met, where there is no motion."""
        return self.out / f"{job.name}.error"

    def has(self, job: Job) -> bool:
        """Whether its motion is there. InputError if a motion is that was made from something else."""
        path = self.file(job)
        if not path.exists():
            return False
        motion = Motion.load(path)
        model = motion.provenance.get("model")
        made = {
            **motion.provenance,
            "text": "" if job.goals.segments else motion.text,
            "seconds": motion.seconds,
            "weights": model.get("weights") if isinstance(model, dict) else None,
        }
        wanted = {
            "text": job.text,
            "goals": job.goals.model_dump(mode="json", exclude_none=True),
            "seconds": job.frames / FPS,
            "seed": job.seed,
            "weights": self.weights,
            "settings": json.loads(json.dumps(dataclasses.asdict(self.settings))),
        }
        for what, value in wanted.items():
            if made.get(what) != value:
                raise InputError(
                    f"{path} was made with other {what}; give another --out, or --overwrite to make all motions anew"
                )
        return True

    def remove(self, job: Job) -> None:
        """Take away what there is of it."""
        self.file(job).unlink(missing_ok=True)
        self.error_file(job).unlink(missing_ok=True)

    def write(self, job: Job, motion: Motion) -> None:
        """Write its motion, with what was to be feared of its goals, what of its words the model did not learn, and how
        well it fits them."""
        feared = {
            "fit": dataclasses.asdict(text_fit(self.matcher, motion, job.text, job.goals)),
            "feasibility": feasibility(job.goals, job.frames),
            "unknown": unlearned(self.known, job.text, job.goals),
        }
        dataclasses.replace(motion, provenance={**motion.provenance, **feared}).save(self.file(job))
        self.error_file(job).unlink(missing_ok=True)

    def write_error(self, job: Job, error: Exception) -> None:
        """Write what its sampling met."""
        with atomic(self.error_file(job)) as path:
            path.write_text(" ".join(str(error).split())[:1000], encoding="utf-8")

    def write_index(self, jobs: Jobs, *, progress: bool = False) -> str:
        """Write the index of what is there, and say it in a line. InputError if any job met an error."""
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
