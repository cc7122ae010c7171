"""A cache of word vectors on disk, so that an expensive text encoder encodes every text once."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from motion_diffusion.atomic_io import cache_folder
from motion_diffusion.errors import InputError

VERSION = 1
"""Version of the stored format, part of the file's name."""

BATCH = 64
"""Texts that are looked up, encoded and stored at a time."""


class WordEncoder(Protocol):
    """A text encoder that can be identified without loading its weights and loads them when it has to encode."""

    dim: int
    max_words: int
    identity: str
    """Name and version of the weights, which keys the cache."""

    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """The vectors (L, dim) of each text's own words, 1 ≤ L ≤ max_words."""
        ...


class CachedEncoder:
    """A text encoder (see `text_encoders.TextEncoder`) whose vectors are cached on disk in 16 bits.

    There is one SQLite file per encoder in the user's cache folder. Any number of processes may use it at once and be
    killed at any moment: the vectors of a text are stored completely or not at all, and all processes see the same
    ones, since new vectors are read back after writing. The encoder is loaded only if a text is missing. A text without
    words is not encoded.

    Raises:
        InputError: if the file is damaged or cannot be written.
    """

    def __init__(self, encoder: WordEncoder):
        self.dim, self.max_words = encoder.dim, encoder.max_words
        digest = hashlib.sha256(f"{VERSION} {encoder.identity}".encode()).hexdigest()[:16]
        self.path = cache_folder() / f"text-{digest}.sqlite"
        self._encoder = encoder

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        wanted = [text for text in dict.fromkeys(texts) if text.strip()]
        batches = [wanted[i : i + BATCH] for i in range(0, len(wanted), BATCH)]
        found: dict[str, Tensor] = {}
        with self._database() as database:
            for batch in batches:
                found |= self._read(database, batch)
                missing = [text for text in batch if text not in found]
                if missing:
                    with torch.random.fork_rng(devices=[]):  # loading a network draws random weights first
                        vectors = self._encoder.encode(missing)
                    self._write(database, missing, vectors)
                    found |= self._read(database, missing)
        rows = [found.get(text, torch.zeros(0, self.dim)) for text in texts]
        words = pad_sequence([torch.zeros(1, self.dim), *rows], batch_first=True)[1:]  # at least one word long
        return words, torch.arange(words.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """The database, opened for each use, which is safe with threads and forks.

        It uses SQLite's rollback journal: the write-ahead log does not work on network file systems.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as database:
                database.execute("CREATE TABLE IF NOT EXISTS words (text TEXT PRIMARY KEY, vectors BLOB NOT NULL)")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{self.path}: {error}; delete this file, or let XDG_CACHE_HOME name a folder that can be written"
            ) from None

    def _read(self, database: sqlite3.Connection, texts: Sequence[str]) -> dict[str, Tensor]:
        """The cached vectors of those texts that have any."""
        marks = ",".join("?" * len(texts))
        rows = database.execute(f"SELECT text, vectors FROM words WHERE text IN ({marks})", texts)
        return {
            text: torch.from_numpy(np.frombuffer(blob, "<f2").reshape(-1, self.dim).astype(np.float32))
            for text, blob in rows
        }

    def _write(self, database: sqlite3.Connection, texts: Sequence[str], vectors: Sequence[Tensor]) -> None:
        """Store vectors of missing texts; where another process was faster, its vectors are kept."""
        halves = [words.half() for words in vectors]
        if not all(half.isfinite().all() for half in halves):
            raise InputError("the text encoder gives numbers beyond the range of 16 bits; choose another one")
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO words VALUES (?, ?)",
                [(text, half.numpy().astype("<f2").tobytes()) for text, half in zip(texts, halves, strict=True)],
            )
