"""AMASS layout, read by our reader and posed by smplx with our bones."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_loaders.amass import read_recording
from data_loaders.body_model import BodyModel
from motion_diffusion.body.rig import REST
from tests.rigs import tumbled
from visualize.export.formats import export

BODY = BodyModel(Path("ours"), REST.numpy(), np.zeros((22, 3, 16)))
"""A body model for smplx with this project's bones and no shape space."""


@pytest.mark.parametrize("fps", [None, 120.0])
def test_amass_joints_round_trip_through_smplx(tmp_path, fps):
    motion, rig = tumbled()
    export(motion, tmp_path / "a.npz", fps=fps)
    recording = read_recording(tmp_path / "a.npz")
    wanted = rig.at(fps) if fps else rig
    np.testing.assert_allclose(recording.joints(BODY), wanted.joints, atol=1e-6)
    assert (recording.kind, recording.gender, recording.fps) == ("smplx", "neutral", fps or 20)
    assert not recording.betas.any()


def test_amass_arrays_have_the_expected_layout(tmp_path):
    motion, rig = tumbled()
    export(motion, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["poses"].shape == (40, 165)
        np.testing.assert_array_equal(file["poses"][:, :3], file["root_orient"])
        np.testing.assert_array_equal(file["poses"][:, 3:66], file["pose_body"])
        assert not file["poses"][:, 66:].any()
        np.testing.assert_allclose(file["trans"][:, 2], rig.root[:, 1])  # z is up
        assert float(file["mocap_frame_rate"]) == 20
        assert str(file["text"]) == motion.text
        assert json.loads(str(file["provenance"])) == {"seed": 3}
