"""Words → vectors, behind one small interface: a static embedding that ships with the project, or a larger encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from motion_diffusion.assets import ASSETS
from motion_diffusion.errors import InputError
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


MAX_WORDS = 77
"""No text is longer, in any encoder: CLIP's limit."""


class ClipEncoder:
    """The last hidden states of CLIP ViT-B/32's text tower (Radford et al. 2021): 512 numbers a token, start and end
    among them. Needs the extra `clip`, whose loader downloads the weights and checks them."""

    dim = 512
    max_words = MAX_WORDS
    identity = "OpenAI CLIP ViT-B/32"

    def __init__(self) -> None:
        if find_spec("clip") is None:
            raise InputError(f"this model reads text with OpenAI's CLIP, which is not installed; {_install('clip')}")

    @cached_property
    def _clip(self) -> tuple[Any, Any]:
        """Its tokenizer and its model."""
        try:
            from clip import load, tokenize  # a package for the clipboard has the same name, and neither of these
        except (ImportError, RuntimeError) as error:
            raise InputError(
                f"this model reads text with OpenAI's CLIP, which does not import here ({_line(error)}); "
                f"{_install('clip')}, or use environment.yml"
            ) from None
        with _refused("clip", "connect once, so that its weights (350 MB) can be downloaded"):
            model = load("ViT-B/32", device="cpu", jit=False)[0]
        return tokenize, model.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """What CLIP's `encode_text` has before its projection, up to the end token, which has the highest number."""
        tokenize, model = self._clip
        tokens = tokenize(list(texts), truncate=True)
        h = model.token_embedding(tokens) + model.positional_embedding
        h = model.ln_final(model.transformer(h.transpose(0, 1)).transpose(0, 1))
        return [row[: end + 1] for row, end in zip(h, tokens.argmax(-1).tolist(), strict=True)]


class TransformersEncoder:
    """The last hidden states of a sentence encoder: any model of `transformers` with a tokenizer, by name or folder.

    Of an encoder and a decoder (T5) it is the encoder, of two towers (CLIP) the text's. Special tokens count as words.
    name: of a model on the Hugging Face Hub, with `@` and a revision if it shall be a certain one, or a folder. A copy
    that was downloaded before is used as it is. Only safetensors are loaded, no code of the model's is run.
    """

    def __init__(self, name: str):
        try:
            from transformers import AutoConfig
            from transformers.utils.hub import cached_file
        except ImportError as error:
            raise InputError(
                f"text encoder transformers:{name} needs the library transformers, which does not import here "
                f"({_line(error)}); {_install('text')}"
            ) from None
        self.name = name
        folder = Path(name).expanduser().resolve()
        if not folder.is_dir() and name.startswith(("/", ".", "~")):
            raise InputError(f"text encoder transformers:{name}: there is no folder {folder}; {_A_FOLDER}")
        self._folder = folder if folder.is_dir() else None
        source, _, revision = (str(folder), "", "") if self._folder else name.partition("@")
        self._options: dict[str, Any] = {"pretrained_model_name_or_path": source, "trust_remote_code": False}
        with self._checked():
            if self._folder is None:
                self._options["revision"] = commit = _commit(cached_file, source, revision or None)
                self.identity = f"{source}@{commit}"
            else:
                self.identity = _digest(self._folder)
            config = AutoConfig.from_pretrained(**self._options).get_text_config()
            self.dim: int = config.hidden_size
        limit = getattr(config, "max_position_embeddings", None) or 0
        self.max_words = min(MAX_WORDS, limit) if limit > 0 else MAX_WORDS  # positions may be relative

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Its tokenizer and the model that encodes."""
        from transformers import AutoModel, AutoTokenizer

        if self._folder is not None and _digest(self._folder) != self.identity:
            raise InputError(f"{self._folder} is not what it was when this program began; start it again")
        tokenizer = AutoTokenizer.from_pretrained(**self._options)
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise InputError(f"text encoder {self.name} has no vocabulary; {_A_FOLDER}")
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        with _quiet():
            model, report = AutoModel.from_pretrained(
                **self._options,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        encoder = model.get_encoder() if hasattr(model, "decoder") else getattr(model, "text_model", model)
        used = {id(parameter) for name, parameter in encoder.named_parameters() if "pooler" not in name}
        drawn = report["missing_keys"] | {name for name, *_ in report["mismatched_keys"]}
        drawn = [name for name, parameter in model.named_parameters() if name in drawn and id(parameter) in used]
        if drawn:
            raise InputError(f"text encoder {self.name} has no {drawn[0]} as its config.json wants it; {_A_FOLDER}")
        return tokenizer, encoder.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        with self._checked():
            tokenizer, model = self._loaded
            longest = min(self.max_words, tokenizer.model_max_length)
            tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
            h = model(**tokens).last_hidden_state
            if h.shape[-1] != self.dim:
                raise InputError(
                    f"text encoder {self.name} gives {h.shape[-1]} numbers a word and its config.json says {self.dim}; "
                    "choose another one"
                )
            return [row[words] for row, words in zip(h, tokens["attention_mask"].bool(), strict=True)]

    def _checked(self) -> AbstractContextManager[None]:
        return _refused(f"transformers:{self.name}", _A_NAME if self._folder is None else _A_FOLDER)


_A_FOLDER = "give a folder with the config.json, tokenizer and model.safetensors of a text encoder"

_A_NAME = (
    "give a name on the Hugging Face Hub, such as sentence-transformers/all-MiniLM-L6-v2, and connect when it is used "
    "first; or a folder"
)


def _install(extra: str) -> str:
    return f"install the extra {extra!r}: pip install 'motion-diffusion[{extra}]'"


def _line(error: Exception) -> str:
    """What an error says at first."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


@contextmanager
def _refused(name: str, remedy: str) -> Iterator[None]:
    """Whatever goes wrong within somebody else's library is one line that names the encoder."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"text encoder {name}: {_line(error)}; {remedy}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """No table of weights that an encoder does not need, such as those of its training's heads."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _commit(cached_file: Any, name: str, revision: str | None) -> str:
    """The commit of a model on the hub: of the copy that is here, else of what is there now."""
    try:
        path = cached_file(name, "config.json", revision=revision, local_files_only=True)
    except OSError:
        path = cached_file(name, "config.json", revision=revision)
    if path is None:
        raise InputError(f"text encoder {name} has no config.json; {_A_NAME}")
    return Path(path).parent.name


def _digest(folder: Path) -> str:
    """Of everything in a folder that vectors depend on."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".txt", ".model"):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
