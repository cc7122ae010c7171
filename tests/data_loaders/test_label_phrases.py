"""Sentences for labels agree with the label and with measurements of the motion."""

import numpy as np
import pytest

from data_loaders.augment import mirror
from data_loaders.captions import label_phrases
from data_loaders.captions.label_phrases import (
    Label,
    count_steps,
    detailed_facts,
    expand_labels,
    fact_phrases,
    label_captions,
    label_of_part,
    label_table,
    part_boundaries,
    third_person,
)
from data_loaders.captions.templates import mirror_words
from data_loaders.types import Caption, Clip
from motion_diffusion.errors import InputError


def test_labels_have_actions_and_distinct_phrases():
    table = label_table()
    assert len(table) > 200
    for label in table.values():
        assert len(set(label.phrases)) == len(label.phrases) >= 2
        assert all(phrase == phrase.strip() and not phrase.endswith(".") for phrase in label.phrases)
        assert not any(phrase.startswith(("a person", "someone")) for phrase in label.phrases)
    assert len({label.action for label in table.values()}) > 80


def test_sides_in_phrases_agree_with_the_label():
    for name, label in label_table().items():
        if name.startswith("stop "):  # 245 degrees to the right are 115 to the left
            continue
        for side, other in (("left", "right"), ("right", "left")):
            if side in name.split() and other not in name.split():
                assert not any(other in phrase.split() for phrase in label.phrases), name


def test_steps_are_counted(walk):
    """A walk of n steps has n, standing has none; invariant to mirroring and position."""
    steps = count_steps(walk)
    assert 6 <= steps <= 14
    assert count_steps(mirror(walk)) == steps
    assert count_steps(walk + [3.0, 0.0, -2.0]) == steps
    assert count_steps(np.repeat(walk[:1], 60, axis=0)) == 0
    assert abs(count_steps(walk[:60]) + count_steps(walk[60:]) - steps) <= 2


def test_detailed_facts_are_measured(walk):
    still = detailed_facts(np.repeat(walk[:1], 60, axis=0))
    assert (still.distance, still.turn, still.speed, still.steps) == (0, 0, 0, 0)
    seen, turned = detailed_facts(walk), detailed_facts(mirror(walk))
    assert seen.turn == pytest.approx(-turned.turn, abs=1e-6)
    assert seen.distance == pytest.approx(np.linalg.norm(np.diff(walk[:, 0, [0, 2]], axis=0), axis=-1).sum())
    low = walk * [1.0, 0.4, 1.0]
    assert detailed_facts(low).lowest == pytest.approx(0.4 * seen.lowest)


def test_fact_phrases_are_true(walk):
    seen = detailed_facts(walk)
    words = " ".join(fact_phrases("walk", seen))
    assert ("left" in words) <= (np.degrees(seen.turn) > 40)
    assert ("right" in words) <= (np.degrees(seen.turn) < -40)
    assert f"for about {label_phrases._metres(seen.distance)}" in words
    assert not fact_phrases("wave", seen)
    assert not [word for word in fact_phrases("walk-turn-left", seen) if word.startswith("turning")]


def test_label_captions_are_distinct_and_deterministic(walk):
    for label in ("walk", "cartwheel", "sit on high stool, stand up"):
        some = label_captions(label, walk, seed="02_01")
        assert some == label_captions(label, walk, seed="02_01")
        assert len(set(some)) == len(some) >= 2
        assert some[0] == f"a person {label_table()[label].phrases[0]}"
    assert label_captions("squat", walk, times=3)[0] == "a person squats three times"
    with pytest.raises(InputError, match="no phrases for the label 'yodel'"):
        label_captions("yodel", walk)


def test_label_captions_commute_with_mirroring(walk):
    for label in ("walk, veer left", "run turn right"):
        swapped = {mirror_words(phrase) for phrase in label_table()[label].phrases}
        assert swapped == set(label_table()[mirror_words(label)].phrases)


def test_malformed_table_is_refused(tmp_path):
    path = tmp_path / "phrases.csv"
    path.write_text("label,action,phrases\nwalk,walk,walks; strolls\nrun,,runs\n")
    with pytest.raises(InputError, match="line 3: give label, action and phrases"):
        label_table(path)
    path.write_text("label,action,phrases\nwalk,walk,walks; strolls\n")
    label_table.cache_clear()
    assert label_table(path) == {"walk": Label("walk", ("walks", "strolls"))}
    label_table.cache_clear()


def test_expand_labels(walk):
    captions = (Caption("Cartwheel"), Caption("play basketball: dribble, shoot", 1.0, 4.0), Caption("an old man rests"))
    clip = expand_labels(Clip("a", walk, captions=captions[:1]))
    assert [caption.text for caption in clip.captions] == label_captions("cartwheel", walk, seed="a 0")
    assert clip.action == "cartwheel"
    clip = expand_labels(Clip("a", walk, captions=captions, action="Cartwheel"))
    assert clip.captions[-1] == captions[-1]
    spans = {(caption.start, caption.end) for caption in clip.captions if "basketball" in caption.text}
    assert spans == {(1.0, 4.0)}
    assert "a person dribbles and shoots, playing basketball" in [caption.text for caption in clip.captions]
    twice = expand_labels(Clip("a", walk, captions=(Caption("a person does a cartwheel"), Caption("cartwheel"))))
    assert len(set(twice.captions)) == len(twice.captions)
    kept = Clip("a", walk, captions=captions[2:], action="walk", style="old")
    assert expand_labels(kept) == kept or expand_labels(kept).action == "walk"


def test_third_person():
    assert third_person("kick forward twice") == "kicks forward twice"
    assert third_person("carry") == "carries"
    assert [third_person(word) for word in ("pass", "catch", "go", "play")] == ["passes", "catches", "goes", "plays"]


def test_label_of_part_follows_the_motion(walk):
    """A pelvis that goes down sits down, one that rises stands up, and climbing goes up or down."""
    label = "sit on high stool, stand up"
    height = np.interp(np.arange(60), [0, 20, 40, 59], [1.0, 0.5, 0.5, 1.0])[:, None]
    sits = np.repeat(walk[:1], 60, axis=0) * np.stack([np.ones_like(height), height, np.ones_like(height)], axis=-1)
    assert label_of_part(label, sits) == label
    assert label_of_part(label, sits[:30]) == "sit down on a chair"
    assert label_of_part(label, sits[30:]) == "stand up from a chair"
    assert label_of_part(label, sits[22:38]) == "sit"
    assert label_of_part(label, np.concatenate([sits[30:], sits[:30]])) == "stand up and sit down again"
    assert label_of_part(label, sits[:3]) == "stand simple"
    assert label_of_part("climb ladder", np.repeat(walk[:1], 60, axis=0)) == "stand simple"
    assert label_of_part("climb ladder", walk) == "walk"
    up = walk + np.linspace(0, 1, len(walk))[:, None, None] * [0, 1, 0]
    assert label_of_part("climb ladder", up) == "climb up a ladder"
    assert label_of_part("climb ladder", up[::-1]) == "climb down a ladder"
    assert label_of_part("climb ladder", np.concatenate([up, up[::-1]])) == "climb ladder"
    assert label_of_part("climb 3 steps", up[::-1]) == "climb down 3 steps"
    assert label_of_part("cartwheel", walk) == "cartwheel"
    clip = expand_labels(Clip("a", sits[:30], captions=(Caption(label),), action=label))
    assert clip.action == "sit-down"
    assert clip.captions[0].text == "a person sits down on a chair"


def test_parts_go_one_way(walk):
    """Cut while up and while down, a motion that sits down and stands up twice has parts with a label of one way."""
    label = "sit on high stool, stand up"
    height = np.interp(np.arange(361), np.arange(0, 361, 20), np.tile([1.0, 1.0, 0.5, 0.5], 5)[:19])[:, None]
    sits = np.repeat(walk[:1], 361, axis=0) * np.stack([np.ones_like(height), height, np.ones_like(height)], axis=-1)
    cuts = part_boundaries(label, sits)
    assert cuts == pytest.approx([50, 90, 130, 170, 210, 250, 290, 330], abs=1)
    parts = [label_of_part(label, part) for part in np.split(sits, cuts)]
    assert parts == (["sit down on a chair", "stand up from a chair"] * 5)[: len(parts)]
    assert part_boundaries("walk", sits) == []
