"""python -m sample.export_onnx: write a model as ONNX files, for programs without PyTorch."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

from dataclasses import dataclass
from pathlib import Path

from motion_diffusion.atomic_io import atomic, check_place
from motion_diffusion.engine import NOT_INSTALLED, installed
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel

MAX_BYTES = 2**31
"""Largest file that is read; the format holds no more."""


@dataclass(frozen=True)
class Options:
    """Write a model as two ONNX files: the denoiser, and beside it the text encoder (model.text.onnx).

    Both are compared with PyTorch before they are written. docs/onnx.md describes how to use them.
    """

    model: str = "v-masks"
    """Name of a shipped model, or a run directory."""
    out: Path = Path("model.onnx")
    """File of the denoiser."""
    overwrite: bool = False
    """Replace existing files."""
    check: bool = False
    """Compare existing files with the model, and write nothing."""


@command
def main() -> None:
    """Run the command."""
    options = parse_arguments(Options, prog="python -m sample.export_onnx")
    if not installed():
        raise InputError(f"export to ONNX {NOT_INSTALLED}")
    from motion_diffusion.onnx_export import Files, check, export

    if options.out.suffix != ".onnx":
        raise InputError(f"--out {options.out}: give the name of a file that ends in .onnx")
    denoiser, text = paths = Files.paths(options.out)
    if not options.check:
        for path in paths:
            if path.exists() and not options.overwrite:
                raise InputError(f"{path} exists; give another --out, or --overwrite to replace it")
            check_place(path)
    model = MotionModel.load(options.model)
    files = Files(_read(denoiser), _read(text)) if options.check else export(model)
    error = check(model, files, (str(denoiser), str(text)))
    if not options.check:
        for path, content in zip(paths, files, strict=True):
            with atomic(path) as place:
                place.write_bytes(content)
    sizes = " and ".join(f"{path} ({len(content) / 1e6:.1f} MB)" for path, content in zip(paths, files, strict=True))
    print(f"{sizes}: x0 differs from PyTorch's by {error:.1g} in normalised features")


def _read(path: Path) -> bytes:
    """The content of a file. InputError for one that is larger than any of ours."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} has more than 2 GB; it was not exported here")
    return path.read_bytes()


if __name__ == "__main__":
    main()
