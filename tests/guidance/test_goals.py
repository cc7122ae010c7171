import json

import pytest
import torch

from guidance.goals import Goals, Joint, Path_, Waypoint, load_goals
from motion_diffusion.errors import InputError

GOOD = {
    "version": 1,
    "goals": [
        {"kind": "waypoint", "time": 2.0, "x": 0.5, "z": 2.0},
        {"kind": "path", "points": [[0, 0], [0, 2], [2, 2]], "start": 0.0, "end": 4.0},
        {"kind": "joint", "joint": "right_wrist", "frame": 30, "position": [None, 1.6, None]},
    ],
}


def write(tmp_path, data):
    path = tmp_path / "goals.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_reads_what_is_written(tmp_path):
    goals = load_goals(write(tmp_path, GOOD))
    assert [goal.kind for goal in goals.goals] == ["waypoint", "path", "joint"]
    assert Goals.model_validate_json(goals.model_dump_json()) == goals


def goal(**changes):
    return {"goals": [{"kind": "waypoint", "time": 1.0, "x": 0, "z": 1} | changes]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"goals": [', ["not JSON"]),
        ("[]", ["goals.json"]),
        ({"version": 2, "goals": []}, ["version"]),
        ({"goal": []}, ["goal", "unknown field"]),
        (goal(kind="teleport"), ["goal 1", "kind", "waypoint, path, joint"]),
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
    ],
)
def test_bad_files_get_one_line_that_names_the_place(tmp_path, data, words):
    with pytest.raises(InputError) as caught:
        load_goals(write(tmp_path, data))
    message = str(caught.value)
    assert "\n" not in message
    for word in ["goals.json", *words]:
        assert word in message


def test_no_file():
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        load_goals("nowhere.json")


def test_a_goal_beyond_the_end():
    goals = Goals(goals=[Waypoint(time=1, x=0, z=0), Waypoint(time=6, x=0, z=0)])
    goals.check(121)
    with pytest.raises(InputError, match="goal 2 .*--seconds"):
        goals.check(120)


def test_a_path_is_walked_at_an_even_pace():
    path = Path_(points=[(0, 0), (0, 2), (3, 2)], start=1.0, end=6.0)
    targets = path.targets()
    assert [frame for frame, _, _ in targets] == list(range(20, 121))
    places = torch.tensor([[x, z] for _, _, (x, _, z) in targets])
    assert places[0].tolist() == [0, 0]
    assert places[-1].tolist() == [3, 2]
    corner = places[40]
    torch.testing.assert_close(corner, torch.tensor([0.0, 2.0]))
    steps = places.diff(dim=0).norm(dim=-1)
    torch.testing.assert_close(steps, torch.full_like(steps, 0.05), atol=1e-5, rtol=0)


def test_path_times_are_kept():
    path = Path_(points=[(0, 0), (1, 0), (1, 4)], times=[0.0, 3.0, 4.0])
    places = {frame: place for frame, _, place in path.targets()}
    assert places[60] == pytest.approx((1, None, 0))
    assert places[30] == pytest.approx((0.5, None, 0))


def test_observes_only_the_axes_asked_for():
    seen = Goals(goals=[Joint(joint="head", frame=3, position=(None, 1.6, None))]).observe(10)
    assert seen.mask.nonzero().tolist() == [[3, 15, 1]]
    assert seen.values[3, 15, 1].item() == pytest.approx(1.6)


def test_residuals_are_distances(walks):
    joints = walks[0]
    x, _, z = joints[20, 0].tolist()
    goals = Goals(goals=[Waypoint(frame=20, x=x + 0.3, z=z - 0.4), Waypoint(frame=20, x=x, z=z + 0.01)])
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
    loss = Goals(goals=[one, other]).observe(len(joints)).loss(joints)
    assert loss.item() == pytest.approx(0.09 / 4, rel=1e-4)
