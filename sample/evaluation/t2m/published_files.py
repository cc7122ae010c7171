"""The published files of the T2M evaluator (Guo et al. 2022), read without executing anything in them.

Its weights, statistics, and the word vectors and word kinds of captions.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy

_PLACES = {
    "weights": ("t2m/text_mot_match/model/finest.tar", "checkpoints/t2m/text_mot_match/model/finest.tar"),
    "mean": ("t2m/Comp_v6_KLD01/meta/mean.npy", "checkpoints/t2m/Comp_v6_KLD01/meta/mean.npy", "dataset/t2m_mean.npy"),
    "std": ("t2m/Comp_v6_KLD01/meta/std.npy", "checkpoints/t2m/Comp_v6_KLD01/meta/std.npy", "dataset/t2m_std.npy"),
    "vectors": ("glove/our_vab_data.npy",),
    "words": ("glove/our_vab_words.pkl",),
    "rows": ("glove/our_vab_idx.pkl",),
}
"""Possible paths of each file: as in the archives, in a clone of T2M, and in a clone of MDM, GMD or OmniControl."""

AGAIN = "get the T2M evaluator's files again"

WORD_DIM = 300
"""Dimensions of a word vector (GloVe)."""

MAX_WORDS = 22
"""Maximum number of tokens with begin and end; words after the twentieth are left out."""

_BEGIN, _END, _UNKNOWN = "sos", "eos", "unk"

_KINDS = (
    "VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV",
    "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER",
)  # fmt: skip

_VIP = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise "
    "wash stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
"""Words that matter for motions have their own kinds, whatever their part of speech."""

KINDS = len(_KINDS)
"""Number of word kinds."""

_KIND_OF = {word: kind for kind, words in _VIP.items() for word in words.split()}


@dataclass(frozen=True)
class T2MFiles:
    """The paths of the published files."""

    weights: Path
    mean: Path
    std: Path
    vectors: Path
    words: Path
    rows: Path

    @staticmethod
    def find(folder: str | Path) -> T2MFiles:
        """Find the files in a folder.

        Raises:
            InputError: Files are missing; the message has their names and paths.
        """
        found = {
            name: [path for place in places if (path := Path(folder, place)).is_file()]
            for name, places in _PLACES.items()
        }
        if missing := [_PLACES[name][0] for name, paths in found.items() if not paths]:
            raise InputError(
                f"{folder} has no {', no '.join(missing)}: give a folder into which the T2M evaluator (t2m.zip) and "
                "its word vectors (glove.zip) were unpacked, such as a clone of MDM after its download scripts"
            )
        return T2MFiles(**{name: paths[0] for name, paths in found.items()})


def read_weights(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors, numbers and texts.

    Raises:
        InputError: The file is no checkpoint, or would execute code.
    """
    with path.open("rb") as file:
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # arbitrary bytes can raise anything
            checkpoint = None
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} is no checkpoint, or holds more than weights; nothing in it was run; {AGAIN}")
    return checkpoint


def read_pickle(path: Path) -> Any:
    """Read the texts, numbers, lists, tuples and dictionaries of a pickle.

    Raises:
        InputError: The file is no pickle, or contains anything else.
    """
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file).load()
        except Exception as error:  # arbitrary bytes can raise anything
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise InputError(
                f"{path} is not a plain list or dictionary ({reason}); it was not read further; {AGAIN}"
            ) from None


class _PlainUnpickler(pickle.Unpickler):
    """Builds only built-in containers and values, and refuses to look up any class or function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Converts the tokens of captions to word vectors and kinds."""

    vectors: Tensor
    """(V, 300) float32, the vectors of the vocabulary."""
    rows: Mapping[str, int]
    """Row of each word; "sos", "eos" and "unk" are among the words."""

    def __call__(self, captions: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor, Tensor]:
        """Look up the tokens of B captions. Unknown words become "unk", and so does padding.

        Args:
            captions: Tokens such as "walk/VERB".

        Returns:
            Vectors (B, 22, 300), one-hot kinds (B, 22, 15), and lengths (B,) without padding.

        Raises:
            InputError: A token has no part of speech.
        """
        rows, kinds, lengths = [], [], []
        for tokens in captions:
            pairs = [(_BEGIN, "OTHER"), *map(_split, tokens[: MAX_WORDS - 2]), (_END, "OTHER")]
            lengths.append(len(pairs))
            pairs += [(_UNKNOWN, "OTHER")] * (MAX_WORDS - len(pairs))
            pairs = [pair if pair[0] in self.rows else (_UNKNOWN, "OTHER") for pair in pairs]
            rows.append([self.rows[word] for word, _ in pairs])
            kinds.append([_KINDS.index(_KIND_OF.get(word, tag if tag in _KINDS else "OTHER")) for word, tag in pairs])
        one_hot = torch.nn.functional.one_hot(torch.tensor(kinds), KINDS)
        return self.vectors[torch.tensor(rows)], one_hot.to(self.vectors), torch.tensor(lengths)

    @staticmethod
    def load(files: T2MFiles) -> WordVectors:
        """Read our_vab_data.npy, our_vab_words.pkl and our_vab_idx.pkl.

        Raises:
            InputError: A file is damaged, or they do not fit together.
        """
        vectors = torch.from_numpy(read_npy(files.vectors, (None, WORD_DIM), AGAIN)).float()
        words, rows = read_pickle(files.words), read_pickle(files.rows)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError(f"{files.words} is not a list of words; {AGAIN}")
        if not isinstance(rows, dict) or not all(_is_row(rows.get(word), len(vectors)) for word in words):
            raise InputError(
                f"{files.rows} does not give each word of {files.words.name} one of the {len(vectors)} rows of "
                f"{files.vectors.name}; {AGAIN}"
            )
        if missing := {_BEGIN, _END, _UNKNOWN} - set(words):
            raise InputError(f"{files.words} lacks {', '.join(sorted(missing))}; {AGAIN}")
        return WordVectors(vectors, {word: rows[word] for word in words})


def _split(token: str) -> tuple[str, str]:
    word, slash, tag = token.rpartition("/")
    if not slash:
        raise InputError(f"the token {token!r} has no part of speech; the T2M evaluator reads tokens like 'walk/VERB'")
    return word, tag


def _is_row(row: object, rows: int) -> bool:
    return isinstance(row, int) and 0 <= row < rows
