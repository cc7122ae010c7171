from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from motion_diffusion.body.features import decode
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rotations import in_the_world
from motion_diffusion.body.skeleton import FPS, JOINTS, forward_kinematics
from motion_diffusion.errors import InputError


@pytest.fixture
def motion(make_motion: Callable[..., Tensor]) -> Motion:
    provenance = {"seed": 7, "goals": [{"kind": "waypoint", "error": 0.02}], "model": "x0-mixed"}
    return Motion(make_motion(15), text="a person läuft 走", provenance=provenance)


@pytest.fixture
def saved(motion: Motion, tmp_path: Path) -> Path:
    path = tmp_path / "results" / "motion.npz"
    motion.save(path)
    return path


def rewrite(path: Path, **changes: Any) -> Path:
    """The same file with other entries; None leaves one out."""
    with np.load(path, allow_pickle=False) as file:
        entries = {**file, **changes}
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})
    return path


def refusal(path: Path) -> str:
    """The one line with which a file is refused; it names the file."""
    with pytest.raises(InputError) as error:
        Motion.load(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 250
    return message


def test_save_and_load_round_trip(motion: Motion, saved: Path) -> None:
    again = Motion.load(saved)
    assert torch.equal(again.joints, motion.joints)
    assert (again.fps, again.text, again.provenance) == (motion.fps, motion.text, motion.provenance)
    assert (again.frames, again.seconds) == (15, 0.75)
    assert torch.equal(again.features, motion.features)


def test_save_and_load_without_text_and_provenance(motion: Motion, tmp_path: Path) -> None:
    Motion(motion.joints[:1], fps=30.0).save(tmp_path / "m.npz")
    again = Motion.load(tmp_path / "m.npz")
    assert (again.frames, again.fps, again.text, again.provenance) == (1, 30.0, "", {})


def test_files_can_be_read_with_numpy(motion: Motion, saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as file:
        assert file["joints"].shape == (15, 22, 3)
        assert tuple(file["joint_names"]) == JOINTS
        assert file["fps"] == FPS
        assert json.loads(str(file["provenance"])) == motion.provenance
        joints = decode(torch.from_numpy(file["features"]))
        torch.testing.assert_close(joints, motion.joints, atol=1e-5, rtol=0)
        pose = in_the_world(torch.from_numpy(file["rotations"]))
    torch.testing.assert_close(forward_kinematics(pose, motion.joints[:, 0]), motion.joints, atol=1e-4, rtol=0)


def test_save_replaces_the_file(motion: Motion, saved: Path) -> None:
    moved = Motion(motion.joints + 1)
    moved.save(saved)
    assert torch.equal(Motion.load(saved).joints, moved.joints)
    assert [path.name for path in saved.parent.iterdir()] == ["motion.npz"]


@pytest.mark.parametrize("provenance", [{"seed": float("nan")}, {"model": object()}])
def test_invalid_provenance_is_refused_and_the_old_file_stays(
    motion: Motion, saved: Path, provenance: dict[str, object]
) -> None:
    before = saved.read_bytes()
    with pytest.raises(InputError, match="provenance"):
        Motion(motion.joints, provenance=provenance).save(saved)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("joints", "said"),
    [
        (torch.zeros(0, 22, 3), r"\(0, 22, 3\)"),
        (torch.zeros(5, 21, 3), r"\(5, 21, 3\)"),
        (torch.zeros(22, 3), r"\(22, 3\)"),
        (torch.zeros(4, 22, 3).index_fill(0, torch.tensor(2), float("nan")), "frame 2"),
        (torch.full((4, 22, 3), 1e300, dtype=torch.float64), "frame 0"),
    ],
)
def test_invalid_joints_are_refused(joints: Tensor, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Motion(joints)


@pytest.mark.parametrize("fps", [0.0, -20.0, float("inf"), float("nan")])
def test_invalid_frame_rates_are_refused(fps: float) -> None:
    with pytest.raises(InputError, match="fps"):
        Motion(torch.zeros(2, 22, 3), fps=fps)


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        Motion.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joints": None}, "joints missing"),
        ({"fps": None, "text": None}, "fps, text missing"),
        ({"version": np.array(99)}, "version is 99"),
        ({"version": np.array([1, 1])}, "version is not a single"),
        ({"joints": np.zeros((3, 20, 3))}, r"\(3, 20, 3\)"),
        ({"joints": np.full((3, 22, 3), np.inf)}, "frame 0"),
        ({"joints": np.array("walk")}, "must be numbers"),
        ({"joint_names": np.array(JOINTS[::-1])}, "joint_names"),
        ({"fps": np.array("fast")}, "must be numbers"),
        ({"fps": np.array(0.0)}, "fps is 0.0"),
        ({"provenance": np.array("{seed: 3")}, "not JSON"),
        ({"provenance": np.array("[1]")}, "not a JSON object"),
        ({"provenance": np.array("9" * 5000)}, "not JSON"),
    ],
)
def test_invalid_npz_files_are_refused(saved: Path, changes: dict[str, Any], said: str) -> None:
    message = refusal(rewrite(saved, **changes))
    assert said.replace("\\", "") in message


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    assert "is no .npz file" in refusal(path)


def test_truncated_files_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for end in range(0, len(content), len(content) // 60):
        saved.write_bytes(content[:end])
        refusal(saved)


def test_damaged_headers_are_refused_or_harmless(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if name not in ("rotations", "features")}
    rng = random.Random(0)
    messages = []
    for _ in range(300):
        name = rng.choice(sorted(entries))
        damaged = bytearray(entries[name])
        damaged[rng.randrange(min(len(damaged), 110))] = rng.randrange(32, 127)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for other, content in entries.items():
                archive.writestr(other, bytes(damaged) if other == name else content)
        saved.write_bytes(buffer.getvalue())
        try:
            Motion.load(saved)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert not any("\n" in message for message in messages)


class _Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("entry", ["joints", "text", "provenance"])
def test_pickles_are_not_executed(saved: Path, tmp_path: Path, entry: str) -> None:
    sprung = tmp_path / "sprung"
    rewrite(saved, **{entry: np.array(_Trap(sprung), dtype=object)})
    refusal(saved)
    assert not sprung.exists()
    with np.load(saved, allow_pickle=True) as file:
        file[entry]
    assert sprung.exists()  # so the trap works
