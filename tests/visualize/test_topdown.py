"""Top-down view: goals in place, and notes that do not overlap."""

import numpy as np
import torch
from matplotlib.text import Annotation

from guidance.goals.goal_file import SCHEMA, load_goals
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from motion_diffusion.body.motion import Motion
from tests.visualize.pictures import GOALS, near, pixels
from visualize.drawing import style
from visualize.scene import make_scene
from visualize.topdown import draw_canvas, draw_path


def test_topdown_draws_goals_in_place(motion, tmp_path):
    draw_path(motion, tmp_path / "a.png", goals=GOALS)
    draw_path(motion, tmp_path / "b.png")
    with_goals, without = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert with_goals.shape == (760, 900, 3)
    assert near(with_goals, style.GOAL) > 300
    assert near(without, style.GOAL) < 30
    mirrored = GoalSet(goals=[Waypoint(time=1.0, x=-3.0, z=1.0)])
    draw_path(motion, tmp_path / "c.png", goals=mirrored)
    assert np.abs(pixels(tmp_path / "c.png") - with_goals).mean() > 1


def test_topdown_notes_overlap_neither_each_other_nor_goals(motion):
    longer = Motion(torch.cat([motion.joints, motion.joints]), text="a person walks")
    canvas = draw_canvas(make_scene(longer, load_goals(SCHEMA.parent / "everything.json")), (900, 760))
    (axes,) = canvas.figure.axes
    notes = [text for text in axes.texts if isinstance(text, Annotation) and text.get_text()]
    boxes = [note.get_window_extent(canvas.get_renderer()) for note in notes]
    assert len(notes) > 4
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # itself
    assert not any(box.contains(*axes.transData.transform(note.xy)) for box in boxes for note in notes)
