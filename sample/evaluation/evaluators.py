"""The evaluators that there are: our own matchers, and T2M's published weights where somebody has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data_loaders.types import Caption
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from sample.evaluation.evaluator import Evaluator
from sample.evaluation.t2m.evaluator import T2M

BATCH = 64


@dataclass(frozen=True)
class Matched:
    """A matcher as an evaluator."""

    matcher: TextMotionEncoder

    @property
    def name(self) -> str:
        """Its name and weights."""
        return f"{self.matcher.name} ({self.matcher.digest})"

    @property
    def same_words(self) -> bool:
        """Yes: our captions are made from labels, so that many are the same."""
        return True

    @torch.no_grad()
    def embed_texts(self, captions: Sequence[Caption]) -> Tensor:
        """(N, D) unit vectors; tokens are not used."""
        texts = [caption.text for caption in captions]
        parts = [self.matcher.embed_texts(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return torch.cat(parts).cpu()

    @torch.no_grad()
    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """(N, D) unit vectors."""
        parts = [self.matcher.embed_motions(joints[i : i + BATCH]) for i in range(0, len(joints), BATCH)]
        return torch.cat(parts).cpu()


def load_evaluator(name: str, *, count_padding: bool = False) -> Evaluator:
    """A matcher by its name or directory, or T2M by the folder that has its weights.

    count_padding: see `T2M`. Raises FileNotFoundError or InputError if there is none, or it is damaged.
    """
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        return T2M.load(name, count_padding=count_padding)
    return Matched(TextMotionEncoder.load(name))
