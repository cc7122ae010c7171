"""A joint embedding of texts and motions: both are mapped to unit vectors that are close where they match.

It serves as evaluator where the published ones are not available: R-precision and FID need no more than such an
embedding. As in TMR (Petrovich et al. 2023), two transformers are trained by contrastive learning (InfoNCE, van den
Oord et al. 2018).

A `FitScale`, stored as `fit.json` beside its config.json, holds the distribution of cosines of matching and of random
pairs, and converts a cosine into a verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from motion_diffusion import pretrained
from motion_diffusion.atomic_io import atomic, read_json
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.representation import Representation
from motion_diffusion.errors import InputError
from motion_diffusion.network.denoiser import (
    TOKEN_WAVELENGTHS,
    Block,
    Depth,
    Dropout,
    FramesPerToken,
    Heads,
    TextContext,
    TextDepth,
    TextDim,
    Width,
    check_sizes,
    sinusoids,
)
from motion_diffusion.network.text_encoders import text_encoder

BATCH = 64
"""Motions or texts embedded at once."""
T = TypeVar("T")


@torch.no_grad()
def in_batches(embed: Callable[[Sequence[T]], Tensor], items: Sequence[T]) -> Tensor:
    """Embed items `BATCH` at a time: (N, D) on the CPU."""
    return torch.cat([embed(items[i : i + BATCH]) for i in range(0, len(items), BATCH)]).cpu()


@dataclass(frozen=True)
class TextMotionEncoderConfig:
    """Configuration of the model, stored in config.json."""

    features: tuple[str, ...] = ("root", "positions", "velocities")
    """Groups of motion features used."""
    text: str = "static"
    text_dim: TextDim = 128
    width: Width = 192
    depth: Depth = 4
    text_depth: TextDepth = 3
    heads: Heads = 4
    frames_per_token: FramesPerToken = 4
    embedding: Width = 64
    """Dimension of the embedding. Small, since a Fréchet distance needs many more motions than dimensions."""
    dropout: Dropout = 0.1
    training: str = ""
    """One line on the training data."""
    licence: str = ""

    def __post_init__(self) -> None:
        check_sizes(self, file=True)


class TextMotionEncoder(nn.Module):
    """Embeds texts and motions as unit vectors; the cosine of two embeddings measures how well they match."""

    def __init__(self, config: TextMotionEncoderConfig, representation: Representation):
        super().__init__()
        self.name = "untitled"
        self.config = config
        self.representation = representation
        self.words = text_encoder(config.text)
        self._digest = pretrained.Digest()
        width = config.width
        self.embed = nn.Linear(config.frames_per_token * representation.size, width)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.depth))
        self.of_motion = nn.Linear(width, config.embedding)
        self.text = TextContext(config)
        self.of_text = nn.Linear(width, config.embedding)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        """Logarithm of the inverse temperature of the contrastive loss."""
        self.scale: FitScale | None = None
        """Interpretation of cosines; None if it was not measured."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed N sentences: (N, embedding) unit vectors."""
        words, visible = self.words(texts)
        device = self.summary.device
        context, _ = self.text(words.to(device), visible.to(device))
        return F.normalize(self.of_text(context[:, 0]), dim=-1)

    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """Embed N motions (F, 22, 3), in metres at 20 frames per second with any origin: (N, embedding) unit
        vectors.
        """
        device = self.summary.device
        lengths = torch.tensor([len(motion) for motion in joints], device=device)
        padded = pad_sequence([to_origin(motion.float()) for motion in joints], batch_first=True).to(device)
        features = encode(padded, lengths=lengths, groups=self.config.features)
        return self.embed_features(self.representation.normalise(features), lengths)

    def embed_features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Embed normalised features (N, F, D) with (N,) valid frames: (N, embedding) unit vectors."""
        patch = self.config.frames_per_token
        frames = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        x = F.pad(x * frames[..., None], (0, 0, 0, -x.shape[1] % patch))
        tokens = F.pad(frames, (0, -frames.shape[1] % patch)).unflatten(1, (-1, patch)).any(-1)
        h = self.embed(x.unflatten(1, (-1, patch)).flatten(2))
        h = torch.cat([self.summary.expand(len(h), 1, -1), h], dim=1)
        h = h + sinusoids(torch.arange(h.shape[1], device=x.device), h.shape[-1], TOKEN_WAVELENGTHS)
        visible = F.pad(tokens, (1, 0), value=True)
        for block in self.blocks:
            h = block(h, None, visible)
        return F.normalize(self.of_motion(F.layer_norm(h[:, 0], h.shape[-1:])), dim=-1)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that identify the weights."""
        return self._digest.of(self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        return pretrained.tensors_of(self.state_dict(), "weights", self.representation)

    def save(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json, model.safetensors and, with a scale, fit.json; weights in dtype, statistics in float32."""
        if self.scale is not None:
            self.scale.write(Path(folder))
        pretrained.write(Path(folder), self.config, self._tensors(), dtype)

    @staticmethod
    def load(name: str | Path) -> TextMotionEncoder:
        """Load a shipped model by name, or any by its directory, ready for use.

        Raises:
            FileNotFoundError: if there is none.
            InputError: if it is damaged.
        """
        folder = pretrained.find(name, "matchers")
        config = pretrained.read_config(folder, TextMotionEncoderConfig)
        with pretrained.reading(folder) as tensors:
            statistics = pretrained.part(tensors, "representation")
            matcher = TextMotionEncoder(config, Representation.from_tensors(config.features, 1.0, statistics))
            matcher.load_state_dict(pretrained.part(tensors, "weights"))
        matcher.name, matcher.scale = folder.resolve().name, read_fit_scale(folder)
        return matcher.eval().requires_grad_(False)


def contrast(matcher: TextMotionEncoder, motions: Tensor, texts: Tensor, same: Tensor) -> Tensor:
    """The contrastive loss of a batch: the mean cross-entropy of both retrieval directions (InfoNCE).

    Args:
        matcher: the model, for its temperature.
        motions: (B, D) embeddings.
        texts: (B, D) embeddings.
        same: (B, B) bool, which texts are the same sentence and hence equally correct.
    """
    logits = matcher.log_scale.exp().clamp(max=100) * motions @ texts.T
    wanted = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


FIT = "fit.json"

MAX_BYTES = 2**16

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Probabilities of the stored quantiles."""

REAL_BELOW, SHUFFLED_BELOW = 0.05, 0.9
"""Probability of matching pairs to be below "well", and of random pairs to be below "hardly"."""

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
        """Measure the quantiles.

        Args:
            similar: (N, N) cosines of N motions with N sentences, their own on the diagonal.
            same: (N, N) bool, which sentences are the same.
        """
        shares = torch.tensor(SHARES, device=similar.device)
        real, shuffled = (pairs.float().quantile(shares).tolist() for pairs in (similar.diag(), similar[~same]))
        return FitScale(
            len(similar), tuple(round(value, 4) for value in real), tuple(round(value, 4) for value in shuffled)
        )

    @property
    def well(self) -> float:
        """Cosine from which a motion fits its text well."""
        return self.real[SHARES.index(REAL_BELOW)]

    @property
    def hardly(self) -> float:
        """Cosine below which a motion hardly fits its text."""
        return min(self.shuffled[SHARES.index(SHUFFLED_BELOW)], self.well)

    def verdict(self, similarity: float) -> Verdict:
        """Fit of a motion to its text, from the cosine of their embeddings."""
        return "well" if similarity >= self.well else "hardly" if similarity < self.hardly else "partly"

    def write(self, folder: Path) -> None:
        """Write fit.json into the model's directory."""
        with atomic(folder / FIT) as path:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_fit_scale(folder: Path) -> FitScale | None:
    """Read fit.json of a model's directory; None if it has none. InputError if it is damaged."""
    path, remedy = folder / FIT, "remove it, or make it again with python -m train.fit_scale"
    if not path.is_file():
        return None
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}; {remedy}")
    return read_json(path, FitScale, remedy)
