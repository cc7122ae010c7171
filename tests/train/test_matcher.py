"""Training of the text–motion embedding model: it learns, and resumes exactly."""

import json
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

import train.matcher as command

TINY = (
    "--width", 32, "--depth", 1, "--text-depth", 1, "--embedding", 16, "--max-frames", 60, "--batch-size", 16,
    "--validation-examples", 64, "--warmup", 10, "--threads", 1,
)  # fmt: skip


@pytest.fixture
def train(run_in_folder):
    return partial(run_in_folder, command, *TINY)


def losses(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_training_reduces_the_loss(train, tmp_path):
    train("--run", "m", "--steps", 120, "--validate-every", 40, "--learning-rate", 3e-3)
    before, *_, after = losses(tmp_path / "m")
    assert after["held_out_loss"] < before["held_out_loss"] - 0.1
    assert after["held_out_top3"] > 2 * 3 / 32  # chance is 3 of 32
    assert after["held_out_top1"] <= after["held_out_top2"] <= after["held_out_top3"]


def test_a_resumed_training_equals_an_uninterrupted_one(train, tmp_path):
    arguments = ("--steps", 4, "--validate-every", 1, "--save-every", 2)
    train("--run", "whole", *arguments)
    (tmp_path / "half").mkdir()
    shutil.copy(tmp_path / "whole" / "state-before.safetensors", tmp_path / "half" / "state.safetensors")
    shutil.copy(tmp_path / "whole" / "metrics.jsonl", tmp_path / "half" / "metrics.jsonl")
    train("--run", "half", "--workers", 2, *arguments)
    assert losses(tmp_path / "half") == losses(tmp_path / "whole")
    whole, half = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "half"))
    assert all(torch.equal(whole[name], half[name]) for name in whole)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--steps", 0), "--steps 0: give 1 to"),
        (("--validation-examples", 8), "--validation-examples is 8"),
        (("--data", "bandai"), "--data-root"),
    ],
)
def test_wrong_options_are_refused(train, tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        train("--run", "m", *arguments)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
