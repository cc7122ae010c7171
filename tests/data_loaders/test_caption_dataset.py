"""Examples from captioned clips: passages, epochs, crops and mirroring."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_loaders.caption_dataset import CaptionedClips, passages
from data_loaders.types import Caption
from motion_diffusion.body.heading import heading
from motion_diffusion.errors import InputError


@pytest.fixture(scope="module")
def captioned(clips):
    """Clips of 60 to 150 frames with one caption each, some with another one for a part."""
    return [
        replace(clip, captions=(Caption(f"clip {i}"), *((Caption(f"part {i}", 0.5, 3.0),) if i % 3 == 0 else ())))
        for i, clip in enumerate(clips)
    ]


def test_passages_follow_caption_spans(captioned):
    found = passages(captioned, 40)
    parts = [p for p in found if p.captions[0].text.startswith("part")]
    assert [(p.start, p.frames) for p in parts] == [(10, 50)] * 5
    assert len(found) == len(captioned) + 5
    assert not [p for p in passages(captioned, 55) if p.captions[0].text.startswith("part")]
    both = replace(captioned[0], captions=(Caption("a"), Caption("b", 0.0, 0.0), Caption("c", 90.0, 95.0)))
    (one,) = passages([both], 40)
    assert [caption.text for caption in one.captions] == ["a", "b"]


def test_each_passage_occurs_once_per_epoch(captioned):
    data = CaptionedClips(captioned, 80, 40, seed=3)
    count = len(data.passages)
    for epoch in range(3):
        texts = [data.example(epoch * count + i).text for i in range(count)]
        assert len(set(texts)) == count
    assert texts != [data.example(i).text for i in range(count)]


def test_examples_are_cropped_at_origin_and_deterministic(captioned):
    data, again = (CaptionedClips(captioned, 80, 40, seed=3) for _ in range(2))
    for i in (33, 2, 17, 5):
        example = data.example(i)
        np.testing.assert_array_equal(example.joints, again.example(i).joints)
        assert example.text == again.example(i).text
        assert len(example.joints) == data.frames(i) == again.frames(i) <= 80
        np.testing.assert_allclose(example.joints[0, 0, [0, 2]], 0, atol=1e-6)
        assert heading(torch.from_numpy(example.joints[:1]), smooth=False).abs().item() < 1e-3


def test_mirroring_includes_captions_and_depends_on_data(captioned):
    left = [replace(clip, captions=(Caption("turns left"),)) for clip in captioned]
    texts = [CaptionedClips(left, 80, 40, mirrored=False).example(i).text for i in range(40)]
    assert 8 < texts.count("turns right") < 32
    assert {CaptionedClips(left, 80, 40).example(i).text for i in range(40)} == {"turns left"}
    swapped, same = CaptionedClips(left, 200, 40, mirrored=False), CaptionedClips(left, 200, 40)
    i = next(i for i in range(40) if swapped.example(i).text == "turns right")
    sides = swapped.example(i).joints[:, [1, 2]], same.example(i).joints[:, [2, 1]] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(*sides, atol=1e-5)


def test_uncaptioned_clips_are_refused(clips):
    with pytest.raises(InputError, match="held-out part has no captioned clip of 40 frames"):
        CaptionedClips(clips, 80, 40, part="held-out")
