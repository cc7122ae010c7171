"""The measurement of cost against length and number of goals: its motions can be walked, and its table is complete."""

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


@pytest.mark.parametrize("arguments", [("--lengths", "10", "4000"), ("--goals", "1001"), ("--lengths", "nan")])
def test_lengths_and_goals_out_of_range_are_refused(run_in_folder, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, *arguments)
    assert re.search(rf"{arguments[0]} \S+: give", capsys.readouterr().err)
