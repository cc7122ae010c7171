"""The command: what it writes and prints, and what it says about bad input."""

import json
import re
from functools import partial

import pytest
import torch

import sample.__main__ as command
from guidance.goals import SCHEMA, Goals, Pose, load_goals
from motion_diffusion.motion import Motion

GOALS = '{"version": 1, "goals": [{"kind": "waypoint", "time": 1.0, "x": 0.2, "z": 0.9}]}'
RESULTS = {"motion.npz", "motion.mp4", "path.png", "adherence.json"}


@pytest.fixture
def sample(tmp_path, run_in_folder, make_model):
    """sample(*arguments): the command in a folder with a model `m` and a goal file."""
    make_model().save(tmp_path / "m")
    (tmp_path / "goals.json").write_text(GOALS)
    return partial(run_in_folder, command)


SHORT = ("--model", "m", "--seconds", 1.6, "--steps", 3)


def test_writes_its_results_and_keeps_them(sample, tmp_path, capsys):
    sample("a tired person walks", "--goals", "goals.json", "--out", "r", *SHORT)
    printed = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "r").iterdir()} == RESULTS
    motion = Motion.load(tmp_path / "r" / "motion.npz")
    report = json.loads((tmp_path / "r" / "adherence.json").read_text())
    missed = (motion.joints[20, 0, [0, 2]] - torch.tensor([0.2, 0.9])).norm().item()
    assert report["goals"][0]["error_cm"] == pytest.approx(100 * missed, abs=1e-3)
    assert report["goals"][0]["met"] is (missed <= 0.05)
    row = next(line for line in printed.splitlines() if "waypoint" in line)
    assert "0.20, -, 0.90" in row
    assert f"{100 * missed:.1f} cm" in row

    before = (tmp_path / "r" / "motion.npz").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        sample("walk", "--out", "r", *SHORT)
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "r" / "motion.npz").read_bytes() == before
    sample("walk", "--out", "r", "--overwrite", *SHORT)
    assert (tmp_path / "r" / "motion.npz").read_bytes() != before


def test_every_kind_of_goal_has_a_row(walks):
    goals = load_goals(SCHEMA.parent / "everything.json")
    walk = torch.cat([walks[0], walks[0]])[:120]
    pose = Goals(goals=[*goals.goals, Pose.of(walk, 0), Pose(frame=3, motion=[[None] * 22])])
    residuals = pose.residuals(walk)
    header, *rows = command.table(residuals).splitlines()
    assert len(rows) == len(pose.goals)
    assert max(map(len, rows)) < 110
    for number, (row, goal) in enumerate(zip(rows, pose.goals, strict=True), 1):
        assert row.startswith(f"{number} ")
        assert goal.when in row
        assert "None" not in row
    for words in ("22 joints, 120 frames", "keep out", "2.60–3.00 s", "face 60°", "last pose as the first"):
        assert any(words in row for row in rows)
    report = command.adherence(residuals, [], None)
    assert len(report) < 20_000
    assert [row["met"] for row in json.loads(report)["goals"]] == [residual.met for residual in residuals]
    assert "error" in header


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "prompt is empty"),
        (("walk", "--model", "no-such"), "no model 'no-such'"),
        (("walk", "--goals", "none.json"), "no goal file none.json"),
        (("walk", "--goals", "broken.json"), "broken.json is not JSON"),
        (("walk", "--goals", "late.json"), "goal 1 .*beyond the motion"),
        (("walk", "--seconds", "60"), "too long"),
        (("walk", "--seconds", "20000"), "too long"),
        (("walk", "--seconds", "nan"), "--seconds nan"),
        (("walk", "--goals", "against.json"), "goal 1 .*goal 2 .*take one out"),
        (("walk", "--guidance", "imputation+projection"), "do not go together"),
        (("walk", "--out", "goals.json"), "goals.json"),
        (("walk", "--model", "cut"), "model.safetensors"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(sample, tmp_path, capsys, make_model, arguments, said):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "late.json").write_text(GOALS.replace("1.0", "7.0"))
    two = GOALS.replace("}]", '}, {"kind": "waypoint", "time": 1.0, "x": 1.2, "z": 0.9}]')
    (tmp_path / "against.json").write_text(two)
    make_model().save(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    there = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(SystemExit, match="2"):
        sample(*SHORT, "--out", "r", *arguments)
    printed = capsys.readouterr()
    assert not printed.out
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(said, last)
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == there


def test_impossible_goals_are_warned_about(sample, tmp_path, capsys):
    fast = {"version": 1, "goals": [{"kind": "waypoint", "time": 1.0, "x": 0, "z": 30}]}
    (tmp_path / "fast.json").write_text(json.dumps(fast))
    sample("walk", "--goals", "fast.json", "--out", "r", *SHORT)
    printed = capsys.readouterr()
    assert "30.0 m/s" in next(line for line in printed.err.splitlines() if line.startswith("warning: "))
    report = json.loads((tmp_path / "r" / "adherence.json").read_text())
    assert "30.0 m/s" in report["feasibility"][0]


def test_segments_need_no_prompt_and_say_how_long(sample, tmp_path):
    told = {"segments": [{"text": "a person walks", "seconds": 1.0}, {"text": "someone bows", "seconds": 1.5}]}
    (tmp_path / "told.json").write_text(json.dumps(told))
    sample("--goals", "told.json", "--out", "r", "--model", "m", "--steps", 3)
    motion = Motion.load(tmp_path / "r" / "motion.npz")
    assert motion.frames == 50
    assert motion.text == "a person walks; then someone bows"


def test_clean_up_is_reported(sample, tmp_path, capsys):
    sample("walk", "--goals", "goals.json", "--out", "r", "--clean-up", *SHORT)
    assert "bones are off by up to" in capsys.readouterr().out
    report = json.loads((tmp_path / "r" / "adherence.json").read_text())
    assert report["clean_up"]["bone_error_after_cm"] < report["clean_up"]["bone_error_before_cm"]
    assert report["goals"][0]["error_cm"] < 0.01
