"""Captions as the T2M evaluator (Guo et al. 2022) reads them: GloVe vectors, and the kind of each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_npy
from sample.evaluation.t2m.files import AGAIN, T2MFiles, read_pickle
from sample.evaluation.t2m.networks import TAGS, WORD

MAX_WORDS = 22
"""Tokens of a caption, with its beginning and its end; the words after the twentieth are left out."""

_BEGIN, _END, _UNKNOWN = "sos", "eos", "unk"

_TAGS = (
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
"""Words that matter for motions have kinds of their own, whatever part of speech they are."""

_KIND = {word: kind for kind, words in _VIP.items() for word in words.split()}


@dataclass(frozen=True, eq=False)
class Words:
    """What the words of captions are, in numbers."""

    vectors: Tensor
    """(V, 300) float32."""
    rows: Mapping[str, int]
    """Which of them is a word's; "sos", "eos" and "unk" are among the words."""

    def __call__(self, captions: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens such as "walk/VERB" of B captions → vectors (B, 22, 300), kinds (B, 22, 15) one-hot, lengths (B,).

        Words that are not known become "unk", of which the padding consists too; it is not in the lengths.
        InputError for a token without a tag.
        """
        rows, kinds, lengths = [], [], []
        for tokens in captions:
            pairs = [(_BEGIN, "OTHER"), *map(_split, tokens[: MAX_WORDS - 2]), (_END, "OTHER")]
            lengths.append(len(pairs))
            pairs += [(_UNKNOWN, "OTHER")] * (MAX_WORDS - len(pairs))
            pairs = [pair if pair[0] in self.rows else (_UNKNOWN, "OTHER") for pair in pairs]
            rows.append([self.rows[word] for word, _ in pairs])
            kinds.append([_TAGS.index(_KIND.get(word, tag if tag in _TAGS else "OTHER")) for word, tag in pairs])
        one_hot = torch.nn.functional.one_hot(torch.tensor(kinds), TAGS)
        return self.vectors[torch.tensor(rows)], one_hot.to(self.vectors), torch.tensor(lengths)

    @staticmethod
    def load(files: T2MFiles) -> Words:
        """From our_vab_data.npy, our_vab_words.pkl and our_vab_idx.pkl; InputError if they do not fit together."""
        vectors = torch.from_numpy(read_npy(files.vectors, (None, WORD), AGAIN)).float()
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
        return Words(vectors, {word: rows[word] for word in words})


def _split(token: str) -> tuple[str, str]:
    word, slash, tag = token.rpartition("/")
    if not slash:
        raise InputError(f"the token {token!r} has no part of speech; the T2M evaluator reads tokens like 'walk/VERB'")
    return word, tag


def _is_row(row: object, rows: int) -> bool:
    return isinstance(row, int) and 0 <= row < rows
