"""The judge of actions that the study uses."""

import numpy as np
import pytest
import torch

from data_loaders.procedural.walks import ProceduralWalks
from sample.evaluation.action_classifier import ActionClassifier


def standing(walk):
    """The same length of time in the first pose, swaying a little."""
    time = np.arange(len(walk))[:, None, None] / 20
    return (walk[:1] + 0.01 * np.sin(3 * time)).astype(np.float32)


@pytest.fixture(scope="module")
def labelled():
    """(motions, names): people who walk and people who stand."""
    walks = [ProceduralWalks(4, 80, 50).example(i).joints for i in range(24)]
    moving = [w for w in walks if np.linalg.norm(w[-1, 0] - w[0, 0]) > 1.0]
    motions = moving + [standing(w) for w in moving]
    return [torch.from_numpy(m) for m in motions], ["walk"] * len(moving) + ["bow"] * len(moving)


def test_the_judge_tells_walking_from_standing(labelled):
    motions, names = labelled
    judge = ActionClassifier.train(motions[::2], names[::2], frames=60, steps=40)
    assert judge.name(motions[1::2]) == names[1::2]
    assert judge.name(motions[1:2]) == judge.name(motions[1::2])[:1]  # padding changes nothing
