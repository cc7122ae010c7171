"""The model of which words go with which motion."""

import math

import pytest
import torch

from motion_diffusion.body.heading import turn
from motion_diffusion.errors import InputError
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, contrast

TEXTS = ("a person walks", "somebody turns to the left and stops", "a person runs", "")


def test_embeddings_are_unit_vectors_independent_of_the_batch(matcher, walks):
    with torch.no_grad():
        motions, texts = matcher.embed_motions(walks[:5]), matcher.embed_texts(TEXTS)
        torch.testing.assert_close(motions.norm(dim=-1), torch.ones(5))
        torch.testing.assert_close(texts.norm(dim=-1), torch.ones(4))
        for i in range(4):
            torch.testing.assert_close(matcher.embed_motions(walks[i : i + 1])[0], motions[i], atol=2e-6, rtol=0)
            torch.testing.assert_close(matcher.embed_texts(TEXTS[i : i + 1])[0], texts[i], atol=2e-6, rtol=0)


def test_embeddings_are_invariant_to_position_and_heading(matcher, walks):
    moved = turn(walks[3], torch.full((len(walks[3]),), 2.0)) + torch.tensor([3.0, 0.0, -1.0])
    with torch.no_grad():
        here, there = matcher.embed_motions([walks[3], moved])
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


def test_save_and_load_round_trip(matcher, walks, tmp_path):
    matcher.save(tmp_path / "m")
    again = TextMotionEncoder.load(tmp_path / "m")
    assert (again.name, again.digest) == ("m", matcher.digest)
    with torch.no_grad():
        torch.testing.assert_close(again.embed_motions(walks[:2]), matcher.embed_motions(walks[:2]))
    (tmp_path / "m" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not whole, or of another kind"):
        TextMotionEncoder.load(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text('{"width": "wide"}')
    with pytest.raises(InputError, match="width"):
        TextMotionEncoder.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="no matcher 'cats'"):
        TextMotionEncoder.load("cats")


def test_contrastive_loss_in_closed_form(matcher):
    """All equal: the logarithm of their number. All orthogonal and matched: nearly zero, at a low temperature."""
    alike = torch.ones(6, 8) / 8**0.5
    assert contrast(matcher, alike, alike, torch.eye(6)).item() == pytest.approx(math.log(6), rel=1e-5)
    with torch.no_grad():
        matcher.log_scale.fill_(math.log(20))
    apart = torch.eye(8)
    expected = math.log(1 + 7 * math.exp(-20))
    assert contrast(matcher, apart, apart, torch.eye(8)).item() == pytest.approx(expected, abs=1e-6)


def test_equal_sentences_are_equally_correct(matcher):
    """Two motions of one sentence: either text is correct for both."""
    with torch.no_grad():
        matcher.log_scale.fill_(math.log(50))
    embedded = torch.eye(8)[[0, 0, 1, 2]]
    same = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    best = contrast(matcher, embedded, embedded, same).item()
    assert best == pytest.approx(math.log(2) / 2, abs=1e-5)  # half of the rows are halved among two
    assert contrast(matcher, embedded[[1, 0, 2, 3]], embedded, same).item() == pytest.approx(best)
