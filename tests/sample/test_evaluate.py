"""The evaluation, end to end on a tiny data root, and its parts on motions whose figures are known."""

import json
from functools import partial

import numpy as np
import pytest
import torch

import sample.evaluate as command
from data_loaders.clip import Clip, split_of
from data_loaders.procedural import ProceduralWalks
from motion_diffusion.errors import InputError
from sample.judge import ActionJudge


def standing(walk):
    """The same length of time in the first pose, swaying a little."""
    time = np.arange(len(walk))[:, None, None] / 20
    return (walk[:1] + 0.01 * np.sin(3 * time)).astype(np.float32)


@pytest.fixture(scope="module")
def labelled():
    """(motions, names): people who walk and people who stand."""
    walks = [ProceduralWalks(4, 80, 50).example(i).joints for i in range(24)]
    moving = [w for w in walks if np.linalg.norm(w[-1, 0] - w[0, 0]) > 1.0]
    motions = moving + [standing(w) for w in moving]
    return [torch.from_numpy(m) for m in motions], ["walk"] * len(moving) + ["bow"] * len(moving)


@pytest.fixture(scope="module")
def judge(labelled):
    motions, names = labelled
    return ActionJudge.train(motions[::2], names[::2], frames=60, steps=40)


def test_the_judge_tells_walking_from_standing(judge, labelled):
    motions, names = labelled
    assert judge.name(motions[1::2]) == names[1::2]
    assert judge.name(motions[1:2]) == judge.name(motions[1::2])[:1]  # padding changes nothing


def test_real_clips_have_no_errors_and_moved_ones_have_theirs(judge, labelled):
    walks = [Clip(f"c{i}", motion.numpy(), action="walk", style="normal") for i, motion in enumerate(labelled[0][:6])]
    tasks = command.trials(walks, command.Options(num=9, keyframes=5), 60)
    assert len(tasks) == 9
    assert all(len(task.joints) <= 60 and len(task.key_frames) == 5 for task in tasks)
    assert all(len(set(task.key_frames.tolist())) == 5 for task in tasks)
    pace = {"walk": 1.0}
    real = command.measure([task.joints for task in tasks], tasks, judge, pace)
    assert real["average error, cm"] == real["motions off by 20 cm"] == 0
    named = judge.name([task.joints for task in tasks])
    assert real["action recognised"] == pytest.approx(named.count("walk") / 9)
    moved = command.measure([task.joints + 0.3 for task in tasks], tasks, judge, pace)
    assert moved["average error, cm"] == pytest.approx(30 * 2**0.5, rel=1e-4)
    assert (moved["key frames off by 20 cm"], moved["key frames off by 50 cm"]) == (1, 0)
    assert (moved["motions off by 20 cm"], moved["motions off by 50 cm"]) == (1, 0)
    assert moved["fastest root, m/s"] == pytest.approx(real["fastest root, m/s"], rel=1e-4)


@pytest.fixture
def evaluate(tmp_path, monkeypatch, run_in_folder, make_model):
    make_model().save(tmp_path / "m")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return partial(run_in_folder, command, "--model", "m")


def test_the_command(evaluate, tmp_path, write_bandai, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    names = [f"dataset-1_{action}_normal_{i:03d}" for i in range(60) for action in ("walk", "bow")]
    parts = {part: [name for name in names if split_of(name) == part] for part in ("train", "test")}
    for i, name in enumerate(parts["train"][:6] + parts["test"][:3]):
        walk = ProceduralWalks(5, 90, 90).example(i).joints
        write_bandai(folder / f"{name}.bvh", walk if "walk" in name else standing(walk))
    settings = ("--num", 4, "--steps", 3, "--judge-steps", 5)
    evaluate("--data-root", "data", "--json", "figures.json", *settings)
    result = json.loads((tmp_path / "figures.json").read_text())
    assert result["figures"].keys() == {"real clips", "unguided", "guided"}
    assert result["figures"]["real clips"]["average error, cm"] == 0
    assert result["figures"]["guided"]["average error, cm"] < 0.1 < result["figures"]["unguided"]["average error, cm"]
    assert 0.1 < result["memory, GB"] < 4
    assert "average error, cm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "--data-root"), (("--data-root", "nowhere"), "nowhere"), (("--data-root", "."), "Bandai")],
)
def test_no_data(evaluate, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        evaluate(*arguments)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_no_clip_is_long_enough():
    with pytest.raises(InputError, match="--data-root"):
        command.trials([Clip("a", np.zeros((10, 22, 3), np.float32), action="walk", style="normal")], command.Options(), 60)
