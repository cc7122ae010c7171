import numpy as np
import pytest

from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import Clip
from tests.data_loaders.bvh_files import CHARACTER


@pytest.fixture(scope="session")
def walk() -> np.ndarray:
    """A procedural walk (120, 22, 3), float64."""
    return ProceduralWalks(0, 120, 120).example(0).joints.astype(np.float64)


@pytest.fixture(scope="session")
def short(walk) -> np.ndarray:
    """The first 41 frames of the walk, two seconds."""
    return walk[:41]


@pytest.fixture(scope="session")
def file(short, tmp_path_factory) -> str:
    """Text of a BVH file of the character, one second long."""
    path = tmp_path_factory.mktemp("bvh") / "a.bvh"
    CHARACTER.write(path, short[:22])
    return path.read_text()


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Walks with names, actions and styles of Bandai-Namco clips."""
    labels = [("walk", "tired"), ("run", "normal"), ("walk-turn-left", "tired"), ("bow", "proud"), ("walk", "normal")]
    walks = ProceduralWalks(1, 150, 60)
    return [
        Clip(f"dataset-2_{action}_{style}_{i:03d}", walks.example(i).joints, action=action, style=style)
        for i, (action, style) in enumerate(labels * 3)
    ]
