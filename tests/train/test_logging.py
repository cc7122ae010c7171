"""Records of the losses: metrics.jsonl and trackers."""

import json

import pytest
from accelerate.utils import is_tensorboard_available

import train.__main__ as command
from tests import needs
from train import logging

SMALL = "--width 16 --depth 1 --heads 2 --frame-width 8 --batch-size 2 --max-frames 44 --validation-examples 2"


@pytest.mark.parametrize("end", ["", '{"step": 3, "lo', '{"step": 3', "\x00\x00", "7", '{"a": 1}'])
def test_lines_after_a_step_and_incomplete_lines_are_removed(tmp_path, end):
    for step in (1, 2, 3):
        logging.append(tmp_path, step, {"loss": 0.5 / step})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + end)
    logging.keep_until(tmp_path, 2)
    logging.append(tmp_path, 3, {"loss": 7.0})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_tracker_that_is_not_installed_is_refused(run_in_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 4)
    monkeypatch.setitem(logging._INSTALLED, "tensorboard", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, "--run", "r", "--log-with", "tensorboard", *SMALL.split())
    said = capsys.readouterr().err
    assert "pip install 'motion-diffusion[tracking]'" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "r").exists()


@needs.present(is_tensorboard_available(), "the extra tracking")
def test_tensorboard_has_the_numbers_of_the_file(run_in_folder, tmp_path, monkeypatch):
    """Also after the run was resumed with other options."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 4)
    for steps in (2, 4):
        arguments = ["--run", "r", "--steps", steps, "--log-every", 1, "--log-with", "tensorboard", *SMALL.split()]
        run_in_folder(command, *arguments)
    events = EventAccumulator(str(tmp_path / "r" / logging.PROJECT))
    events.Reload()
    written = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    for name in ("loss", "held_out_mean_loss"):
        shown = [(event.step, pytest.approx(event.value, abs=1e-6)) for event in events.Scalars(name)]
        assert shown == [(line["step"], line[name]) for line in written if name in line]
