"""Export formats by suffix, CSV read back by numpy, and errors."""

import re

import numpy as np
import pytest
import torch

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError
from tests.rigs import tumbled
from visualize.export.formats import ENDINGS, export, to_bytes


def test_csv_is_read_back_by_numpy(tmp_path):
    motion, rig = tumbled()
    export(motion, tmp_path / "a.csv")
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert table.dtype.names[:3] == ("frame", "time", "pelvis_x")
    np.testing.assert_array_equal(table["frame"], np.arange(40))
    np.testing.assert_allclose(table["time"], np.arange(40) / 20)
    joints = np.stack([np.stack([table[f"{joint}_{axis}"] for axis in "xyz"], axis=-1) for joint in JOINTS], axis=1)
    np.testing.assert_allclose(joints, rig.joints, atol=1e-6)


def test_rate_unit_and_t_pose(tmp_path):
    motion, rig = tumbled()
    export(motion, tmp_path / "deeper" / "a.CSV", fps=60, unit="cm", t_pose=True)
    rows = np.loadtxt(tmp_path / "deeper" / "a.CSV", delimiter=",", skiprows=1)
    np.testing.assert_allclose(rows[:, 1], np.arange(119) / 60, atol=1e-6)
    np.testing.assert_allclose(rows[1:, 2:], 100 * rig.at(60).joints.flatten(1), atol=1e-5)
    assert rows[0, 3] == pytest.approx(98, abs=1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_motion_of_one_frame(ending):
    assert to_bytes(Motion(tumbled()[0].joints[:1]), ending, fps=30)


@pytest.mark.parametrize(
    ("name", "choices", "said"),
    [
        ("a.fbx", {}, "'.fbx' is no format .* one of .bvh, .glb, .npz, .csv"),
        ("a", {}, "'' is no format"),
        ("a.bvh", {"fps": 0.0}, "--fps 0: give more than 0 to 1,000"),
        ("a.glb", {"fps": -1.0}, "--fps -1: give more than 0 to 1,000"),
        ("a.glb", {"unit": "cm"}, ".glb files are in metres"),
        ("a.npz", {"unit": "cm"}, ".npz files are in metres"),
    ],
)
def test_invalid_exports_give_a_one_line_error(tmp_path, name, choices, said):
    with pytest.raises(InputError, match=said) as error:
        export(tumbled()[0], tmp_path / name, **choices)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_export_to_an_unwritable_place_writes_nothing(tmp_path, ending):
    (tmp_path / "file").write_text("")
    (tmp_path / f"folder{ending}").mkdir()
    for path in (tmp_path / "file" / f"a{ending}", tmp_path / f"folder{ending}"):
        with pytest.raises(InputError, match=rf"{re.escape(str(path))} cannot be written"):
            export(tumbled()[0], path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", f"folder{ending}"}


def test_failed_export_keeps_the_existing_file(tmp_path):
    for name in ("a.glb", "a.npz"):
        (tmp_path / name).write_text("old")
        for odd in (float("nan"), object()):
            motion = Motion(torch.zeros(2, 22, 3), provenance={"error": odd})
            with pytest.raises(InputError, match="provenance does not fit into JSON"):
                export(motion, tmp_path / name)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old", "old"]
