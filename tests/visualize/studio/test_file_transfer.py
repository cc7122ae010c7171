"""Uploads are validated before use."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError
from tests.guidance.goal_files import mutated
from visualize.studio import file_transfer


@given(mutated())
def test_goal_files_are_read_or_refused_in_a_line(data):
    complaint = ""
    try:
        assert isinstance(file_transfer.read_goals(json.dumps(data).encode(), {}), GoalSet)
    except InputError as error:
        complaint = str(error)
    assert "\n" not in complaint


@given(st.binary(max_size=200), st.sampled_from(["a.npz", "a.bvh", "a.npy", "a.amc", "a"]))
def test_motions_are_read_or_refused_in_a_line(content, name):
    with pytest.raises(InputError) as refusals:
        file_transfer.read_upload(name, content)
    assert "\n" not in str(refusals.value)
    assert "/" not in str(refusals.value).split(":")[0]


def test_uploads_over_the_size_limits_are_refused(monkeypatch):
    monkeypatch.setattr(file_transfer, "MAX_UNPACKED_BYTES", 2**20)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("joints.npy", bytes(2**21))
    with pytest.raises(InputError, match="unpacks to 2 MB; load up to 1 MB"):
        file_transfer.read_upload("bomb.npz", packed.getvalue())
    monkeypatch.setattr(file_transfer, "MAX_UPLOAD_BYTES", 10)
    for read in (
        lambda: file_transfer.read_upload("a.npz", bytes(11)),
        lambda: file_transfer.read_goals(bytes(11), {}),
    ):
        with pytest.raises(InputError, match="load up to"):
            read()


def test_pickles_are_not_opened():
    packed = io.BytesIO()
    np.savez(
        packed,
        joints=np.array([{"a": 1}], dtype=object),
        version=1,
        fps=20.0,
        joint_names=["a"],
        text="",
        provenance="{}",
    )
    with pytest.raises(InputError, match="joints is a pickle, .* was not read"):
        file_transfer.read_upload("evil.npz", packed.getvalue())


def test_long_motions_are_refused(monkeypatch, walks, tmp_path):
    from motion_diffusion.body.motion import Motion

    Motion(walks[0][:40]).save(tmp_path / "m.npz")
    monkeypatch.setattr(file_transfer, "MAX_SECONDS", 1.0)
    with pytest.raises(InputError, match="^m.npz lasts 2 s; give one of up to 1 s, or cut it"):
        file_transfer.read_upload("m.npz", (tmp_path / "m.npz").read_bytes())


def test_long_motions_are_refused_before_allocation():
    """The file of a few thousand bytes would expand to 140 million numbers."""
    packed = io.BytesIO()
    joints = np.zeros((100_000, 22, 3), np.int8)
    np.savez_compressed(packed, version=1, joints=joints, fps=1.0, joint_names=JOINTS, text="", provenance="{}")
    assert len(packed.getvalue()) < 20_000
    tracemalloc.start()
    with pytest.raises(InputError, match="lasts 100000 s"):
        file_transfer.read_upload("m.npz", packed.getvalue())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
