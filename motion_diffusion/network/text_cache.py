"""Word vectors kept on disk, so that an expensive text encoder sees every text once."""

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
"""Of what is stored, part of the file's name."""

BATCH = 64
"""How many texts are asked for, encoded and stored at once."""


class WordEncoder(Protocol):
    """What is worth a cache: it can say who it is without loading its weights, and loads them when it has to encode."""

    dim: int
    max_words: int
    identity: str
    """Name and version of the weights, so that no other encoder's vectors are taken for its own."""

    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """The vectors (L, dim) of each text's own words, 1 ≤ L ≤ max_words."""
        ...


class CachedEncoder:
    """A text encoder (see `text.TextEncoder`) whose vectors stand on disk, rounded to 16 bits.

    There is one file for each encoder in the user's cache folder. Any number of processes may use it at once and be
    killed at any moment: a text's vectors are there as a whole or not at all, and everyone sees the same ones, since
    what was just computed is read back. The encoder is loaded when a text is missing. A text without words is not
    encoded. Raises InputError if the file is broken or cannot be written.
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
                    with torch.random.fork_rng(devices=[]):  # a network that is loaded draws weights at first
                        vectors = self._encoder.encode(missing)
                    self._write(database, missing, vectors)
                    found |= self._read(database, missing)
        rows = [found.get(text, torch.zeros(0, self.dim)) for text in texts]
        words = pad_sequence([torch.zeros(1, self.dim), *rows], batch_first=True)[1:]  # of one word at least
        return words, torch.arange(words.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """The file, opened anew for each use, so that it goes well with threads and forks.

        It keeps SQLite's rollback journal: the write-ahead log does not work on disks that machines share.
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
        """The vectors of those texts that are there."""
        marks = ",".join("?" * len(texts))
        rows = database.execute(f"SELECT text, vectors FROM words WHERE text IN ({marks})", texts)
        return {
            text: torch.from_numpy(np.frombuffer(blob, "<f2").reshape(-1, self.dim).astype(np.float32))
            for text, blob in rows
        }

    def _write(self, database: sqlite3.Connection, texts: Sequence[str], vectors: Sequence[Tensor]) -> None:
        """Store texts that were missing; where another process was faster, its vectors stay."""
        halves = [words.half() for words in vectors]
        if not all(half.isfinite().all() for half in halves):
            raise InputError("the text encoder gives numbers beyond the range of 16 bits; choose another one")
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO words VALUES (?, ?)",
                [(text, half.numpy().astype("<f2").tobytes()) for text, half in zip(texts, halves, strict=True)],
            )
