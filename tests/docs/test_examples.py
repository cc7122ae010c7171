"""The examples run as they are typed, only shorter."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from motion_diffusion.motion import Motion
from motion_diffusion.samplers import consistent
from motion_diffusion.schedule import cosine

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """run_example(name, *arguments): the example, as it runs when typed in tmp_path; what it defines comes back."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return run


@pytest.mark.parametrize("kind", ["marginal", "absorbing"])
def test_foot_contacts(run_example, capsys, kind):
    short = ("--clips", 50, "--steps", 10, "--sampling-steps", 4, "--samples", 8)
    example = run_example("01_foot_contacts.py", *short, "--kind", kind, "--out", f"{kind}/contacts.png")
    title, head, *rows, last = capsys.readouterr().out.splitlines()
    assert title.split() == ["data", "samples"]
    assert head.split().count("mean") == 2
    assert [row[:16].strip() for row in rows] == [f"{foot} {way}" for foot in example["FEET"] for way in ("on", "off")]
    assert last == f"wrote {kind}/contacts.png"
    with Image.open(f"{kind}/contacts.png") as picture:
        assert picture.size == (1100, 800)


def test_foot_contacts_measures_runs():
    """The lengths that the table compares, on rows that can be counted by eye."""
    example = runpy.run_path(str(EXAMPLES / "01_foot_contacts.py"))
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
        run_example("01_foot_contacts.py", *arguments)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_between_two_motions(run_example, tmp_path, capsys):
    run_example("02_between_two_motions.py", "--between", 1, "--frames", 40, "--steps", 6, "--out", "o")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:3]] == ["inversion", "shared-noise"]
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        f"{way}-{i}.png" for way in ("inversion", "shared-noise") for i in range(3)
    }


def test_rate_and_distortion(run_example, capsys):
    """The parts add up to the bound, and whoever knows the prior has paid next to nothing."""
    run_example("03_rate_and_distortion.py", "--models", "v-small", "--clips", 2, "--steps", 8, "--out", "rate.png")
    _, row, last = capsys.readouterr().out.splitlines()
    name, *numbers = row.split()
    bound, prior, *parts = map(float, numbers)
    assert name == "v-small"
    assert bound == pytest.approx(prior + sum(parts), abs=0.003)
    assert 0 <= prior < 1e-3
    assert last == "wrote rate.png"
    with Image.open("rate.png") as picture:
        assert picture.size == (1100, 450)


SHORT = ("--steps", 3)


def test_in_between(run_example, capsys):
    run_example("04_in_between.py", *SHORT)
    figures = re.findall(r"[\d.]+(?= cm)", capsys.readouterr().out)
    assert figures[:2] == ["0.000", "0.000"]
    assert Motion.load("out/in-between/motion.npz").frames == 80


def test_continue(run_example, capsys):
    run_example("05_continue.py", *SHORT, "--seconds", 1.5)
    assert "they differ by 0.000 cm at most" in capsys.readouterr().out
    assert Motion.load("out/continued/motion.npz").frames == 60 + 30
    run_example("05_continue.py", "out/continued/motion.npz", *SHORT, "--seconds", 0.5, "--out", "again")
    first, second = Motion.load("out/continued/motion.npz"), Motion.load("again/motion.npz")
    assert torch.equal(second.joints[:90], first.joints)


def test_regenerate(run_example, capsys):
    run_example("06_regenerate.py", *SHORT)
    outside, inside = re.findall(r"[\d.]+(?= cm)", capsys.readouterr().out)
    assert float(outside) < 0.01 < float(inside)
    with pytest.raises(SystemExit, match="2"):
        run_example("06_regenerate.py", *SHORT, "--start", 4, "--end", 3)
    assert "give a part that begins" in capsys.readouterr().err


def test_a_new_way_of_guiding(run_example, capsys):
    goals = Path(__file__).parents[2] / "assets" / "goals" / "zigzag.json"
    example = run_example(
        "07_a_new_way_of_guiding.py", "--goals", goals, "--motions", 1, "--frames", 120, "--steps", 3, "--most", 2
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [(way, n) for way in ("gradient", "projection") for n in ("1", "2")]
    assert float(rows[3][3]) == 0.0

    asked = []

    def denoise(x, t, s):
        asked.append((t, x))
        return consistent(torch.ones_like(x), x, t, schedule)

    schedule, x = cosine(100), torch.zeros(1, 2, 3)
    again = example["recurrence"](denoise, schedule, lambda: torch.full_like(x, 2.0), times=3)
    again(x, 50, 40)
    alpha, sigma = schedule.row(50)
    torch.testing.assert_close(asked[2][1], torch.full_like(x, alpha + 2 * sigma))  # as noisy as it was, around x̂0
    asked.clear()
    again(x, 20, 10)
    assert len(asked) == 1


def test_obstacles(run_example, capsys):
    goals = Path(__file__).parents[2] / "assets" / "goals" / "obstacles.json"
    run_example("08_obstacles.py", "--goals", goals, "--motions", 3, "--batch", 2, "--steps", 10)
    assert capsys.readouterr().out.startswith("0 of 3 motions get inside, in 0 frames of all;")
    assert Path("out/obstacles/path-2.png").is_file()
    unguided = ("--motions", 3, "--steps", 10, "--guidance", "none", "--out", "n")
    run_example("08_obstacles.py", "--goals", goals, *unguided)
    assert not capsys.readouterr().out.startswith("0 of 3")  # who is not guided walks into them
