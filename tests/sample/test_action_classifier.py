"""The classifier of actions."""

import numpy as np
import pytest
import torch

from data_loaders.procedural.walks import ProceduralWalks
from sample.evaluation.action_classifier import ActionClassifier


def standing(walk):
    """A motion of the same length in the first pose, swaying slightly."""
    time = np.arange(len(walk))[:, None, None] / 20
    return (walk[:1] + 0.01 * np.sin(3 * time)).astype(np.float32)


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
