"""The command `python -m train`: its files, resuming, and errors."""

import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train.__main__ as command
from motion_diffusion.model import MotionModel

TINY = "--width 16 --depth 1 --heads 2 --frame-width 8 --batch-size 2 --max-frames 44 --validation-examples 2".split()


@pytest.fixture
def train(monkeypatch, run_in_folder):
    """train(*arguments): the command in a temporary folder."""
    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 20)
    return partial(run_in_folder, command)


def test_training_on_the_default_data_is_resumed(train, tmp_path, capsys):
    train("--run", "r", "--steps", 2, *TINY)
    run = tmp_path / "r"
    assert json.loads((run / "config.json").read_text())["prediction"] == "x0"
    assert {path.name for path in run.iterdir()} >= {"model.safetensors", "state.safetensors", "loss.png", "pictures"}
    train("--run", "r", "--steps", 3, *TINY)
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 3
    assert json.loads((run / "config.json").read_text())["training"] == "procedural, 3 steps of 2"
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        train("--run", "r", "--steps", 3, "--prediction", "eps", *TINY)
    said = capsys.readouterr().err
    assert "prediction" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--data", "bandai"], "--data-root"),
        (["--data", "bandai", "--data-root", "nowhere"], "nowhere"),
        (["--data", "bandai", "--data-root", "."], "Bandai"),
    ],
)
def test_missing_data_is_refused(train, tmp_path, capsys, arguments, word):
    with pytest.raises(SystemExit, match="2"):
        train("--run", "r", *arguments)
    said = capsys.readouterr().err
    assert word in said
    assert said.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variance", "learned-range"], "loss simple does not go with variance learned-range"),
        (["--loss", "hybrid"], "loss hybrid does not go with variance fixed-small"),
        (["--prediction", "eps", "--schedule", "rectified"], "predict v or velocity"),
        (["--schedule", "linear", "--T", 20], "use more steps"),
    ],
)
def test_contradictory_options_are_refused(train, capsys, arguments, words):
    with pytest.raises(SystemExit, match="2"):
        train("--run", "r", *arguments, *TINY)
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_schedule_variance_and_loss_are_options(train, tmp_path):
    core = "--prediction v --schedule linear --T 100 --variance learned-range --loss hybrid --weight min-snr".split()
    train("--run", "r", "--steps", 2, "--times", "loss-second-moment", *core, *TINY)
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert (config["schedule"], config["T"], config["variance"]) == ("linear", 100, "learned-range")
    assert config["denoiser"]["outputs"] == 2


def test_a_model_with_masks_is_initialised_from_one_without(train, tmp_path):
    """Without training it equals the model without masks, whatever is observed."""
    train("--run", "plain", "--steps", 1, "--prediction", "v", *TINY)
    train(
        "--run", "masks", "--steps", 1, "--prediction", "v", "--masks", "--start", "plain", "--learning-rate", 0, *TINY
    )
    plain, masks = MotionModel.load(tmp_path / "plain"), MotionModel.load(tmp_path / "masks")
    assert masks.config.masks
    assert masks.config.denoiser.hints == 6 * 22
    assert masks.config.training == "procedural, 1 steps of 2, from plain"
    x = torch.randn(1, 40, plain.representation.size, generator=torch.Generator().manual_seed(0))
    frames = torch.ones(1, 40, dtype=torch.bool)
    for known in (None, (torch.ones(1, 40, 22, 3), torch.ones(1, 40, 22, 3, dtype=torch.bool))):
        same = masks.denoise_fn(["a person walks"], frames, observed=known)(x, 500, 480).x0
        expected = plain.denoise_fn(["a person walks"], frames)(x, 500, 480).x0
        torch.testing.assert_close(same, expected, atol=1e-4, rtol=1e-4)  # other matrix sizes round differently


@pytest.mark.parametrize("prediction", ["x0", "eps", "velocity"])
def test_a_model_of_another_prediction_type_has_the_estimates_that_it_is_initialised_from(train, tmp_path, prediction):
    train("--run", "v", "--steps", 3, "--prediction", "v", "--masks", "--learning-rate", 0.05, *TINY)
    how = ("--steps", 1, "--prediction", prediction, "--start", "v", "--learning-rate", 0)
    train("--run", "other", *how, *TINY)
    v, other = MotionModel.load(tmp_path / "v"), MotionModel.load(tmp_path / "other")
    assert (other.config.prediction, other.config.masks) == (prediction, False)
    x = torch.randn(1, 40, v.representation.size, generator=torch.Generator().manual_seed(0))
    frames = torch.ones(1, 40, dtype=torch.bool)
    for t in (5, 300, 700, 980):
        same = other.denoise_fn(["a person walks"], frames)(x, t, t - 1).x0
        expected = v.denoise_fn(["a person walks"], frames)(x, t, t - 1).x0
        torch.testing.assert_close(same, expected, atol=2e-3, rtol=2e-3)


def test_masks_of_the_root(train, tmp_path):
    train("--run", "r", "--steps", 1, "--masks", *TINY, "--features", "root")
    assert json.loads((tmp_path / "r" / "config.json").read_text())["denoiser"]["hints"] == 6


def _run(folder, *arguments):
    """The command in a separate process, with the default number of threads."""
    command = [sys.executable, "-m", "train", "--run", "r", *map(str, arguments), *TINY]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def _ended(process):
    """Exit code and last line of stderr."""
    lines = process.communicate()[1].splitlines()
    return process.returncode, lines[-1] if lines else ""


def _finite(run):
    return all(value.isfinite().all() for path in run.glob("*.safetensors") for value in load_file(path).values())


def test_a_diverged_training_can_be_resumed(train, tmp_path, capsys):
    """The first step that is not finite ends it, is not saved, and the advice in the message works."""
    every = ("--save-every", 5, "--log-every", 50, "--warmup", 1)
    diverges = (*every, "--steps", 40, "--learning-rate", 1e30)
    with pytest.raises(SystemExit, match="2"):
        train("--run", "r", *diverges, *TINY)
    error = capsys.readouterr().err
    assert re.search(r"error: step \d has a loss of (nan|inf|\S+) and a gradient of norm (nan|inf), and was not", error)
    assert "give the same command with a lower --learning-rate; nothing was saved yet" in error
    assert not (tmp_path / "r" / "state.safetensors").exists()
    train("--run", "r", "--steps", 5, *every, *TINY)
    with pytest.raises(SystemExit, match="2"):
        train("--run", "r", *diverges, *TINY)
    assert "a lower --learning-rate continues from the last state that was saved" in capsys.readouterr().err
    assert _finite(tmp_path / "r")
    train("--run", "r", "--steps", 7, *every, "--learning-rate", 1e-4, *TINY)
    last = json.loads((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()[-2])
    assert last["step"] == 7
    assert 0 < last["learning_rate"] <= 1e-4


def test_a_run_directory_is_locked_by_its_training(tmp_path):
    """A second training is refused with the process id of the first; the lock of a killed one is released."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".notes-20240101.txt").write_text("of the user")
    metrics = tmp_path / "r" / "metrics.jsonl"
    every = ("--log-every", 1, "--save-every", 1)
    with _run(tmp_path, "--steps", 1_000_000, *every) as first:
        deadline = time.monotonic() + 300
        while not metrics.is_file() or not metrics.read_text().count("\n") > 3:
            assert first.poll() is None, first.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        code, error = _ended(_run(tmp_path, "--steps", 5, *every))
        assert code == 2
        assert re.fullmatch(rf"error: r is in use by process {first.pid} on .*; wait .* another --run", error)
        first.kill()
    for left in (tmp_path / "r").glob(".half-*"):
        os.utime(left, (0, 0))  # a folder of a process killed before it wrote its mark is removed after a minute
    code, error = _ended(_run(tmp_path, "--steps", 1, *every))
    assert (code, error[:18]) == (2, "error: r has taken")
    steps = int(re.search(r"give --steps (\d+) or more", error)[1])
    code, error = _ended(_run(tmp_path, "--steps", steps + 4, "--workers", 2, *every))
    assert (code, _finite(tmp_path / "r")) == (0, True), error
    assert (tmp_path / "r" / ".notes-20240101.txt").read_text() == "of the user"
    assert not list((tmp_path / "r").glob(".half-*"))
