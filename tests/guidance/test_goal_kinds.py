"""Every kind of goal: the target meets the goal and leaves free entries free."""

import json
import math

import numpy as np
import pytest
import torch

from data_loaders.augment import at_times
from data_loaders.load_motion import read_motion
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.skeleton_mapping import shipped_mappings
from guidance.goals.feasibility import feasibility
from guidance.goals.goal_set import GoalSet
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact, Loop, Relation
from motion_diffusion.body.heading import facing_angle, turn
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError

READER = {"read_motion": read_motion}

F = 60


@pytest.fixture(scope="module")
def walk():
    return torch.from_numpy(ProceduralWalks(0, F, F).example(2).joints)


def applied(observation, joints):
    return torch.where(observation.mask, observation.values, joints)


def moved(observation, joints):
    """The whole body moved to where the pelvis is wanted."""
    return joints + (applied(observation, joints)[:, :1] - joints[:, :1])


EVERY = [
    Waypoint(time=1.0, x=0.5, z=1.0),
    PathGoal(points=[(0, 0), (0, 1), (1, 1)], end=2.0),
    PathGoal(points=[(0, 0), (0, 1), (1, 1)], end=2.0, curve="spline", face_along=True),
    PathGoal(points=[(0, 0), (0, 1), (0, 1), (1, 1)], times=[0, 1, 1.5, 2], face_along=True),
    Joint(joint="head", start=0.5, end=1.0, position=(None, 1.2, 0.5)),
    Pose(frame=10, joints={"left_wrist": (0.3, 1.4, None), "head": (0, 1.5, 0)}),
    Heading(start=1.0, end=2.0, degrees=120),
    Heading(frame=0, degrees=-90),
    Obstacle(shape="circle", center=(0.05, 0.5), radius=0.3),
    Obstacle(shape="box", center=(0.0, 0.6), size=(0.5, 0.2), degrees=30, body="whole"),
    Obstacle(shape="circle", centers=[(-2, 0.5), (0, 2)], times=[0, 2.5], radius=0.9, start=0.2, end=2.0),
    Contact(joint="left_foot", start=0.5, end=1.0),
    Contact(joint="left_wrist", start=0.5, end=1.0, position=(None, 1.0, None)),
    Relation(joints=["left_wrist", "right_wrist"], distance=0.1, start=0, end=2),
    Loop(),
    Loop(in_place=False),
]


@pytest.mark.parametrize("goal", EVERY, ids=lambda goal: goal.kind)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_target_meets_the_goal(goal, walk, dtype):
    joints = walk.to(dtype)
    nearest = goal.target_for(joints)
    assert nearest.values.dtype == nearest.weights.dtype == dtype
    assert nearest.values.shape == nearest.mask.shape == joints.shape
    assert nearest.weights.shape == joints.shape[:-1]
    after = moved(nearest, joints) if goal.kind == "obstacle" else applied(nearest, joints)
    again = goal.target_for(after)
    torch.testing.assert_close(applied(again, after), after, atol=2e-5, rtol=0)
    (residual,) = GoalSet(goals=[goal]).residuals(after)
    assert residual.error <= residual.worst < 1e-4
    assert residual.met
    before = GoalSet(goals=[goal]).residuals(joints)[0]
    assert (before.wanted is None) == (before.reached is None)
    assert before.worst > 0.01


@pytest.mark.parametrize("goal", EVERY, ids=lambda goal: goal.kind)
def test_static_targets_equal_observations(goal, walk):
    seen, nearest = goal.observe(F), goal.target_for(walk)
    if not goal.is_motion_dependent:
        torch.testing.assert_close(seen.values, nearest.values)
    assert not (seen.mask & ~nearest.mask).any()
    torch.testing.assert_close(seen.values[seen.mask], nearest.values[seen.mask])


def test_spline_passes_its_points_at_constant_speed():
    points = [(0, 0), (1, 1), (0, 2), (-1, 2), (-1, 2), (0, 4)]
    path = PathGoal(points=points, times=[0, 1, 2, 3, 4, 5], curve="spline")
    places = path.observe(101).values[:, 0, [0, 2]]
    torch.testing.assert_close(places[::20], torch.tensor(points, dtype=torch.float32))
    even = PathGoal(points=points, end=5.0, curve="spline").observe(101).values[:, 0, [0, 2]]
    steps = even.diff(dim=0).norm(dim=-1)
    assert (steps.max() - steps.min()) / steps.mean() < 0.05  # the chord of a bent step is a little shorter
    line = PathGoal(points=points, end=5.0).observe(101).values[:, 0, [0, 2]]

    def bend(way):
        step = torch.nn.functional.normalize(way.diff(dim=0), dim=-1)
        return (step[1:] * step[:-1]).sum(-1).min()

    assert bend(even) > 0.9 > 0.5 > bend(line)


@pytest.mark.parametrize("degrees", [0, 45, 90, -90, 180, 270])
def test_heading_target_faces_the_direction(degrees, walk):
    turned = applied(Heading(start=0, end=2.95, degrees=degrees).target_for(walk), walk)
    ahead = torch.tensor([math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])
    across = (turned[:, 1] - turned[:, 2] + turned[:, 16] - turned[:, 17])[:, [0, 2]]  # from right to left
    left = torch.tensor([ahead[1], -ahead[0]])
    assert (across @ ahead).abs().max() < 1e-5
    assert (across @ left).min() > 0.2
    hips = (turned[:, [1, 2, 16, 17]] - turned[:, :1]).norm(dim=-1)
    torch.testing.assert_close(hips, (walk[:, [1, 2, 16, 17]] - walk[:, :1]).norm(dim=-1))


def test_path_with_face_along_sets_the_heading(walk):
    angle = torch.linspace(0, math.pi / 2, 41)
    circle = [(2 - 2 * math.cos(a), 2 * math.sin(a)) for a in angle.tolist()]
    path = PathGoal(points=circle, times=[i / 20 for i in range(41)], face_along=True)
    after = applied(path.target_for(walk), walk)
    torch.testing.assert_close(facing_angle(after[4:37]).float(), angle[4:37], atol=0.01, rtol=0)
    offsets = (after[:41, [1, 2]] - after[:41, :1]).norm(dim=-1)
    torch.testing.assert_close(offsets, (walk[:41, [1, 2]] - walk[:41, :1]).norm(dim=-1))


def through(ways, body):
    """Motions that walk along ways (x, z), (F, 2), with the pose of a body (22, 3)."""
    motion = body.expand(len(ways), -1, -1).clone()
    motion[..., [0, 2]] += (ways - body[0, [0, 2]])[:, None]
    return motion


def stays_outside(obstacle, motion, after):
    """Frames that were pushed out one after the other are on one side: half way between them is outside, too."""
    relative = after[:, 0, [0, 2]] - obstacle.middle(torch.arange(len(after)))
    pushed = (after - motion)[:, 0].norm(dim=-1) > 1e-6
    between = (relative[1:] + relative[:-1]).div(2)[pushed[1:] & pushed[:-1]]
    return bool((obstacle.depth(between) > -0.05).all())


SHAPES = [
    {"shape": "circle", "radius": 0.7},
    {"shape": "box", "size": (1.6, 0.8)},
    {"shape": "box", "size": (0.5, 2.0), "degrees": 35},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("body", ["root", "whole"])
@pytest.mark.parametrize("moving", [False, True])
def test_paths_pass_obstacles_on_one_side(shape, body, moving, walk):
    where = {"centers": [(-0.5, 2.0), (0.7, 2.2)], "times": [0.5, 2.5]} if moving else {"center": (0.1, 2.0)}
    obstacle = Obstacle(**shape, **where, body=body, margin=0.15)
    share = torch.linspace(0, 1, F)[:, None]
    generator = torch.Generator().manual_seed(0)
    frames = torch.arange(F)
    for _ in range(25):
        a, b = torch.rand(2, 2, generator=generator) * 1.5
        ways = [a * torch.tensor([1, -1]), b * torch.tensor([-1, 1]) + torch.tensor([0.0, 4.0])]
        motion = through(ways[0] + share * (ways[1] - ways[0]), walk[0])
        after = moved(obstacle.target_for(motion), motion)
        points = after[:, :1] if body == "root" else after
        assert obstacle.distance(points[..., [0, 2]], frames).min() > 0.15 - 1e-4
        assert stays_outside(obstacle, motion, after)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("body", ["root", "whole"])
def test_motions_inside_an_obstacle_leave_it(shape, body, walk):
    obstacle = Obstacle(**shape, center=(0.0, 0.0), body=body)
    share = torch.linspace(0, 1, F)[:, None]
    ways = [
        torch.zeros(F, 2),
        share * torch.tensor([0.0, 3.0]),
        (share - 0.1) * torch.tensor([0.1, 3.0]),
        (1 - share) * torch.tensor([2.0, 2.0]),
        0.05 * torch.cat([(share * 40).sin(), (share * 40).cos()], dim=-1),
    ]
    for way in ways:
        motion = through(way, walk[0])
        after = moved(obstacle.target_for(motion), motion)
        points = after[:, :1] if body == "root" else after
        assert obstacle.distance(points[..., [0, 2]], torch.arange(F)).min() > 0.1 - 1e-4
        assert stays_outside(obstacle, motion, after)


@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("shape", [{"radius": 0.7}, {"size": (1.5, 0.4), "degrees": 33.0}])
def test_points_leave_the_margin_where_its_distance_says(shape, margin):
    """Along 40,000 lines, some of them along the sides: at both crossings the distance is the margin, just between them
    it is less, and lines without crossings never come as near."""
    obstacle = Obstacle(shape="circle" if "radius" in shape else "box", center=(0.0, 0.0), margin=margin, **shape)
    draw = torch.Generator().manual_seed(0)
    points = 2 * torch.randn(1000, 40, 2, generator=draw, dtype=torch.float64)
    angles = 7 * torch.rand(1000, 1, generator=draw, dtype=torch.float64)
    angles[:4, 0] = torch.deg2rad(torch.tensor([33.0, 123.0, 213.0, 303.0], dtype=torch.float64))
    along = torch.stack([angles.cos(), angles.sin()], dim=-1)
    entry, leave = obstacle._crossings(points, along)

    def depth(metres):
        return obstacle.depth(points + metres[..., None] * along)

    crossed = entry < leave
    assert 0.1 < crossed.double().mean() < 0.9
    for metres, inwards in ((entry, 1e-4), (leave, -1e-4)):
        assert (depth(metres)[crossed] - margin).abs().max() < 2e-5
        assert (depth(metres + inwards) < depth(metres))[crossed & (leave - entry > 1e-2)].all()
    for metres in torch.linspace(-8, 8, 161).tolist():
        assert (depth(torch.full_like(entry, metres))[~crossed] > margin).all()


def test_obstacle_distance_matches_geometry():
    circle = Obstacle(shape="circle", center=(1, 2), radius=0.5)
    frames = torch.arange(2)
    at = torch.tensor([[1.0, 2.0], [1.0, 3.0]])
    torch.testing.assert_close(circle.distance(at, frames), torch.tensor([-0.5, 0.5]))
    box = Obstacle(shape="box", center=(0, 0), size=(2.0, 4.0), degrees=90, end=0.0)  # its long side is now along x
    torch.testing.assert_close(
        box.distance(torch.tensor([[[3.0, 0.0], [0.0, 0.5], [5.0, 5.0]]] * 2), frames),
        torch.tensor([[1.0, -0.5, 5.0], [torch.inf] * 3]),
    )
    outside = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 3
    turned = Obstacle(shape="box", center=(0, 0), size=(1.0, 3.0), degrees=25)
    depth = turned.depth(outside)
    torch.testing.assert_close(
        turned.depth(outside - depth[:, None] * turned.outward(outside)).abs().max().item(), 0.0, atol=1e-5, rtol=0
    )


def test_distant_obstacles_have_no_target(walk):
    assert not Obstacle(shape="circle", center=(50, 50), radius=1).target_for(walk).mask.any()
    gone = Obstacle(shape="circle", center=(0, 0), radius=1, start=100)
    assert not gone.target_for(walk).mask.any()
    with pytest.raises(InputError, match="beyond the motion"):
        GoalSet(goals=[gone]).check(F)


def test_contact_holds_the_mean_position(walk):
    nearest = Contact(joint="left_foot", start=0.5, end=1.0).target_for(walk)
    assert nearest.mask.nonzero()[:, :2].unique(dim=0).tolist() == [[frame, 10] for frame in range(10, 21)]
    torch.testing.assert_close(nearest.values[10:21, 10], walk[10:21, 10].mean(0).expand(11, 3))


def test_relation_moves_both_joints_equally(walk):
    goal = Relation(joints=["left_wrist", "right_wrist"], distance=0.1, frame=5)
    after = applied(goal.target_for(walk), walk)[5]
    torch.testing.assert_close((after[20] - after[21]).norm().item(), 0.1, atol=1e-5, rtol=0)
    torch.testing.assert_close(after[20] + after[21], walk[5, 20] + walk[5, 21])
    same = walk.clone()
    same[:, 20] = same[:, 21]
    after = applied(goal.target_for(same), same)[5]
    torch.testing.assert_close((after[20] - after[21]).norm().item(), 0.1, atol=1e-5, rtol=0)


def test_relation_moves_the_free_joint(walk):
    held = Joint(joint="left_wrist", frame=5, position=(0.5, 1.2, 0.5))
    goals = GoalSet(goals=[held, Relation(joints=["left_wrist", "right_wrist"], distance=0.1, frame=5)])
    after = applied(goals.target_for(walk), walk)
    assert [residual.worst for residual in goals.residuals(after)] == pytest.approx([0, 0], abs=1e-3)


def test_later_goals_depend_on_earlier_targets(walk):
    goals = GoalSet(
        goals=[
            Contact(joint="left_wrist", start=1.0, end=2.0),
            Relation(joints=["left_wrist", "right_wrist"], distance=0.1, start=1.0, end=2.0),
            Obstacle(shape="circle", center=(-0.2, 1.2), radius=0.3),
            Heading(start=0.5, end=1.5, degrees=45),
        ]
    )
    seen = goals.target_for(walk)
    residuals = goals.residuals(applied(seen, walk))
    assert [residual.worst for residual in residuals] == pytest.approx([0] * 4, abs=1e-3)
    pushed = seen.mask[:, 0, 0] & seen.mask[:, 1, 0]
    assert pushed.any()
    floor = torch.tensor([1.0, 0.0, 1.0])
    hips = ((seen.values[pushed][:, [1, 2]] - seen.values[pushed][:, :1]) * floor).norm(dim=-1)
    torch.testing.assert_close(hips, ((walk[pushed][:, [1, 2]] - walk[pushed][:, :1]) * floor).norm(dim=-1))


def test_loop_elsewhere_keeps_the_pose(walk):
    motion = turn(walk, torch.linspace(0, 2, F)) + torch.linspace(0, 3, F)[:, None, None] * torch.tensor([1.0, 0, 2])
    last = applied(Loop(in_place=False).target_for(motion), motion)[-1]
    torch.testing.assert_close(last[0, [0, 2]], motion[-1, 0, [0, 2]])
    torch.testing.assert_close(facing_angle(last[None]), facing_angle(motion[-1:]), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cdist(last, last), torch.cdist(motion[0], motion[0]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(applied(Loop().target_for(motion), motion)[-1], motion[0])


def test_poses_of_a_motion(walk):
    pose = Pose.of(walk[20:23], 40, only=["left_wrist", "head"])
    seen = pose.observe(F)
    assert seen.mask.all(-1).nonzero().tolist() == [[f, j] for f in (40, 41, 42) for j in (15, 20)]
    torch.testing.assert_close(seen.values[40:43, 20], walk[20:23, 20])
    assert pose.last_time == 2.1
    cut = pose.observe(42)
    assert int(cut.mask.any(-1).sum()) == 4


def test_poses_from_files(walk, tmp_path, write_bandai):
    Motion(walk).save(tmp_path / "m.npz")
    write_bandai(tmp_path / "m.bvh", walk.numpy())
    for name in ("m.npz", "m.bvh"):
        goals = GoalSet(goals=[Pose(start=1.0, end=1.5, file=name, file_frame=7, at=(1.0, 2.0), degrees=90)])
        with pytest.raises(InputError, match="load_goals"):
            goals.observe(F)
        read = goals.resolved(tmp_path, **READER)
        assert GoalSet.model_validate_json(read.model_dump_json()) == read
        seen = read.observe(F).values
        torch.testing.assert_close(seen[20, 0, [0, 2]], torch.tensor([1.0, 2.0]))
        torch.testing.assert_close(facing_angle(seen[20:21]).item(), math.pi / 2, atol=1e-4, rtol=0)
        assert read.observe(F).mask.flatten(1).all(1).nonzero()[:, 0].tolist() == list(range(20, 31))
    theirs = {"version": 1, "joints": shipped_mappings()["bandai_namco"].joints | {"left_hip": "Left"}}
    (tmp_path / "mapping.json").write_text(json.dumps(theirs))
    (tmp_path / "other.bvh").write_text((tmp_path / "m.bvh").read_text().replace("UpperLeg_L", "Left"))
    at = {"time": 1.0, "file_frame": 7}
    (other,) = (
        GoalSet(goals=[Pose(**at, file="other.bvh", mapping="mapping.json", up="y")]).resolved(tmp_path, **READER).goals
    )
    (plain,) = GoalSet(goals=[Pose(**at, file="m.bvh")]).resolved(tmp_path, **READER).goals
    assert other.mapping is None
    assert other.retargeted
    assert plain.retargeted
    says = "the file is of another body; its poses are put on this one by the directions of the bones"
    assert feasibility(GoalSet(goals=[other]), F) == [f"goal 1: {says}"]
    ways = torch.tensor([[*other.motion[0]], [*plain.motion[0]]])
    torch.testing.assert_close(*(way - way[10:12, 1].mean() * torch.tensor([0, 1, 0]) for way in ways))
    Motion(torch.from_numpy(at_times(walk.numpy(), np.arange(0, 59.1, 1 / 3))), fps=60).save(tmp_path / "fast.npz")
    (fast,) = GoalSet(goals=[Pose(frame=0, file="fast.npz", file_frame=30)]).resolved(tmp_path, **READER).goals
    torch.testing.assert_close(torch.tensor(fast.motion[0]), walk[30], atol=1e-4, rtol=0)
    exact = (
        GoalSet(goals=[Pose(frame=3, file="m.npz", file_frame=59)]).resolved(tmp_path, **READER).observe(F).values[3]
    )
    torch.testing.assert_close(exact, walk[59])
    assert not fast.retargeted


@pytest.mark.parametrize(
    ("pose", "words"),
    [
        ({"file": "none.npz"}, "no file"),
        ({"file": "x" * 5000}, "no file"),
        ({"file": "m.npz", "file_frame": 60}, "has 60 frames"),
        ({"file": "m.npz", "file_frame": 55, "start": 0, "end": 1}, "frame 55 and the 20 after"),
        ({"file": "broken.npz"}, "is no .npz file"),
        ({"file": "m.txt"}, "motions are read from .npz, .bvh, .amc, .npy"),
        ({"file": "fast.npz", "file_frame": 20}, "has 20 frames"),
        ({"file": "other.bvh"}, "no mapping in .* fits its joints .*there is no UpperLeg_L"),
        ({"file": "other.bvh", "mapping": "none.json"}, "no mapping file"),
        ({"file": "far.npy", "file_frame": 1}, "goes more than 1000 m away"),
    ],
)
def test_invalid_pose_files_are_refused(pose, words, walk, tmp_path, write_bandai):
    Motion(walk).save(tmp_path / "m.npz")
    Motion(walk, fps=60).save(tmp_path / "fast.npz")
    (tmp_path / "broken.npz").write_text("no")
    np.save(tmp_path / "far.npy", walk.numpy() + 0.1 * np.arange(len(walk))[:, None, None] * 1e4)
    (tmp_path / "m.txt").write_text("no")
    write_bandai(tmp_path / "m.bvh", walk.numpy())
    (tmp_path / "other.bvh").write_text((tmp_path / "m.bvh").read_text().replace("UpperLeg_L", "LeftUpLeg"))
    goal = Pose(**({"time": 1.0} if "start" not in pose else {}), **pose)
    with pytest.raises(InputError, match=words) as caught:
        GoalSet(goals=[Waypoint(time=0, x=0, z=0), goal]).resolved(tmp_path, **READER)
    assert str(caught.value).startswith("goal 2 (pose): field file: ")
    assert "\n" not in str(caught.value)


def test_combined_goals_are_met(walk):
    """Static goals hold; the others add to them, at their weights, and all but contradictions are met."""
    goals = GoalSet(
        goals=[
            Waypoint(frame=30, x=0.4, z=1.0, weight=2.0),
            Heading(frame=30, degrees=60, weight=3.0),
            Obstacle(shape="circle", center=(0.0, 0.6), radius=0.25, weight=4.0),
            Contact(joint="right_wrist", start=1.0, end=2.0, weight=5.0),
        ]
    )
    assert goals.is_motion_dependent
    seen = goals.target_for(walk)
    assert seen.weights[30, 0] == 2
    assert seen.weights[30, 16] == 3
    assert seen.weights[25, 21] == 5
    torch.testing.assert_close(seen.values[30, 0, [0, 2]], torch.tensor([0.4, 1.0]))
    assert all(residual.met for residual in goals.residuals(applied(seen, walk)))
    hips = (seen.values[30, [1, 2]] - seen.values[30, :1])[:, [0, 2]].norm(dim=-1)
    torch.testing.assert_close(hips, (walk[30, [1, 2]] - walk[30, :1])[:, [0, 2]].norm(dim=-1))  # they came along


def test_unknown_joint_names_are_refused():
    with pytest.raises(ValueError, match="unknown joint"):
        Relation(joints=["left_wrist", "tail"], distance=0, frame=0)
    assert len(JOINTS) == 22
