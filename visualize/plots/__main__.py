"""python -m visualize plots: figures from the files of trainings, evaluations and analyses."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from motion_diffusion.atomic_io import check_place
from motion_diffusion.errors import InputError, command, parse_arguments
from visualize.plots.registry import ENDINGS, Ending, draw


@dataclass(frozen=True)
class Options:
    """Draw figures from files: CSV of analyses and studies, metrics.jsonl of runs, figures.json of evaluations.

    Several runs, or several evaluations, are drawn in one figure.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files or folders. All files in a folder that can be drawn are; if there are none, those in its subfolders."""
    out: Path = Path("out/plots")
    """Folder for the figures."""
    endings: tuple[Ending, ...] = ENDINGS
    """File formats to write."""


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """The command. arguments: replace those of the command line."""
    options = parse_arguments(Options, prog="python -m visualize plots", args=arguments)
    if not options.files:
        raise InputError("nothing to draw: give CSV files, metrics.jsonl, figures.json, or folders that hold them")
    if not options.endings:
        raise InputError(f"--endings without any draws nothing; give {' or '.join(ENDINGS)}, or leave it out")
    check_place(options.out / "figure")
    for path in draw(options.files, options.out, options.endings):
        print(path)


if __name__ == "__main__":
    main()
