"""What is drawn is where it should be: colours are looked for at the pixels where geometry says they are."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.text import Annotation

from guidance.goals.goal_set import SCHEMA, Contact, GoalSet, Heading, Obstacle, Pose, Waypoint, load_goals
from motion_diffusion.body.motion import Motion
from tests.visualize.pictures import GOALS, film_of, near, pixels
from visualize.drawing import style
from visualize.drawing.camera import Camera, fit_camera, framing_distance, view_azimuth
from visualize.drawing.canvas import Canvas, text_width, wrap_text
from visualize.drawing.goal_glyphs import HeadingGlyph, JointGlyph, ObstacleGlyph, PathGlyph, PoseGlyph, make_glyphs
from visualize.drawing.layers import goal_solids, paint_clock, paint_labels
from visualize.drawing.style import printable
from visualize.film import write_film
from visualize.scene import Actor, detect_footprints, floor_camera, make_scene
from visualize.stills import draw_strip, key_frames
from visualize.topdown import draw_canvas, draw_path


def test_camera_puts_what_it_looks_at_in_the_middle():
    camera = Camera(np.array([1.0, 0.9, 2.0]), 0.7, 4.0, (640, 480))
    pixel, depth = camera.project(np.array([1.0, 0.9, 2.0]))
    np.testing.assert_allclose(pixel, [320, 240], atol=1e-9)
    assert depth == pytest.approx(4.0)
    above, _ = camera.project(np.array([1.0, 1.4, 2.0]))
    assert above[0] == pytest.approx(320)


def test_fit_shows_all_points():
    points = np.random.default_rng(0).uniform(-4, 4, (50, 3))
    pixel, depth = fit_camera(points, 0.4, (800, 600)).project(points)
    assert (depth > 0).all()
    assert (pixel >= 0).all()
    assert (pixel <= [800, 600]).all()


def test_framing_keeps_bodies_off_the_edges_in_every_picture():
    rng = np.random.default_rng(0)
    targets = rng.uniform(-1, 1, (20, 3))
    points = targets[:, None] + rng.uniform(-1.5, 1.5, (20, 30, 3))
    distance = framing_distance(points, targets, 0.7, (640, 480), least=0.1)
    seen = np.stack(
        [Camera(at, 0.7, distance, (640, 480)).project(some)[0] for at, some in zip(targets, points, strict=True)]
    )
    low, high = seen.min(axis=(0, 1)), seen.max(axis=(0, 1))
    room = np.concatenate([low - [0.04 * 640, 0.08 * 480], [0.96 * 640, 0.88 * 480] - high])
    assert room.min() == pytest.approx(0, abs=1e-6)  # no farther than it must be
    assert framing_distance(points, targets, 0.7, (640, 480), least=99.0) == 99.0


def test_marks_measure_what_was_missed():
    joints = np.zeros((40, 22, 3))
    joints[:, 0] = [0.2, 0.9, 1.0]
    point, line, wrist = make_glyphs(GOALS)
    assert isinstance(point, JointGlyph)
    assert isinstance(line, PathGlyph)
    assert isinstance(wrist, JointGlyph)
    assert point.on_floor
    assert point.miss(joints, 20) == pytest.approx(0.3)
    assert not wrist.on_floor
    assert wrist.miss(joints, 20) == pytest.approx(1.5)
    np.testing.assert_allclose(line.at(1.0), [0, 0.5])
    joints[:, 0, [0, 2]] = line.at(np.arange(40) / 20) + [0.25, 0]
    assert line.miss(joints, 20) == pytest.approx(0.25)


def test_marks_of_other_kinds(motion):
    pose = Pose(start=0.5, end=1.0, joints={"head": (None, 1.6, None), "left_wrist": (0, 1, 0)})
    joints = np.zeros((60, 22, 3))
    joints[10:21, 15, 1] = np.linspace(0, 2, 11)
    foot = Contact(joint="left_foot", start=0.5, end=1.0)
    goals = [pose, foot, Heading(time=1, degrees=90), Obstacle(shape="box", center=(1, 2), size=(2, 4), degrees=90)]
    dots, stays, arrow, zone = make_glyphs(GoalSet(goals=goals), seconds=3.0)
    assert isinstance(dots, PoseGlyph)
    assert dots.joints == (15, 20)
    np.testing.assert_allclose(dots.where(1.0, joints, 20), [[0, 1.6, 0], [0, 1, 0]], atol=1e-6)
    assert dots.miss(joints, 20) == pytest.approx((np.abs(np.linspace(0, 2, 11) - 1.6).mean() + 1) / 2)
    assert isinstance(stays, JointGlyph)
    joints[:, 10, 0] = 3.0
    assert stays.miss(joints, 20) == 0
    np.testing.assert_allclose(stays.where(joints, 20), [3, 0, 0])
    assert isinstance(arrow, HeadingGlyph)
    np.testing.assert_allclose(arrow.ahead, [1, 0], atol=1e-9)
    assert isinstance(zone, ObstacleGlyph)
    assert (zone.time, zone.last) == (0, 3)
    np.testing.assert_allclose(sorted(zone.outline(1.0).tolist()), [[-1, 1], [-1, 3], [3, 1], [3, 3]], atol=1e-9)
    scene = make_scene(motion, GoalSet(goals=[pose]))
    assert [len(goal_solids(scene, time).start) for time in (0.0, 0.7, 2.0)] == [0, 2, 0]


def test_obstacles_are_seen_where_and_while_they_are(motion, tmp_path):
    side = motion.joints[20, 0, [0, 2]] + torch.tensor([0.6, 0.3])
    still = Obstacle(shape="circle", center=tuple(side.tolist()), radius=0.3, start=0.5, end=1.5)
    write_film(motion, tmp_path / "a.mp4", goals=GoalSet(goals=[still]), size=(320, 240))
    frames = film_of(tmp_path / "a.mp4")[1]
    floor_colour = style.mix(style.rgb(style.OBSTACLE), style.rgb(style.BACKGROUND), 0.45)
    seen = [near(frames[index], floor_colour, 20) for index in (2, 20, 50)]
    assert seen[0] < 5 < 60 < seen[1]
    assert seen[2] < 5
    draw_path(motion, tmp_path / "a.png", goals=GoalSet(goals=[still]))
    assert (
        near(pixels(tmp_path / "a.png"), style.mix(style.rgb(style.OBSTACLE), style.rgb(style.BACKGROUND), 0.5)) > 900
    )


def test_goals_of_every_kind_are_drawn(motion, tmp_path):
    longer = Motion(torch.cat([motion.joints, motion.joints]), text="a person walks")
    goals = load_goals(SCHEMA.parent / "everything.json")
    draw_path(longer, tmp_path / "a.png", goals=goals)
    draw_strip(longer, tmp_path / "b.png", goals=goals, size=(800, 320))
    write_film(longer, tmp_path / "c.mp4", goals=goals, size=(160, 120), fps=5)
    for name in ("a.png", "b.png"):
        assert near(pixels(tmp_path / name), style.GOAL) > 200


def test_poses_are_spread_over_the_way():
    joints = np.zeros((50, 22, 3))
    joints[25:, 0, 2] = np.linspace(0, 5, 25)
    frames = key_frames(joints, 6)
    assert frames[0] == 0
    assert frames[-1] == 49
    assert (np.diff(frames) > 0).all()
    assert (frames[1:] >= 25).all()


def test_path_shows_goals_where_they_are(motion, tmp_path):
    draw_path(motion, tmp_path / "a.png", goals=GOALS)
    draw_path(motion, tmp_path / "b.png")
    with_goals, without = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert with_goals.shape == (760, 900, 3)
    assert near(with_goals, style.GOAL) > 300
    assert near(without, style.GOAL) < 30
    mirrored = GoalSet(goals=[Waypoint(time=1.0, x=-3.0, z=1.0)])
    draw_path(motion, tmp_path / "c.png", goals=mirrored)
    assert np.abs(pixels(tmp_path / "c.png") - with_goals).mean() > 1


def test_notes_on_a_walk_lie_neither_over_each_other_nor_over_goals(motion):
    longer = Motion(torch.cat([motion.joints, motion.joints]), text="a person walks")
    canvas = draw_canvas(make_scene(longer, load_goals(SCHEMA.parent / "everything.json")), (900, 760))
    (axes,) = canvas.figure.axes
    notes = [text for text in axes.texts if isinstance(text, Annotation) and text.get_text()]
    boxes = [note.get_window_extent(canvas.get_renderer()) for note in notes]
    assert len(notes) > 4
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # itself
    assert not any(box.contains(*axes.transData.transform(note.xy)) for box in boxes for note in notes)


def test_strip_shows_as_many_bodies_as_asked(motion, tmp_path):
    ink = []
    for poses in (2, 8):
        draw_strip(motion, tmp_path / "a.png", poses=poses, size=(800, 320))
        image = pixels(tmp_path / "a.png")
        assert image.shape == (320, 800, 3)
        ink.append(int((np.ptp(image, axis=-1) > 50).sum()))  # the floor is grey
    assert ink[1] > 2 * ink[0] > 0


def test_poses_that_stay_in_one_place_are_set_in_a_row(motion, tmp_path):
    here = Motion(motion.joints - motion.joints[:, :1] * torch.tensor([1.0, 0.0, 1.0]))
    wide = []
    for goals in (None, GoalSet(goals=[Waypoint(time=1.0, x=0.0, z=0.0)])):
        draw_strip(here, tmp_path / "a.png", poses=6, goals=goals, size=(800, 320))
        image = pixels(tmp_path / "a.png")
        columns = ((np.ptp(image, axis=-1) > 50) & (image[..., 1] < image.max(axis=-1))).any(axis=0)  # no green
        wide.append(int(np.ptp(columns.nonzero()[0])))
    assert wide[0] > 600
    assert wide[1] < 300  # where goals are, bodies stay where they were


def test_wanted_poses_have_bones_where_both_ends_are_wanted(motion):
    arm = Pose(time=1.0, joints={"left_elbow": (0, 1, 0), "left_wrist": (0.3, 1, 0), "head": (0, 1.6, 0)})
    solids = goal_solids(make_scene(motion, GoalSet(goals=[arm])), 1.0)
    assert len(solids.start) == 4
    np.testing.assert_allclose([solids.start[3], solids.end[3]], [[0, 1, 0], [0.3, 1, 0]], atol=1e-6)


def test_footprints_are_where_feet_stand(motion):
    joints = motion.joints.numpy()
    steps = detect_footprints(joints, 20.0)
    assert {step.toe for step in steps} == {10, 11}
    for step in steps:
        stance = joints[round(step.time * 20) : round(step.last * 20) + 1, step.toe]
        assert np.abs(stance[:, [0, 2]] - step.ball).max() < 0.12
        assert np.linalg.norm(step.ball - step.heel) < 0.2
    fine = np.stack([np.interp(np.arange(0, 59, 1 / 3), np.arange(60), axis) for axis in joints.reshape(60, -1).T], -1)
    others = detect_footprints(fine.reshape(-1, 22, 3), 60.0)
    assert [(step.time, step.toe) for step in others] == [(step.time, step.toe) for step in steps]


def test_the_floor_touches_the_soles(motion):
    """Seen through its camera, the floor is where the soles of feet that stand are."""
    actor = Actor(make_scene(motion, None))
    camera = Camera(np.array([0.0, 0.9, 0.0]), view_azimuth(motion.joints.numpy()), 4.0, (640, 480))
    sole = np.array([0.0, -actor.sole_offset, 0.0])
    np.testing.assert_allclose(
        floor_camera(camera, [actor]).project(np.zeros(3))[0], camera.project(sole)[0], atol=1e-9
    )
    sunk = Actor(make_scene(Motion(motion.joints - torch.tensor([0.0, 0.02, 0.0])), None))
    assert sunk.sole_offset == pytest.approx(actor.sole_offset + 0.02, abs=1e-6)


def test_tints_are_told_apart_without_colour():
    light = sorted(style.rgb(tint) @ [0.2126, 0.7152, 0.0722] for tint in style.TINTS)
    assert np.diff([*light, 1.0]).min() > 0.12


def test_words_keep_to_their_places_in_a_strip(motion, tmp_path):
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


def test_a_motion_of_few_frames_has_as_many_poses(motion, tmp_path):
    assert key_frames(motion.joints[:1].numpy(), 8).tolist() == [0]
    assert key_frames(motion.joints[:2].numpy(), 8).tolist() == [0, 1]
    draw_strip(Motion(motion.joints[:1]), tmp_path / "a.png")
    assert near(pixels(tmp_path / "a.png"), style.LEFT, 10) > 1000  # in full colour


def test_lines_fit_whatever_they_say():
    for words in ("iiii " * 40, "WWWW " * 40, "人が歩く" * 40, "one-long-name-" * 20, "a walk"):
        lines = wrap_text(words, 300, size=16, bold=True, most=3)
        assert 0 < len(lines) <= 3
        assert max(text_width(line, size=16, bold=True) for line in lines) <= 300
    assert wrap_text("a\nb", 300, size=16) == ("a b",)
    assert wrap_text("", 300, size=16) == ()


@pytest.mark.parametrize("words", ["a person walks ", "i", "i ", "W", "人"])
def test_of_endless_words_only_the_beginning_is_looked_at(words):
    started = time.perf_counter()
    lines = wrap_text(words * 100_000, 300, size=16, most=3)
    assert time.perf_counter() - started < 0.5  # measuring all of them takes seconds
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert max(text_width(line, size=16) for line in lines) <= 300
    said = "".join(lines).replace(" ", "").removesuffix("…")
    assert (words * 600).replace(" ", "").startswith(said)


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_plain_signs(motion, tmp_path):
    assert printable("a pérson ходит 9°") == "a pérson ходит 9°"
    assert printable("\U000e0b00\x07", bold=True) == "??"
    told = Motion(motion.joints, text="人が歩く 🚶 \U000e0b00")
    draw_strip(told, tmp_path / "a.png", size=(400, 160))
    draw_path([told, told], tmp_path / "b.png", size=(300, 250))


def test_the_clock_is_seen_over_goals_and_labels_are_in_the_picture(motion):
    scene = make_scene(motion, GoalSet(goals=[Waypoint(time=1.0, x=0.0, z=0.0)]), title="A title")
    canvas = Canvas((320, 240))
    canvas.polygons(np.array([[[0, 0], [320, 0], [320, 240], [0, 240]]]), style.GOAL)
    paint_clock(canvas, scene, 0.0, 0.5)
    assert np.abs(canvas.image()[-4:].astype(int) - 255 * style.rgb(style.BACKGROUND)).max() < 60
    canvas.clear()
    (pixel,), _ = (camera := Camera(np.array([2.2, 0.9, 0.0]), 0.0, 6.0, (320, 240))).project(np.zeros((1, 3)))
    assert 0 < pixel[0] < 30  # near the edge
    paint_labels(canvas, camera, [scene], np.inf, 0.5)
    green = near(canvas.image().astype(int), style.GOAL, 60)
    canvas.clear()
    camera = Camera(np.array([0.0, 0.9, 0.0]), 0.0, 6.0, (320, 240))
    paint_labels(canvas, camera, [scene], np.inf, 0.5)
    assert green == pytest.approx(near(canvas.image().astype(int), style.GOAL, 60), rel=0.15)


def test_what_a_scene_is_told_by(motion):
    scene = make_scene(motion, None, title="walk")
    assert [replace(scene, text=text).full_title for text in ("a person walks", "")] == ["walk: a person walks", "walk"]
    assert [replace(scene, text=text, title="").full_title for text in ("a person walks", "")] == ["a person walks", ""]
