"""The measurement of cost by quality, and against length and number of goals: its tables are complete."""

import re

import pytest

import sample.benchmark as command
from guidance.goals.feasibility import feasibility
from motion_diffusion.body.skeleton import frame_of
from sample.benchmark_scale import GOAL_EVERY, Case, cases, rows


@pytest.mark.parametrize(("seconds", "goals"), [(10, 0), (10, 2), (60, 1), (60, 1000), (3600, 720)])
def test_goals_are_on_a_walk_at_a_persons_speed(seconds, goals):
    request, frames = Case(seconds, goals, "m", 2).request, frame_of(seconds)
    assert len(request.goals) == len({goal.frame for goal in request.goals}) == goals
    assert not goals or request.goals[-1].frame == frames - 1
    assert feasibility(request, frames) == []


def test_every_length_is_measured_with_and_without_goals(make_model, tmp_path):
    make_model(max_frames=160).save(tmp_path / "m")
    every = cases(str(tmp_path / "m"), 2, [10.0, 30.0], [7])
    assert [(case.seconds, case.goals) for case in every] == [(10, 0), (10, 2), (30, 0), (30, 30 / GOAL_EVERY), (60, 7)]
    header, rule, row = "\n".join(rows(every[1:2])).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    numbers = re.fullmatch(r"\| 10 s \| 2 \| ([\d.]+) s \| ([\d.]+) s \| ([\d.]+) GB \|", row)
    assert numbers is not None
    assert all(float(number) > 0 for number in numbers.groups())


def test_every_quality_is_measured(make_model, run_in_folder, tmp_path, capsys):
    """Without goals and with five; the parts of the time are no more than the whole."""
    make_model().save(tmp_path / "m")
    run_in_folder(command, "--model", "m", "--frames", 20, "--repeats", 1, "--engine", "torch")
    machine, _, header, rule, *table, _, fresh = capsys.readouterr().out.strip().splitlines()
    assert "engine torch; m, 1 s of motion" in machine
    assert re.search(r"A fresh process: \d+\.\d s", fresh)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert [row[:2] for row in cells] == [[name, goals] for name in ("live", "normal", "best") for goals in ("–", "5")]
    assert {len(row) for row in cells} == {header.count("|") - 1} == {rule.count("|") - 1}
    assert [int(row[4]) for row in cells] == [8, 8, 50, 50, 50, 50]
    for total, beside, steps, network, other, rest in (map(float, row[2:]) for row in cells):
        assert min(total, beside, network) > 0
        assert steps * (network + other) / 1000 + rest == pytest.approx(total, abs=0.1)


@pytest.mark.parametrize("arguments", [("--lengths", "10", "4000"), ("--goals", "1001"), ("--lengths", "nan")])
def test_lengths_and_goals_out_of_range_are_refused(run_in_folder, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, *arguments)
    assert re.search(rf"{arguments[0]} \S+: give", capsys.readouterr().err)
