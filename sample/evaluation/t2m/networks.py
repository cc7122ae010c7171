"""The networks of the T2M evaluator (Guo et al. 2022), layer by layer as its published weights name them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

WORD = 300
"""Numbers of a word vector (GloVe)."""

TAGS = 15
"""Kinds of words."""

SEEN = 259
"""Features of a frame that are looked at: all but the foot contacts."""

EMBEDDING = 512


class MovementEncoder(nn.Module):
    """Features (B, F, 259) → (B, F/4, 512): a snippet for every four frames, from ten of them. F is even."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(SEEN, 512, kernel_size=4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(512, 512, kernel_size=4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(512, 512)

    def forward(self, features: Tensor) -> Tensor:
        return self.out_net(self.main(features.transpose(1, 2)).transpose(1, 2))


class SequenceEncoder(nn.Module):
    """Sequences (B, L, size) and how much of each counts (B,) → (B, 512), by a GRU that reads both ways."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.input_emb = nn.Linear(size, width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * width, width), nn.LayerNorm(width), nn.LeakyReLU(0.2), nn.Linear(width, EMBEDDING)
        )
        self.hidden = nn.Parameter(torch.zeros(2, 1, width))

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        counted = pack_padded_sequence(self.input_emb(sequences), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(counted, self.hidden.repeat(1, len(sequences), 1))
        return self.output_net(torch.cat([last[0], last[1]], dim=-1))


class TextEncoder(SequenceEncoder):
    """Word vectors (B, L, 300), kinds of words (B, L, 15) one-hot, and the number of words (B,) → (B, 512)."""

    def __init__(self) -> None:
        super().__init__(WORD, 512)
        self.pos_emb = nn.Linear(TAGS, WORD)

    def read(self, words: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        return self(words + self.pos_emb(tags), lengths)
