"""The examples run as they are typed, only shorter."""

import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from data_loaders.load_motion import read_motion
from motion_diffusion.body.body_fit import MAX_CONSTRAINT_ERROR
from motion_diffusion.body.motion import Motion
from motion_diffusion.diffusion.samplers import estimate_from_x0
from motion_diffusion.diffusion.schedule import cosine

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """run_example(name, *arguments): the example, as it runs when typed in tmp_path; what it defines comes back."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return run


def test_first_motion(run_example):
    """Ten lines of Python, from words to a motion file, a picture and a film."""
    run_example("01_first_motion.py")
    lines = [line for line in (EXAMPLES / "01_first_motion.py").read_text().split('"""')[2].splitlines() if line]
    assert len([line for line in lines if "import" not in line]) <= 10
    assert Motion.load("out/first/motion.npz").frames == 100
    assert {path.name for path in Path("out/first").iterdir()} == {"motion.npz", "motion.png", "motion.mp4"}


def test_own_path(run_example, capsys):
    """The walk goes where the file says."""
    points = [(0.0, 0.0), (0.4, 1.0), (0.0, 2.0)]
    Path("way.csv").write_text("\n".join(f"{x},{z}" for x, z in points))
    run_example("02_own_path.py", "--points", "way.csv", "--seconds", 3, "--steps", 3)
    assert "missed by 0.00 cm" in capsys.readouterr().out
    way = Motion.load("out/path/motion.npz").joints[:, 0, [0, 2]]
    assert all((way - torch.tensor(point)).norm(dim=-1).min() < 0.03 for point in points)
    Path("way.csv").write_text("1,2,3")
    with pytest.raises(SystemExit, match="2"):
        run_example("02_own_path.py", "--points", "way.csv")
    assert "has 3 columns; give two" in capsys.readouterr().err


def test_key_frames(run_example, capsys):
    run_example("03_key_frames.py", "--steps", 3)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[:3]] == [["joint", "0.00"], ["waypoint", "0.00"], ["relation", "0.00"]]
    assert Motion.load("out/key-frames/motion.npz").joints[40, 21, 1] == pytest.approx(1.7, abs=1e-4)


def test_eps_against_x0(run_example, capsys):
    goals = Path(__file__).parents[2] / "assets" / "goals" / "zigzag.json"
    run_example("08_eps_against_x0.py", "--goals", goals, "--steps", 3, "--motions", 2)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows[1:7:2]] == ["x0-mixed", "eps-mixed", "v-mixed"]
    assert all(float(row[2]) == 0.0 for row in rows[2:7:2])  # guided
    assert all(float(row[2]) > 1.0 for row in rows[1:7:2])
    assert Path("out/eps-against-x0/side-by-side.mp4").stat().st_size > 10_000


def test_train_on_your_bvh(run_example, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parents[1]))
    run_example("09_train_on_your_bvh.py", "--steps", 2)
    assert Motion.load("out/my-model/made/motion.npz").frames == 60
    assert Path("out/my-model/clip.png").is_file()
    with pytest.raises(SystemExit, match="2"):
        run_example("09_train_on_your_bvh.py", "--folder", "nowhere", "--out", "elsewhere")


def test_export_to_blender(run_example):
    run_example("10_export_to_blender.py", "--steps", 3, "--fps", 60)
    there = read_motion(Path("out/export/walk.bvh"))
    table = np.loadtxt("out/export/walk.csv", delimiter=",", skiprows=1)
    assert len(table) == 3 * 79 + 1
    made = torch.from_numpy(table[2::3, 2:]).reshape(-1, 22, 3).float()  # the file's first frame is the T-pose
    away = (there.joints[1:] - made).norm(dim=-1)  # read as places, to which the body is fitted anew
    assert away.mean() < 5e-5
    assert away.max() < 3e-3


@pytest.mark.parametrize("kind", ["marginal", "absorbing"])
def test_foot_contacts(run_example, capsys, kind):
    short = ("--clips", 50, "--steps", 10, "--sampling-steps", 4, "--samples", 8)
    example = run_example("12_foot_contacts.py", *short, "--kind", kind, "--out", f"{kind}/contacts.png")
    title, head, *rows, last = capsys.readouterr().out.splitlines()
    assert title.split() == ["data", "samples"]
    assert head.split().count("mean") == 2
    assert [row[:16].strip() for row in rows] == [f"{foot} {way}" for foot in example["FEET"] for way in ("on", "off")]
    assert last == f"wrote {kind}/contacts.png"
    with Image.open(f"{kind}/contacts.png") as picture:
        assert picture.size == (1100, 800)


def test_foot_contacts_measures_runs():
    """The lengths that the table compares, on rows that can be counted by eye."""
    example = runpy.run_path(str(EXAMPLES / "12_foot_contacts.py"))
    contacts = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    assert example["run_lengths"](contacts, True).tolist() == [2, 1, 4]
    assert example["run_lengths"](contacts, False).tolist() == [1, 4]
    assert example["describe"](contacts, True).split() == ["58%", "2.3", "1", "2", "4"]
    assert example["describe"](contacts[1:2], True).split() == ["0%", *4 * "–"]
    labels = torch.tensor([[0, 5, 15]])
    assert example["contacts_of"](labels).int().tolist() == [[[0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--data", "bandai"), "--data-root"),
        (("--steps", 0), "--steps is 0"),
        (("--sampling-steps", 0), "steps must be"),
    ],
)
def test_foot_contacts_says_what_is_wrong(run_example, capsys, arguments, told):
    with pytest.raises(SystemExit) as stopped:
        run_example("12_foot_contacts.py", *arguments)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_between_two_motions(run_example, tmp_path, capsys):
    run_example("13_between_two_motions.py", "--between", 1, "--frames", 40, "--steps", 6, "--out", "o")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:3]] == ["inversion", "shared-noise"]
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        f"{way}-{i}.png" for way in ("inversion", "shared-noise") for i in range(3)
    }


def test_rate_and_distortion(run_example, capsys):
    """The parts add up to the bound, and whoever knows the prior has paid next to nothing."""
    run_example("14_rate_and_distortion.py", "--models", "v-mixed", "--clips", 2, "--steps", 8, "--out", "rate.png")
    _, row, last = capsys.readouterr().out.splitlines()
    name, *numbers = row.split()
    bound, prior, *parts = map(float, numbers)
    assert name == "v-mixed"
    assert bound == pytest.approx(prior + sum(parts), abs=0.003)
    assert 0 <= prior < 1e-3
    assert last == "wrote rate.png"
    with Image.open("rate.png") as picture:
        assert picture.size == (1100, 450)


SHORT = ("--steps", 3)


def test_in_between(run_example, capsys):
    run_example("05_in_between.py", *SHORT)
    figures = re.findall(r"[\d.]+(?= cm)", capsys.readouterr().out)
    assert max(map(float, figures[:2])) <= 100 * MAX_CONSTRAINT_ERROR
    assert Motion.load("out/in-between/motion.npz").frames == 80


def test_continue(run_example, capsys):
    run_example("06_continue.py", *SHORT, "--seconds", 1.5)
    said = capsys.readouterr().out
    assert "what was there stayed; both parts differ by 0.000 cm" in said
    assert Motion.load("out/continued/motion.npz").frames == 60 + 30
    run_example("06_continue.py", "out/continued/motion.npz", *SHORT, "--seconds", 0.5, "--out", "again")
    first, second = Motion.load("out/continued/motion.npz"), Motion.load("again/motion.npz")
    assert torch.equal(second.joints[:90], first.joints)


def test_regenerate(run_example, capsys):
    run_example("07_regenerate.py", *SHORT)
    outside, inside = re.findall(r"[\d.]+(?= cm)", capsys.readouterr().out)
    assert float(outside) == 0.0
    assert float(inside) > 1.0
    with pytest.raises(SystemExit, match="2"):
        run_example("07_regenerate.py", *SHORT, "--start", 4, "--end", 3)
    assert "give a part that begins after its first frame" in capsys.readouterr().err


def test_a_new_way_of_guiding(run_example, capsys):
    goals = Path(__file__).parents[2] / "assets" / "goals" / "zigzag.json"
    example = run_example(
        "11_a_new_way_of_guiding.py", "--goals", goals, "--motions", 1, "--frames", 120, "--steps", 3, "--most", 2
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [(way, n) for way in ("gradient", "projection") for n in ("1", "2")]
    assert float(rows[3][3]) == 0.0

    asked = []

    def denoise(x, t, s):
        asked.append((t, x))
        return estimate_from_x0(torch.ones_like(x), x, t, schedule)

    schedule, x = cosine(100), torch.zeros(1, 2, 3)
    problem = SimpleNamespace(schedule=schedule)
    again = example["Recurrence"](3).wrap(denoise, problem, lambda: torch.full_like(x, 2.0))
    again(x, 50, 40)
    alpha, sigma = schedule.row(50)
    torch.testing.assert_close(asked[2][1], torch.full_like(x, alpha + 2 * sigma))  # as noisy as it was, around x̂0
    asked.clear()
    again(x, 20, 10)
    assert len(asked) == 1


def test_obstacles(run_example, capsys):
    goals = Path(__file__).parents[2] / "assets" / "goals" / "obstacles.json"
    run_example("04_obstacles.py", "--goals", goals, "--motions", 3, "--batch", 2, "--steps", 10)
    assert capsys.readouterr().out.startswith("0 of 3 motions get inside, in 0 frames of all;")
    assert Path("out/obstacles/path-2.png").is_file()
    unguided = ("--motions", 3, "--steps", 10, "--guidance", "none", "--out", "n")
    run_example("04_obstacles.py", "--goals", goals, *unguided)
    assert not capsys.readouterr().out.startswith("0 of 3")  # who is not guided walks into them


def test_best_and_worst(run_example, capsys):
    """A row for each prompt, with the better motion on the left."""
    run_example("16_best_and_worst.py", "--prompts", "a person walks", "a person bows", "--seeds", 2, "--steps", 3)
    ranges = [line.split()[:3:2] for line in capsys.readouterr().out.splitlines() if " to " in line]
    assert [float(low) <= float(high) for low, high in ranges] == [True, True]
    assert Image.open("out/best_and_worst.png").size == (1800, 520)
