"""Training examples of all kinds are plausible motions with true captions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from data_loaders.augment import facing
from data_loaders.augmented_dataset import AugmentedClips, RealClips
from data_loaders.captions.templates import adjectives, adverbs
from data_loaders.datasets import load_examples
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.store import Store
from data_loaders.types import Caption
from motion_diffusion.body.heading import heading
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, PARENTS
from motion_diffusion.errors import InputError


def assert_sound(joints, *, skating):
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(BONE_LENGTHS[1:], bones.shape), atol=1e-3)
    np.testing.assert_allclose(joints[0, 0, [0, 2]], 0, atol=1e-6)
    assert heading(torch.from_numpy(joints[:1]), smooth=False).abs().item() < 1e-3
    assert joints[..., 1].min() > -0.03
    assert foot_skating_ratio(torch.from_numpy(joints)) <= skating


@pytest.mark.parametrize("index", range(0, 40, 4))
def test_procedural_walks_are_plausible(index):
    example = ProceduralWalks(0).example(index)
    assert_sound(example.joints, skating=0)
    assert np.linalg.norm(np.diff(example.joints[:, 0], axis=0), axis=-1).max() * FPS < 2.6
    assert example.joints.dtype == np.float32
    assert 40 <= len(example.joints) <= 120


def test_procedural_captions_are_true():
    """Walks said to turn left do so, and those said to stop stop."""
    seen = set()
    for index in range(300):
        example = ProceduralWalks(3, 90, 90).example(index)
        text, joints = example.text, example.joints
        angle = gaussian_filter1d(np.unwrap(facing(joints)), 5)
        to_left, to_right = (angle - np.minimum.accumulate(angle)).max(), (np.maximum.accumulate(angle) - angle).max()
        step = np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1) * FPS
        if ("left" in text) is not ("right" in text):
            assert (to_left > to_right) == ("left" in text), text
            seen.add("turns")
        if any(word in text for word in ("stop", "pause", "stand", "halt", "wait")):
            assert np.convolve(step, np.ones(5) / 5, "valid").min() < 0.15, text
            seen.add("stands")
        else:
            assert np.convolve(step, np.ones(5) / 5, "valid").min() > 0.1, text
    assert seen == {"turns", "stands"}


def test_examples_are_deterministic(clips):
    for make in (lambda seed: ProceduralWalks(seed), lambda seed: AugmentedClips(clips, seed=seed)):
        a, b, other = make(0).example(7), make(0).example(7), make(1).example(7)
        np.testing.assert_array_equal(a.joints, b.joints)
        assert a.text == b.text
        assert a.joints.shape != other.joints.shape or not np.array_equal(a.joints, other.joints)


@pytest.mark.parametrize("index", range(25))
def test_augmented_clips_are_plausible(clips, index):
    example = AugmentedClips(clips, 100, 40).example(index)
    assert_sound(example.joints, skating=0.1)
    assert 40 <= len(example.joints) <= 100
    assert np.linalg.norm(np.diff(example.joints[:, 0], axis=0), axis=-1).max() * FPS < 4.0


def test_augmented_captions_fit_style(clips):
    words = {word for style in ("tired", "proud") for word in (*adjectives(style), *adverbs(style))}
    texts = [AugmentedClips(clips, 100, 40).example(i).text for i in range(60)]
    assert sum(any(word in text for word in words) for text in texts) > 15
    assert len(set(texts)) > 50


def test_real_clips_are_cropped(clips):
    data = RealClips(clips, 60, 40)
    example = data.example(3)
    assert len(example.joints) == 60
    assert example.text == "a proud person bows"
    assert data.example(3 + len(data.clips)).text == example.text


def test_data_set_of_ones_own_is_a_store_in_place_of_a_name(clips):
    captions = (Caption("somebody moves as nobody else does"),)
    unlabelled = [replace(clip, captions=captions, action="", style="") for clip in clips[:3]]
    splits = zip(unlabelled, ("train", "train", "val"), strict=True)
    mine = [replace(clip, split=split) for clip, split in splits]
    data = load_examples(Store("mine", False, "CC0", tuple(mine)), frames=60)
    for examples in (data.train, data.held_out):
        assert examples.example(0).text == captions[0].text
        assert 40 <= len(examples.example(0).joints) <= 60
    assert data.licence == "CC0"
    assert data.known is not None
    assert "nobody" in data.known.words


def test_invalid_requests_are_refused(clips, tmp_path):
    with pytest.raises(InputError, match="unknown data set 'cats'"):
        load_examples("cats", None, frames=60)
    with pytest.raises(InputError, match="--data-root"):
        load_examples("bandai", None, frames=60)
    with pytest.raises(InputError, match="500 frames"):
        AugmentedClips(clips, 600, 500)
    with pytest.raises(InputError, match="held-out"):
        RealClips(clips, 600, 500)
    with pytest.raises(ValueError, match="min_frames"):
        ProceduralWalks(0, 20, 40)
