"""Word vectors, kinds and lengths of captions for the T2M evaluator."""

from __future__ import annotations

import pytest
import torch

from sample.evaluation.t2m.published_files import WordVectors

VOCABULARY = ["sos", "eos", "unk", "a", "person", "walk", "left", "happy", "chair", "hand", "of", "and/or"]
KINDS = "VERB NOUN DET ADP NUM AUX PRON ADJ ADV Loc_VIP Body_VIP Obj_VIP Act_VIP Desc_VIP OTHER".split()


@pytest.fixture
def words() -> WordVectors:
    """All entries of the vector of word i are i."""
    rows = {word: i for i, word in enumerate(VOCABULARY)}
    return WordVectors(torch.arange(len(VOCABULARY)).float()[:, None].expand(-1, 300), rows)


def say(words: WordVectors, *tokens: str) -> tuple[list[str], list[str], int]:
    """Words, kinds and length of a caption as read."""
    vectors, kinds, lengths = words([tokens])
    assert vectors.shape == (1, 22, 300)
    assert kinds.shape == (1, 22, 15)
    assert kinds.sum(-1).eq(1).all()
    return (
        [VOCABULARY[int(i)] for i in vectors[0, :, 0]],
        [KINDS[int(i)] for i in kinds[0].argmax(-1)],
        int(lengths[0]),
    )


@pytest.mark.parametrize(
    ("token", "word", "kind"),
    [
        ("a/DET", "a", "DET"),
        ("person/NOUN", "person", "NOUN"),
        ("of/ADP", "of", "ADP"),
        ("walk/VERB", "walk", "Act_VIP"),
        ("walk/NOUN", "walk", "Act_VIP"),
        ("left/ADJ", "left", "Loc_VIP"),
        ("happy/ADJ", "happy", "Desc_VIP"),
        ("chair/NOUN", "chair", "Obj_VIP"),
        ("hand/NOUN", "hand", "Body_VIP"),
        ("person/PROPN", "person", "OTHER"),  # a tag without a kind
        ("zebra/NOUN", "unk", "OTHER"),
        ("run/VERB", "unk", "OTHER"),  # not in this vocabulary
        ("and/or/CCONJ", "and/or", "OTHER"),
    ],
)
def test_words_and_kinds(words, token, word, kind):
    said, kinds, length = say(words, token)
    assert said == ["sos", word, "eos"] + ["unk"] * 19
    assert kinds == ["OTHER", kind] + ["OTHER"] * 20
    assert length == 3


@pytest.mark.parametrize(("given", "read"), [(0, 0), (1, 1), (19, 19), (20, 20), (21, 20), (60, 20)])
def test_at_most_twenty_words_are_read(words, given, read):
    said, _, length = say(words, *["a/DET"] * given)
    assert said == ["sos"] + ["a"] * read + ["eos"] + ["unk"] * (20 - read)
    assert length == read + 2


def test_captions_do_not_depend_on_the_batch(words):
    vectors, kinds, lengths = words([["a/DET"], ["walk/VERB", "left/ADV"]])
    for i, tokens in enumerate((["a/DET"], ["walk/VERB", "left/ADV"])):
        one = words([tokens])
        assert torch.equal(vectors[i], one[0][0])
        assert torch.equal(kinds[i], one[1][0])
        assert lengths[i] == one[2][0]
