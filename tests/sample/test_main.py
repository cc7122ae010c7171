"""The command `python -m sample`: files, output, and errors."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

import sample.__main__ as command
from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import SCHEMA, load_goals
from guidance.goals.goal_set import GoalSet
from guidance.goals.poses import Pose
from motion_diffusion.body.motion import Motion
from motion_diffusion.prompts import Known, KnownAction

GOALS = '{"version": 1, "goals": [{"kind": "waypoint", "time": 1.0, "x": 0.2, "z": 0.9}]}'
RESULTS = {"motion.npz", "motion.mp4", "path.png", "adherence.json"}


@pytest.fixture
def sample(tmp_path, run_in_folder, make_model):
    """sample(*arguments): the command in a folder with a model `m` and a goal file."""
    make_model().save(tmp_path / "m")
    (tmp_path / "goals.json").write_text(GOALS)
    return partial(run_in_folder, command)


SHORT = ("--model", "m", "--seconds", 1.6, "--steps", 3)


def test_results_are_written_and_not_overwritten(sample, tmp_path, capsys):
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


def test_every_kind_of_goal_has_a_row_in_the_table(walks):
    goals = load_goals(SCHEMA.parent / "everything.json")
    walk = torch.cat([walks[0], walks[0]])[:120]
    pose = GoalSet(goals=[*goals.goals, Pose.of(walk, 0), Pose(frame=3, motion=[[None] * 22])])
    residuals = pose.residuals(walk)
    header, *rows = command.residual_table(residuals).splitlines()
    assert len(rows) == len(pose.goals)
    assert max(map(len, rows)) < 110
    for number, (row, goal) in enumerate(zip(rows, pose.goals, strict=True), 1):
        assert row.startswith(f"{number} ")
        assert goal.when in row
        assert "None" not in row
    for words in ("22 joints, 120 frames", "keep out", "2.60–3.00 s", "face 60°", "last pose as the first"):
        assert any(words in row for row in rows)
    report = command.adherence_report(residuals, [], {})
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
        (("walk", "--seconds", "3601"), "--seconds 3601: .*up to 3600"),
        (("walk", "--seconds", "nan"), "--seconds nan"),
        (("walk", "--seed", -1), "^error: --seed -1: give 0 to 9,223,372,036,854,775,807$"),
        (("walk", "--seed", 2**63), "^error: --seed 9223372036854775808: give 0 to"),
        (("walk", "--seed", 10**26), "--seed 100000000000000000000000000: give 0 to"),
        (("walk", "--text-scale", "inf"), "^error: --text-scale inf: give -100 to 100$"),
        (("walk", "--text-scale", "1e30"), "--text-scale 1e.30: give -100 to 100"),
        (("walk", "--mask-scale", "nan"), "^error: --mask-scale nan: give -100 to 100$"),
        (("walk", "--classifier.inner", 10**9), "^error: --classifier.inner 1000000000: give 0 to 1,000$"),
        (("walk", "--noise.rounds", 0), "^error: --noise.rounds 0: give 1 to 10,000$"),
        (("--goals", "days.json"), "the segments last 36000 s together; give 3600 s at most"),
        (("walk\udcff",), r"the prompt 'walk\\udcff' has a NUL, or half of a surrogate pair"),
        (("--goals", "half.json"), "half of a surrogate pair"),
        (("walk", "--continue-from", "none.bvh"), "no file none.bvh"),
        (("walk", "--continue-from", "a.npz", "--regenerate", "a.npz"), "do not go together"),
        (("walk", "--continue-from", "a.npz", "--between", 1, 2), "--between goes with --regenerate"),
        (("walk", "--continue-from", "a.npz", "--keep", 3, 2), "--keep 3 2: a.npz lasts 3 s"),
        (("walk", "--continue-from", "a.npz", "--keep", 0, 99), "--keep 0 99: a.npz lasts 3 s"),
        (("walk", "--continue-from", "a.npz", "--keep", "nan", "inf"), "--keep nan inf"),
        (("walk", "--continue-from", "a.npz", "--guidance", "none"), "guidance none does not hold what is kept"),
        (("walk", "--continue-from", "a.npz", "--guidance", "masks+projection"), "masks does not make a part"),
        (("walk", "--continue-from", "a.npz", "--goals", "goals.json"), "goal 1 .waypoint. wants pelvis elsewhere"),
        (("", "--continue-from", "a.npz"), "prompt is empty"),
        (("walk", "--continue-from", "a.npz", "--seconds", 0.01), "0.01 s are less than a frame"),
        (("walk", "--continue-from", "a.npz", "--seconds", 200), "too long to go on from"),
        (("walk", "--regenerate", "a.npz"), "say which part with --between"),
        (("walk", "--regenerate", "a.npz", "--between", 0, 1), "from 0 to 1 s: the motion lasts from 0 to 3 s"),
        (("walk", "--regenerate", "a.npz", "--between", 1, "nan"), "from 1 to nan s: the motion lasts"),
        (("walk", "--regenerate", "a.npz", "--between", 1, 2, "--goals", "two.json"), "segments of 3 s for 1 s"),
        (("walk", "--keep", 1, 2), "--keep goes with --continue-from or --regenerate"),
        (("walk", "--up", "z"), "--up goes with"),
        (("walk", "--goals", "against.json"), "goal 1 .*goal 2 .*take one out"),
        (("walk", "--guidance", "imputation+projection"), "do not go together"),
        (
            ("walk", "--out", "goals.json"),
            r"^error: goals.json/motion.npz cannot be written \(Not a directory\); choose",
        ),
        (("walk", "--out", "goals.json/a/b"), r"b/motion.npz cannot be written \(Not a directory\); choose another"),
        (("walk", "--out", "odd", "--overwrite"), r"odd/motion.mp4 cannot be written \(Is a directory\); choose"),
        (("walk", "--model", "cut"), "model.safetensors"),
        (("walk", "--tries", 65), "^error: --tries 65: give 1 to 64$"),
        (("walk", "--tries", 3, "--seed", 2**63 - 2), "--seed and --tries: the last seed 9223372036854775808: give 0"),
        (("walk", "--matcher", "none"), "no matcher 'none'"),
        (("walk", "--engine", "onnx", "--guidance", "mmps"), "^error: mmps needs the gradient of the network.*auto or"),
    ],
)
def test_wrong_input_is_refused_in_one_line_without_files(sample, tmp_path, capsys, make_model, walks, arguments, said):
    Motion(walks[0][:60]).save(tmp_path / "a.npz")
    (tmp_path / "half.json").write_text('{"segments": [{"text": "\\ud800", "seconds": 2}]}')
    (tmp_path / "two.json").write_text('{"segments": [{"text": "walk", "seconds": 3}]}')
    days = {"segments": [{"text": "walk", "seconds": 3600}] * 10}
    (tmp_path / "days.json").write_text(json.dumps(days))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "late.json").write_text(GOALS.replace("1.0", "7.0"))
    two = GOALS.replace("}]", '}, {"kind": "waypoint", "time": 1.0, "x": 1.2, "z": 0.9}]')
    (tmp_path / "against.json").write_text(two)
    make_model().save(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (tmp_path / "odd" / "motion.mp4").mkdir(parents=True)
    there = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(SystemExit, match="2"):
        sample(*SHORT, "--out", "r", *arguments)
    printed = capsys.readouterr()
    assert not printed.out
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(said, last)
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == there


@pytest.mark.parametrize("argument", [("--noise.rounds", "0"), ("--out", "file")])
def test_a_new_process_refuses_wrong_options(tmp_path, argument):
    """Before the model is loaded, which does not exist."""
    (tmp_path / "file").write_text("")
    words = [sys.executable, "-m", "sample", "walk", "--model", "nowhere", *argument]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(f"error: ({argument[0]} {argument[1]}: give .*|file/motion.npz cannot be .*)\n", done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_impossible_goals_are_warned_about(sample, tmp_path, capsys):
    fast = {"version": 1, "goals": [{"kind": "waypoint", "time": 1.0, "x": 0, "z": 30}]}
    (tmp_path / "fast.json").write_text(json.dumps(fast))
    sample("walk", "--goals", "fast.json", "--out", "r", *SHORT)
    printed = capsys.readouterr()
    assert "30.0 m/s" in next(line for line in printed.err.splitlines() if line.startswith("warning: "))
    report = json.loads((tmp_path / "r" / "adherence.json").read_text())
    assert "30.0 m/s" in report["feasibility"][0]


KNOWS = Known((KnownAction("walk", 0.5, "a person walks", ("walks", "strolls")),), ("a", "person", "strolls", "walks"))


def test_unknown_words_are_warned_about(sample, tmp_path, capsys):
    KNOWS.write(tmp_path / "m")
    told = {"segments": [{"text": "a person walks", "seconds": 1}, {"text": "a person swims", "seconds": 1}]}
    (tmp_path / "told.json").write_text(json.dumps(told))
    sample("--goals", "told.json", "--out", "r", "--model", "m", "--steps", 3)
    printed = capsys.readouterr()
    warning = 'segment 2: nothing like "swims" was learned; nearest: "walks"'
    assert f"warning: {warning}" in printed.err.splitlines()
    assert "fits its words" not in printed.out
    assert json.loads((tmp_path / "r" / "adherence.json").read_text())["unknown"] == [warning]
    sample("an old person walks slowly", "--out", "s", *SHORT)
    printed = capsys.readouterr()
    assert "warning: nothing" not in printed.err
    assert "fits its words" in printed.out


def test_the_best_of_several_tries_is_kept_and_its_seed_printed(sample, tmp_path, capsys):
    one = ("a person walks", "--goals", "goals.json", "--guidance", "none", *SHORT)
    sample(*one, "--out", "best", "--seed", 3, "--tries", 3)
    motion = Motion.load(tmp_path / "best" / "motion.npz")
    assert motion.provenance["tries"] == 3
    assert f"the best of 3: seed {motion.provenance['seed']}" in capsys.readouterr().out
    fits = {}
    for seed in (3, 4, 5):
        sample(*one, "--out", f"s{seed}", "--seed", seed)
        alone = Motion.load(tmp_path / f"s{seed}" / "motion.npz")
        fits[seed] = alone.provenance["fit"]["similarity"]
        if seed == motion.provenance["seed"]:
            torch.testing.assert_close(alone.joints, motion.joints, atol=1e-3, rtol=1e-3)
    assert motion.provenance["seed"] == max(fits, key=fits.get)
    assert motion.provenance["fit"]["similarity"] == pytest.approx(max(fits.values()), abs=1e-2)


def test_known_prints_a_table_and_generates_nothing(sample, tmp_path, capsys):
    sample("--known", "--model", "m")
    assert capsys.readouterr().out == "m does not say what it was trained on: there is no m/known.json\n"
    KNOWS.write(tmp_path / "m")
    sample("--known", "--model", "m")
    *_, walk, total = capsys.readouterr().out.splitlines()
    assert walk.replace("|", " ").split() == ["walk", "30.0", "a", "person", "walks"]
    assert total == "1 actions, 0.50 hours"
    assert not (tmp_path / "out").exists()


def test_segments_have_their_own_prompts_and_durations(sample, tmp_path):
    told = {"segments": [{"text": "a person walks", "seconds": 1.0}, {"text": "someone bows", "seconds": 1.5}]}
    (tmp_path / "told.json").write_text(json.dumps(told))
    sample("--goals", "told.json", "--out", "r", "--model", "m", "--steps", 3)
    motion = Motion.load(tmp_path / "r" / "motion.npz")
    assert motion.frames == 50
    assert motion.text == "a person walks; then someone bows"


def test_clean_up_is_reported(sample, tmp_path, capsys):
    sample("walk", "--goals", "goals.json", "--out", "r", *SHORT)
    report = json.loads((tmp_path / "r" / "adherence.json").read_text())
    assert report["clean_up"]["bone_error_before_cm"] > 1
    assert report["goals"][0]["error_cm"] < 0.01


def test_a_bvh_is_continued_to_a_goal(sample, tmp_path, capsys, walks, write_bandai):
    """Time and position of the goal refer to the whole motion, which begins like the file."""
    write_bandai(tmp_path / "a.bvh", walks[0][:60].numpy())
    goal = '{"goals": [{"kind": "waypoint", "time": 2.5, "x": 0.5, "z": 2.0}]}'
    (tmp_path / "there.json").write_text(goal)
    sample("run", "--continue-from", "a.bvh", "--keep", 0.25, 1.5, "--goals", "there.json", "--out", "r", *SHORT)
    assert re.search(r"the new part fits what is kept to within 0\.0\d\d cm", capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "r").iterdir()} == RESULTS
    motion = Motion.load(tmp_path / "r" / "motion.npz")
    read = read_motion(tmp_path / "a.bvh", from_origin=True)
    assert motion.frames == 25 + 32
    assert torch.equal(motion.joints[:25], read.joints[5:30])
    assert motion.joints[50, 0, [0, 2]].tolist() == pytest.approx([0.5, 2.0], abs=1e-3)
    assert motion.provenance["part"]["of"]["provenance"] == {"file": "a.bvh", "retargeted": True}


def test_a_part_is_regenerated(sample, tmp_path, walks):
    source = Motion(walks[0][:60], text="a person walks")
    source.save(tmp_path / "a.npz")
    sample("a person waves", "--regenerate", "a.npz", "--between", 1, 2, "--out", "r", *SHORT)
    motion = Motion.load(tmp_path / "r" / "motion.npz")
    assert motion.text == "a person walks; from 1 to 2 s a person waves"
    same = (motion.joints == source.joints).flatten(1).all(1)
    assert same.nonzero()[:, 0].tolist() == [*range(20), *range(40, 60)]


def test_a_pose_goal_from_a_bvh(sample, tmp_path, walks, write_bandai):
    write_bandai(tmp_path / "a.bvh", walks[0][:60].numpy())
    pose = {"kind": "pose", "time": 1.0, "file": "a.bvh", "file_frame": 30, "at": [0.2, 0.8], "degrees": 90}
    (tmp_path / "pose.json").write_text(json.dumps({"goals": [pose]}))
    sample("walk", "--goals", "pose.json", "--out", "r", *SHORT)
    joints = Motion.load(tmp_path / "r" / "motion.npz").joints
    wanted = read_motion(tmp_path / "a.bvh").joints[30]
    assert joints[20, 0, [0, 2]].tolist() == pytest.approx([0.2, 0.8], abs=1e-3)
    torch.testing.assert_close(torch.cdist(joints[20], joints[20]), torch.cdist(wanted, wanted), atol=1e-3, rtol=0)
