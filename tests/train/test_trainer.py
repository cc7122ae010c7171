import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from train.checkpoint import read_state
from train.config import TrainingOptions
from train.model_factory import restore_model
from train.trainer import Trainer

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
def test_a_resumed_run_equals_an_uninterrupted_one(make_model, tmp_path, lines, choices, changes):
    """Interrupted after step 5, in the middle of a window, with a checkpoint of step 3 between two log entries: the
    result is bit-identical to an uninterrupted run, with workers too."""
    changes |= {"log_every": 2, "window": 4}
    whole = trained(make_model(**choices), tmp_path / "whole", **changes)
    if changes.get("times") == "loss-second-moment":  # the sampler has adapted
        assert whole.times.probabilities().std() > 0
    run = tmp_path / "stopped"
    run.mkdir()
    stopped = Trainer(make_model(**choices).requires_grad_(True), EXAMPLES, HELD_OUT, run, options(**changes))
    update = stopped.update

    def until_five(*args):
        if stopped.step == 5:
            raise Stop
        return update(*args)

    stopped.update = until_five
    with pytest.raises(Stop):
        stopped.train()
    state = read_state(run)
    assert state.step == 3
    again = restore_model(state, run, description="")
    resumed = Trainer(again, EXAMPLES, HELD_OUT, run, options(**changes, workers=2), state=state)
    resumed.train()
    for name in ("state.safetensors", "model.safetensors"):
        whole, again = load_file(tmp_path / "whole" / name), load_file(run / name)
        assert whole.keys() == again.keys()
        assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert lines(tmp_path / "whole") == lines(run)


@pytest.mark.parametrize(
    ("prediction", "schedule"),
    [("x0", "cosine"), ("eps", "cosine"), ("v", "cosine"), ("velocity", "rectified"), ("x0", "variance-exploding")],
)
def test_learns(make_model, tmp_path, prediction, schedule):
    model = make_model(prediction, schedule=schedule)
    changes = dict(steps=60, learning_rate=3e-3, validate_every=20, validation_examples=16, log_every=20, ema=(0.9,))
    trainer = trained(model, tmp_path / "run", **changes)
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


def test_the_models_of_a_run_are_the_averages_of_the_weights(make_model, tmp_path):
    trainer = trained(make_model(), tmp_path / "run", ema=(0.5, 0.9))
    for rate, folder in ((0.5, tmp_path / "run"), (0.9, tmp_path / "run" / "ema-0.9")):
        saved = MotionModel.load(folder).denoiser.state_dict()
        average = dict(trainer.averages.module(rate).named_parameters())
        assert all(torch.equal(saved[name], average[name]) for name in average)
        assert any(not torch.equal(live, average[name]) for name, live in trainer.model.denoiser.named_parameters())


def test_dropped_texts_and_observed_positions(make_model, tmp_path):
    """For all examples and for none, in every training batch."""
    for share in (0.0, 1.0):
        trainer = Trainer(
            make_model(masks=True).requires_grad_(True),
            EXAMPLES,
            HELD_OUT,
            tmp_path,
            options(drop_text=share, drop_masks=share),
        )
        for parts in trainer.batches():
            assert parts[0].drop_text.all() == bool(share)
            assert parts[0].motion_mask.any() != bool(share)


@pytest.mark.parametrize("name", ["position_weight", "velocity_weight", "foot_weight", "jerk_weight", "bone_weight"])
def test_geometric_losses_are_added(make_model, tmp_path, name):
    """In proportion to their weights."""
    losses = []
    for weight in (0.0, 1.0, 2.0):
        choices = options(**{name: weight})
        trainer = Trainer(make_model("v").requires_grad_(True), EXAMPLES, HELD_OUT, tmp_path, choices)
        (batch,) = next(iter(trainer.batches()))
        with torch.no_grad():
            losses.append(trainer.objective(batch, torch.tensor([200, 400, 500, 600]), torch.ones(4), 0).loss)
    assert (losses[1] > losses[0]).all()
    torch.testing.assert_close(losses[2] - losses[1], losses[1] - losses[0], rtol=1e-3, atol=1e-6)


def test_geometric_losses_count_from_a_share_of_the_steps_on(make_model, tmp_path):
    choices = options(jerk_weight=1.0, metres_from=0.5)
    trainer = Trainer(make_model("v").requires_grad_(True), EXAMPLES, HELD_OUT, tmp_path, choices)
    (batch,) = next(iter(trainer.batches()))
    t = torch.tensor([200, 400, 500, 600])
    with torch.no_grad():
        first, before, after = (trainer.objective(batch, t, torch.ones(4), step).loss for step in (0, 2, 3))
    torch.testing.assert_close(first, before, rtol=0, atol=0)
    assert (after > before).all()


def test_feet_and_bones_need_a_body(make_model, tmp_path):
    model = make_model(groups=("root",))
    for name in ("foot", "bone"):
        with pytest.raises(InputError, match=f"--{name}-weight is for models of the whole body"):
            Trainer(model, EXAMPLES, HELD_OUT, tmp_path, options(**{f"{name}_weight": 1.0}))


def test_a_loss_that_is_not_finite_stops_the_run(make_model, tmp_path):
    with pytest.raises(InputError, match="lower --learning-rate"):
        trained(make_model(), tmp_path / "run", learning_rate=1e30)


def test_a_model_that_cannot_be_saved_is_refused_before_the_first_step(make_model, tmp_path):
    model = make_model("v")
    model.prediction = dataclasses.replace(model.prediction, name="mine")
    with pytest.raises(InputError, match="untitled cannot be saved: its prediction type"):
        Trainer(model.requires_grad_(True), EXAMPLES, HELD_OUT, tmp_path, options())
    assert not list(tmp_path.iterdir())
