"""The rig of a motion meets the goals that the motion was made for, as somebody else's reader sees it in its files."""

import numpy as np
import pybvh
import pytest
import torch

from guidance.goals import Goals
from motion_diffusion.model import MotionModel
from motion_diffusion.motion import Motion
from motion_diffusion.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from sample.generate import Settings, generate
from tests.visualize.test_export_glb import Glb
from visualize.export import export
from visualize.rig import rig_of

ASKED = {
    "a wrist out of reach while standing": [
        {"kind": "joint", "joint": "left_wrist", "time": 2.5, "position": [0.3, 0.1, 2.0]}
    ],
    "a low head": [{"kind": "joint", "joint": "head", "time": 2, "position": [None, 0.9, None]}],
    "a high wrist": [{"kind": "joint", "joint": "right_wrist", "time": 2.5, "position": [None, 1.9, None]}],
    "a raised foot": [{"kind": "joint", "joint": "right_foot", "time": 2.5, "position": [None, 0.6, None]}],
    "way-points": [
        {"kind": "waypoint", "time": 2, "x": 0.5, "z": 1.8},
        {"kind": "waypoint", "time": 4, "x": -1, "z": 3},
    ],
    "hands together": [
        {"kind": "relation", "joints": ["left_wrist", "right_wrist"], "distance": 0.1, "start": 2, "end": 3}
    ],
}


@pytest.fixture(scope="module")
def motions():
    """Motions of the default model by what was asked of them."""
    goals = [Goals.model_validate({"goals": asked}) for asked in ASKED.values()]
    made = generate(
        MotionModel.load("v-masks"),
        ["a person walks"] * len(goals),
        [90] * len(goals),
        goals=goals,
        seeds=[0] * len(goals),
        settings=Settings(steps=20),
    )
    return dict(zip(ASKED, zip(made, goals, strict=True), strict=True))


@pytest.mark.parametrize("asked", ASKED)
def test_goals_hold_in_files_as_others_read_them(motions, asked, tmp_path):
    motion, goals = motions[asked]
    export(motion, tmp_path / "a.bvh")
    file = pybvh.read_bvh_file(tmp_path / "a.bvh")
    bvh = file.joint_positions()[:, [file.joint_names.index(joint) for joint in JOINTS]]
    export(motion, tmp_path / "a.glb")
    glb = Glb((tmp_path / "a.glb").read_bytes())
    (skin,) = glb.json["skins"]
    nodes = np.stack([glb.globals(frame)[skin["joints"], :3, 3] for frame in range(motion.frames)])
    for joints in (torch.from_numpy(bvh), torch.from_numpy(nodes)):
        bones = (joints[:, 1:] - joints[:, list(PARENTS[1:])]).norm(dim=-1)
        np.testing.assert_allclose(bones, BONE_LENGTHS[1:].expand_as(bones), atol=1e-5)
        assert all(residual.worst < 1e-4 for residual in goals.residuals(joints.float()))


def test_goals_of_another_length_and_no_goals_are_no_trouble(walks):
    far = {"goals": [{"kind": "waypoint", "time": 50.0, "x": 1.0, "z": 1.0}]}
    plain = rig_of(Motion(walks[0]))
    for provenance in ({"goals": far}, {"goals": "none"}, {"goals": {"goals": []}}):
        np.testing.assert_allclose(rig_of(Motion(walks[0], provenance=provenance)).joints, plain.joints)


def test_goals_that_a_motion_misses_do_not_pull_its_rig(walks):
    missed = {"goals": [{"kind": "waypoint", "time": 1.0, "x": 5.0, "z": 5.0}]}
    plain, rig = rig_of(Motion(walks[0])), rig_of(Motion(walks[0], provenance={"goals": missed}))
    np.testing.assert_allclose(rig.joints, plain.joints)
