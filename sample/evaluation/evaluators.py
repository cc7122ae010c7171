"""Evaluators embed motions and texts, for FID and R-precision: our embedding models, and T2M's published weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from data_loaders.types import Caption
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, in_batches
from sample.evaluation.t2m.evaluator import T2MEvaluator


class Evaluator(Protocol):
    """Embeds texts and motions in one space of D dimensions, where a text is near the motions it describes.

    Embeddings do not depend on other items in the batch. They are returned in the order of the inputs, on the CPU.
    """

    @property
    def name(self) -> str:
        """Name above the figures in a table. Figures of different evaluators are not comparable."""
        ...

    @property
    def equal_texts_match(self) -> bool:
        """Whether R-precision accepts a motion with an equal text; the published protocol does not."""
        ...

    def embed_texts(self, captions: Sequence[Caption]) -> Tensor:
        """Embed N captions as (N, D).

        Raises:
            InputError: A caption lacks what the evaluator needs.
        """
        ...

    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """Embed N motions (F, 22, 3) as (N, D); in metres, y up, at 20 frames per second, each with its own F."""
        ...


@dataclass(frozen=True)
class EmbeddingEvaluator:
    """A text–motion embedding model as an evaluator."""

    model: TextMotionEncoder

    @property
    def name(self) -> str:
        """Name and digest of the model."""
        return f"{self.model.name} ({self.model.digest})"

    @property
    def equal_texts_match(self) -> bool:
        """True: captions made from labels are often equal."""
        return True

    def embed_texts(self, captions: Sequence[Caption]) -> Tensor:
        """Embed the texts of N captions as unit vectors (N, D)."""
        return in_batches(self.model.embed_texts, [caption.text for caption in captions])

    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """Embed N motions (F, 22, 3) as unit vectors (N, D)."""
        return in_batches(self.model.embed_motions, joints)


def load_evaluator(name: str, *, count_padding: bool = False) -> Evaluator:
    """Load an evaluator.

    Args:
        name: A shipped embedding model by its name, one by its directory, or the folder with T2M's published weights.
        count_padding: See `T2MEvaluator`.

    Raises:
        FileNotFoundError: There is no such evaluator.
        InputError: Its files are damaged.
    """
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        return T2MEvaluator.load(name, count_padding=count_padding)
    return EmbeddingEvaluator(TextMotionEncoder.load(name))
