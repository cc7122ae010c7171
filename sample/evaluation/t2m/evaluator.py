"""The evaluator that the field's published figures stand on: T2M's text and motion encoders (Guo et al. 2022).

Its weights are not part of this project. A folder with them is what the download scripts of MDM, GMD or OmniControl
leave (a clone in which they were run will do), or T2M's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from data_loaders.types import Caption
from motion_diffusion.body.features import FEATURES, LAYOUT, encode, to_relative
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy
from sample.evaluation.t2m.files import AGAIN, T2MFiles, read_weights
from sample.evaluation.t2m.networks import EMBEDDING, SEEN, MovementEncoder, SequenceEncoder, TextEncoder
from sample.evaluation.t2m.words import MAX_WORDS, Words

UNIT = 4
"""Frames of a snippet."""

MAX_FRAMES = 196
"""Frames of features that are read: HumanML3D's longest motion."""

BATCH = 64

_USUAL_STD = {
    "yaw velocity": (slice(0, 1), 0.00051),
    "root velocity": (slice(1, 3), 0.00068),
    "root height": (slice(3, 4), 0.0061),
    "positions": (LAYOUT["positions"], 0.123),
    "rotations": (LAYOUT["rotations"], 0.300),
    "velocities": (LAYOUT["velocities"], 0.0195),
    "contacts": (LAYOUT["contacts"], 0.0141),
}
"""The evaluator's std by kind of feature: HumanML3D's, a 25th of it for root and contacts. Rough, to tell others by."""


class T2M(nn.Module):
    """Embeds captions, by their tokens, and motions in the space of Guo et al. 2022; see `Evaluator`.

    count_padding: repeat the defect of MDM before 2024, GMD and others, which count the padding of a generated
    motion's caption as words: for figures that can be laid beside theirs. Otherwise lengths are those of the captions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, words: Words, mean: Tensor, std: Tensor, *, count_padding: bool = False):
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
        return "T2M, padding counted as words" if self.count_padding else "T2M"

    @property
    def same_words(self) -> bool:
        return False

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @torch.no_grad()
    def embed_texts(self, captions: Sequence[Caption]) -> Tensor:
        """(N, 512) float32 of captions with tokens such as "walk/VERB"; InputError for captions without."""
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
            result.append(self.text_encoder.read(words.to(self.device), tags.to(self.device), lengths).cpu())
        return torch.cat(result)

    def embed_motions(self, joints: Sequence[Tensor]) -> Tensor:
        """(N, 512) float32 of motions (F, 22, 3) in metres at 20 frames a second; see `embed_features`."""
        return self.embed_features([_features(motion) for motion in joints])

    @torch.no_grad()
    def embed_features(self, features: Sequence[Tensor]) -> Tensor:
        """(N, 512) float32 of HumanML3D's features (F, 263) with a relative root.

        Of each motion the largest multiple of four frames is read, from its first frame on (the reference cuts at
        random). Behind it stand zeros up to 196 frames, as in the reference, where the last snippet looks at them.
        InputError for fewer than 4 frames or more than 199.
        """
        result = []
        for start in range(0, len(features), BATCH):
            batch = features[start : start + BATCH]
            x = torch.zeros(len(batch), MAX_FRAMES, FEATURES, device=self.device)
            snippets = torch.tensor([len(motion) // UNIT for motion in batch])
            for row, motion, count in zip(x, batch, snippets.tolist(), strict=True):
                if not 1 <= count <= MAX_FRAMES // UNIT:
                    raise InputError(
                        f"a motion has {len(motion)} frames of features (one fewer than of joints); the T2M evaluator "
                        f"reads {UNIT} to {MAX_FRAMES + UNIT - 1}: cut it"
                    )
                row[: count * UNIT] = (motion[: count * UNIT].to(self.mean) - self.mean) / self.std
            result.append(self.motion_encoder(self.movement_encoder(x[..., :SEEN]), snippets).cpu())
        return torch.cat(result)

    @staticmethod
    def load(folder: str | Path, *, count_padding: bool = False) -> T2M:
        """Read the published files from a folder, without running anything in them; ready for embedding, on the CPU.

        InputError says what is missing or wrong, and where it should be.
        """
        files = T2MFiles.find(folder)
        words, statistics, checkpoint = Words.load(files), _statistics(files), read_weights(files.weights)
        evaluator = T2M(words, *statistics, count_padding=count_padding)
        try:
            for name, network in evaluator.named_children():
                network.load_state_dict(checkpoint[name])
        except (KeyError, RuntimeError, TypeError, AttributeError):
            raise InputError(
                f"{files.weights} is not the T2M evaluator of HumanML3D (KIT-ML has another); {AGAIN}"
            ) from None
        return evaluator.eval().requires_grad_(False)


def _features(joints: Tensor) -> Tensor:
    """HumanML3D's features (F − 1, 263) of joints (F, 22, 3), float64: a frame that has no next one is left out."""
    return to_relative(encode(to_origin(joints.cpu().double()), convention="humanml3d"))[:-1]


def _statistics(files: T2MFiles) -> tuple[Tensor, Tensor]:
    """The evaluator's mean and std (263,) float32; InputError if they are of another representation."""
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
