"""The classifier of actions."""

import numpy as np
import pytest
import torch

from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import Caption, Clip
from motion_diffusion.body.skeleton import JOINTS
from sample.evaluation.action_classifier import ActionClassifier, train_action_classifier


def standing(walk):
    """A motion of the same length in the first pose, swaying slightly."""
    time = np.arange(len(walk))[:, None, None] / 20
    return (walk[:1] + 0.01 * np.sin(3 * time)).astype(np.float32)


def waving(walk, hand):
    """A standing person who waves with one hand."""
    joints = standing(walk)
    joints[:, JOINTS.index(f"{hand}_wrist"), 1] += 0.6 + 0.3 * np.sin(np.arange(len(walk), dtype=np.float32))
    return joints


@pytest.fixture(scope="module")
def labelled():
    """(motions, names): walking and standing people."""
    walks = [ProceduralWalks(4, 80, 50).example(i).joints for i in range(24)]
    moving = [w for w in walks if np.linalg.norm(w[-1, 0] - w[0, 0]) > 1.0]
    motions = moving + [standing(w) for w in moving]
    return [torch.from_numpy(m) for m in motions], ["walk"] * len(moving) + ["bow"] * len(moving)


def test_walking_and_standing_are_recognised(labelled):
    motions, names = labelled
    classifier = ActionClassifier.train(motions[::2], names[::2], frames=60, steps=40)
    assert classifier.predict(motions[1::2]) == names[1::2]
    assert classifier.predict(motions[1:2]) == classifier.predict(motions[1::2])[:1]  # does not depend on padding


def test_mirror_images_have_the_action_of_the_other_side():
    walks = [ProceduralWalks(4, 80, 50).example(i).joints for i in range(12)]

    def clips(actions):
        made = {
            "stand": standing,
            "walk": lambda walk: walk,
            "wave": lambda walk: waving(walk, "right"),
            "wave right hand": lambda walk: waving(walk, "right"),
            "wave left hand": lambda walk: waving(walk, "left"),
        }
        return [
            Clip(f"{action} {i}", made[action](walk), "train", (Caption(action),), action)
            for action in actions
            for i, walk in enumerate(walks)
        ]

    def learned(*actions, mirrored):
        return train_action_classifier(clips(actions), longest=60, steps=60, mirrored=mirrored)

    left = [torch.from_numpy(waving(walk, "left")) for walk in walks]
    assert learned("stand", "wave", "walk", mirrored=True).predict(left) == ["wave"] * len(left)
    both = learned("stand", "wave left hand", "wave right hand", mirrored=True)
    assert both.predict(left) == ["wave left hand"] * len(left)
    # Nothing is known of the action that a mirror image would show.
    one, plain = (learned("stand", "wave right hand", mirrored=mirrored) for mirrored in (True, False))
    assert one.actions == plain.actions == ("stand", "wave right hand")
    some = [torch.from_numpy(clip.joints) for clip in clips(["wave right hand"])]
    assert one.predict(some) == plain.predict(some) == ["wave right hand"] * len(some)
