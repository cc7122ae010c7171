"""Infeasible goals are reported once, with the goals, a number and the limit; captured motion is feasible."""

import math
import re

import pytest
import torch

from guidance.goals.feasibility import feasibility, reach
from guidance.goals.goal_set import GoalSet
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Relation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError

F = 120


def lines(*goals):
    return feasibility(GoalSet(goals=list(goals)), F)


@pytest.mark.parametrize(
    ("goals", "said"),
    [
        ([Waypoint(time=1, x=0, z=1), Waypoint(time=1.4, x=0, z=4.68)], "goals 1 and 2: 9.2 m/s between 1 s and 1.4 s"),
        ([Waypoint(frame=1, x=0, z=2)], r"goal 1: 40.0 m/s between 0 s and 0.05 s; people run at up to 8 m/s"),
        ([PathGoal(points=[(0, 0), (0, 50)], end=5)], "goal 1: 10.0 m/s"),
        (
            [Joint(joint="left_wrist", frame=30, position=(x, 1, 0)) for x in (0.0,)]
            + [Joint(joint="left_wrist", frame=31, position=(1.0, 1, 0))],
            "goals 1 and 2: 20.0 m/s .* a left wrist",
        ),
        (
            [Waypoint(time=1, x=0, z=0), Joint(joint="left_wrist", time=1, position=(2.1, None, 0))],
            "goals 1 and 2: left wrist 2.1 m from the pelvis at 1 s; it reaches 1.1 m, so 1.0 m are left",
        ),
        (
            [
                Obstacle(shape="circle", center=(3, 3), radius=1),
                Waypoint(time=5, x=3, z=3),
            ],
            r"goal 1: goal 2 \(waypoint\) lies 1.00 m inside this obstacle at 5 s",
        ),
        ([Obstacle(shape="circle", center=(0, 0), radius=0.5)], r"goal 1: the start \(0, 0\) lies 0.50 m inside"),
        ([Joint(joint="head", time=1, position=(None, 4, None))], "goal 1: head 4.00 m above the floor"),
        ([Joint(joint="left_foot", time=1, position=(None, -1, None))], "goal 1: left foot 1.00 m below the floor"),
        (
            [Pose(time=1, joints={"left_elbow": (0, 1, 0), "left_wrist": (0, 1, 0.5)})],
            "goal 1: left wrist 0.50 m from the left elbow at 1 s; that bone is 0.27 m long",
        ),
        ([Heading(time=1, degrees=0), Heading(time=1.1, degrees=-170)], "goals 1 and 2: 1700°/s between 1 s and 1.1 s"),
        ([PathGoal(points=[(0, 0), (0, 1), (0, 0)], end=2, face_along=True)], "goal 1: .*°/s"),
        ([Heading(time=1, degrees=0), Heading(time=1, degrees=90)], "goals 1 and 2: .* 0° and 90°"),
        (
            [
                Joint(joint="left_wrist", time=1, position=(1, 1, 0)),
                Joint(joint="right_wrist", time=1, position=(-1.2, 1, 0)),
            ],
            "goals 1 and 2: right wrist 2.2 m from the left wrist at 1 s; it reaches 1.6 m, so 0.6 m are left",
        ),
        (
            [
                Relation(joints=["left_wrist", "right_wrist"], distance=0.1, start=1, end=2),
                Relation(joints=["right_wrist", "left_wrist"], distance=1.0, time=1.5),
            ],
            "goals 1 and 2: .* 0.1 m and 1 m apart within 0.05 s",
        ),
        (
            [Relation(joints=["left_wrist", "right_wrist"], distance=3, time=1)],
            "goal 1: .* 3.0 m apart; they get up to",
        ),
    ],
)
def test_infeasible_goals_are_reported_in_one_line(goals, said):
    (line,) = lines(*goals)
    assert re.match(said, line)
    assert "\n" not in line


def test_captured_motion_is_feasible(walks):
    assert lines() == []
    for walk in walks[:10]:
        pose = Pose.of(walk[:F], 0)
        way = PathGoal(
            points=[(x, z) for x, z in walk[::20, 0, [0, 2]].tolist()], end=(len(walk) - 1) / 20, face_along=True
        )
        goals = GoalSet(goals=[pose])
        assert feasibility(goals, len(walk)) == []
        assert feasibility(GoalSet(goals=[way]), len(walk)) == []
    assert lines(Heading(time=0, degrees=180), Heading(time=1, degrees=-160)) == []
    assert lines(Obstacle(shape="circle", center=(0, 0), radius=0.5, start=1), Waypoint(time=2, x=2, z=2)) == []


def test_reach_is_the_sum_of_bones():
    wrist, other = JOINTS.index("left_wrist"), JOINTS.index("right_wrist")
    assert reach(wrist) == pytest.approx(1.128, abs=1e-3)
    assert reach(wrist, other) == pytest.approx(2 * (0.268 + 0.26 + 0.1273 + 0.1404))
    assert reach(0) == 0
    assert all(math.isfinite(reach(a, b)) and reach(a, b) == reach(b, a) for a in range(22) for b in range(22))


def test_goals_beyond_the_end_are_refused():
    with pytest.raises(InputError, match="goal 1"):
        feasibility(GoalSet(goals=[Waypoint(time=9, x=0, z=0)]), F)
    assert torch.equal(GoalSet().observe(3).mask, torch.zeros(3, 22, 3, dtype=torch.bool))
