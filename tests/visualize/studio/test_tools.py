"""What clicks and strokes do to a plan."""

import pytest
import torch

from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint, PathGoal, Waypoint
from visualize.studio.document import Document
from visualize.studio.making import resting
from visualize.studio.tools import HINTS, TOOLS, Hand, clicked, drawn

STANDING = resting()


def test_clicks_make_a_path_longer():
    plan, index = clicked(Document(), Hand("Path"), (0.0, 1.0), STANDING)
    assert plan.goals[0].points == [(0.0, 0.0), (0.0, 1.0)]
    for k, place in enumerate([(1.0, 1.5), (2.0, 1.0)], 3):
        plan, index = clicked(plan, Hand("Path", growing=index), place, STANDING)
        assert len(plan.goals) == 1
        assert len(plan.goals[0].points) == k
        assert plan.goals[0].points[-1] == place
    assert plan.goals[0].end == plan.seconds
    again, _ = clicked(plan, Hand("Path", growing=index), place, STANDING)
    assert again == plan  # twice in one place
    more, index = clicked(plan, Hand("Path"), (3.0, 3.0), STANDING)
    assert (len(more.goals), index) == (2, 1)


@pytest.mark.parametrize(
    ("tool", "kind"),
    [
        ("Way-point", Waypoint),
        ("Circle", Obstacle),
        ("Box", Obstacle),
        ("Key frame", Joint),
        ("Facing", Heading),
        ("Path", PathGoal),
    ],
)
@pytest.mark.parametrize("points", [[(1.0, 1.0)], [(1.0, 1.0), (1.5, 1.2), (2.0, 3.0)]])
def test_every_tool_makes_its_goal(tool, kind, points):
    hand = Hand(tool, time=9.0)
    if len(points) == 1:
        plan, index = clicked(Document(), hand, points[0], STANDING)
    else:
        plan, index = drawn(Document(), hand, points, STANDING)
    assert index == 0
    assert isinstance(plan.goals[0], kind)
    plan.wanted.check(plan.frames)  # its time lies in the motion


def test_looking_makes_nothing():
    assert drawn(Document(), Hand("Look"), [(0.0, 0.0), (1.0, 1.0)], STANDING) == (Document(), None)
    assert set(HINTS) == set(TOOLS)


def test_a_key_frame_is_as_high_as_the_joint_is():
    plan, _ = clicked(Document(), Hand("Key frame", time=1.0, joint="head"), (0.5, 0.5), STANDING)
    assert plan.goals[0].position == pytest.approx((0.5, float(STANDING[15, 1]), 0.5), abs=1e-3)


def test_a_path_goes_on_from_where_the_body_is():
    there = STANDING + torch.tensor([2.0, 0.0, 1.0])
    plan, _ = clicked(Document(), Hand("Path"), (3.0, 3.0), there)
    assert plan.goals[0].points[0] == pytest.approx((2.0, 1.0), abs=1e-3)
