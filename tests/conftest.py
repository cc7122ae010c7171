"""What many tests need: motions and a small real model, made here from procedural walks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

from data_loaders.procedural import ProceduralWalks
from motion_diffusion.denoiser import DenoiserConfig
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.representation import Representation, encode

torch.set_num_threads(1)  # two test processes share two cores
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

GROUPS = ("root", "positions", "velocities", "contacts")


@pytest.fixture(scope="session")
def walks() -> list[torch.Tensor]:
    """Forty procedural walks (F, 22, 3)."""
    return [torch.from_numpy(ProceduralWalks(0).example(i).joints) for i in range(40)]


@pytest.fixture(scope="session")
def representation(walks) -> Representation:
    return Representation.fit((encode(walk, groups=GROUPS) for walk in walks), GROUPS, emphasis=3.0)


@pytest.fixture
def make_model(representation):
    """make_model(prediction): a small untrained model whose output is not zero."""

    def make(prediction: str = "x0") -> MotionModel:
        torch.manual_seed(0)
        sizes = DenoiserConfig(features=representation.size, width=32, depth=2, heads=2, frame_width=16)
        model = MotionModel(ModelConfig(prediction, sizes, GROUPS, emphasis=3.0), representation)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape)
        return model.eval().requires_grad_(False)

    return make
