"""Text fit: its scale, segments and parts, and the best of several motions."""

import pytest
import torch

from guidance.goals.goal_set import GoalSet, Segment
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from motion_diffusion.network.text_motion_encoder import FIT, SHARES, FitScale, TextMotionEncoder, read_fit_scale
from sample.editing import Part
from sample.text_fit import TextFit, best_motion, text_fit
from train.fit_scale import measure

SCALE = FitScale(10, (0.5, 0.6, 0.7, 0.8, 0.8, 0.9, 0.9, 0.9, 0.9), (-0.5, -0.4, -0.3, -0.2, 0.0, 0.1, 0.3, 0.4, 0.5))


class LengthEncoder:
    """An encoder that embeds a motion by its length, and a text by whether it is "long"."""

    name, digest, scale = "length", "0", SCALE

    def embed_motions(self, joints):
        return torch.tensor([[float(len(each)), 1.0] for each in joints])

    def embed_texts(self, texts):
        return torch.tensor([[1.0 if text == "long" else -1.0, 0.0] for text in texts])


def motion(frames, walks, **provenance):
    walk = torch.cat([walks[0]] * 3)
    return Motion(walk[:frames], provenance=provenance)


def test_the_scale_gives_a_verdict():
    assert [SCALE.verdict(value) for value in (0.95, 0.6, 0.59, 0.3, 0.29, -1.0)] == [
        "well", "well", "partly", "partly", "hardly", "hardly"
    ]  # fmt: skip
    weak = FitScale(10, (0.1,) * 9, (0.5,) * 9)  # other texts are more similar than its own
    assert [weak.verdict(value) for value in (0.1, 0.09)] == ["well", "hardly"]


def test_the_scale_is_measured_from_matching_and_other_pairs():
    similar = torch.tensor([[0.9, 0.9, 0.1], [0.7, 0.7, 0.0], [-0.2, -0.3, 0.8]])
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    scale = FitScale.of(similar, same)
    middle = SHARES.index(0.5)
    assert scale.pairs == 3
    assert scale.real[middle] == pytest.approx(0.8)
    assert scale.shuffled[middle] == pytest.approx(-0.1)


def test_the_scale_is_saved_with_the_model(matcher, tmp_path):
    matcher.save(tmp_path / "m")
    assert TextMotionEncoder.load(tmp_path / "m").scale is None
    matcher.scale = SCALE
    matcher.save(tmp_path / "m")
    assert TextMotionEncoder.load(tmp_path / "m").scale == SCALE
    (tmp_path / "m" / FIT).write_text('{"pairs": 1, "real": [1], "shuffled": [0]}')
    with pytest.raises(InputError, match="should have 9 numbers each.*train.fit_scale"):
        read_fit_scale(tmp_path / "m")
    (tmp_path / "m" / FIT).write_text(" " * 70_000)
    with pytest.raises(InputError, match="70,000 bytes"):
        read_fit_scale(tmp_path / "m")


def test_segments_and_parts_are_compared_with_their_own_texts(walks):
    segments = GoalSet(segments=[Segment(text="long", seconds=2), Segment(text="short", seconds=1)])
    whole = motion(100, walks)
    assert text_fit(LengthEncoder(), whole, "long", GoalSet()).similarity == 100
    assert text_fit(LengthEncoder(), motion(60, walks), "", segments).similarity == (40 - 20) / 2
    part = Part.between(whole, 1.0, 3.5)
    assert text_fit(LengthEncoder(), whole, "long", GoalSet(), part).similarity == 50
    (one,) = [text_fit(LengthEncoder(), whole, "long", GoalSet(), Part.between(whole, 1.0, 1.05))]
    assert one.similarity == 2  # two frames at least


def test_the_best_motion_meets_most_goals_then_fits_its_text_best(walks):
    def made(seed, *met):
        return motion(20, walks, seed=seed, residuals=[{"met": each} for each in met])

    def fits(*similar):
        return [TextFit(value, None, "") for value in similar]

    several = [made(0, True, False), made(1, True, True), made(2, True, True), made(3, False, False)]
    chosen, fit = best_motion(several, fits(0.9, 0.1, 0.2, 1.0))
    assert (chosen.provenance["seed"], fit.similarity) == (2, 0.2)
    chosen, _ = best_motion([made(7), made(8)], fits(0.5, 0.5))
    assert chosen.provenance["seed"] == 7


def test_the_shipped_scale_separates_matching_and_shuffled_pairs():
    """Medians of both have the right verdicts."""
    scale = TextMotionEncoder.load("mixed").scale
    assert scale is not None
    assert scale.hardly < scale.well
    assert scale.verdict(scale.real[SHARES.index(0.5)]) == "well"
    assert scale.verdict(scale.shuffled[SHARES.index(0.5)]) == "hardly"


def test_measuring_the_scale_needs_different_texts(matcher):
    class Same:
        def example(self, index):
            from data_loaders.procedural.walks import ProceduralWalks

            return type("E", (), {"joints": ProceduralWalks(0).example(0).joints, "text": "a person walks"})()

    with pytest.raises(InputError, match="same words"):
        measure(matcher, Same(), 3)
