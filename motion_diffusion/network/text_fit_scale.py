"""How similar words and motions are that belong together, and how similar those that do not: a scale for a matcher.

It stands in `fit.json` beside a matcher's config.json and turns a cosine into words that a person understands.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from motion_diffusion.atomic_io import atomic, read_json
from motion_diffusion.errors import InputError

FIT = "fit.json"
MAX_BYTES = 2**16

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Shares of pairs below the quantiles that are kept."""
REAL_BELOW, SHUFFLED_BELOW = 0.05, 0.9
"""Share of real pairs that fit less than well, and of shuffled ones that hardly fit."""

Verdict = Literal["well", "partly", "hardly"]

SENTENCES: dict[Verdict, str] = {
    "well": "the motion fits its words well, as real motions do",
    "partly": "the motion fits its words partly: better than other words would, not as well as a real motion",
    "hardly": "the motion hardly fits its words: those of another motion would fit as well",
}


@dataclass(frozen=True)
class FitScale:
    """Quantiles, at `SHARES`, of the cosines of held-out motions with their own and with other sentences."""

    pairs: int
    real: tuple[float, ...]
    shuffled: tuple[float, ...]
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        if not len(self.real) == len(self.shuffled) == len(SHARES):
            raise ValueError(f"should have {len(SHARES)} numbers each as real and as shuffled")

    @staticmethod
    def of(similar: Tensor, same: Tensor) -> FitScale:
        """similar: (N, N) cosines of N motions with N sentences, their own on the diagonal; same: (N, N) bool, which
        sentences are the same."""
        shares = torch.tensor(SHARES, device=similar.device)
        real, shuffled = (pairs.float().quantile(shares).tolist() for pairs in (similar.diag(), similar[~same]))
        return FitScale(
            len(similar), tuple(round(value, 4) for value in real), tuple(round(value, 4) for value in shuffled)
        )

    @property
    def well(self) -> float:
        """Cosine from which a motion fits its words well."""
        return self.real[SHARES.index(REAL_BELOW)]

    @property
    def hardly(self) -> float:
        """Cosine below which it hardly does."""
        return min(self.shuffled[SHARES.index(SHUFFLED_BELOW)], self.well)

    def verdict(self, similarity: float) -> Verdict:
        """How well a motion fits its words, from their cosine."""
        return "well" if similarity >= self.well else "hardly" if similarity < self.hardly else "partly"

    def write(self, folder: Path) -> None:
        """Write fit.json into a matcher's directory."""
        with atomic(folder / FIT) as path:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_fit_scale(folder: Path) -> FitScale | None:
    """The fit.json of a matcher's directory; None if it has none. InputError for one that is damaged."""
    path, remedy = folder / FIT, "remove it, or make it again with python -m train.fit_scale"
    if not path.is_file():
        return None
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}; {remedy}")
    return read_json(path, FitScale, remedy)
