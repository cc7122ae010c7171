"""Drawing: camera, glyphs, layers, text layout and colours, checked at pixels known from geometry."""

import numpy as np
import pytest
import torch

from guidance.goals.goal_file import SCHEMA, load_goals
from guidance.goals.goal_set import GoalSet
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import Waypoint
from guidance.goals.relations import Contact
from motion_diffusion.body.motion import Motion
from tests.visualize.pictures import GOALS, film_of, near, pixels, record_measured
from visualize.drawing import style
from visualize.drawing.camera import Camera, fit_camera, framing_distance
from visualize.drawing.canvas import Canvas, text_width, wrap_text
from visualize.drawing.goal_glyphs import HeadingGlyph, JointGlyph, ObstacleGlyph, PathGlyph, PoseGlyph, make_glyphs
from visualize.drawing.layers import goal_solids, paint_clock, paint_labels
from visualize.drawing.style import printable
from visualize.film import write_film
from visualize.scene import make_scene
from visualize.stills import draw_strip
from visualize.topdown import draw_path


def test_camera_projects_its_target_to_the_centre():
    camera = Camera(np.array([1.0, 0.9, 2.0]), 0.7, 4.0, (640, 480))
    pixel, depth = camera.project(np.array([1.0, 0.9, 2.0]))
    np.testing.assert_allclose(pixel, [320, 240], atol=1e-9)
    assert depth == pytest.approx(4.0)
    above, _ = camera.project(np.array([1.0, 1.4, 2.0]))
    assert above[0] == pytest.approx(320)


def test_fit_camera_shows_all_points():
    points = np.random.default_rng(0).uniform(-4, 4, (50, 3))
    pixel, depth = fit_camera(points, 0.4, (800, 600)).project(points)
    assert (depth > 0).all()
    assert (pixel >= 0).all()
    assert (pixel <= [800, 600]).all()


def test_framing_distance_is_minimal_and_keeps_margins():
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


def test_glyphs_measure_errors():
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


def test_glyphs_of_the_other_goal_kinds(motion):
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


def test_obstacles_are_drawn_in_place_and_time(motion, tmp_path):
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


def test_pose_goals_have_bones_between_target_joints(motion):
    arm = Pose(time=1.0, joints={"left_elbow": (0, 1, 0), "left_wrist": (0.3, 1, 0), "head": (0, 1.6, 0)})
    solids = goal_solids(make_scene(motion, GoalSet(goals=[arm])), 1.0)
    assert len(solids.start) == 4
    np.testing.assert_allclose([solids.start[3], solids.end[3]], [[0, 1, 0], [0.3, 1, 0]], atol=1e-6)


def test_tints_differ_in_luminance():
    light = sorted(style.rgb(tint) @ [0.2126, 0.7152, 0.0722] for tint in style.TINTS)
    assert np.diff([*light, 1.0]).min() > 0.12


def test_wrapped_lines_fit():
    for words in ("iiii " * 40, "WWWW " * 40, "人が歩く" * 40, "one-long-name-" * 20, "a walk"):
        lines = wrap_text(words, 300, size=16, bold=True, most=3)
        assert 0 < len(lines) <= 3
        assert max(text_width(line, size=16, bold=True) for line in lines) <= 300
    assert wrap_text("a\nb", 300, size=16) == ("a b",)
    assert wrap_text("", 300, size=16) == ()


@pytest.mark.parametrize("words", ["a person walks ", "i", "i ", "W", "人"])
def test_wrap_text_measures_the_beginning_of_long_texts_only(words, monkeypatch):
    measured = record_measured(monkeypatch)
    lines = wrap_text(words * 100_000, 300, size=16, most=3)
    assert max(measured) < 1000
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert max(text_width(line, size=16) for line in lines) <= 300
    wrapped = "".join(lines).replace(" ", "").removesuffix("…")
    assert (words * 600).replace(" ", "").startswith(wrapped)


@pytest.mark.filterwarnings("error")
def test_characters_without_a_font_are_replaced(motion, tmp_path):
    assert printable("a pérson ходит 9°") == "a pérson ходит 9°"
    assert printable("\U000e0b00\x07", bold=True) == "??"
    told = Motion(motion.joints, text="人が歩く 🚶 \U000e0b00")
    draw_strip(told, tmp_path / "a.png", size=(400, 160))
    draw_path([told, told], tmp_path / "b.png", size=(300, 250))


def test_clock_covers_goals_and_labels_stay_in_the_picture(motion):
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
