"""What is refused, in one line; the learning rate; and the record of a run's options."""

import json

import pytest

import train.__main__ as command
from motion_diffusion.errors import InputError
from train.optimiser import learning_rate
from train.options import Options, TrainingOptions
from train.record import described, write_options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--batch-size 10 --accumulate 4", "--accumulate is 4; give a divisor of 10"),
        ("--batch-size 0", "--batch-size is 0; give 1 or more"),
        ("--learning-rate -1", "--learning-rate is -1.0; give 0 or more"),
        ("--learning-rate nan", "--learning-rate is nan"),
        ("--ema 0.9 1.0", "--ema is 0.9 1.0; give one or more rates from 0 to below 1"),
        ("--ema 0.9 0.9", "each once"),
        ("--cooldown 1.5", "--cooldown is 1.5; give a share from 0 to 1"),
        ("--drop-text 2", "--drop-text is 2.0"),
        ("--foot-weight -1", "--foot-weight is -1.0; give 0 or more"),
        ("--clip-norm 0", "--clip-norm is 0.0; give more than 0"),
        ("--min-snr-gamma 0.04", "--min-snr-gamma is for --weight min-snr, not target"),
        ("--decay cosine --cooldown 0", "--decay cosine needs a --cooldown above 0"),
        ("--max-frames 20", "--max-frames is 20; give 40 or more"),
        ("--width 30 --heads 4", "--width is 30; give a multiple of 8"),
        ("--dropout 1", "--dropout is 1.0"),
        ("--seed -1", "--seed is -1"),
        ("--steps 0 --preset v-small", "--steps is 0"),
    ],
)
def test_what_makes_no_sense(run_in_folder, tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, *arguments.split())
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_learning_rate_rises_stays_and_falls(decay):
    schedule = TrainingOptions(steps=1000, warmup=100, cooldown=0.2, learning_rate=2.0, decay=decay)
    rates = [learning_rate(step, schedule) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[100] == rates[799] == 2.0
    assert rates[900] == pytest.approx(1.0)
    assert rates[850] == pytest.approx(1.5 if decay == "linear" else 2 * (0.5 + 0.5 * 0.5**0.5))
    assert 0 < rates[-1] < 0.02


def test_a_run_keeps_its_options(tmp_path):
    write_options(tmp_path, {"prediction": "x0", "training": {"steps": 10, "learning_rate": 0.1}})
    write_options(tmp_path, {"prediction": "x0", "training": {"steps": 20, "learning_rate": 0.1}})
    with pytest.raises(InputError, match=r"training\.learning_rate"):
        write_options(tmp_path, {"prediction": "x0", "training": {"steps": 20, "learning_rate": 0.2}})


def test_options_that_an_older_version_wrote(tmp_path):
    """What is missing is the default, and there was one rate of averages; the batch is that of all processes."""
    new = described(Options(training=TrainingOptions(batch_size=32, workers=2)), processes=2)
    old = json.loads(json.dumps(new))
    assert old["training"]["batch_size"] == 64
    for name in ("accumulate", "window", "decay", "foot_weight", "workers", "mixed_precision"):
        del old["training"][name]
    old["training"]["ema"] = 0.999
    (tmp_path / "training.json").write_text(json.dumps(old))
    write_options(tmp_path, new)
    assert json.loads((tmp_path / "training.json").read_text()) == new
    (tmp_path / "training.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"other values of training\.ema, training\.foot_weight;"):
        write_options(tmp_path, described(Options(training=TrainingOptions(foot_weight=1, ema=(0.9,))), processes=1))
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        write_options(tmp_path, new)
