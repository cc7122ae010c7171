"""Motions of `generate` are those of a body: constant bones, joints that follow from rotations, goals that are met,
also in exported files read by other libraries."""

import math

import numpy as np
import pybvh
import pytest
import torch

from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.joint_angles import HINGE_LIMITS, HINGES
from motion_diffusion.body.motion import AGREE, Motion, disagreement
from motion_diffusion.body.motion_metrics import bone_length_range
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import relative_to_parents
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from tests.visualize.test_export_glb import Glb
from visualize.export.formats import export

KINDS = {
    "wrist out of reach while standing": [
        {"kind": "joint", "joint": "left_wrist", "time": 2.5, "position": [0.3, 0.1, 2.0]}
    ],
    "head low": [{"kind": "joint", "joint": "head", "time": 2, "position": [None, 0.9, None]}],
    "wrist high": [{"kind": "joint", "joint": "right_wrist", "time": 2.5, "position": [None, 1.9, None]}],
    "foot up": [{"kind": "joint", "joint": "right_foot", "time": 2.5, "position": [None, 0.6, None]}],
    "way-points": [
        {"kind": "waypoint", "time": 2, "x": 0.5, "z": 1.8},
        {"kind": "waypoint", "time": 4, "x": -1, "z": 3},
    ],
    "path": [{"kind": "path", "points": [[0, 0], [0.5, 1], [0, 2]], "start": 0, "end": 3}],
    "hands together": [
        {"kind": "relation", "joints": ["left_wrist", "right_wrist"], "distance": 0.1, "start": 2, "end": 3}
    ],
    "contact": [{"kind": "contact", "joint": "left_foot", "start": 1, "end": 2}],
    "heading": [{"kind": "heading", "time": 3, "degrees": 90}],
    "pelvis turned": [{"kind": "orientation", "joint": "pelvis", "time": 2, "facing": [1, 0, 1]}],
    "head turned": [{"kind": "orientation", "joint": "head", "start": 2, "end": 3, "facing": [-1, 0.2, 1]}],
    "loop": [{"kind": "loop", "in_place": False}],
}


FILES = ("key-frames", "everything")


@pytest.fixture(scope="module")
def motions():
    """Motions of the default model and their goals, by name."""
    wanted = {name: GoalSet.model_validate({"goals": goals}) for name, goals in KINDS.items()}
    wanted |= {"nothing": GoalSet()} | {name: load_goals(ASSETS / "goals" / f"{name}.json") for name in FILES}
    frames = [120 if name in FILES else 90 for name in wanted]
    made = generate(
        MotionModel.load("v-masks"),
        ["a person walks"] * len(wanted),
        frames,
        goals=list(wanted.values()),
        seeds=[0] * len(wanted),
        settings=Settings(steps=20),
    )
    return dict(zip(wanted, zip(made, wanted.values(), strict=True), strict=True))


@pytest.mark.parametrize("name", [*KINDS, *FILES, "nothing"])
def test_a_motion_is_that_of_a_body(motions, name, tmp_path):
    motion, goals = motions[name]
    assert bone_length_range(motion.joints) < 1e-5
    assert disagreement(motion.joints, motion.rotations) < AGREE
    for hinge, axis in HINGES.items():
        turns = np.array([math.atan2(*_sine_and_cosine(r, axis)) for r in motion.rotations[:, JOINTS.index(hinge)]])
        assert turns.min() > HINGE_LIMITS[JOINTS.index(hinge)] - 1e-5
    assert motion.joints[..., 1].min() > -0.02
    assert all(residual.worst < 1e-4 for residual in goals.residuals(motion.joints, motion.rig.world))
    motion.save(tmp_path / "motion.npz")
    again = Motion.load(tmp_path / "motion.npz")
    assert torch.equal(again.joints, motion.joints)
    assert torch.equal(again.rotations, motion.rotations)


def _sine_and_cosine(rotation, axis):
    skew = (rotation - rotation.mT)[[2, 0, 1], [1, 2, 0]] @ torch.tensor(axis)
    return skew.item(), (rotation.trace() - 1).item()


@pytest.mark.parametrize("name", list(KINDS))
def test_goals_are_met_in_a_bvh_read_by_pybvh(motions, name, tmp_path):
    motion, goals = motions[name]
    export(motion, tmp_path / "a.bvh")
    file = pybvh.read_bvh_file(tmp_path / "a.bvh")
    read = torch.from_numpy(file.joint_positions()[:, [file.joint_names.index(joint) for joint in JOINTS]]).float()
    assert (read - motion.joints).norm(dim=-1).max() < 1e-4
    places, _ = goals.parted()  # how joints are turned in it: see tests.guidance.test_orientations
    assert all(residual.worst < 1e-4 for residual in places.residuals(read))


@pytest.mark.parametrize("name", ["wrist out of reach while standing", "foot up"])
def test_goals_are_met_in_a_glb(motions, name, tmp_path):
    """Its nodes' rotations and the root's path, composed by the rules of glTF."""
    motion, goals = motions[name]
    export(motion, tmp_path / "a.glb")
    file = Glb((tmp_path / "a.glb").read_bytes())
    (skin,) = file.json["skins"]
    frames = [file.globals(frame)[skin["joints"], :3, 3] for frame in range(motion.frames)]
    joints = torch.from_numpy(np.stack(frames)[:, : len(JOINTS)]).float()
    assert (joints - motion.joints).norm(dim=-1).max() < 1e-4
    assert all(residual.worst < 1e-4 for residual in goals.residuals(joints))


def test_points_are_fitted_by_a_body_and_a_body_is_unchanged(walks):
    stretched = walks[0] * torch.tensor([1.1, 1.0, 1.0])
    motion = Motion(stretched)
    assert bone_length_range(stretched) > 0.01
    assert bone_length_range(motion.joints) < 1e-5
    rig = motion.rig
    assert (
        torch.equal(Motion.of(rig).joints, motion.joints) or (Motion.of(rig).joints - motion.joints).abs().max() < 1e-6
    )
    world = Rig(motion.rotations.double(), motion.joints[:, 0].double(), 20.0).world
    torch.testing.assert_close(relative_to_parents(world), motion.rotations.double(), atol=1e-6, rtol=0)
