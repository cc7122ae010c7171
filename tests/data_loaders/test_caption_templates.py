"""Captions from action and style labels are consistent with labels and measurements."""

import numpy as np
import pytest
from numpy.random import default_rng

from data_loaders.augment import bend, mirror
from data_loaders.captions.templates import (
    LOCOMOTION,
    VERBS,
    MotionFacts,
    adjectives,
    adverbs,
    caption,
    mirror_words,
    motion_facts,
    plain_caption,
    true_caption,
)

STYLES = (
    "active angry childish chimpira elderly exhausted feminine giant happy masculine masculinity musical "
    "not-confident old proud sad tired youthful"
).split()


def test_actions_and_styles_have_varied_words():
    assert all(len(set(phrases)) >= 8 for phrases in VERBS.values())
    assert all(len({*adjectives(style), *adverbs(style)}) >= 4 for style in STYLES)
    assert not adjectives("normal")


def test_plain_and_true_captions():
    assert plain_caption("walk", "tired") == "a tired person walks"
    assert plain_caption("run", "angry") == "an angry person runs"
    assert plain_caption("bow", "normal") == "a person bows"
    assert true_caption("walk", "tired", MotionFacts(4.0, 0.1, 1.0)) == "a tired person walks straight ahead"
    assert true_caption("walk", "tired", MotionFacts(4.0, 0.5, 1.0)) == "a tired person walks"
    assert true_caption("bow", "normal", MotionFacts(0.1, 0.0, 0.0)) == "a person bows"


def test_mirror_words_exchanges_sides():
    for action, phrases in VERBS.items():
        for text in (action, *phrases):
            assert mirror_words(mirror_words(text)) == text
    assert mirror_words("walk-turn-left") == "walk-turn-right"
    assert mirror_words("clockwise, then a left turn") == "counterclockwise, then a right turn"
    assert mirror_words("Run Turn Left") == "Run Turn Right"
    assert mirror_words("brightly leftover") == "brightly leftover"


def test_motion_facts_of_bent_walk(walk):
    still = np.repeat(walk[:1], 40, axis=0)
    assert motion_facts(still) == MotionFacts(0, 0, 0)
    before = motion_facts(walk)
    after = motion_facts(bend(walk, np.full(119, np.radians(90) / 119)))
    assert after.turn - before.turn == pytest.approx(np.radians(90), abs=1e-6)
    assert motion_facts(mirror(walk)).turn == pytest.approx(-before.turn)
    assert before.speed == pytest.approx(before.distance / (119 / 20))


@pytest.mark.parametrize(("turn", "side", "other"), [(1.2, "left", "right"), (-1.2, "right", "left")])
def test_captions_mention_correct_side(turn, side, other):
    told = [caption(["walk"], "tired", MotionFacts(4.0, turn, 1.0), default_rng(seed)) for seed in range(300)]
    assert any(side in text for text in told)
    assert not any(other in text for text in told)
    assert any("four metres" in text for text in told)
    assert len(set(told)) > 150
    styled = [any(word in text for word in (*adjectives("tired"), *adverbs("tired"))) for text in told]
    assert sum(styled) > 0.85 * len(told)


def test_captions_name_actions_in_order():
    for seed in range(50):
        text = caption(["run", "bow"], "normal", MotionFacts(0, 0, 0), default_rng(seed))
        first = min(text.find(v) for v in VERBS["run"] if v in text)
        assert max(text.find(v) for v in VERBS["bow"] if v in text) > first


def test_paths_are_described_for_locomotion_only():
    for seed in range(100):
        assert "metres" not in caption(["bow"], "normal", MotionFacts(4.0, 0, 1.0), default_rng(seed))
    assert set(LOCOMOTION) <= set(VERBS)
