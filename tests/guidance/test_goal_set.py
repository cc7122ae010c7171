import json
import math

import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from data_loaders.load_motion import read_motion
from guidance.goals.feasibility import feasibility
from guidance.goals.goal_file import SCHEMA, load_goals, write_schema
from guidance.goals.goal_set import KINDS, GoalSet
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError
from tests.guidance.goal_files import ANY, FILES, GOOD, mutated


def write(tmp_path, data):
    path = tmp_path / "goals.json"
    path.write_bytes(
        data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
    )
    return path


def test_load_goals_reads_all_kinds(tmp_path):
    goals = load_goals(write(tmp_path, GOOD))
    assert [goal.kind for goal in goals.goals] == ["waypoint", "path", "joint"]
    assert GoalSet.model_validate_json(goals.model_dump_json()) == goals


def goal(**changes):
    return {"goals": [{"kind": "waypoint", "time": 1.0, "x": 0, "z": 1} | changes]}


def of(kind, **fields):
    return {"goals": [{"kind": kind} | fields]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"goals": [', ["not JSON"]),
        ("[]", ["goals.json"]),
        ({"version": 2, "goals": []}, ["version"]),
        ({"goal": []}, ["goal", "unknown field"]),
        (goal(kind="teleport"), ["goal 1", "kind", "waypoint, path, joint, pose"]),
        ({"goals": [{"time": 1}]}, ["goal 1", "kind"]),
        (goal(y=3), ["goal 1", "waypoint", "y", "unknown field"]),
        (goal(x="left"), ["goal 1", "x", "number"]),
        ('{"goals": [{"kind": "waypoint", "time": 1, "x": NaN, "z": 0}]}', ["goal 1", "x", "finite"]),
        (goal(time=-1), ["goal 1", "time", "greater"]),
        (goal(frame=3), ["goal 1", "time", "frame"]),
        (goal(tolerance=-0.1), ["goal 1", "tolerance"]),
        (
            {"goals": [{"kind": "joint", "joint": "tail", "time": 1, "position": [0, 0, 0]}]},
            ["goal 1", "tail", "pelvis"],
        ),
        ({"goals": [{"kind": "joint", "joint": "head", "time": 1, "position": [None] * 3}]}, ["goal 1", "position"]),
        ({"goals": [{"kind": "path", "points": [[0, 0]], "end": 2}]}, ["goal 1", "points"]),
        ({"goals": [{"kind": "path", "points": [[0, 0], [1, 1]]}]}, ["goal 1", "end"]),
        ({"goals": [{"kind": "path", "points": [[0, 0], [1, 1]], "times": [2, 1]}]}, ["goal 1", "increase"]),
        ("", ["not JSON"]),
        (b"\xff\xfe", ["not JSON", "utf-8"]),
        ("[" * 100_000, ["nested too deeply"]),
        ('{"goals": [], "goals": []}', ["goals", "twice"]),
        ('{"version": 1' + "0" * 5000 + "}", ["digits"]),
        ('{"version": true}', ["version"]),
        ({"goals": {}}, ["goals", "list"]),
        (goal(x=True), ["goal 1", "x", "number", "true"]),
        (goal(x="1"), ["goal 1", "x", "number"]),
        (goal(x=10**400), ["goal 1", "x"]),
        (goal(x=1e300), ["goal 1", "x", "100"]),
        ('{"goals": [{"kind": "waypoint", "time": Infinity, "x": 0, "z": 0}]}', ["goal 1", "time", "finite"]),
        (goal(time=None, frame=1.5), ["goal 1", "frame", "integer"]),
        (goal(time=None, frame=True), ["goal 1", "frame", "integer"]),
        (goal(time=None, frame=10**30), ["goal 1", "frame"]),
        (goal(weight=0), ["goal 1", "weight", "greater"]),
        (goal(**{"a\nb\u2028c": 1}), ["goal 1", "unknown field"]),
        (of("pose", time=1), ["goal 1", "pose", "'joints', 'motion', 'rotations' and 'file'"]),
        (of("pose", time=1, joints={"tail": [0, 0, 0]}), ["goal 1", "pose", "joints", "tail"]),
        (of("pose", time=1, joints={}), ["goal 1", "every axis"]),
        (of("pose", time=1, motion=[[[0, 0, 0]] * 21]), ["goal 1", "motion", "22"]),
        (of("pose", start=0, end=1, motion=[[[0, 0, 0]] * 22]), ["goal 1", "1 frames", "21"]),
        (of("pose", time=1, motion=[[None] * 22], at=[0, 0]), ["goal 1", "'at'"]),
        (of("pose", time=1, file="none.npz"), ["goal 1", "file", "none.npz", "give the path"]),
        (of("heading", degrees=90), ["goal 1", "time"]),
        (of("heading", start=1, degrees=90), ["goal 1", "'start' and 'end'"]),
        (of("heading", start=2, end=1, degrees=90), ["goal 1", "earlier"]),
        (of("heading", time=1, degrees=1000), ["goal 1", "degrees", "360"]),
        (of("obstacle", shape="circle", radius=1), ["goal 1", "'center'"]),
        (of("obstacle", shape="circle", center=[0, 0], size=[1, 1]), ["goal 1", "'radius'"]),
        (of("obstacle", shape="box", center=[0, 0], size=[1, 0]), ["goal 1", "size", "greater"]),
        (of("obstacle", shape="ring", center=[0, 0]), ["goal 1", "shape", "circle"]),
        (of("obstacle", shape="circle", radius=1, centers=[[0, 0], [1, 1]], times=[1, 1]), ["goal 1", "increase"]),
        (of("contact", joint="head", start=0, end=1), ["goal 1", "joint", "left_foot"]),
        (of("contact", joint="left_foot", start=0), ["goal 1", "end", "missing"]),
        (of("relation", joints=["head"], distance=1, time=0), ["goal 1", "joints", "2"]),
        (of("relation", joints=["head", "head"], distance=1, time=0), ["goal 1", "twice"]),
        (of("loop", in_place=1), ["goal 1", "in_place", "true or false"]),
        ({"segments": [{"text": " ", "seconds": 1}]}, ["segment 1", "text", "prompt is empty"]),
        ({"segments": [{"text": "a", "seconds": 1}, {"text": "a", "seconds": 0}]}, ["segment 2", "seconds", "greater"]),
    ],
)
def test_invalid_files_are_refused_in_one_line(tmp_path, data, words):
    with pytest.raises(InputError) as caught:
        load_goals(write(tmp_path, data), read_motion=read_motion)
    message = str(caught.value)
    assert "\n" not in message
    for word in ["goals.json", *words]:
        assert word in message


def test_missing_file_is_refused():
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        load_goals("nowhere.json")


def test_goal_beyond_the_end_is_refused():
    goals = GoalSet(goals=[Waypoint(time=1, x=0, z=0), Waypoint(time=6, x=0, z=0)])
    goals.check(121)
    with pytest.raises(InputError, match="goal 2 .*--seconds"):
        goals.check(120)


def test_goal_far_beyond_the_end_needs_no_memory():
    late = {"frame": 10**9}
    for goal in (
        Waypoint(**late, x=0, z=0),
        Joint(joint="head", start=0, end=5e7, position=(None, 1, None)),
        PathGoal(points=[(0, 0), (1, 1)], end=5e7, curve="spline"),
        Pose(**late, joints={"head": (0, 1, 0)}),
        Obstacle(shape="circle", center=(0, 0), radius=1, start=5e7),
    ):
        for ask in (GoalSet.check, GoalSet.observe):
            with pytest.raises(InputError, match="beyond the motion"):
                ask(GoalSet(goals=[goal]), 120)
        assert goal.observe(120).values.shape == (120, 22, 3)


def test_contradictions_name_both_goals():
    wrist = {"joint": "left_wrist", "frame": 30}
    goals = [
        Waypoint(time=1, x=0, z=1),
        Joint(**wrist, position=(0.2, None, None)),
        Joint(**wrist, position=(None, 1.2, None)),
        Pose(frame=30, joints={"left_wrist": (0.23, 1.2, None)}),
    ]
    GoalSet(goals=goals).check(60)
    goals.append(Pose(frame=30, joints={"left_wrist": (0.9, None, None)}, tolerance=0.3))
    with pytest.raises(InputError) as caught:
        GoalSet(goals=goals).check(60)
    assert str(caught.value) == (
        "goal 2 (joint) and goal 5 (pose) want left_wrist at 1.50 s at x = 0.20 m and 0.90 m; take one out"
    )
    goals[-1] = goals[-1].model_copy(update={"tolerance": 0.8})
    GoalSet(goals=goals).check(60)
    assert GoalSet(goals=goals).observe(60).values[30, JOINTS.index("left_wrist"), 0].item() == pytest.approx(0.9)


def test_path_has_constant_speed():
    path = PathGoal(points=[(0, 0), (0, 2), (3, 2)], start=1.0, end=6.0)
    seen = path.observe(200)
    assert seen.mask.nonzero().tolist() == [[frame, 0, axis] for frame in range(20, 121) for axis in (0, 2)]
    places = seen.values[20:121, 0, [0, 2]]
    assert places[0].tolist() == [0, 0]
    assert places[-1].tolist() == [3, 2]
    corner = places[40]
    torch.testing.assert_close(corner, torch.tensor([0.0, 2.0]))
    steps = places.diff(dim=0).norm(dim=-1)
    torch.testing.assert_close(steps, torch.full_like(steps, 0.05), atol=1e-5, rtol=0)


def test_path_times_are_kept():
    path = PathGoal(points=[(0, 0), (1, 0), (1, 4)], times=[0.0, 3.0, 4.0])
    places = path.observe(100).values[:, 0, [0, 2]]
    assert places[60].tolist() == pytest.approx((1, 0))
    assert places[30].tolist() == pytest.approx((0.5, 0))


def test_only_given_axes_are_observed():
    seen = GoalSet(goals=[Joint(joint="head", frame=3, position=(None, 1.6, None))]).observe(10)
    assert seen.mask.nonzero().tolist() == [[3, 15, 1]]
    assert seen.values[3, 15, 1].item() == pytest.approx(1.6)


def test_residuals_are_distances(walks):
    joints = walks[0]
    x, _, z = joints[20, 0].tolist()
    goals = GoalSet(goals=[Waypoint(frame=20, x=x + 0.3, z=z - 0.4), Waypoint(frame=20, x=x, z=z + 0.01)])
    off, near = goals.residuals(joints)
    assert off.error == pytest.approx(0.5, abs=1e-6)
    assert not off.met
    assert near.met
    assert near.reached[0] == pytest.approx(x)


def test_loss_is_the_weighted_mean_of_squares(walks):
    joints = walks[0]
    x, _, z = joints[20, 0].tolist()
    one = Waypoint(frame=20, x=x + 0.3, z=z)
    other = Waypoint(frame=30, x=joints[30, 0, 0].item(), z=joints[30, 0, 2].item(), weight=3.0)
    observed = GoalSet(goals=[one, other]).observe(len(joints))
    assert observed.loss(joints).item() == pytest.approx(0.09 / 4, rel=1e-4)
    assert observed.misfit(joints).item() == pytest.approx(0.09, rel=1e-4)  # the sum, not the mean


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_goal_files_are_feasible(path, walks):
    goals = load_goals(path)
    goals.check(120)
    assert feasibility(goals, 120) == []
    assert GoalSet.model_validate_json(goals.model_dump_json()) == goals
    assert GoalSet.model_validate(goals.model_dump(exclude_none=True)) == goals
    walk = torch.cat([walks[0], walks[0][-1:].expand(120, -1, -1)])[:120]
    seen = goals.target_for(walk)
    assert seen.values.isfinite().all()


def test_shipped_file_covers_every_kind():
    kinds = {goal.kind for goal in load_goals(SCHEMA.parent / "everything.json").goals}
    assert kinds == set(KINDS)


def test_schema_is_up_to_date():
    remedy = "the goal format has changed; write the schema again: guidance.goals.goal_file.write_schema()"
    assert json.loads(SCHEMA.read_text()) == GoalSet.model_json_schema(), remedy
    assert callable(write_schema)
    for name, model in GoalSet.model_json_schema()["$defs"].items():
        assert model["description"], name
        assert model["additionalProperties"] is False


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=mutated() | ANY | st.fixed_dictionaries({"goals": st.lists(ANY, max_size=2)}), seed=st.integers(0, 99))
@example(data=goal(time=None, frame=10**9), seed=0)
@example(data=of("path", points=[[0, 0], [1e-200, 0], [0, 0]], end=1, curve="spline", face_along=True), seed=0)
@example(data=of("obstacle", shape="box", center=[0, 0], size=[1e-300, 1e-300], body="whole"), seed=0)
def test_mutated_files_are_refused_or_valid(tmp_path, data, seed):
    goals, refusal = None, "a\nb"
    try:
        goals = load_goals(write(tmp_path, data))
        goals.check(90)
    except InputError as error:
        goals, refusal = None, str(error)
    if goals is None:
        assert len(refusal.splitlines()) == 1
        return
    assert GoalSet.model_validate_json(goals.model_dump_json()) == goals
    generator = torch.Generator().manual_seed(seed)
    joints = torch.randn(90, 22, 3, generator=generator).mul(0.05).cumsum(0)
    if seed % 10 == 0:
        joints = torch.zeros(90, 22, 3)  # a body without any directions
    for seen in (goals.observe(90), goals.target_for(joints)):
        assert seen.values.isfinite().all()
        assert seen.weights.isfinite().all()
    for residual in goals.residuals(joints):
        assert math.isfinite(residual.error + residual.worst)
    assert all("\n" not in line for line in feasibility(goals, 90))


@given(st.binary(max_size=30))
def test_random_bytes_are_refused_in_one_line(tmp_path_factory, data):
    assume(data.strip() not in (b"{}",))
    with pytest.raises(InputError) as caught:
        load_goals(write(tmp_path_factory.mktemp("bytes"), data))
    assert len(str(caught.value).splitlines()) == 1
