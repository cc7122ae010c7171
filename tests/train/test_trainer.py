import json

import pytest
import torch
from safetensors.torch import load_file

from data_loaders.procedural import ProceduralWalks
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from train.trainer import Trainer, TrainingOptions, learning_rate, write_options

EXAMPLES, HELD_OUT = ProceduralWalks(0, 48, 40), ProceduralWalks(1, 48, 40)


def options(**changes):
    defaults = dict(steps=6, batch_size=4, warmup=2, log_every=1, validate_every=3, save_every=3, validation_examples=4)
    return TrainingOptions(**(defaults | changes))


def trained(model, run, **changes):
    run.mkdir(exist_ok=True)
    trainer = Trainer(model.requires_grad_(True), EXAMPLES, HELD_OUT, run, options(**changes))
    trainer.train()
    return trainer


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("choices", "changes"),
    [
        ({"prediction": "x0"}, {}),
        ({"prediction": "eps"}, {}),
        ({"prediction": "v", "T": 8}, {"times": "loss-second-moment", "batch_size": 48, "weight": "uniform"}),
        ({"prediction": "v", "variance": "learned-range"}, {"loss": "hybrid", "times": "uniform"}),
    ],
    ids=["x0", "eps", "loss-second-moment", "learned-range"],
)
def test_a_killed_run_goes_on_as_if_nothing_had_been(make_model, tmp_path, choices, changes):
    """Killed after step 5, of which 3 were saved: the result is that of the run that was not killed, bit by bit."""
    whole = trained(make_model(**choices), tmp_path / "whole", **changes)
    if changes.get("times") == "loss-second-moment":  # what it had learned counted
        assert whole.times.probabilities().std() > 0
    run = tmp_path / "killed"
    run.mkdir()
    killed = Trainer(make_model(**choices).requires_grad_(True), EXAMPLES, HELD_OUT, run, options(**changes))
    update = killed._update

    def until_five(*args):
        if killed.step == 5:
            raise Stop
        return update(*args)

    killed._update = until_five
    with pytest.raises(Stop):
        killed.train()
    again = MotionModel.load(run).train().requires_grad_(True)
    resumed = Trainer(again, EXAMPLES, HELD_OUT, run, options(**changes))
    assert resumed.step == 3
    resumed.train()
    for name in ("state.safetensors", "model.safetensors"):
        whole, again = load_file(tmp_path / "whole" / name), load_file(run / name)
        assert whole.keys() == again.keys()
        assert all(torch.equal(whole[key], again[key]) for key in whole)
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "samples_per_s"}
            for line in (path / "metrics.jsonl").open()
        ]
        for path in (tmp_path / "whole", run)
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("prediction", "schedule"),
    [("x0", "cosine"), ("eps", "cosine"), ("v", "cosine"), ("velocity", "rectified"), ("x0", "variance-exploding")],
)
def test_learns(make_model, tmp_path, prediction, schedule):
    model = make_model(prediction, schedule=schedule)
    trainer = trained(model, tmp_path / "run", steps=60, learning_rate=3e-3, validate_every=20, ema=0.9)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    held_out = [line["held_out_mean_loss"] for line in lines if "held_out_mean_loss" in line]
    assert held_out[-1] < 0.8 * held_out[0]
    assert trainer.step == 60


@pytest.mark.parametrize(
    ("variance", "loss"), [("fixed-small", "hybrid"), ("fixed-large", "vlb"), ("learned-range", "simple")]
)
def test_loss_and_variance_go_together(make_model, tmp_path, variance, loss):
    with pytest.raises(InputError, match=f"loss {loss} does not go with variance {variance}; a learned variance needs"):
        Trainer(make_model("v", variance=variance), EXAMPLES, HELD_OUT, tmp_path, options(loss=loss))


def test_the_saved_model_is_the_average_of_the_weights(make_model, tmp_path):
    trainer = trained(make_model(), tmp_path / "run")
    saved = load_file(tmp_path / "run" / "model.safetensors")
    for name in trainer.ema:
        assert torch.equal(saved[f"denoiser.{name}"], trainer.ema[name])
    assert any(not torch.equal(live, trainer.ema[name]) for name, live in trainer.model.denoiser.named_parameters())


def test_learning_rate_rises_stays_and_falls():
    schedule = TrainingOptions(steps=1000, warmup=100, cooldown=0.2, learning_rate=2.0)
    rates = [learning_rate(step, schedule) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[100] == rates[799] == 2.0
    assert rates[900] == pytest.approx(1.0)
    assert 0 < rates[-1] < 0.02


def test_a_run_keeps_its_options(tmp_path):
    write_options(tmp_path, {"prediction": "x0", "training": {"steps": 10, "learning_rate": 0.1}})
    write_options(tmp_path, {"prediction": "x0", "training": {"steps": 20, "learning_rate": 0.1}})
    with pytest.raises(InputError, match=r"training\.learning_rate"):
        write_options(tmp_path, {"prediction": "x0", "training": {"steps": 20, "learning_rate": 0.2}})


def test_a_loss_that_is_no_number_stops_the_run(make_model, tmp_path):
    with pytest.raises(InputError, match="lower --learning-rate"):
        trained(make_model(), tmp_path / "run", learning_rate=1e30)
