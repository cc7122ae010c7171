"""The table of actions that a model can generate."""

import csv
from functools import partial

import pytest

import sample.evaluate as command
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import split_of
from sample.evaluation.action_classifier import ActionRow, _rows


def test_rows_have_the_recognised_share_and_the_most_frequent_error():
    asked = ["walk"] * 4 + ["bow"] * 4 + ["jump"] * 2
    named = ["walk", "walk", "walk", "run", "walk", "sit", "walk", "bow", "jump", "jump"]
    assert _rows(asked, named, {"walk": 1.0, "bow": 0.5}) == [
        ActionRow("jump", 1.0, None, ""),
        ActionRow("walk", 0.75, 1.0, "run"),
        ActionRow("bow", 0.25, 0.5, "walk"),
    ]


@pytest.fixture
def actions(tmp_path, monkeypatch, run_in_folder, make_model, write_bandai):
    """actions(*arguments): the command, in a folder with a model, and walks and bows of which only walks are tested."""
    make_model("v").save(tmp_path / "v")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for action, parts in (("walk", ("train", "test")), ("bow", ("train",))):
        names = [f"dataset-1_{action}_normal_{i:03d}" for i in range(60)]
        for part in parts:
            for i, name in enumerate([name for name in names if split_of(name) == part][:2]):
                write_bandai(tmp_path / "data" / f"{name}.bvh", ProceduralWalks(5, 90, 90).example(i).joints)
    return partial(run_in_folder, command, *"--actions --data bandai --data-root data --model v --steps 2".split())


def test_the_command_writes_and_prints_the_table(actions, tmp_path, capsys):
    actions("--motions", 2, "--judge-steps", 2, "--key-frames", 3, "--out", "a")
    said = capsys.readouterr().out
    with (tmp_path / "a" / "table.csv").open(newline="") as file:
        rows = {row["action"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"walk", "bow"}
    assert rows["bow"]["in real test clips"] == ""
    assert {float(row["recognised in the model's motions"]) for row in rows.values()} <= {0.0, 0.5, 1.0}
    good = sum(float(row["recognised in the model's motions"]) >= 0.7 for row in rows.values())
    assert f"v: {good} of 2 actions" in said
    assert "with 3 key frames" in said
