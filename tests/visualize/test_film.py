"""Films: content, encoding, and memory."""

import re
import weakref
from dataclasses import replace

import numpy as np
import pytest

from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from tests.visualize.pictures import GOALS, film_of, near, record_measured
from visualize.drawing import style
from visualize.drawing.canvas import grid_shape, tile
from visualize.film import encode, write_film


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_film_is_as_long_as_the_motion_and_moves(motion, tmp_path, ending):
    write_film(motion, tmp_path / f"a.{ending}", goals=GOALS, size=(320, 240))
    stream, frames = film_of(tmp_path / f"a.{ending}")
    assert len(frames) == motion.frames
    assert stream.average_rate == 20
    assert frames[0].shape == (240, 320, 3)
    assert np.abs(frames[0] - frames[30]).mean() > 1
    for colour in (style.GOAL, style.LEFT, style.RIGHT):
        assert near(frames[10], colour) > 20
    write_film(motion, tmp_path / f"b.{ending}", size=(320, 240))
    assert near(film_of(tmp_path / f"b.{ending}")[1][10], style.GOAL) < 5


def test_mp4_uses_h264_and_yuv420p(motion, tmp_path):
    write_film(motion, tmp_path / "a.mp4", size=(160, 120), fps=5)
    stream, _ = film_of(tmp_path / "a.mp4")
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


def test_long_prompts_are_truncated_before_measuring(motion, tmp_path, monkeypatch):
    measured = record_measured(monkeypatch)
    write_film(replace(motion, text="a person walks " * 7000), tmp_path / "a.mp4", size=(160, 120), fps=5)
    assert max(measured) < 1000


def test_gif_keeps_colours(tmp_path):
    colours = np.array([[250, 20, 30], [20, 200, 40], [10, 30, 240], [255, 255, 255]], dtype=np.uint8)
    pictures = [np.tile(np.roll(colours, turn, axis=0).repeat(16, axis=0), (64, 1, 1)) for turn in range(4)]
    encode(iter(pictures), tmp_path / "a.gif", size=(64, 64), fps=10, samples=pictures)
    for picture, frame in zip(pictures, film_of(tmp_path / "a.gif")[1], strict=True):
        assert np.abs(frame - picture).max() <= 4


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_memory_does_not_grow_with_the_film(tmp_path, ending):
    """At most two earlier pictures are alive while one is made."""
    alive = set()

    def pictures():
        for number in range(100):
            assert len(alive) <= 2
            picture = np.full((64, 64, 3), number, dtype=np.uint8)
            alive.add(number)
            weakref.finalize(picture, alive.discard, number)
            yield picture

    encode(pictures(), tmp_path / f"a.{ending}", size=(64, 64), fps=20, samples=[np.zeros((64, 64, 3), np.uint8)])
    assert len(film_of(tmp_path / f"a.{ending}")[1]) == 100


def test_interrupted_film_leaves_no_files(tmp_path):
    def pictures():
        yield np.zeros((64, 64, 3), np.uint8)
        raise KeyboardInterrupt

    for ending in ("mp4", "gif"):
        with pytest.raises(KeyboardInterrupt):
            encode(
                pictures(), tmp_path / f"a.{ending}", size=(64, 64), fps=20, samples=[np.zeros((64, 64, 3), np.uint8)]
            )
    assert not list(tmp_path.iterdir())


def test_progress_callback_can_end_the_film(motion, tmp_path):
    told = []
    write_film(motion, tmp_path / "a.mp4", size=(64, 64), progress=told.append)
    assert told == [k / motion.frames for k in range(motion.frames)]

    def enough(share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(motion, tmp_path / "b.mp4", size=(64, 64), progress=enough)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_film_shows_motions_side_by_side_at_another_rate(motion, tmp_path):
    short = Motion(motion.joints[:20])
    write_film([motion, short], tmp_path / "a.mp4", size=(160, 120), fps=10)
    _, frames = film_of(tmp_path / "a.mp4")
    assert frames[0].shape == (120, 320, 3)
    assert len(frames) == 30
    assert np.abs(frames[-1][:, 160:] - frames[-5][:, 160:]).mean() < 1.5  # the short one stands still
    assert np.abs(frames[-1][:, :160] - frames[-5][:, :160]).mean() > 1.5


def test_each_motion_has_its_goals_and_title(motion, tmp_path):
    none = GOALS.model_copy(update={"goals": []})
    write_film([motion, motion], tmp_path / "a.mp4", goals=[none, GOALS], titles=["", "wanted"], size=(320, 240), fps=2)
    write_film([motion, motion], tmp_path / "b.mp4", goals=[none, GOALS], titles=["", ""], size=(320, 240), fps=2)
    frame, other = (film_of(tmp_path / name)[1][2] for name in ("a.mp4", "b.mp4"))
    assert near(frame[:, :320], style.GOAL) < 5 < 20 < near(frame[:, 320:], style.GOAL)
    changed = np.abs(frame - other).max(axis=-1) > 60
    rows, columns = changed.nonzero()
    assert len(rows) > 20
    assert columns.mean() == pytest.approx(480, abs=8)  # in the middle of the second picture
    assert rows.min() > 200
    assert frame[changed].max(axis=-1).min() < 80  # dark, on whatever is there


def test_overlaid_motions_have_distinct_tints(motion, tmp_path):
    several = [motion] * 3
    write_film(several, tmp_path / "a.mp4", layout="overlay", size=(320, 240), fps=2)
    _, frames = film_of(tmp_path / "a.mp4")
    assert frames[0].shape == (240, 320, 3)
    for tint in style.TINTS[:3]:
        assert near(frames[2][:90, :40], tint, 60) > 10  # in the legend
    assert near(frames[2], style.LEFT, 25) < 20
    with pytest.raises(InputError, match="5 motions do not go into one picture; give 1 to 4"):
        write_film([motion] * 5, tmp_path / "b.mp4", layout="overlay")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"size": (65, 80)}, "65x80 pixels cannot be made"),
        ({"size": (32, 80)}, "32x80 pixels cannot be made"),
        ({"fps": 0.0}, "a .mp4 of 0 pictures a second"),
        ({"fps": float("nan")}, "nan pictures a second"),
    ],
)
def test_invalid_films_are_refused(motion, tmp_path, bad, said):
    with pytest.raises(InputError, match=said):
        write_film(motion, tmp_path / "a.mp4", **bad)
    with pytest.raises(InputError, match=re.escape("a .gif of 60 pictures a second")):
        write_film(motion, tmp_path / "a.gif", fps=60)
    with pytest.raises(InputError, match="a motion of 1e.09 frames a second cannot be shown, 1 to 1000 can"):
        write_film([motion, replace(motion, fps=1e9)], tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"ends in .mp4 or .gif"):
        write_film(motion, tmp_path / "a.avi")
    assert not list(tmp_path.iterdir())


def test_tile_arranges_pictures_in_a_grid():
    pictures = [np.full((2, 3, 3), number, dtype=np.uint8) for number in range(5)]
    assert [grid_shape(count) for count in (1, 3, 4, 5)] == [(1, 1), (1, 3), (2, 2), (2, 3)]
    together = tile(pictures)
    assert together.shape == (4, 9, 3)
    assert together[::2, ::3, 0].tolist()[0] == [0, 1, 2]
    assert together[2, 3, 0] == 4
