import pytest
import torch

from motion_diffusion.errors import InputError
from motion_diffusion.text import text_encoder


@pytest.fixture(scope="module")
def encoder():
    return text_encoder("static")


def meaning(encoder, text):
    words, visible = encoder([text])
    assert visible.all()
    return torch.nn.functional.normalize(words.sum(1), dim=-1)[0]


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [
        ("stroll", "walk", "kick"),
        ("exhausted", "tired", "dance"),
        ("sprint", "run", "dance"),
        ("elderly", "old", "wave"),
    ],
)
def test_words_of_like_meaning_are_near(encoder, word, near, far):
    vector = meaning(encoder, word)
    assert vector @ meaning(encoder, near) > 0.1 + vector @ meaning(encoder, far)


def test_words_stand_in_their_order(encoder):
    there, back = encoder(["left then right", "right then left"])[0]
    torch.testing.assert_close(there, back.flip(0))


def test_padding_is_invisible_and_zero(encoder):
    words, visible = encoder(["a person walks", "run", ""])
    assert visible.sum(1).tolist() == [3, 1, 0]
    assert not words[~visible].any()
    torch.testing.assert_close(words[1, :1], encoder(["run"])[0][0])


def test_long_texts_are_cut(encoder):
    words, visible = encoder(["walks " * 100])
    assert words.shape == (1, encoder.max_words, encoder.dim)
    assert visible.all()


def test_clip_works_or_says_how_to_get_it():
    try:
        import clip  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"motion-diffusion\[clip\]"):
            text_encoder("clip")
    else:
        words, visible = text_encoder("clip")(["a person walks", "run"])
        assert words.shape == (2, 77, 512)
        assert visible.sum(1).tolist() == [5, 3]
