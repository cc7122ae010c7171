"""Word vectors and word kinds of captions, as the T2M evaluator reads them (Guo et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy
from sample.evaluation.t2m.files import AGAIN, T2MFiles, read_pickle

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
