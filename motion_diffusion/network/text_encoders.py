"""Words → vectors, behind one small interface: a static embedding that ships with the project, or a larger encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from motion_diffusion.assets import ASSETS
from motion_diffusion.errors import InputError
from motion_diffusion.network.pretrained_text_encoders import ClipEncoder, TransformersEncoder
from motion_diffusion.network.text_cache import CachedEncoder

STATIC_EMBEDDING = ASSETS / "text"
"""Vectors and tokenizer of the static embedding; `distil.py` there made them."""


class TextEncoder(Protocol):
    """Turns texts into word vectors in their order."""

    dim: int
    max_words: int

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B texts → vectors (B, L, dim) float32 and visible (B, L) bool, which of them are words; L ≤ max_words.

        Longer texts are cut after max_words word pieces; a text without words has none visible.
        """
        ...


class StaticEmbedding:
    """One fixed vector of 128 numbers for each of 29,525 word pieces, distilled from all-MiniLM-L6-v2.

    Rare words have long vectors and words such as "a" short ones; words of like meaning have like directions, so a
    model has some idea of words that its captions did not hold.
    """

    dim = 128
    max_words = 32

    def __init__(self, directory: Path = STATIC_EMBEDDING):
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._vectors = load_file(directory / "vectors.safetensors")["vectors"]

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ids = [encoding.ids[: self.max_words] for encoding in encodings]
        longest = max([1, *map(len, ids)])
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        visible = torch.arange(longest) < torch.tensor([len(row) for row in ids])[:, None]
        return self._vectors[padded].float() * visible[..., None], visible


@lru_cache(maxsize=2)
def text_encoder(name: str) -> TextEncoder:
    """The encoder called "static", "clip" or "transformers:<name or folder>"; see `StaticEmbedding` and
    `text_pretrained`, whose encoders stand behind a cache on disk.

    Raises InputError, with the remedy, for another name, a missing extra and a model that cannot be read.
    """
    if name == "static":
        return StaticEmbedding()
    if name == "clip":
        return CachedEncoder(ClipEncoder())
    kind, _, model = name.partition(":")
    if kind != "transformers" or not model:
        raise InputError(f"unknown text encoder {name!r}; choose static, clip or transformers:<name or folder>")
    return CachedEncoder(TransformersEncoder(model))
