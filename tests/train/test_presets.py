"""Training presets: their stated sizes are right, and every option can be overridden."""

import dataclasses
import json
import shutil
import sys
from typing import get_args

import pytest

import train.__main__ as command
from data_loaders.datasets import load_examples
from motion_diffusion.assets import ASSETS
from motion_diffusion.model import ModelConfig
from motion_diffusion.pretrained import read_config, shipped
from train.checkpoint import check_options, options_record
from train.config import PRESETS, PresetName, read_options, with_preset
from train.model_factory import build_model, recommended_sampling


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_builds_its_model(name, monkeypatch):
    """Of the stated size, from valid options."""
    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 4)
    options = dataclasses.replace(PRESETS[name].options, data="procedural")
    options.check()
    model = build_model(options, load_examples("procedural", None, frames=options.max_frames), description="")
    count = sum(parameter.numel() for parameter in model.denoiser.parameters())
    assert count / 1e6 == pytest.approx(PRESETS[name].parameters, abs=0.05)
    assert model.config.max_frames == options.max_frames


def test_preset_names_are_the_choices_of_the_option():
    assert set(PRESETS) == set(get_args(PresetName))


@pytest.mark.parametrize("name", ["x0-mixed", "eps-mixed", "v-mixed", "v-live", "root-x0", "root-eps", "root-v"])
def test_a_shipped_model_was_made_by_its_preset(name, tmp_path):
    """Its run could be resumed with the preset; other body models took several runs."""
    shutil.copy(ASSETS / "models" / name / "training.json", tmp_path)
    preset = options_record(with_preset(name), processes=1)
    check_options(tmp_path, preset)
    was = json.loads((tmp_path / "training.json").read_text())
    assert was["training"]["learning_rate"] == preset["training"]["learning_rate"]


@pytest.mark.parametrize("name", ["v-masks", "open-masks"])
def test_the_last_run_of_a_body_model_used_its_preset(name):
    """Except for its length, learning rate and initial model."""
    was = json.loads((ASSETS / "models" / name / "training.json").read_text())
    preset = options_record(with_preset(name), processes=1)
    varied = {
        "steps",
        "learning_rate",
        "warmup",
        "cooldown",
        "ema",
        "seed",
        "validate_every",
        "times",
        "bone_weight",
        "mixed_precision",
        "metres_from",
    }
    for run in (was, preset):
        run.pop("start", None)
        run["training"] = {key: value for key, value in run["training"].items() if key not in varied}
    assert was["training"].keys() <= preset["training"].keys()  # options added later are at their defaults
    for group in was.keys() & {"distillation", "training"}:
        preset[group] = {key: preset[group][key] for key in was[group]}
    assert {key: preset[key] for key in was} == was


@pytest.mark.parametrize("name", sorted(PRESETS.keys() & set(shipped("models"))))
def test_a_shipped_model_recommends_the_sampling_of_its_preset(name):
    config = read_config(ASSETS / "models" / name, ModelConfig)
    assert config.recommended == recommended_sampling(with_preset(name))


def test_options_override_those_of_a_preset(monkeypatch):
    monkeypatch.setattr(sys, "argv", "train --steps 7 --preset v-masks --ema 0.9 --width 64 --run r --no-masks".split())
    options = read_options("train")
    preset = with_preset("v-masks")
    assert (options.training.steps, options.training.ema, options.network.width) == (7, (0.9,), 64)
    assert (str(options.run), options.masks) == ("r", False)
    assert (options.training.times, options.start) == (preset.training.times, None)
    monkeypatch.setattr(sys, "argv", ["train"])
    assert read_options("train").preset is None


def test_the_command_prints_the_expected_results(run_in_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 4)
    small = "--width 16 --depth 1 --heads 2 --frame-width 8 --steps 1 --batch-size 2 --validation-examples 2"
    run_in_folder(command, "--preset", "root-v", "--data", "procedural", *small.split())
    assert "root-v: 1.2 M parameters; expected: held-out squared error" in capsys.readouterr().out
    config = json.loads((tmp_path / "runs" / "root-v" / "config.json").read_text())
    assert (config["prediction"], config["features"]) == ("v", ["root"])
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, "--preset", "nope")
