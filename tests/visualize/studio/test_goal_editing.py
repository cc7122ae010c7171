"""Time spans of goals and plans."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guidance.goals.goal_set import Segment
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import PathGoal, Waypoint
from guidance.goals.relations import Contact, Loop
from motion_diffusion.body.skeleton import FPS
from visualize.studio.goal_editing import is_moment, restrict_to, time_span, with_time
from visualize.studio.plan import Plan, text_at, with_part_seconds, with_part_text

SECONDS = 5.95


def test_with_time_moves_every_goal_to_the_given_span(every_goal, walks):
    poses = [Pose.of(walks[0][:1], frame=3), Pose.of(walks[0][:20], frame=3)]
    for goal in [*every_goal, *poses]:
        for start, end in ((1.0, 3.0), (0.5, 0.5), (0.0, SECONDS)):
            moved = with_time(goal, start, end, SECONDS)
            assert type(goal).model_validate(moved.model_dump()) == moved
            if isinstance(goal, Loop):
                assert time_span(goal, SECONDS) is None
                continue
            first, last = time_span(moved, SECONDS)
            assert first == pytest.approx(start, abs=0.026)
            long = isinstance(goal, Pose) and goal.motion is not None and len(goal.motion) > 1
            if not is_moment(goal) and not long:
                assert last == pytest.approx(max(end, start + 0.05) if isinstance(goal, PathGoal) else end, abs=0.026)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_with_time_keeps_goals_within_the_motion(start, end):
    for goal in (Waypoint(time=1.0, x=0.0, z=0.0), Obstacle(shape="circle", center=(1, 1), radius=0.5, start=1.0)):
        first, last = time_span(with_time(goal, start, end, SECONDS), SECONDS)
        assert 0 <= first <= SECONDS + 0.05
        assert last <= SECONDS + 0.05


def test_goals_that_last_to_the_end_follow_the_end():
    plan = Plan(goals=(PathGoal(points=[(0, 0), (0, 3)], end=3.95), Waypoint(time=2.0, x=0.0, z=1.0)))
    for seconds in (6.0, 1.0, 4.0):
        plan = with_part_seconds(plan, 0, seconds)
        assert plan.seconds == pytest.approx(seconds - 0.05)
        assert plan.goals[0].end == pytest.approx(plan.seconds)
    assert plan.goals[1].time == 2.0


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.5), (0.2, 0.3), (3.0, SECONDS), (0.05, SECONDS), (2.0, 2.0)])
def test_restrict_to_keeps_targets_inside_and_removes_those_outside(every_goal, walks, start, end):
    frames, inside = round(SECONDS * FPS) + 1, slice(round(start * FPS), round(end * FPS) + 1)
    for goal in [*every_goal, Pose.of(walks[0][:20], frame=30), Pose.of(walks[0][:1], frame=40)]:
        cut, whole = restrict_to(goal, start, end, SECONDS), goal.observe(frames)
        if cut is None:
            assert whole.mask[inside].sum() == 0 or (
                isinstance(goal, PathGoal) and whole.mask[inside].any(-1).sum() == 1
            )
            continue
        assert type(goal).model_validate(cut.model_dump()) == cut
        part = cut.observe(frames)
        assert torch.equal(part.mask[inside], whole.mask[inside])
        assert part.mask.sum() == part.mask[inside].sum()
        assert torch.allclose(part.values[inside], whole.values[inside], atol=1e-6)


def test_restrict_to_keeps_obstacles_and_contacts_without_position():
    obstacle = Obstacle(shape="circle", center=(1, 1), radius=0.5)
    foot = Contact(joint="left_foot", start=0.5, end=1.5)
    held = foot.model_copy(update={"position": (0.1, None, 0.2)})
    assert [restrict_to(goal, 1.0, 2.0, SECONDS) for goal in (obstacle, foot)] == [obstacle, foot]
    assert time_span(restrict_to(held, 1.0, 2.0, SECONDS), SECONDS) == (1.0, 1.5)
    assert restrict_to(foot, 2.0, 3.0, SECONDS) is None
    assert [restrict_to(Loop(), 2.0, end, SECONDS) for end in (3.0, SECONDS)] == [None, Loop()]


def test_text_at_returns_the_prompt_of_the_part():
    plan = Plan(parts=(Segment(text="a", seconds=1.0), Segment(text="b", seconds=2.0)))
    assert with_part_text(plan, 1, "c").text == "a; then c"
    assert [text_at(plan, second) for second in (0.0, 0.9, 1.0, 2.9, 9.0)] == ["a", "a", "b", "b", "b"]
