"""What is drawn is where it should be: colours are looked for at the pixels where geometry says they are."""

import re
from functools import partial

import av
import numpy as np
import pytest
import torch
from PIL import Image

import visualize.__main__ as command
from data_loaders.procedural import ProceduralWalks
from guidance.goals import SCHEMA, Contact, Goals, Heading, Joint, Obstacle, Path_, Pose, Waypoint, load_goals
from motion_diffusion.motion import Motion
from visualize import style
from visualize.camera import Camera, fit
from visualize.film import write_film
from visualize.marks import Arrow, Dots, Line, Mark, Zone, marks_of
from visualize.path import draw_path
from visualize.scene import balls, scene_of
from visualize.strip import draw_strip, key_frames

GOALS = Goals(
    goals=[
        Waypoint(time=1.0, x=0.5, z=1.0),
        Path_(points=[(0, 0), (0, 1)], end=2.0),
        Joint(time=2.0, joint="right_wrist", position=(None, 1.5, None)),
    ]
)


@pytest.fixture(scope="module")
def motion():
    return Motion(torch.from_numpy(ProceduralWalks(0, 60, 60).example(2).joints), text="a person walks")


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(image, colour, tolerance=40):
    """How many pixels are near a colour."""
    return int((np.abs(image - np.round(255 * style.rgb(colour))).max(-1) < tolerance).sum())


def film_of(path):
    with av.open(str(path)) as film:
        return film.streams.video[0], [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]


def test_camera_puts_what_it_looks_at_in_the_middle():
    camera = Camera(np.array([1.0, 0.9, 2.0]), 0.7, 4.0, (640, 480))
    pixel, depth = camera.project(np.array([1.0, 0.9, 2.0]))
    np.testing.assert_allclose(pixel, [320, 240], atol=1e-9)
    assert depth == pytest.approx(4.0)
    above, _ = camera.project(np.array([1.0, 1.4, 2.0]))
    assert above[0] == pytest.approx(320)


def test_fit_shows_all_points():
    points = np.random.default_rng(0).uniform(-4, 4, (50, 3))
    pixel, depth = fit(points, 0.4, (800, 600)).project(points)
    assert (depth > 0).all()
    assert (pixel >= 0).all()
    assert (pixel <= [800, 600]).all()


def test_marks_measure_what_was_missed():
    joints = np.zeros((40, 22, 3))
    joints[:, 0] = [0.2, 0.9, 1.0]
    point, line, wrist = marks_of(GOALS)
    assert isinstance(point, Mark)
    assert isinstance(line, Line)
    assert isinstance(wrist, Mark)
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
    dots, stays, arrow, zone = marks_of(Goals(goals=goals), seconds=3.0)
    assert isinstance(dots, Dots)
    assert dots.joints == (15, 20)
    np.testing.assert_allclose(dots.where(1.0, joints, 20), [[0, 1.6, 0], [0, 1, 0]], atol=1e-6)
    assert dots.miss(joints, 20) == pytest.approx((np.abs(np.linspace(0, 2, 11) - 1.6).mean() + 1) / 2)
    assert isinstance(stays, Mark)
    joints[:, 10, 0] = 3.0
    assert stays.miss(joints, 20) == 0
    np.testing.assert_allclose(stays.where(joints, 20), [3, 0, 0])
    assert isinstance(arrow, Arrow)
    np.testing.assert_allclose(arrow.ahead, [1, 0], atol=1e-9)
    assert isinstance(zone, Zone)
    assert (zone.time, zone.last) == (0, 3)
    np.testing.assert_allclose(sorted(zone.outline(1.0).tolist()), [[-1, 1], [-1, 3], [3, 1], [3, 3]], atol=1e-9)
    scene = scene_of(motion, Goals(goals=[pose]))
    assert [len(balls(scene, time).start) for time in (0.0, 0.7, 2.0)] == [0, 2, 0]


def test_obstacles_are_seen_where_and_while_they_are(motion, tmp_path):
    side = motion.joints[20, 0, [0, 2]] + torch.tensor([0.6, 0.3])
    still = Obstacle(shape="circle", center=tuple(side.tolist()), radius=0.3, start=0.5, end=1.5)
    write_film(motion, tmp_path / "a.mp4", goals=Goals(goals=[still]), size=(320, 240))
    frames = film_of(tmp_path / "a.mp4")[1]
    floor_colour = style.mix(style.rgb(style.OBSTACLE), style.rgb(style.BACKGROUND), 0.45)
    seen = [near(frames[index], floor_colour, 20) for index in (2, 20, 50)]
    assert seen[0] < 5 < 60 < seen[1]
    assert seen[2] < 5
    draw_path(motion, tmp_path / "a.png", goals=Goals(goals=[still]))
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


def test_film_is_as_long_as_the_motion_and_moves(motion, tmp_path):
    write_film(motion, tmp_path / "a.mp4", goals=GOALS, size=(320, 240))
    stream, frames = film_of(tmp_path / "a.mp4")
    assert len(frames) == motion.frames
    assert stream.average_rate == 20
    assert frames[0].shape == (240, 320, 3)
    assert np.abs(frames[0] - frames[30]).mean() > 1
    assert near(frames[10], style.GOAL) > 20
    write_film(motion, tmp_path / "b.mp4", size=(320, 240))
    assert near(film_of(tmp_path / "b.mp4")[1][10], style.GOAL) < 5


def test_several_motions_side_by_side_and_other_rates(motion, tmp_path):
    short = Motion(motion.joints[:20])
    write_film([motion, short], tmp_path / "a.mp4", size=(160, 120), fps=10)
    _, frames = film_of(tmp_path / "a.mp4")
    assert frames[0].shape == (120, 320, 3)
    assert len(frames) == 30
    assert np.abs(frames[-1][:, 160:] - frames[-5][:, 160:]).mean() < 1.5  # the short one stands still
    assert np.abs(frames[-1][:, :160] - frames[-5][:, :160]).mean() > 1.5


@pytest.mark.parametrize("bad", [{"size": (15, 20)}, {"size": (33, 20)}, {"fps": 0.0}])
def test_films_that_cannot_be(motion, tmp_path, bad):
    with pytest.raises(ValueError, match="cannot be made"):
        write_film(motion, tmp_path / "a.mp4", **bad)
    assert not list(tmp_path.iterdir())


def test_path_shows_goals_where_they_are(motion, tmp_path):
    draw_path(motion, tmp_path / "a.png", goals=GOALS)
    draw_path(motion, tmp_path / "b.png")
    with_goals, without = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert with_goals.shape == (760, 900, 3)
    assert near(with_goals, style.GOAL) > 300
    assert near(without, style.GOAL) < 30
    mirrored = Goals(goals=[Waypoint(time=1.0, x=-3.0, z=1.0)])
    draw_path(motion, tmp_path / "c.png", goals=mirrored)
    assert np.abs(pixels(tmp_path / "c.png") - with_goals).mean() > 1


def test_strip_shows_as_many_bodies_as_asked(motion, tmp_path):
    ink = []
    for poses in (2, 8):
        draw_strip(motion, tmp_path / "a.png", poses=poses, size=(800, 320))
        image = pixels(tmp_path / "a.png")
        assert image.shape == (320, 800, 3)
        ink.append(int((np.ptp(image, axis=-1) > 50).sum()))  # the floor is grey
    assert ink[1] > 2 * ink[0] > 0


@pytest.fixture
def visualize(tmp_path, run_in_folder, motion):
    Motion(motion.joints, provenance={"goals": GOALS.model_dump(exclude_none=True)}).save(tmp_path / "m.npz")
    return partial(run_in_folder, command)


def test_the_command_draws_the_goals_that_the_motion_had(visualize, tmp_path, capsys):
    visualize("m.npz", "--out", "a.png")
    assert near(pixels(tmp_path / "a.png"), style.GOAL) > 50
    visualize("m.npz", "--out", "b.png", "--view", "path")
    assert pixels(tmp_path / "b.png").shape != pixels(tmp_path / "a.png").shape
    visualize("m.npz", "m.npz", "--out", "c.mp4", "--fps", 5)
    assert film_of(tmp_path / "c.mp4")[1][0].shape == (480, 1280, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("m.npz", "--out", "a.gif"), r"a.gif: a film ends in .mp4"),
        (("m.npz", "m.npz", "--out", "a.png"), "one motion, 2 were given"),
        (("none.npz", "--out", "a.png"), "no motion at none.npz"),
        (("m.npz", "--out", "m.png", "--goals", "none.json"), "no goal file"),
        (("m.npz", "--out", "there.png"), "--overwrite"),
    ],
)
def test_bad_input_gets_one_line(visualize, tmp_path, capsys, arguments, said):
    (tmp_path / "there.png").write_text("")
    with pytest.raises(SystemExit, match="2"):
        visualize(*arguments)
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"m.npz", "there.png"}
