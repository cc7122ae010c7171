import numpy as np
import pytest

from data_loaders.clip import Clip
from data_loaders.procedural import ProceduralWalks


@pytest.fixture(scope="session")
def walk() -> np.ndarray:
    """A procedural walk (120, 22, 3), float64."""
    return ProceduralWalks(0, 120, 120).example(0).joints.astype(np.float64)


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Walks that go by the names of clips, with actions and styles of Bandai-Namco."""
    labels = [("walk", "tired"), ("run", "normal"), ("walk-turn-left", "tired"), ("bow", "proud"), ("walk", "normal")]
    walks = ProceduralWalks(1, 150, 60)
    return [
        Clip(f"dataset-2_{action}_{style}_{i:03d}", walks.example(i).joints, action=action, style=style)
        for i, (action, style) in enumerate(labels * 3)
    ]
