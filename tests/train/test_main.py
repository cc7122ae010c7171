"""The command itself, in a process of its own."""

import json
import os
import subprocess
import sys


def train(*arguments, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


TINY = "--width 16 --depth 1 --heads 2 --frame-width 8 --batch-size 2 --max-frames 44 --validation-examples 2".split()


def test_default_data_train_and_go_on(tmp_path):
    done = train("--run", "r", "--steps", 2, *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "r"
    assert json.loads((run / "config.json").read_text())["prediction"] == "x0"
    assert {path.name for path in run.iterdir()} >= {"model.safetensors", "state.safetensors", "loss.png", "pictures"}
    assert train("--run", "r", "--steps", 3, *TINY, cwd=tmp_path).returncode == 0
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 3
    other = train("--run", "r", "--steps", 3, "--prediction", "eps", *TINY, cwd=tmp_path)
    assert other.returncode == 2
    assert "prediction" in other.stderr
    assert other.stderr.count("\n") == 1


def test_data_that_is_not_there(tmp_path):
    for arguments, word in (
        (["--data", "bandai"], "--data-root"),
        (["--data", "bandai", "--data-root", "nowhere"], "nowhere"),
        (["--data", "bandai", "--data-root", "."], "Bandai"),
    ):
        failed = train("--run", "r", *arguments, cwd=tmp_path)
        assert failed.returncode == 2
        assert word in failed.stderr
        assert failed.stderr.count("\n") == 1
        assert not (tmp_path / "r").exists()
