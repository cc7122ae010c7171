"""The models that come with the project do what the README says, on the demo's goals."""

from pathlib import Path

import pytest

from guidance.goals import load_goals
from motion_diffusion.metrics import fastest_root, foot_skating_ratio
from motion_diffusion.model import SHIPPED, MotionModel, shipped_models
from sample.generate import generate

ROOT = Path(__file__).parents[2]


def test_the_pair_is_there():
    assert {"x0-small", "eps-small"} <= set(shipped_models())


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_small_and_says_what_it_is(name):
    assert (SHIPPED / name / "model.safetensors").stat().st_size < 25e6
    assert {"training.json", "metrics.jsonl", "loss.png"} <= {path.name for path in (SHIPPED / name).iterdir()}
    assert "CC BY-NC 4.0" in MotionModel.load(name).config.licence


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_walks_to_the_goals_of_the_demo(name):
    goals = load_goals(ROOT / "assets" / "goals" / "zigzag.json")
    (motion,) = generate(MotionModel.load(name), ["a tired person walks"], [120], goals=[goals], seeds=[0])
    assert max(residual.error for residual in goals.residuals(motion.joints)) < 0.05
    assert fastest_root(motion.joints) < 3.0
    assert foot_skating_ratio(motion.joints) < 0.5
    height = motion.joints[:, 0, 1]
    assert 0.6 < height.min() <= height.max() < 1.1
