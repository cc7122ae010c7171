import dataclasses
import json

import pytest
import torch

from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_encoders import text_encoder


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
def test_similar_words_have_similar_vectors(encoder, word, near, far):
    vector = meaning(encoder, word)
    assert vector @ meaning(encoder, near) > 0.1 + vector @ meaning(encoder, far)


def test_word_order_is_kept(encoder):
    there, back = encoder(["left then right", "right then left"])[0]
    torch.testing.assert_close(there, back.flip(0))


def test_padding_is_masked_and_zero(encoder):
    words, visible = encoder(["a person walks", "run", ""])
    assert visible.sum(1).tolist() == [3, 1, 0]
    assert not words[~visible].any()
    torch.testing.assert_close(words[1, :1], encoder(["run"])[0][0])


def test_long_texts_are_truncated(encoder):
    words, visible = encoder(["walks " * 100])
    assert words.shape == (1, encoder.max_words, encoder.dim)
    assert visible.all()


@pytest.mark.parametrize("name", ["bert", "clip:", "transformers", "transformers:", ""])
def test_unknown_encoders_are_refused(name):
    with pytest.raises(InputError, match="choose static, clip or transformers:<name or folder>"):
        text_encoder(name)


class Counted:
    """The static embedding, recording the texts it encodes."""

    def __init__(self, encoder):
        self.encoder, self.asked = encoder, []

    def __call__(self, texts):
        self.asked += texts
        return self.encoder(texts)


@pytest.mark.parametrize("masks", [False, True])
def test_texts_are_encoded_once_per_sample(make_model, encoder, masks):
    """Not once a step, and not once for each part of the guidance either."""
    model = make_model(masks=masks)
    model.text = counted = Counted(encoder)
    known = (torch.zeros(3, 30, 22, 3), torch.ones(3, 30, 22, 3, dtype=torch.bool)) if masks else None
    model.sample(["walk", "run", "walk"], [30, 25, 28], seeds=[0, 1, 2], steps=10, observed=known, mask_scale=2.0)
    assert sorted(counted.asked) == ["run", "walk"]


def test_repeated_texts_are_encoded_once(make_model):
    model = make_model()
    frames = torch.ones(3, 8, dtype=torch.bool)
    both = model.condition(["run fast", "walk", "run fast"], frames)
    for i, text in enumerate(["run fast", "walk", "run fast"]):
        alone = model.condition([text], frames[:1])
        seen = alone.seen[0].sum()
        assert both.seen[i].sum() == seen
        torch.testing.assert_close(both.context[i, :seen], alone.context[0, :seen])


def test_encoder_of_another_dimension_is_refused(make_model, tmp_path):
    model = make_model()
    wrong = dataclasses.replace(model.config, denoiser=dataclasses.replace(model.config.denoiser, text_dim=64))
    with pytest.raises(InputError, match="text encoder static gives 128 numbers a word and the denoiser reads 64"):
        MotionModel(wrong, model.representation)
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["denoiser"]["text_dim"] = 64
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="static gives 128 numbers a word"):
        MotionModel.load(tmp_path)


def test_static_embedding_is_the_default(make_model, tmp_path):
    make_model().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("text") == "static"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert MotionModel.load(tmp_path).config.text == "static"
