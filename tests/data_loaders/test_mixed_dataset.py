"""Mixed data sets: balanced actions, transitions, repetitions and captions."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_loaders import mixed_dataset
from data_loaders.augment import facing, still_frames
from data_loaders.mixed_dataset import TEMPERATURE, MixedClips, _join_sentences
from data_loaders.types import Caption
from motion_diffusion.body.heading import heading
from motion_diffusion.body.motion_metrics import bone_length_errors
from motion_diffusion.errors import InputError


@pytest.fixture(scope="module")
def told(clips):
    """Eight walks, two jumps and a wave, distinguished by captions only."""
    actions = ["walk"] * 8 + ["jump"] * 2 + ["wave-left-hand"]
    return [
        replace(clip, action=action, style="", captions=(Caption(f"a person {action}s to the left"),))
        for clip, action in zip(clips, actions, strict=False)
    ]


def test_action_frequencies_follow_temperature(told):
    data = MixedClips(told, 80, 40, seed=1)
    lengths = {action: sum(len(clip.joints) for clip in told if clip.action == action) for action in data.actions}
    total = sum(length**TEMPERATURE for length in lengths.values())
    drawn = Counter(data._action(np.random.default_rng(i)) for i in range(600))
    for action, length in lengths.items():
        share = length**TEMPERATURE / total
        assert drawn[action] / 600 == pytest.approx(share, abs=4 * (share / 600) ** 0.5)


def test_examples_are_deterministic_and_plausible(told):
    data, again = (MixedClips(told, 120, 40, seed=3) for _ in range(2))
    for i in (5, 0, 9, 21):
        example = data.example(i)
        np.testing.assert_array_equal(example.joints, again.example(i).joints)
        assert example.text == again.example(i).text
        assert 30 < len(example.joints) == data.frames(i) <= 120
        np.testing.assert_allclose(example.joints[0, 0, [0, 2]], 0, atol=1e-6)
        assert heading(torch.from_numpy(example.joints[:1]), smooth=False).abs().item() < 1e-3
        assert bone_length_errors(torch.from_numpy(example.joints)).max() < 1e-4


def test_mirroring_includes_captions(told):
    texts = [MixedClips(told[:1], 80, 40).example(i).text for i in range(60)]
    assert 15 < sum("right" in text for text in texts) < 45
    assert not any("right" in MixedClips(told[:1], 80, 40, mirrored=True).example(i).text for i in range(30))


def test_some_examples_are_stitched(told):
    texts = [MixedClips(told, 200, 40).example(i).text for i in range(60)]
    two = [text for text in texts if text.count("to the") == 2]
    assert 0 < len(two) < 40
    assert all(text.count("person") == 1 for text in two)


def test_short_actions_occur_anywhere_in_a_rest(clips, walk):
    """A jump after a second of rest begins earlier in half of the examples, and standing follows it."""
    stand = np.repeat(walk[:1], 60, axis=0)
    jump = np.concatenate([stand[:20], walk[1:40] + [0.0, 0.1, 0.0], stand[:15]])
    both = [
        replace(
            clips[0], name=action, joints=joints, action=action, style="", captions=(Caption(f"a person {action}s"),)
        )
        for action, joints in (("jump", jump), ("stand", stand))
    ]
    data = MixedClips(both, 120, 40, seed=2)
    part = data._part("jump", np.random.default_rng(0))
    made = [data._with_rest(part, part.joints, 120, np.random.default_rng(i)) for i in range(40)]
    changed = [joints for joints in made if joints is not part.joints]
    assert 10 < len(changed) < 30
    assert all(len(part.joints) < len(joints) <= 120 for joints in changed)
    early = [still_frames(joints) for joints in changed]
    assert min(early) < 5
    assert max(early) > 14
    walked = MixedClips([replace(both[0], action="walk"), both[1]], 120, 40)
    part = walked._part("walk", np.random.default_rng(0))
    assert all(walked._with_rest(part, part.joints, 120, np.random.default_rng(i)) is part.joints for i in range(9))


@pytest.mark.parametrize(("action", "bent"), [("walk", True), ("walk-left", False), ("walk-turn-left", False)])
def test_walks_are_bent_unless_their_words_say_where_they_go(clips, action, bent, monkeypatch):
    clip = replace(clips[0], action=action, style="normal", captions=(Caption("a person walks"),))

    def turn(share):
        """Total turns of examples where so many are bent, in radians."""
        monkeypatch.setattr(mixed_dataset, "BEND_SHARE", share)
        angles = [np.unwrap(facing(MixedClips([clip], 80, 40).example(i).joints.astype(np.float64))) for i in range(12)]
        return np.array([abs(angle[-1] - angle[0]) for angle in angles])

    assert bool(np.abs(turn(1.0) - turn(0.0)).max() > 0.2) is bent


def test_captions_are_joined():
    rng = np.random.default_rng(0)
    for second in ("a person sits down.", "someone sits down", "an old person sits down", "somebody sits down"):
        assert _join_sentences("a person walks.", second, rng) in {
            f"a person walks{between}sits down" for between in (", then ", " and then ", " and ")
        }
    assert _join_sentences("a man bows", "hops twice", rng).endswith("hops twice")


def test_labelled_clips_get_composed_captions(clips):
    """Captions of Bandai-Namco clips are composed from labels and vary."""
    tired = [replace(clips[0], captions=(Caption("a tired person walks"),))]
    texts = {MixedClips(tired, 80, 40).example(i).text for i in range(40)}
    assert len(texts) > 15


def test_clips_without_captions_are_refused(told):
    with pytest.raises(InputError, match="no captioned clip has 400 frames or more"):
        MixedClips(told, 500, 400)
