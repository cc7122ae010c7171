"""Options that are refused in one line, and the record of a run's options."""

import json

import pytest

import train.__main__ as command
from motion_diffusion.errors import InputError
from train.checkpoint import check_options, options_record, write_options
from train.config import Options, TrainingOptions


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--batch-size 10 --accumulate 4", "--accumulate is 4; give a divisor of 10"),
        ("--batch-size 0", "--batch-size 0: give 1 to 1,000,000,000"),
        ("--learning-rate -1", "--learning-rate -1: give 0 to 1e+30"),
        ("--learning-rate nan", "--learning-rate nan"),
        ("--ema 0.9 1.0", "--ema is 0.9 1.0; give one or more rates from 0 to below 1"),
        ("--ema 0.9 0.9", "each once"),
        ("--cooldown 1.5", "--cooldown 1.5: give 0 to 1"),
        ("--drop-text 2", "--drop-text 2: give 0 to 1"),
        ("--foot-weight -1", "--foot-weight -1: give 0 to"),
        ("--clip-norm 0", "--clip-norm 0: give more than 0"),
        ("--min-snr-gamma 0.04", "--min-snr-gamma is for --weight min-snr, not target"),
        ("--decay cosine --cooldown 0", "--decay cosine needs a --cooldown above 0"),
        ("--max-frames 20", "--max-frames 20: give 40 to 100,000"),
        ("--width 30 --heads 4", "--width 30: give a multiple of 8"),
        ("--dropout 1", "--dropout 1: give 0 to less than 1"),
        ("--seed -1", "--seed -1: give 0 to 9,223,372,036,854,775,807"),
        (
            "--seed 100000000000000000000000000",
            "--seed 100000000000000000000000000: give 0 to 9,223,372,036,854,775,807",
        ),
        ("--steps 0 --preset v-mixed", "--steps 0: give 1 to"),
        ("--threads 100000", "--threads 100000: give 0 to 1,024"),
        ("--workers 9999", "--workers 9999: give 0 to 256"),
        ("--T 2000000000", "--T 2000000000: give 1 to 100,000"),
        ("--max-frames 1000000", "--max-frames 1000000: give 40"),
        ("--emphasis nan", "--emphasis nan: give 0 to 1000"),
        ("--heads 0", "--heads 0: give 1 to 256"),
        ("--text-depth 1000000", "--text-depth 1000000: give 0 to 256"),
        ("--frames-per-token 100000", "--frames-per-token 100000: give 1 to 256"),
        (
            "--width 8192 --depth 256",
            "--width 8192: 207.0 billion parameters are too many",
        ),
        ("--steps five", "Error parsing --steps: invalid literal for int() with base 10: 'five'; see python -m train"),
    ],
)
def test_wrong_options_are_refused_in_one_line(run_in_folder, tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, *arguments.split())
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_resumed_run_must_have_the_same_options(tmp_path):
    """Except those that may change, such as a learning rate that was too high."""
    write_options(tmp_path, {"prediction": "x0", "training": {"steps": 10, "learning_rate": 0.1, "warmup": 5}})
    check_options(tmp_path, {"prediction": "x0", "training": {"steps": 20, "learning_rate": 0.01, "warmup": 5}})
    with pytest.raises(InputError, match=r"other values of training\.warmup;"):
        check_options(tmp_path, {"prediction": "x0", "training": {"steps": 20, "learning_rate": 0.1, "warmup": 6}})


def test_options_written_by_an_older_version_are_completed(tmp_path):
    """Missing options have their defaults, ema may be a single rate; the batch size is summed over processes."""
    new = options_record(Options(training=TrainingOptions(batch_size=32, workers=2)), processes=2)
    old = json.loads(json.dumps(new))
    assert old["training"]["batch_size"] == 64
    for name in ("accumulate", "window", "decay", "foot_weight", "workers", "mixed_precision"):
        del old["training"][name]
    old["training"]["ema"] = 0.999
    (tmp_path / "training.json").write_text(json.dumps(old))
    check_options(tmp_path, new)
    with pytest.raises(InputError, match=r"other values of training\.ema, training\.foot_weight;"):
        check_options(
            tmp_path, options_record(Options(training=TrainingOptions(foot_weight=1, ema=(0.9,))), processes=1)
        )
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        check_options(tmp_path, new)
