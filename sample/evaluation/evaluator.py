"""What tells how like two motions are, or a motion and a text, by embedding both: what FID and R-precision stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from data_loaders.types import Caption


class Evaluator(Protocol):
    """Embeds texts and motions in one space of D dimensions, where a text is near the motions that it describes.

    No embedding depends on its neighbours in the batch; all come in the order that was given, on the CPU.
    """

    @property
    def name(self) -> str:
        """What stands above the figures in a table: those of two evaluators cannot be compared."""
        ...

    @property
    def same_words(self) -> bool:
        """Whether R-precision counts motions of the same words as found; the published protocol does not."""
        ...

    def embed_texts(self, captions: Sequence[Caption]) -> Tensor:
        """(N, D); InputError if a caption lacks what the evaluator reads."""
        ...

    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """(N, D) of motions (F, 22, 3) in metres, y up, at 20 frames a second, each with its own F."""
        ...
