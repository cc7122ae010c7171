"""When goals hold, and how long a plan lasts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidance.goals import Loop, Obstacle, Path_, Pose, Segment, Waypoint
from visualize.studio.document import Document
from visualize.studio.player import Player
from visualize.studio.timing import is_moment, lasting, saying, span, timed

SECONDS = 5.95


def test_every_goal_goes_to_the_time_it_is_given(every_goal, walks):
    poses = [Pose.of(walks[0][:1], frame=3), Pose.of(walks[0][:20], frame=3)]
    for goal in [*every_goal, *poses]:
        for start, end in ((1.0, 3.0), (0.5, 0.5), (0.0, SECONDS)):
            moved = timed(goal, start, end, SECONDS)
            assert type(goal).model_validate(moved.model_dump()) == moved
            if isinstance(goal, Loop):
                assert span(goal, SECONDS) is None
                continue
            first, last = span(moved, SECONDS)
            assert first == pytest.approx(start, abs=0.026)
            long = isinstance(goal, Pose) and goal.motion is not None and len(goal.motion) > 1
            if not is_moment(goal) and not long:
                assert last == pytest.approx(max(end, start + 0.05) if isinstance(goal, Path_) else end, abs=0.026)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_no_goal_leaves_the_motion(start, end):
    for goal in (Waypoint(time=1.0, x=0.0, z=0.0), Obstacle(shape="circle", center=(1, 1), radius=0.5, start=1.0)):
        first, last = span(timed(goal, start, end, SECONDS), SECONDS)
        assert 0 <= first <= SECONDS + 0.05
        assert last <= SECONDS + 0.05


def test_goals_to_the_end_stay_to_the_end():
    plan = Document(goals=(Path_(points=[(0, 0), (0, 3)], end=3.95), Waypoint(time=2.0, x=0.0, z=1.0)))
    for seconds in (6.0, 1.0, 4.0):
        plan = lasting(plan, 0, seconds)
        assert plan.seconds == pytest.approx(seconds - 0.05)
        assert plan.goals[0].end == pytest.approx(plan.seconds)
    assert plan.goals[1].time == 2.0


def test_words_are_those_of_a_part():
    plan = Document(parts=(Segment(text="a", seconds=1.0), Segment(text="b", seconds=2.0)))
    assert saying(plan, 1, "c").text == "a; then c"


@given(st.floats(0.1, 10), st.floats(0, 1), st.floats(0, 100), st.sampled_from([1.0, 0.5, 0.1]))
def test_the_player_runs_round_and_round(last, share, seconds, speed):
    player = Player(last, share * last, speed, playing=True)
    later = player.after(seconds)
    assert 0 <= later.time <= last
    turns = (player.time + speed * seconds - later.time) / last
    assert turns == pytest.approx(round(turns), abs=1e-6)
    assert player.turned(False).after(seconds).time == player.time
    assert Player(last, last).turned(True).time == 0
    assert player.of(last / 2).time <= last / 2
