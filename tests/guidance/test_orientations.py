"""Goals of how joints are turned: met as another reader of rotations sees it, for any direction and rotation."""

import json
import math

import numpy as np
import pybvh
import pytest
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from guidance.foot_cleanup import clean_up
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from guidance.goals.orientations import AHEAD, FINGERS, FROM, Orientation
from guidance.goals.poses import Pose
from motion_diffusion.body.joint_angles import HINGES
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.motion_metrics import bone_length_range
from motion_diffusion.body.rig import REST
from motion_diffusion.body.skeleton import JOINTS, PARENTS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.export.formats import export

SIX = ("pelvis", "head", "left_wrist", "right_wrist", "left_ankle", "right_ankle")


def front(joint):
    return np.array(FINGERS.get(joint, AHEAD))


def some(seed):
    """Orientations at random that a body can have: not far from a walk's that faces +z."""
    rng = np.random.default_rng(seed)
    joint = SIX[seed % len(SIX)]
    turn = Rotation.from_rotvec(rng.uniform(-0.7, 0.7, 3))
    if seed % 2:
        return Orientation(time=1.5, joint=joint, rotation=tuple(turn.as_quat()[[3, 0, 1, 2]]))
    return Orientation(start=1.0, end=1.5, joint=joint, facing=tuple(turn.apply(front(joint))))


def missed(goal, matrix):
    """Degrees by which a rotation matrix in the world misses the goal, by SciPy's rules."""
    if goal.rotation is not None:
        w, x, y, z = goal.rotation
        return math.degrees((Rotation.from_quat([x, y, z, w]).inv() * Rotation.from_matrix(matrix)).magnitude())
    looks, way = matrix @ front(goal.joint), np.array(goal.facing)
    return math.degrees(math.atan2(np.linalg.norm(np.cross(looks, way)), looks @ way))


@pytest.mark.parametrize("seed", range(12))
def test_orientations_are_met_and_exported(walks, seed, tmp_path):
    goals = GoalSet(goals=[some(seed)])
    (goal,) = goals.goals
    rig, report = clean_up(walks[seed][:60], goals)
    assert not [line for line in report.unsettled if "missed" in line]
    export(Motion.of(rig), tmp_path / "a.bvh")
    file = pybvh.read_bvh_file(tmp_path / "a.bvh")
    names, turns = file.joint_names, file.joint_angles  # radians about Z, X and Y
    for frame in range(goal.first, goal.last + 1):
        world, joint = np.eye(3), JOINTS.index(goal.joint)
        while joint >= 0:
            turn = Rotation.from_euler("ZXY", turns[frame, names.index(JOINTS[joint])])
            world, joint = turn.as_matrix() @ world, PARENTS[joint]
        assert missed(goal, world) < 0.1
    (residual,) = goals.residuals(rig.joints, rig.world)
    assert residual.met
    assert bone_length_range(rig.joints.float()) < 1e-5


@pytest.mark.parametrize("joint", FROM)
def test_head_and_hands_respect_their_limits(walks, joint):
    """Beyond the neck's or the wrist's limit, the chest or the arm rotates."""
    goal = Orientation(time=1.0, joint=joint, facing=(-front(joint)).tolist())
    rig, _ = clean_up(walks[0][:60], GoalSet(goals=[goal]))
    origin, farthest = FROM[joint]
    turn = rig.world[20, origin].mT @ rig.world[20, JOINTS.index(joint)]
    assert math.degrees(Rotation.from_matrix(turn.numpy()).magnitude()) < farthest + 1
    mine = rig.rotations[:, JOINTS.index(joint)]
    turns = Rotation.from_matrix((mine[1:] @ mine[:-1].mT).numpy())
    assert np.degrees(turns.magnitude()).max() < 45  # from frame to frame


def test_unreachable_orientation_is_reported(walks):
    """A head that looks back while the pelvis is held ahead."""
    goals = GoalSet(
        goals=[
            Orientation(start=0.5, end=1.5, joint="pelvis", rotation=(1, 0, 0, 0)),
            Orientation(time=1.0, joint="head", facing=(0, 0.9, -0.5)),
        ]
    )
    rig, _ = clean_up(walks[0][:60], goals)
    pelvis, head = goals.residuals(rig.joints, rig.world)
    assert pelvis.met
    assert "° off" in head.what


def test_orientation_guides_sampling(tmp_path):
    """The body turns over several frames, not within one."""
    goal = {"kind": "orientation", "joint": "pelvis", "time": 2.5, "facing": [1, 0, 0]}
    (tmp_path / "a.json").write_text(json.dumps({"goals": [goal]}))
    goals = load_goals(tmp_path / "a.json")
    model, settings = MotionModel.load("v-mixed"), Settings(steps=20)
    (motion,) = generate(model, ["a person walks"], [70], goals=[goals], seeds=[1], settings=settings)
    (said,) = motion.provenance["residuals"]
    assert said["met"]
    assert said["what"] == "face [1.0, 0.0, 0.0]: 0.0° off"
    turns = Rotation.from_matrix((motion.rotations[1:, 0] @ motion.rotations[:-1, 0].mT).double().numpy())
    assert np.degrees(turns.magnitude()).max() < 25


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rotation", [1, 1, 0, 0], "has a length of 1.41"),
        ("rotation", [0, 0, 0, 0], "has a length of 0"),
        ("rotation", [1, 0, 0], "field rotation.3: is missing"),
        ("facing", [0, 0, 0], "has no direction"),
        ("facing", None, "give either 'facing'"),
        ("joint", "left_foot", "joint"),
    ],
)
def test_invalid_rotations_are_refused(field, value, said, tmp_path):
    goal = {"kind": "orientation", "joint": "head", "time": 1, "facing": [0, 0, 1]}
    goal = goal | {"facing": None} | {field: value} if field == "rotation" else goal | {field: value}
    (tmp_path / "a.json").write_text(json.dumps({"goals": [goal]}))
    with pytest.raises((InputError, ValidationError), match=said):
        load_goals(tmp_path / "a.json")


def test_a_pose_from_rotations(walks):
    """All of it, head and hands too; the pelvis where the motion has it, but for its height."""
    turns = Rotation.from_rotvec(np.random.default_rng(0).uniform(-0.25, 0.25, (22, 3)))
    quaternions = turns.as_quat()[:, [3, 0, 1, 2]].tolist()
    knees = [JOINTS.index(name) for name in HINGES]
    for joint in knees:
        bent = Rotation.from_rotvec(0.4 * np.array(HINGES[JOINTS[joint]]))
        quaternions[joint] = bent.as_quat()[[3, 0, 1, 2]].tolist()
    goals = GoalSet(goals=[Pose(time=1.0, rotations=quaternions, root=(None, 0.95, None))])
    rig, _ = clean_up(walks[0][:60], goals)
    (residual,) = goals.residuals(rig.joints, rig.world)
    assert residual.worst < 1e-4
    assert rig.root[20, 1].item() == pytest.approx(0.95, abs=1e-4)
    assert (rig.root[20, [0, 2]] - walks[0][20, 0, [0, 2]]).norm() < 0.1
    wanted = Rotation.from_quat(np.array(quaternions)[:, [1, 2, 3, 0]]).as_matrix()
    off = Rotation.from_matrix(np.swapaxes(wanted, 1, 2) @ rig.rotations[20].numpy()).magnitude()
    assert np.degrees(off[[joint for joint in range(22) if joint not in (10, 11)]]).max() < 0.5


def test_pose_from_rotations_observes_positions_with_a_root(walks):
    """With a root, a pose observes positions; without one, they depend on the motion."""
    still = [[1, 0, 0, 0]] * 22
    free, fixed = (GoalSet(goals=[Pose(frame=3, rotations=still, root=root)]) for root in (None, (0.0, 1.0, 0.5)))
    assert free.is_motion_dependent
    assert not fixed.is_motion_dependent
    assert not free.observe(10).mask.any()
    np.testing.assert_allclose(fixed.observe(10).values[3], REST + np.array([0.0, 1.0, 0.5]), atol=1e-6)
    assert free.target_for(walks[0][:10]).mask[3].all()
