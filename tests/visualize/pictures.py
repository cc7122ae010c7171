"""Helpers of the tests of pictures: goals, decoding, and counting of pixels by colour."""

import av
import numpy as np
from PIL import Image

from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, PathGoal, Waypoint
from visualize.drawing import canvas, style

GOALS = GoalSet(
    goals=[
        Waypoint(time=1.0, x=0.5, z=1.0),
        PathGoal(points=[(0, 0), (0, 1)], end=2.0),
        Joint(time=2.0, joint="right_wrist", position=(None, 1.5, None)),
    ]
)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(image, colour, tolerance=40):
    """Number of pixels near a colour."""
    return int((np.abs(image - np.round(255 * style.rgb(colour))).max(-1) < tolerance).sum())


def film_of(path):
    with av.open(str(path)) as film:
        return film.streams.video[0], [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]


def record_measured(monkeypatch):
    """Record the lengths of all texts whose width is measured, which takes time proportional to the length."""
    lengths, measure = [], canvas.text_width

    def recorded(words, **choices):
        lengths.append(len(words))
        return measure(words, **choices)

    monkeypatch.setattr(canvas, "text_width", recorded)
    return lengths
