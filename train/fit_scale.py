"""python -m train.fit_scale: measure the text–motion similarities of matching and of mismatched pairs.

Training an embedding model ends with this measurement; the command repeats it for older models or other data.
"""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from data_loaders.datasets import DatasetName, load_examples
from data_loaders.types import Examples
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.network.text_motion_encoder import FIT, FitScale, TextMotionEncoder, in_batches


@dataclass(frozen=True)
class Options:
    """Measure the similarity scale of a text–motion embedding model on held-out examples; it becomes fit.json."""

    matcher: Annotated[Path, tyro.conf.Positional]
    """Directory of the model."""
    data: DatasetName = "procedural"
    data_root: Path | None = None
    """Folder with the clips, or a store prepared from them."""
    max_frames: int = 120
    """Longest motion, in frames at 20 frames per second."""
    examples: int = 320
    """Number of held-out examples, 2 to 10,000."""


@torch.no_grad()
def measure(model: TextMotionEncoder, held_out: Examples, count: int) -> FitScale:
    """Measure the similarity scale of a model on the first `count` held-out examples.

    Raises:
        InputError: All examples have the same text.
    """
    model.eval()
    examples = [held_out.example(i) for i in range(count)]
    texts = [example.text for example in examples]
    if len(set(texts)) < 2:
        raise InputError("all held-out examples have the same words; give data with several actions")
    joints = [torch.from_numpy(example.joints) for example in examples]
    motions, words = in_batches(model.embed_motions, joints), in_batches(model.embed_texts, texts)
    numbers = torch.tensor([texts.index(text) for text in texts], device=motions.device)
    return FitScale.of(motions @ words.T, numbers[:, None] == numbers[None])


@command
def main() -> None:
    """Run the command."""
    options = parse_arguments(Options, prog="python -m train.fit_scale")
    if not 2 <= options.examples <= 10_000:
        raise InputError(f"--examples {options.examples}: give 2 to 10,000")
    model = TextMotionEncoder.load(options.matcher)
    data = load_examples(options.data, options.data_root, frames=options.max_frames)
    scale = measure(model, data.held_out, options.examples)
    scale.write(options.matcher)
    print(f"{options.matcher / FIT}: well from {scale.well:.2f}, hardly below {scale.hardly:.2f} ({scale.pairs} pairs)")


if __name__ == "__main__":
    main()
