"""Strokes and clicks to goals, and goals to their handles."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact
from visualize.studio import tools
from visualize.studio.goal_editing import constrain_axes
from visualize.studio.plan import Plan, rest_pose
from visualize.studio.tools import TOOL_HINTS, TOOLS, ToolState, apply_click, apply_stroke

PLACES = st.tuples(st.floats(-5, 5), st.floats(-5, 5))
STROKES = st.lists(PLACES, min_size=2, max_size=40)
REST = rest_pose()


@given(PLACES, st.tuples(st.floats(-5, 5), st.floats(0.5, 5), st.floats(-5, 5)), st.floats(0.0, 0.4))
def test_intersect_floor_hits_the_target_of_the_ray(place, eye, height):
    aim = np.array([place[0], height, place[1]]) - eye
    assert tools.intersect_floor(eye, aim.tolist(), height) == pytest.approx(place, abs=1e-6)
    assert tools.intersect_floor(eye, (-aim).tolist(), height) is None  # the floor is behind


@pytest.mark.parametrize("aim", [(1, 0, 0), (0, 1, 0), (1, -1e-7, 0), (math.nan, -1, 0), (math.inf, -1, 0)])
def test_intersect_floor_returns_none_for_a_miss(aim):
    assert tools.intersect_floor((0, 2, 0), aim) is None


@given(STROKES, st.floats(0.001, 1.0))
def test_a_simplified_stroke_stays_near_every_point(points, detail):
    line = tools.simplify(points, detail)
    assert line[0] == points[0]
    assert line[-1] == points[-1]
    index = -1
    kept = []
    for point in line:  # a part of the points, in their order
        index = points.index(point, index + 1)
        kept.append(index)
    for first, last, a, b in zip(kept, kept[1:], line, line[1:], strict=False):
        for point in points[first + 1 : last]:
            assert _from_segment(point, a, b) <= detail + 1e-9


def _from_segment(point, a, b):
    share = np.linspace(0, 1, 2001)[:, None]
    return np.linalg.norm(np.array(a) + share * (np.array(b) - np.array(a)) - point, axis=-1).min() - 0.01


@given(STROKES, st.floats(2.0, 6.0), st.floats(0.0, 1.0), PLACES)
def test_path_from_stroke_starts_at_the_body_and_ends_at_the_end(points, seconds, begin, at):
    goal = tools.path_from_stroke(points, seconds, begin=begin, at=at)
    if goal is None:
        assert tools.polyline_length(tools.simplify(points)) < tools.MIN_STROKE
        return
    assert goal.end == seconds
    assert begin - 0.05 <= goal.start <= (begin + seconds) / 2 + 0.05
    assert goal.points[-1] == pytest.approx(points[-1], abs=1e-3)
    near = math.dist(points[0], at) <= tools.SNAP_DISTANCE
    assert goal.points[0] == pytest.approx(at if near else points[0], abs=1e-3)


def test_path_from_stroke_ignores_dots():
    assert tools.path_from_stroke([(1.0, 1.0)], 4.0) is None
    assert tools.path_from_stroke([(1.0, 1.0), (1.01, 1.0), (1.0, 1.0)], 4.0) is None


@given(PLACES, PLACES)
def test_obstacles_have_the_drawn_extent(one, other):
    round_one, square = tools.circle_obstacle(one, other), tools.box_obstacle(one, other)
    assert round_one.center == pytest.approx(one, abs=1e-3)
    assert round_one.radius == pytest.approx(max(math.dist(one, other), 0.1), abs=1e-3)
    for a, b, middle, size in zip(one, other, square.center, square.size, strict=True):
        assert middle == pytest.approx((a + b) / 2, abs=1e-3)
        assert size == pytest.approx(max(abs(a - b), 0.1), abs=1e-3)


@pytest.mark.parametrize(("towards", "degrees"), [((0, 1), 0), ((1, 0), 90), ((-1, 0), -90), ((1, 1), 45)])
def test_headings_use_the_convention_of_goal_files(towards, degrees):
    assert tools.heading_towards((0, 0), towards, 1.0).degrees == pytest.approx(degrees)


@given(st.integers(0, 99), st.tuples(st.floats(-5, 5), st.floats(0, 2), st.floats(-5, 5)))
def test_move_handle_moves_the_constrained_axes_only(pick, to):
    goals = [
        Waypoint(time=1.0, x=0.0, z=1.0),
        PathGoal(points=[(0, 0), (1, 1), (2, 0)], end=3.0),
        PathGoal(points=[(k / 10, 0) for k in range(tools.MAX_HANDLES + 5)], end=3.0),
        Obstacle(shape="circle", center=(1, 1), radius=0.5),
        Obstacle(shape="box", centers=[(1, 1), (2, 3)], times=[0.0, 2.0], size=(1, 1)),
        Joint(joint="left_wrist", time=1.0, position=(None, 1.5, 0.2)),
        Contact(joint="left_foot", start=1.0, end=2.0, position=(0.1, None, 0.3)),
    ]
    goal = goals[pick % len(goals)]
    every = tools.handles(goal, REST.numpy())
    handle = every[pick % len(every)]
    moved = tools.move_handle(goal, handle.number, to)
    type(goal).model_validate(moved.model_dump())  # still a goal that a file may hold
    now = tools.handles(moved, REST.numpy())[every.index(handle)].position
    position = goal.position if isinstance(goal, Joint | Contact) else (0.0, None, 0.0)
    for axis, held in enumerate(position):
        still = handle.position[axis]
        assert now[axis] == pytest.approx(still if held is None else to[axis], abs=1e-3)
    if isinstance(goal, PathGoal) and len(goal.points) <= tools.MAX_HANDLES:
        assert [a == b for a, b in zip(goal.points, moved.points, strict=True)].count(False) <= 1
    if isinstance(goal, Obstacle) and goal.centers is not None:
        assert np.subtract(*moved.centers) == pytest.approx(np.subtract(*goal.centers), abs=2e-3)


def test_constrain_axes_frees_and_fills_axes():
    goal = tools.key_frame("head", (0.1, 1.6, 0.2), 1.0)
    height = constrain_axes(goal, (False, True, False), (9, 9, 9))
    assert height.position == (None, 1.6, None)
    assert constrain_axes(height, (True, True, False), (0.4, 9, 9)).position == (0.4, 1.6, None)


def test_clicks_extend_a_path():
    plan, index = apply_click(Plan(), ToolState("Path"), (0.0, 1.0), REST)
    assert plan.goals[0].points == [(0.0, 0.0), (0.0, 1.0)]
    for k, place in enumerate([(1.0, 1.5), (2.0, 1.0)], 3):
        plan, index = apply_click(plan, ToolState("Path", extending=index), place, REST)
        assert len(plan.goals) == 1
        assert len(plan.goals[0].points) == k
        assert plan.goals[0].points[-1] == place
    assert plan.goals[0].end == plan.seconds
    again, _ = apply_click(plan, ToolState("Path", extending=index), place, REST)
    assert again == plan  # twice in one place
    more, index = apply_click(plan, ToolState("Path"), (3.0, 3.0), REST)
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
def test_every_tool_creates_its_goal(tool, kind, points):
    state = ToolState(tool, time=9.0)
    if len(points) == 1:
        plan, index = apply_click(Plan(), state, points[0], REST)
    else:
        plan, index = apply_stroke(Plan(), state, points, REST)
    assert index == 0
    assert isinstance(plan.goals[0], kind)
    plan.goal_set.check(plan.frames)  # its time lies in the motion


def test_look_tool_creates_nothing():
    assert apply_stroke(Plan(), ToolState("Move"), [(0.0, 0.0), (1.0, 1.0)], REST) == (Plan(), None)
    assert set(TOOL_HINTS) == set(TOOLS)


def test_key_frame_has_the_height_of_the_joint():
    plan, _ = apply_click(Plan(), ToolState("Key frame", time=1.0, joint="head"), (0.5, 0.5), REST)
    assert plan.goals[0].position == pytest.approx((0.5, float(REST[15, 1]), 0.5), abs=1e-3)


def test_path_starts_at_the_body():
    there = REST + torch.tensor([2.0, 0.0, 1.0])
    plan, _ = apply_click(Plan(), ToolState("Path"), (3.0, 3.0), there)
    assert plan.goals[0].points[0] == pytest.approx((2.0, 1.0), abs=1e-3)
