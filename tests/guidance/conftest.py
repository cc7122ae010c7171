"""Denoisers whose answers are known, and tasks for them and for small real models."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from guidance.goals.goal_set import GoalSet
from guidance.goals.observation import Observation
from guidance.goals.positions import Joint, Waypoint
from guidance.protocol import GuidanceProblem
from guidance.windows import Independent
from motion_diffusion.body.features import encode
from motion_diffusion.diffusion.samplers import estimate_from_x0
from motion_diffusion.diffusion.schedule import cosine
from motion_diffusion.model import MotionModel

SCHEDULE = cosine(1000)
GAIN, OFFSET = 0.8, 0.1
TARGET = 0.5


def squared(x0):
    """A loss (B,) of x̂0 (B, F, D): the squared distance from TARGET."""
    return (x0 - TARGET).square().sum((1, 2))


def noisy(count=2, seed=0):
    """x_t of `count` motions of 3 frames and 4 features."""
    return torch.randn(count, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def silent():
    """Noise of 0, for the mean of a step of two motions."""
    return torch.zeros(2, 3, 4, dtype=torch.float64)


def no_noise():
    """Noise that nothing may draw."""
    raise AssertionError("no noise is needed")


def linear_denoiser(x, t, s):
    """x̂0 = GAIN·x + OFFSET."""
    return estimate_from_x0(GAIN * x + OFFSET, x, t, SCHEDULE)


def task_of(loss, count):
    """A task that is nothing but a loss (B, F, D) → (B,), for `linear_denoiser`."""
    windows = Independent(None, torch.full((count,), 3))
    return SimpleNamespace(schedule=SCHEDULE, windows=windows, loss=loss)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProblemOfModel(GuidanceProblem):
    """A problem that keeps the model that it is for."""

    model: MotionModel


@pytest.fixture
def two_walks(walks, representation):
    """Two walks of 40 frames, normalised: (2, 40, D)."""
    joints = torch.stack([walk[:40] for walk in walks[:2]])
    return representation.normalise(encode(joints, groups=representation.groups))


TWO_GOALS = (
    GoalSet(goals=[Waypoint(frame=30, x=0.4, z=1.0), Waypoint(frame=10, x=0.0, z=0.3)]),
    GoalSet(goals=[Joint(joint="right_wrist", frame=20, position=(None, 1.5, None))]),
)


@pytest.fixture
def make_task(make_model):
    """make_task(goals, prediction=…): goals for two motions of 40 frames by a small untrained model, which it keeps."""

    def make(goals=TWO_GOALS, prediction="x0", functions=(), **choices):
        model = make_model(prediction, **choices)
        problem = GuidanceProblem.of(model, goals, torch.tensor([40] * len(goals)), functions)
        return ProblemOfModel(**vars(problem), model=model)

    return make


def missed(joints, goals: Observation) -> float:
    """The largest distance in metres from the observation."""
    return (joints - goals.values)[goals.mask].abs().max().item()
