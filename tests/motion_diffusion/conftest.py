from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from motion_diffusion.body.rotations import about_y, in_the_world
from motion_diffusion.body.skeleton import JOINTS, forward_kinematics
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
from motion_diffusion.diffusion.samplers import Denoise, Estimate, estimate_from_x0
from motion_diffusion.diffusion.schedule import SCHEDULES, Point, Schedule, from_curve, linear
from motion_diffusion.errors import InputError
from tests import needs


@pytest.fixture
def make_motion() -> Callable[..., Tensor]:
    """make_motion(frames, *batch, seed=0): smooth motions (*batch, frames, 22, 3) float64 of this body, which walk
    along a curve and rotate every joint by some tenths of a radian.
    """

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
    """Joints (170, 22, 3) and features (170, 263), relative root, float64, that HumanML3D publishes."""
    files = [needs.published_clip() / f"012314_{name}.npy" for name in ("new_joints", "new_joint_vecs")]
    joints, features = (torch.from_numpy(np.load(file, allow_pickle=False).astype(np.float64)) for file in files)
    return joints, features


def _sub_vp(u: Tensor) -> Point:
    """Song et al. 2021: the α of the linear schedule with σ = 1 − α²; neither α² + σ² nor α + σ nor α is constant."""
    vp = linear(100).curve(u)
    return Point(vp.alpha, vp.sigma**2, vp.d_alpha, 2 * vp.sigma * vp.d_sigma)


@functools.cache
def _schedule(name: str) -> Schedule:
    return from_curve(name, _sub_vp, 1000) if name == "sub-vp" else SCHEDULES[name](1000)


def _is_regular(prediction: str, schedule: str) -> bool:
    try:
        PREDICTIONS[prediction].check(_schedule(schedule))
    except InputError:
        return False
    return True


_PAIRS = [(p, s) for s in (*SCHEDULES, "sub-vp") for p in PREDICTIONS if _is_regular(p, s)]


@pytest.fixture(params=list(SCHEDULES))
def schedule(request) -> Schedule:
    """Each of our schedules, T = 1000."""
    return _schedule(request.param)


@pytest.fixture(params=[*SCHEDULES, "sub-vp"])
def any_schedule(request) -> Schedule:
    """Each of our schedules and one that is not ours, T = 1000."""
    return _schedule(request.param)


@pytest.fixture(params=_PAIRS, ids=["-".join(pair) for pair in _PAIRS])
def pair(request) -> tuple[Prediction, Schedule]:
    """Every prediction type on every schedule on which it determines x0 at all t, T = 1000."""
    prediction, name = request.param
    return PREDICTIONS[prediction], _schedule(name)


@pytest.fixture
def gaussian() -> Callable[..., Denoise]:
    """gaussian(schedule, mean=0.0, std=1.0, variance="small"): the optimal denoiser for data N(mean, std²), x̂0 = E[x0
    | x_t]. The variance of its steps is small (β̃), large (σ²_{t|s}) or best: β̃ + B²·Var[x0 | x_t].
    """

    def make(schedule: Schedule, mean: float = 0.0, std: float = 1.0, variance: str = "small") -> Denoise:
        def denoise(x: Tensor, t: int, s: int) -> Estimate:
            (alpha, sigma), step = schedule.row(t), schedule.posterior(t, s)
            x0 = mean + alpha * std**2 / (alpha**2 * std**2 + sigma**2) * (x - alpha * mean)
            unsure = std**2 * sigma**2 / (alpha**2 * std**2 + sigma**2)
            best = step.variance + step.B**2 * unsure
            return estimate_from_x0(
                x0, x, t, schedule, {"small": None, "large": step.step_variance, "best": best}[variance]
            )

        return denoise

    return make


@pytest.fixture
def moments() -> Callable[..., tuple[float, float]]:
    """moments(sampler, denoise, schedule, times, mean, variance): the exact mean and variance of samples from a
    Gaussian start, for a denoiser that is affine in x. Then the sampler is affine in x and in every draw of noise, and
    a batch of unit vectors gives all its coefficients.
    """

    def propagate(sampler, denoise, schedule, times, mean: float, variance: float) -> tuple[float, float]:
        units = torch.eye(len(times), len(times) + 1, dtype=torch.float64).T  # the last one is the origin
        start, draws = units[:, 0], iter(units[:, 1:].T)
        end = sampler(denoise, start, schedule, times, noise=lambda: next(draws))
        origin = end[-1].item()
        gains = end[:-1] - origin
        return origin + gains[0].item() * mean, (gains[0] ** 2 * variance + gains[1:].square().sum()).item()

    return propagate
