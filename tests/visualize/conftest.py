"""Fixtures of the tests of pictures."""

import pytest
import torch

from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.motion import Motion


@pytest.fixture(scope="module")
def motion():
    """A walk of three seconds."""
    return Motion(torch.from_numpy(ProceduralWalks(0, 60, 60).example(2).joints), text="a person walks")
