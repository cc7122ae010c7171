"""What a quality stands for."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from motion_diffusion.assets import ASSETS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from sample.generate import Settings
from sample.quality import BEST_OF, FEW_STEPS, Quality, distilled_from


def test_normal_is_what_was_asked_for():
    settings = Settings(steps=7)
    assert Quality.of("normal", "v-masks", settings) == Quality("v-masks", settings, 1)
    assert Quality.of("normal", "v-masks", settings, 3).tries == 3


def test_best_keeps_the_best_of_several():
    assert Quality.of("best", "v-masks", Settings()) == Quality("v-masks", Settings(), BEST_OF)
    assert Quality.of("best", "v-masks", Settings(), 2).tries == 2


@pytest.mark.parametrize("name", ["v-masks", ASSETS / "models" / "v-masks", "v-live"])
def test_live_takes_the_distilled_model(name):
    assert Quality.of("live", str(name), Settings()) == Quality("v-live", Settings(), 1)
    model = MotionModel.load("v-live")
    assert Settings().of(model).steps <= 8
    with pytest.raises(InputError, match="--steps 9: v-live was distilled for 8 steps"):
        Quality.of("live", str(name), Settings(steps=9)).settings.of(model)


def test_live_takes_few_steps_of_other_models():
    live = Quality.of("live", "open-masks", Settings(text_scale=2.0))
    assert live == Quality("open-masks", dataclasses.replace(FEW_STEPS, text_scale=2.0), 1)
    assert Quality.of("live", "open-masks", Settings(steps=5)).settings.steps == 5


def test_live_with_masks_needs_a_model_with_masks():
    assert Quality.of("live", "v-masks", Settings(guidance="masks")).model == "v-masks"
    assert distilled_from("v-masks") == "v-live"
    assert distilled_from("v-masks", masks=True) is None


def test_a_copy_of_a_teacher_has_no_student(tmp_path):
    shutil.copytree(ASSETS / "models" / "v-masks", tmp_path / "v-masks")
    assert distilled_from(str(tmp_path / "v-masks")) is None
