"""python -m train.fit_scale: measure how similar a matcher finds words and motions that belong together, or do not.

Training of a matcher ends with it; the command is for matchers from before, and for other data.
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
from motion_diffusion.network.text_motion_encoder import FIT, FitScale, TextMotionEncoder

BATCH = 64


@dataclass(frozen=True)
class Options:
    """Measure the scale of a matcher on held-out examples, and write it beside the matcher as fit.json."""

    matcher: Annotated[Path, tyro.conf.Positional]
    """Directory of the matcher."""
    data: DatasetName = "procedural"
    data_root: Path | None = None
    """Folder with the clips, or a store that was prepared from them."""
    max_frames: int = 120
    """Longest motion, at 20 frames a second."""
    examples: int = 320


@torch.no_grad()
def measure(matcher: TextMotionEncoder, held_out: Examples, count: int) -> FitScale:
    """The scale of a matcher, from so many held-out examples."""
    matcher.eval()
    examples = [held_out.example(i) for i in range(count)]
    texts = [example.text for example in examples]
    if len(set(texts)) < 2:
        raise InputError("all held-out examples have the same words; give data with several actions")
    joints = [torch.from_numpy(example.joints) for example in examples]
    batches = [slice(i, i + BATCH) for i in range(0, count, BATCH)]
    motions = torch.cat([matcher.embed_motions(joints[batch]) for batch in batches])
    words = torch.cat([matcher.embed_texts(texts[batch]) for batch in batches])
    numbers = torch.tensor([texts.index(text) for text in texts], device=motions.device)
    return FitScale.of(motions @ words.T, numbers[:, None] == numbers[None])


@command
def main() -> None:
    """The command."""
    options = parse_arguments(Options, prog="python -m train.fit_scale")
    if not 2 <= options.examples <= 10_000:
        raise InputError(f"--examples {options.examples}: give 2 to 10,000")
    matcher = TextMotionEncoder.load(options.matcher)
    data = load_examples(options.data, options.data_root, frames=options.max_frames)
    scale = measure(matcher, data.held_out, options.examples)
    scale.write(options.matcher)
    print(f"{options.matcher / FIT}: well from {scale.well:.2f}, hardly below {scale.hardly:.2f} ({scale.pairs} pairs)")


if __name__ == "__main__":
    main()
