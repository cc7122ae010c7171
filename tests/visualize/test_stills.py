"""Pose strips: number, spacing and labels of poses."""

import numpy as np
import torch

from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from motion_diffusion.body.motion import Motion
from tests.visualize.pictures import near, pixels
from visualize.drawing import style
from visualize.stills import draw_strip, key_frames


def test_key_frames_are_spaced_along_the_path():
    joints = np.zeros((50, 22, 3))
    joints[25:, 0, 2] = np.linspace(0, 5, 25)
    frames = key_frames(joints, 6)
    assert frames[0] == 0
    assert frames[-1] == 49
    assert (np.diff(frames) > 0).all()
    assert (frames[1:] >= 25).all()


def test_strip_draws_the_given_number_of_poses(motion, tmp_path):
    ink = []
    for poses in (2, 8):
        draw_strip(motion, tmp_path / "a.png", poses=poses, size=(800, 320))
        image = pixels(tmp_path / "a.png")
        assert image.shape == (320, 800, 3)
        ink.append(int((np.ptp(image, axis=-1) > 50).sum()))  # the floor is grey
    assert ink[1] > 2 * ink[0] > 0


def test_poses_in_place_are_set_in_a_row(motion, tmp_path):
    here = Motion(motion.joints - motion.joints[:, :1] * torch.tensor([1.0, 0.0, 1.0]))
    wide = []
    for goals in (None, GoalSet(goals=[Waypoint(time=1.0, x=0.0, z=0.0)])):
        draw_strip(here, tmp_path / "a.png", poses=6, goals=goals, size=(800, 320))
        image = pixels(tmp_path / "a.png")
        columns = ((np.ptp(image, axis=-1) > 50) & (image[..., 1] < image.max(axis=-1))).any(axis=0)  # no green
        wide.append(int(np.ptp(columns.nonzero()[0])))
    assert wide[0] > 600
    assert wide[1] < 300  # where goals are, bodies stay where they were


def test_strip_texts_do_not_overlap_the_bodies(motion, tmp_path):
    """A title is above the heads, and the times of poses in a row are below the shadows."""
    here = motion.joints - motion.joints[:, :1] * torch.tensor([1.0, 0.0, 1.0])
    pictures = []
    for title, text in (("", ""), ("A title", "")):
        draw_strip(Motion(here, text=text), tmp_path / "a.png", title=title, poses=6, size=(800, 340))
        pictures.append(pixels(tmp_path / "a.png"))
    drawn = np.ptp(pictures[0], axis=-1) > 50
    titled = (np.abs(pictures[1] - pictures[0]).max(axis=-1) > 60).nonzero()[0]
    dark = (pictures[0].max(axis=-1) < 90).any(axis=1).nonzero()[0]  # of words, and of a dark head
    shadow = (np.abs(pictures[0] - np.round(255 * style.rgb(style.SHADOW))).max(axis=-1) < 3).any(axis=1).nonzero()[0]
    assert 0 < titled.max() < drawn.any(axis=1).nonzero()[0].min()
    assert dark[dark > shadow.max()].size > 4
    assert not set(dark) & set(range(shadow.max() - 20, shadow.max() - 2))


def test_strip_has_at_most_one_pose_per_frame(motion, tmp_path):
    assert key_frames(motion.joints[:1].numpy(), 8).tolist() == [0]
    assert key_frames(motion.joints[:2].numpy(), 8).tolist() == [0, 1]
    draw_strip(Motion(motion.joints[:1]), tmp_path / "a.png")
    assert near(pixels(tmp_path / "a.png"), style.LEFT, 10) > 1000  # in full colour
