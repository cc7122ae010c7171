"""Texts are encoded once per request, with every guidance method and number of steps."""

import pytest

from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from guidance.noise_optimization import NoiseOptimization
from motion_diffusion.network.text_encoders import text_encoder
from sample.generate import Settings, generate


class CountingEncoder:
    """The static text encoder, which records the texts it encodes."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        return text_encoder("static")(texts)


@pytest.mark.parametrize("guidance", ["none", "projection", "classifier+imputation", "noise", "masks+projection"])
def test_each_text_is_encoded_once(make_model, guidance):
    model = make_model(masks="masks" in guidance)
    model.text = counted = CountingEncoder()
    goals = [GoalSet(goals=[Waypoint(frame=20, x=0.4, z=0.8)])] * 3
    settings = Settings(guidance=guidance, steps=10, mask_scale=1.5, noise=NoiseOptimization(rounds=2, steps=3))
    generate(model, ["walk", "run", "walk"], [30, 25, 30], goals=goals, seeds=[0, 1, 2], settings=settings)
    assert sorted(counted.asked) == ["run", "walk"]
