"""The examples run as they are typed, only shorter."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

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
