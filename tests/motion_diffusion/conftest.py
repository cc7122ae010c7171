from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from motion_diffusion.rotations import about_y, in_the_world
from motion_diffusion.skeleton import JOINTS, forward_kinematics


@pytest.fixture
def make_motion() -> Callable[..., Tensor]:
    """make_motion(frames, *batch, seed=0): smooth motions (*batch, frames, 22, 3) float64 of this body, which walks
    along a bend of so many radians a second and sways every joint by some tenths of a radian."""

    def make(frames: int, *batch: int, seed: int = 0, turns: float = 0.6) -> Tensor:
        g = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> Tensor:
            return torch.rand(*batch, *shape, generator=g, dtype=torch.float64) * 2 - 1

        time = torch.arange(frames, dtype=torch.float64)[:, None, None] / 20
        sway = 0.3 * random(1, len(JOINTS), 3) * torch.sin(time * (3 + random(1, len(JOINTS), 3)) + 3 * random(1, 1, 3))
        pose = torch.linalg.matrix_exp(_skew(sway))
        facing = turns * time[:, 0, 0] + 0.5 * random(1)
        pose[..., 0, :, :] = about_y(facing) @ pose[..., 0, :, :]
        rise = 0.01 * torch.cos(5 * time[:, 0, 0]).expand_as(facing)
        step = torch.stack([0.06 * facing.sin(), rise, 0.06 * facing.cos()], dim=-1)
        root = step.cumsum(-2) + torch.tensor([0.3, 0.93, -0.2], dtype=torch.float64)
        return forward_kinematics(in_the_world(pose), root)

    return make


def _skew(vectors: Tensor) -> Tensor:
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(*vectors.shape, 3)


@pytest.fixture(scope="session")
def published_clip() -> tuple[Tensor, Tensor]:
    """Joints (170, 22, 3) and features (170, 263), relative root, float64, that HumanML3D publishes; skips without."""
    folders = [Path(__file__).parents[3] / "shared" / "data"]
    if "MOTION_DATA" in os.environ:
        folders.insert(0, Path(os.environ["MOTION_DATA"]))
    for folder in folders:
        joints = folder / "humanml3d-clip" / "012314_new_joints.npy"
        features = joints.with_name("012314_new_joint_vecs.npy")
        if joints.is_file() and features.is_file():
            arrays = [np.load(path, allow_pickle=False).astype(np.float64) for path in (joints, features)]
            return torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1])
    pytest.skip("HumanML3D's published clip is not here (folder humanml3d-clip in MOTION_DATA)")
