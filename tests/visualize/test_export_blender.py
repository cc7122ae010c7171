"""Exported files read by Blender: every joint in every frame."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from motion_diffusion.body.skeleton import JOINTS
from tests import needs
from tests.rigs import tumbled
from visualize.export.formats import export

pytestmark = needs.present(shutil.which("blender"), "Blender")


@pytest.mark.parametrize(("name", "fps", "t_pose"), [("a.bvh", 30, True), ("a.glb", 60, False)])
def test_blender_reads_the_same_joint_positions(tmp_path, name, fps, t_pose):
    motion, rig = tumbled()
    export(motion, tmp_path / name, fps=fps, t_pose=t_pose)
    rig = rig.at(fps).after_t_pose() if t_pose else rig.at(fps)
    script = Path(__file__).with_name("blender_positions.py")
    call = ["blender", "--background", "--factory-startup", "--python", script, "--"]
    ran = subprocess.run(
        [*call, tmp_path / name, str(fps), str(len(rig.root)), tmp_path / "out.json"], capture_output=True, text=True
    )
    assert (tmp_path / "out.json").exists(), ran.stdout + ran.stderr
    frames = json.loads((tmp_path / "out.json").read_text())
    positions = np.array([[frame[joint] for joint in JOINTS] for frame in frames])
    upright = positions[..., [0, 2, 1]] * [1, 1, -1]  # Blender's z is up, and what faces +z faces -y there
    np.testing.assert_allclose(upright, rig.joints, atol=1e-4)
