"""Actions, styles and words of training clips."""

import numpy as np

from data_loaders.captions.templates import VERBS
from data_loaders.captions.vocabulary import collect_known
from data_loaders.types import Caption, Clip


def clip(name, seconds, *captions, action="", style=""):
    told = tuple(caption if isinstance(caption, Caption) else Caption(caption) for caption in captions)
    return Clip(name, np.zeros((20 * seconds, 22, 3), np.float32), "train", told, action, style)


def test_collect_known_sums_hours_styles_and_phrases():
    clips = [
        clip("a", 36, action="walk", style="chimpira"),
        clip("b", 72, action="walk", style="normal"),
        clip("c", 36, "a person does a cartwheel", "someone turns a cartwheel.", action="cartwheel"),
    ]
    known = collect_known(clips, mirrored=False)
    walk, wheel = known.actions
    assert (walk.name, walk.hours, walk.example) == ("walk", 0.03, "a person walks")
    assert {(style.name, style.hours) for style in walk.styles} == {("swaggering", 0.01), ("normal", 0.02)}
    assert set(walk.phrases) == set(VERBS["walk"])
    assert (wheel.hours, wheel.example, wheel.styles) == (0.01, "a person does a cartwheel", ())
    assert wheel.phrases == ("does a cartwheel", "turns a cartwheel")
    assert {"strolls", "thuggish", "punk", "cartwheel"} <= set(known.words)
    assert collect_known(clips, mirrored=True).hours == known.hours / 2


def test_collect_known_includes_mirrored_words():
    assert "right" in collect_known([clip("a", 2, "a person hops to the left", action="hop")], mirrored=False).words


def test_collect_known_uses_verbs_of_unlabelled_clips():
    tokens = ("a/DET", "man/NOUN", "be/VERB", "slowly/ADV", "crawl/VERB")
    clips = [
        clip("a", 4, Caption("a man is slowly crawling", tokens=tokens)),
        clip("b", 3, "A tall person slowly walks to a chair and sits"),
        clip("c", 2, "jumps"),
        clip("d", 9),
    ]
    assert [action.name for action in collect_known(clips, mirrored=False).actions] == ["crawl", "walks", "jumps"]
