"""Words → vectors, behind one small interface: a static embedding that ships with the project, or OpenAI's CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from motion_diffusion.errors import InputError

STATIC_EMBEDDING = Path(__file__).resolve().parent.parent / "assets" / "text"
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


class ClipEncoder:
    """The last hidden state of CLIP ViT-B/32's text tower, 512 numbers a token. Needs the extra `clip`."""

    dim = 512
    max_words = 77

    def __init__(self) -> None:
        try:
            import clip
        except ImportError as error:
            raise InputError(
                f"this model reads text with OpenAI's CLIP, which does not import here ({error}); "
                "install the extra 'clip': pip install 'motion-diffusion[clip]', or use environment.yml"
            ) from None
        self._tokenize = clip.tokenize
        self._model = clip.load("ViT-B/32", device="cpu", jit=False)[0].eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokens = self._tokenize(list(texts), truncate=True)
        model = self._model
        h = model.token_embedding(tokens) + model.positional_embedding
        h = model.ln_final(model.transformer(h.transpose(0, 1)).transpose(0, 1))
        return h.float(), torch.arange(tokens.shape[1]) <= tokens.argmax(-1, keepdim=True)


@lru_cache(maxsize=2)
def text_encoder(name: str) -> TextEncoder:
    """The encoder called "static" or "clip", loaded once."""
    return {"static": StaticEmbedding, "clip": ClipEncoder}[name]()
