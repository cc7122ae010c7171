"""The evaluator behind the field's published figures: T2M's text and motion encoders (Guo et al. 2022).

Its weights are not part of this project. They are read from the folder that the download scripts of MDM, GMD or
OmniControl leave (a clone in which they were run), or that of T2M itself. Layers have the names of those weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from data_loaders.types import Caption
from motion_diffusion.body.features import FEATURES, LAYOUT, encode, to_relative
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy
from sample.evaluation.t2m.published_files import AGAIN, KINDS, MAX_WORDS, WORD_DIM, T2MFiles, WordVectors, read_weights

SNIPPET = 4
"""Frames in a snippet."""

MAX_FRAMES = 196
"""Maximum number of frames: HumanML3D's longest motion."""

READ_FEATURES = 259
"""Number of features per frame that the encoder reads: all but the foot contacts."""

EMBEDDING = 512
"""Dimensions of the embeddings."""

BATCH = 64
"""Motions or captions embedded at once."""

_USUAL_STD = {
    "yaw velocity": (slice(0, 1), 0.00051),
    "root velocity": (slice(1, 3), 0.00068),
    "root height": (slice(3, 4), 0.0061),
    "positions": (LAYOUT["positions"], 0.123),
    "rotations": (LAYOUT["rotations"], 0.300),
    "velocities": (LAYOUT["velocities"], 0.0195),
    "contacts": (LAYOUT["contacts"], 0.0141),
}
"""Rough std of the evaluator by kind of feature, to detect other statistics: HumanML3D's, and a 25th of it for root and
contacts."""


class MovementEncoder(nn.Module):
    """Features (B, F, 259) → snippets (B, F/4, 512), one for four frames with a receptive field of ten; F is even."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(READ_FEATURES, 512, kernel_size=4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(512, 512, kernel_size=4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(512, 512)

    def forward(self, features: Tensor) -> Tensor:
        """Encode features."""
        return self.out_net(self.main(features.transpose(1, 2)).transpose(1, 2))


class SequenceEncoder(nn.Module):
    """Sequences (B, L, size) and their lengths (B,) → (B, 512), by a bidirectional GRU."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.input_emb = nn.Linear(size, width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * width, width), nn.LayerNorm(width), nn.LeakyReLU(0.2), nn.Linear(width, EMBEDDING)
        )
        self.hidden = nn.Parameter(torch.zeros(2, 1, width))

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Encode sequences."""
        counted = pack_padded_sequence(self.input_emb(sequences), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(counted, self.hidden.repeat(1, len(sequences), 1))
        return self.output_net(torch.cat([last[0], last[1]], dim=-1))


class TextEncoder(SequenceEncoder):
    """Word vectors (B, L, 300), one-hot word kinds (B, L, 15), and lengths (B,) → (B, 512)."""

    def __init__(self) -> None:
        super().__init__(WORD_DIM, 512)
        self.pos_emb = nn.Linear(KINDS, WORD_DIM)

    def encode(self, words: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Encode captions."""
        return self(words + self.pos_emb(tags), lengths)


class T2MEvaluator(nn.Module):
    """Embeds captions, by their tokens, and motions in the space of Guo et al. 2022; see `evaluators.Evaluator`."""

    mean: Tensor
    std: Tensor

    def __init__(self, words: WordVectors, mean: Tensor, std: Tensor, *, count_padding: bool = False):
        """Create an evaluator with random weights; `load` reads the published ones.

        Args:
            words: Word vectors of the vocabulary.
            mean: (263,) mean of the features.
            std: (263,) standard deviation of the features.
            count_padding: Whether to reproduce the defect of MDM before 2024, GMD and others, which count the padding
                of a generated motion's caption as words, for figures comparable with theirs.
        """
        super().__init__()
        self.words = words
        self.count_padding = count_padding
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.movement_encoder = MovementEncoder()
        self.motion_encoder = SequenceEncoder(EMBEDDING, 1024)
        self.text_encoder = TextEncoder()

    @property
    def name(self) -> str:
        """Name above the figures in a table."""
        return "T2M, padding counted as words" if self.count_padding else "T2M"

    @property
    def equal_texts_match(self) -> bool:
        """False, as in the published protocol."""
        return False

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.mean.device

    @torch.no_grad()
    def embed_texts(self, captions: Sequence[Caption]) -> Tensor:
        """Embed N captions by their tokens, such as "walk/VERB", as (N, 512) float32.

        Raises:
            InputError: A caption has no tokens.
        """
        for caption in captions:
            if not caption.tokens:
                raise InputError(
                    f"the caption {caption.text[:60]!r} has no tokens; the T2M evaluator needs captions with "
                    "part-of-speech tags, as HumanML3D's have"
                )
        result = []
        for start in range(0, len(captions), BATCH):
            words, tags, lengths = self.words([caption.tokens for caption in captions[start : start + BATCH]])
            if self.count_padding:
                lengths = torch.full_like(lengths, MAX_WORDS)
            result.append(self.text_encoder.encode(words.to(self.device), tags.to(self.device), lengths).cpu())
        return torch.cat(result)

    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """Embed N motions (F, 22, 3) in metres, at 20 frames per second, as (N, 512) float32; see `embed_features`."""
        return self.embed_features([_features(motion) for motion in joints])

    @torch.no_grad()
    def embed_features(self, features: Sequence[Tensor]) -> Tensor:
        """Embed N motions, given as HumanML3D's features (F, 263) with a relative root, as (N, 512) float32.

        The largest multiple of four frames is read from the first frame on (the reference cuts at random). It is
        padded with zeros to 196 frames, as in the reference, where the last snippet's receptive field includes them.

        Raises:
            InputError: A motion has fewer than 4 or more than 199 frames.
        """
        result = []
        for start in range(0, len(features), BATCH):
            batch = features[start : start + BATCH]
            x = torch.zeros(len(batch), MAX_FRAMES, FEATURES, device=self.device)
            snippets = torch.tensor([len(motion) // SNIPPET for motion in batch])
            for row, motion, count in zip(x, batch, snippets.tolist(), strict=True):
                if not 1 <= count <= MAX_FRAMES // SNIPPET:
                    raise InputError(
                        f"a motion has {len(motion)} frames of features (one fewer than of joints); the T2M evaluator "
                        f"reads {SNIPPET} to {MAX_FRAMES + SNIPPET - 1}: cut it"
                    )
                row[: count * SNIPPET] = (motion[: count * SNIPPET].to(self.mean) - self.mean) / self.std
            result.append(self.motion_encoder(self.movement_encoder(x[..., :READ_FEATURES]), snippets).cpu())
        return torch.cat(result)

    @staticmethod
    def load(folder: str | Path, *, count_padding: bool = False) -> T2MEvaluator:
        """Read the published files from a folder without executing anything in them.

        Args:
            folder: The folder; see `T2MFiles`.
            count_padding: See the constructor.

        Returns:
            The evaluator in evaluation mode, on the CPU.

        Raises:
            InputError: A file is missing or wrong.
        """
        files = T2MFiles.find(folder)
        words, statistics, checkpoint = WordVectors.load(files), _statistics(files), read_weights(files.weights)
        evaluator = T2MEvaluator(words, *statistics, count_padding=count_padding)
        try:
            for name, network in evaluator.named_children():
                network.load_state_dict(checkpoint[name])
        except (KeyError, RuntimeError, TypeError, AttributeError):
            raise InputError(
                f"{files.weights} is not the T2M evaluator of HumanML3D (KIT-ML has another); {AGAIN}"
            ) from None
        return evaluator.eval().requires_grad_(False)


def _features(joints: Tensor) -> Tensor:
    """HumanML3D's features (F − 1, 263) of joints (F, 22, 3), float64. The last frame has no velocity: left out."""
    return to_relative(encode(to_origin(joints.cpu().double()), convention="humanml3d"))[:-1]


def _statistics(files: T2MFiles) -> tuple[Tensor, Tensor]:
    """Read the evaluator's mean and std (263,) float32. Raise InputError if they are of another representation."""
    mean, std = (torch.from_numpy(read_npy(path, (FEATURES,), AGAIN)).float() for path in (files.mean, files.std))
    for kind, (columns, usual) in _USUAL_STD.items():
        for size in (std[columns].min().item(), std[columns].max().item()):
            if not usual / 3 < size < 3 * usual:
                raise InputError(
                    f"{files.std} is of another representation (std of {kind} {size:.2g}, not {usual:.2g}): the T2M "
                    "evaluator has its own mean and std, of a relative root (not GMD's absolute one), and a 25th of "
                    "HumanML3D's std for root and contacts"
                )
    return mean, std
