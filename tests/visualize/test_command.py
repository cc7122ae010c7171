"""python -m visualize: written files and one-line errors."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visualize.__main__ as command
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from motion_diffusion.body.motion import Motion
from tests.data_loaders.amass_files import write_model, write_recording
from tests.visualize.pictures import GOALS, film_of, near, pixels
from visualize import stills
from visualize.drawing import style
from visualize.drawing.layers import miss_text
from visualize.scene import make_scene


@pytest.fixture
def visualize(tmp_path, run_in_folder, motion):
    Motion(motion.joints, provenance={"goals": GOALS.model_dump(exclude_none=True)}).save(tmp_path / "m.npz")
    return partial(run_in_folder, command)


def test_command_draws_the_goals_of_the_motion(visualize, tmp_path):
    visualize("m.npz", "--out", "a.png")
    assert near(pixels(tmp_path / "a.png"), style.GOAL) > 50
    visualize("m.npz", "--out", "b.png", "--view", "path")
    assert pixels(tmp_path / "b.png").shape == (760, 900, 3)
    visualize("m.npz", "m.npz", "--out", "c.mp4", "--fps", 5, "--size", 160, 120)
    assert film_of(tmp_path / "c.mp4")[1][0].shape == (120, 320, 3)
    visualize("m.npz", "m.npz", "--out", "d.gif", "--fps", 5, "--size", 160, 120, "--layout", "overlay")
    assert film_of(tmp_path / "d.gif")[1][0].shape == (120, 160, 3)


def test_temporary_files_of_a_killed_film_are_removed_by_the_next(visualize, tmp_path):
    arguments = [sys.executable, "-m", "visualize", "m.npz", "--out", "a.mp4", "--size", "64", "64", "--fps"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([*arguments, "240"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and not list(tmp_path.glob(".half-*/.half.mp4")):
            time.sleep(0.01)
        running.kill()
    assert list(tmp_path.glob(".half-*"))
    users = [".half-notes", ".half-0123abcd", ".a-20240101.mp4"]
    for name in users:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").write_text("mine")
    subprocess.run([*arguments, "2"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"m.npz", "a.mp4", *users}


def test_given_goals_replace_those_of_all_motions(visualize, tmp_path):
    (tmp_path / "none.json").write_text(json.dumps({"version": 1, "goals": []}))
    visualize("m.npz", "m.npz", "--out", "a.png", "--view", "path", "--goals", "none.json")
    image = pixels(tmp_path / "a.png")
    assert image.shape == (760, 1800, 3)
    assert near(image, style.GOAL) < 30


def test_a_folder_becomes_sheets(visualize, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stills, "MOTIONS_PER_PAGE", 5)
    for number in range(7):
        (tmp_path / "many" / f"take{number}").mkdir(parents=True)
        shutil.copy(tmp_path / "m.npz", tmp_path / "many" / f"take{number}" / "motion.npz")
    (tmp_path / "many" / "notes.txt").write_text("no motion")
    visualize("many", "--out", "a.png")
    assert capsys.readouterr().out == "a.png: 5 of 7 motions, page 1 of 2\n"
    visualize("many", "--out", "b.png", "--page", 2)
    assert [Image.open(tmp_path / name).size for name in ("a.png", "b.png")] == [(1600, 1020), (800, 680)]
    with pytest.raises(SystemExit):
        visualize("many", "--out", "c.png", "--page", 3)
    assert "page 3: 7 motions are on 2 page(s); give 1 to 2" in capsys.readouterr().err


def test_motion_files_are_sorted_naturally(tmp_path):
    for name in ("m10.npz", "m9.npz", "m1.bvh", "x.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in stills.motion_files([tmp_path])] == ["m1.bvh", "m9.npz", "m10.npz"]


@pytest.mark.parametrize("ending", ["bvh", "glb", "npz", "csv"])
def test_command_exports_each_format(visualize, tmp_path, ending):
    visualize("m.npz", "--out", f"a.{ending}", "--fps", 30)
    assert (tmp_path / f"a.{ending}").stat().st_size > 1000


def test_command_reads_exported_files(visualize, tmp_path):
    visualize("m.npz", "--out", "a.bvh", "--unit", "cm", "--t-pose")
    visualize("a.bvh", "--out", "a.png")
    assert pixels(tmp_path / "a.png").shape == (640, 1600, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("m.npz", "--out", "a.avi"), r"a.avi: its ending says what to write, one of .mp4, .gif, .png, .bvh"),
        (("--out", "a.png"), "no motion given"),
        (("none.npz", "--out", "a.png"), "none.npz"),
        (("empty", "--out", "a.png"), "no motions in empty"),
        (("m.npz", "--out", "m.png", "--goals", "none.json"), "no goal file"),
        (("m.npz", "--out", "there.png"), "--overwrite"),
        (("m.npz", "m.npz", "--out", "a.bvh"), "a.bvh holds one motion, 2 were given"),
        (("m.npz", "--out", "a.mp4", "--body", "robot"), "unknown body 'robot'; choose one of stick"),
        (("m.npz", "--out", "a.mp4", "--body", "smplh", "--body-models", "empty"), "no SMPL-H body model"),
        (("m.npz", "--out", "a.mp4", "--unit", "cm"), "--unit is of .bvh, .csv files; leave it out for a.mp4"),
        (("m.npz", "--out", "a.glb", "--unit", "cm"), "--unit is of .bvh, .csv files; leave it out for a.glb"),
        (("m.npz", "--out", "a.png", "--page", "2"), "--page is of a sheet of many motions; leave it out"),
        (("m.npz", "m.npz", "--out", "a.png", "--view", "path", "--page", "2"), "--page is of a sheet"),
        ((*["none.npz"] * 17, "--out", "a.mp4"), "17 motions do not go into one picture; give 1 to 16"),
        ((*["none.npz"] * 17, "--out", "a.png", "--view", "path"), "17 motions do not go into one picture"),
        ((*["none.npz"] * 5, "--out", "a.gif", "--layout", "overlay"), "5 motions .* give 1 to 4"),
        (("m.npz", "nan.npz", "--out", "a.png"), "nan.npz: joints of frame 3"),
        (("m.npz", "--out", "a.png", "--layout", "overlay"), "--layout is of .mp4, .gif files"),
        (
            ("m.npz", "--out", "a.csv", "--body", "anny"),
            "--body and --gender are of films and of poses; leave them out for a.csv",
        ),
        (("m.npz", "--out", "a.png", "--view", "path", "--body", "anny"), "leave them out for a.png"),
        (("m.npz", "--out", "a.mp4", "--titles", "a", "b"), "2 titles for 1 motions"),
        (("none.npz", "--out", "a.gif", "--fps", "60"), r"60 pictures a second cannot be made; give 1 to 50 \(--fps\)"),
        (("none.npz", "--out", "a.mp4", "--fps", "nan"), "nan pictures a second cannot be made"),
        (("none.npz", "--out", "a.bvh", "--fps", "1e30"), "--fps 1e.30: give more than 0 to 1,000"),
        (("none.npz", "--out", "a.mp4", "--size", 10**9, 64), r"give even numbers from 64 to 4096 \(--size\)"),
        (("plots", "m.npz", "--out", "m.npz"), r"m.npz/figure cannot be written \(Not a directory\)"),
        (("m.npz", "--out", "m.npz/a.mp4"), "m.npz/a.mp4 cannot be written"),
        (("none.npz", "--out", "folder.mp4", "--overwrite"), r"folder.mp4 cannot be written \(Is a directory\)"),
        (("none.npz", "--out", "n" * 300 + ".mp4"), "nnn.mp4 cannot be written"),
        (("n" * 300 + ".npz", "--out", "a.mp4"), "no file n+.npz"),
        (("m.npz", "--out", "m.npz", "--overwrite"), "m.npz is a motion that is to be shown; give another --out"),
        ((".", "--out", "link.npz", "--overwrite"), "link.npz is a motion that is to be shown"),
        (("none.npz", "m.npz", "--out", "a.mp4"), "none.npz"),
        (("nan.npz", "--out", "a.mp4"), "nan.npz: joints of frame 3 are not all finite"),
        (("bomb.npz", "--out", "a.gif"), "bomb.npz unpacks to 6144 MB, and 1024 MB are read at most"),
        (("void.npz", "--out", "a.gif"), r"void.npz: joints have shape \(0, 22, 3\)"),
        (
            ("odd.npz", "--out", "a.png"),
            "odd.npz: the goals it was made with: field goals: should be a valid list, not 3",
        ),
    ],
)
def test_invalid_input_gives_a_one_line_error(visualize, tmp_path, motion, capsys, arguments, said):
    (tmp_path / "there.png").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.npz").symlink_to("m.npz")
    with np.load(tmp_path / "m.npz") as file:
        arrays = dict(file)
    bad = arrays["joints"].copy()
    bad[3, 5, 1] = np.nan
    np.savez(tmp_path / "nan.npz", **(arrays | {"joints": bad}))
    np.savez(tmp_path / "void.npz", **(arrays | {"joints": bad[:0]}))
    Motion(motion.joints, provenance={"goals": {"goals": 3}}).save(tmp_path / "odd.npz")
    shutil.copy(tmp_path / "m.npz", tmp_path / "bomb.npz")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "a") as archive:
        archive.getinfo("joints.npy").file_size = 6 * 2**30
        archive.comment = b"changed"  # so that the directory is written again
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(SystemExit, match="2"):
        visualize(*arguments)
    error = capsys.readouterr().err.rpartition("\r")[2]  # of a progress bar
    assert error.startswith("error: ")
    assert re.search(said, error)
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before


def test_body_models_are_used_for_recordings(visualize, tmp_path):
    write_recording(tmp_path / "kick.npz")
    write_model(tmp_path / "bodies")
    models = ("--body-models", "bodies")
    visualize("kick.npz", "--out", "a.csv", *models)
    visualize("kick.npz", "--out", "a.png", *models)
    visualize("kick.npz", "m.npz", "--out", "sheet.png", *models)
    visualize("kick.npz", "--out", "path.png", "--view", "path", *models)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 41  # two seconds, and a line that says what is what


def test_goals_after_the_end_are_reported_and_not_measured(visualize, motion, tmp_path, capsys):
    late = GoalSet(goals=[Waypoint(time=99, x=0.5, z=1)])
    (tmp_path / "late.json").write_text(late.model_dump_json(exclude_none=True))
    for name, view in (("a.png", ()), ("b.png", ("--view", "path")), ("c.mp4", ("--fps", 2, "--size", 64, 64))):
        visualize("m.npz", "--out", name, "--goals", "late.json", *view)
        assert (
            "warning: m.npz ends at 2.95 s, before 1 of its goals, which are drawn but not measured\n"
            in capsys.readouterr().err
        )
    scene, longer = make_scene(motion, late), make_scene(Motion(motion.joints.repeat(40, 1, 1)), late)
    assert miss_text(scene.glyphs[0], [scene, scene]) == "beyond the end"
    assert re.fullmatch(r"–, \d+ cm off", miss_text(scene.glyphs[0], [scene, longer]))


def test_missing_extras_are_reported_before_reading(visualize, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(SystemExit, match="2"):
        visualize("none.npz", "--out", "a.mp4", "--body", "capsules")
    assert 'pip install "motion-diffusion[mesh]"' in capsys.readouterr().err


def test_command_has_a_studio_verb(visualize, capsys):
    pytest.importorskip("visualize.studio.__main__")
    with pytest.raises(SystemExit, match="0"):
        visualize("studio", "--help")
    assert "python -m visualize studio" in capsys.readouterr().out
