"""Networks measured during training, against the exact network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guidance.__main__ import PATHS
from guidance.analysis import trainings as module
from guidance.analysis.path_mixture import PathMixture
from guidance.analysis.trainings import trainings, trainings_figure, trainings_result
from motion_diffusion.errors import InputError


@pytest.fixture
def mixture(monkeypatch) -> PathMixture:
    """The shipped mixture, and few samples."""
    for name, value in (("TASKS", 1), ("CHAINED", 2), ("SAMPLES", 24), ("STEPS", 10)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "GUIDED", {"projection": "projection"})
    return PathMixture.load(PATHS)


def test_networks_approach_the_exact_one_and_finished_trainings_are_kept(mixture, tmp_path, monkeypatch):
    rows = trainings(mixture, tmp_path, seeds=1, checkpoints=(2, 60), predictions=("v",)).rows
    exact, first, last = rows
    assert [(row["prediction"], row["steps"]) for row in rows] == [("exact", "0"), ("v", "2"), ("v", "60")]
    for column in ("error_1", "error_4", "jitter", "distance_projection"):
        assert 0 <= float(exact[column]) < float(last[column]) < float(first[column])
    assert 0.7 < float(exact["kept_shift_20"]) < 1
    monkeypatch.setattr(module, "trained_networks", None)
    again = trainings(mixture, tmp_path, seeds=1, checkpoints=(2, 60), predictions=("v",))
    assert again.rows == rows
    assert "trainings (1 of each type, 60 steps" in again.conclusion
    assert [axis.get_title(loc="left") for axis in trainings_figure(rows).axes][:8] == list(module.PANELS)
    with pytest.raises(InputError, match=r"exact\.csv is of another mixture of paths; give another --runs"):
        trainings(replace(mixture, unit=2.0), tmp_path, seeds=1, predictions=("v",))


def test_differences_of_prediction_types_are_paired_by_training():
    noise, columns = (0.0, 7.0, -4.0), {column for column, *_ in module.PANELS.values()}
    rows = [
        {"prediction": name, "seed": seed, "steps": 10, "unit_m": 1.0} | dict.fromkeys(columns, base + noise[seed])
        for name, base in (("x0", 5.0), ("eps", 3.0))
        for seed in (2, 0, 1)
    ]
    assert "x0 - eps  2 ± 0 " in trainings_result(rows).conclusion
    assert "v - eps" not in trainings_result(rows).conclusion
