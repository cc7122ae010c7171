"""Train on your own BVH files: a folder of them, a table of what they show, and four commands.

    python docs/examples/09_train_on_your_bvh.py                                       # on files that are made first
    python docs/examples/09_train_on_your_bvh.py --folder FOLDER --no-small --steps 10000   # with captions.csv

Without a folder, a shipped model makes a few clips, and they are written as BVH, so that everything can be tried before
any data is at hand. The commands are printed as they are run; docs/data.md says which skeletons are known and what
captions.csv may hold. A few hundred steps only show that all of it works; ten thousand, some hours, make a model.
"""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.export.formats import export

TEXTS = ("a person walks", "a person runs", "a person waves", "a person bows", "a person kicks", "a person dances")
SPLITS = ("train", "train", "val", "test")


@dataclass(frozen=True)
class Options:
    """Read BVH files, look at one, train a model on them, and let it make a motion."""

    folder: Path | None = None
    """BVH files, and captions.csv with the columns file and text; without it, some are made."""
    steps: int = 200
    """Of training."""
    small: bool = True
    """A small network, for a try; --no-small for one of the size of the shipped models."""
    text: str = "a person walks"
    out: Path = Path("out/my-model")


def write_clips(folder: Path) -> None:
    """Four clips of each text as BVH, and their captions."""
    texts = [text for text in TEXTS for _ in SPLITS]
    settings = Settings(guidance="none", steps=15)
    motions = generate(MotionModel.load("v-masks"), texts, [60] * len(texts), settings=settings, progress=True)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "text", "split"])
        for number, motion in enumerate(motions):
            export(motion, folder / f"{number:02}.bvh", unit="cm")
            table.writerow([f"{number:02}.bvh", motion.text, SPLITS[number % len(SPLITS)]])


def run(line: str, *values: object) -> None:
    """A command with values for its {}s, each one word."""
    words = line.format(*(shlex.quote(str(value)) for value in values))
    print(f"$ python -m {words}", flush=True)
    if code := subprocess.run([sys.executable, "-m", *shlex.split(words)]).returncode:
        raise InputError(f"python -m {words.split()[0]} ended with {code}; see above")


@command
def main() -> None:
    options = parse_arguments(Options)
    out, folder = options.out, options.folder
    if folder is None:
        folder = out / "bvh"
        write_clips(folder)
    store, model = out / "store", out / "run"
    run("data_loaders prepare bvh --data-root {} --captions {} --out {}", folder, folder / "captions.csv", store)
    run("data_loaders show bvh --data-root {} --out {}", store, out / "clip.png")
    sizes = "--width 96 --depth 3 --frame-width 64 --batch-size 16" if options.small else ""
    run(
        f"train --data bvh --data-root {{}} --prediction v --run {{}} --steps {{}} {sizes}", store, model, options.steps
    )
    run("sample {} --model {} --seconds 3 --out {}", options.text, model, out / "made")


if __name__ == "__main__":
    main()
