"""The shipped models: their files, and what the README claims of them."""

import json
from pathlib import Path

import pytest
import torch

from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import PathGoal
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.motion_metrics import fastest_root, foot_skating_ratio
from motion_diffusion.errors import InputError
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.pretrained import read_config, shipped
from sample.generate import Settings, generate

ROOT = Path(__file__).parents[2]
SHIPPED = ASSETS / "models"


BODIES = [name for name in shipped("models") if read_config(SHIPPED / name, ModelConfig).features != ("root",)]


def test_models_of_all_prediction_types_are_shipped():
    made = {kind.format(p) for p in ("x0", "eps", "v") for kind in ("{}-mixed", "root-{}")}
    assert set(shipped("models")) == made | {"v-masks", "open-masks", "v-live"}


@pytest.mark.parametrize("name", sorted(set(shipped("models")) - set(BODIES)))
def test_a_model_of_the_root_generates_no_body(name):
    with pytest.raises(InputError, match="makes only the path of the root"):
        generate(MotionModel.load(name), ["a person walks"], [120], goals=[GoalSet()], seeds=[0])


@pytest.mark.parametrize("kind", ["{}-mixed", "root-{}"])
def test_models_that_are_compared_were_trained_alike(kind):
    """Same data, features, sizes and training."""
    runs = [json.loads((SHIPPED / kind.format(p) / "training.json").read_text()) for p in ("x0", "eps", "v")]
    for run, prediction in zip(runs, ("x0", "eps", "v"), strict=True):
        assert run.pop("prediction") == prediction
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("name", shipped("models"))
def test_a_shipped_model_is_small_and_has_its_licence_and_records(name):
    assert (SHIPPED / name / "model.safetensors").stat().st_size < 25e6
    assert {"training.json", "metrics.jsonl", "loss.png"} <= {path.name for path in (SHIPPED / name).iterdir()}
    licence = MotionModel.load(name).config.licence
    if name.startswith("open-"):
        assert "CMU" in licence
        assert "NC" not in licence
        assert "SA" not in licence
    else:
        assert "CC BY-NC 4.0" in licence


@pytest.mark.parametrize("name", BODIES)
def test_a_shipped_model_walks_to_the_goals_of_the_demo(name):
    goals = load_goals(ROOT / "assets" / "goals" / "zigzag.json")
    (motion,) = generate(MotionModel.load(name), ["a tired person walks"], [120], goals=[goals], seeds=[0])
    assert max(residual.error for residual in goals.residuals(motion.joints)) < 1e-3
    assert fastest_root(motion.joints) < 3.0
    assert foot_skating_ratio(motion.joints) < 0.5
    height = motion.joints[:, 0, 1]
    assert 0.6 < height.min() <= height.max() < 1.1


def test_the_model_with_masks_follows_observed_positions():
    """Conditioned on the pelvis in all frames, it comes nearer to the path without other guidance."""
    path = PathGoal(points=[(0, 0), (0.8, 2.0), (0.5, 4.5)], end=5.9)
    model, goals = MotionModel.load("v-masks"), GoalSet(goals=[path])
    missed = {}
    for guidance in ("none", "masks"):
        made = generate(
            model, ["a person walks"] * 4, [120] * 4, goals=[goals] * 4, seeds=range(4),
            settings=Settings(guidance=guidance, steps=20),
        )  # fmt: skip
        missed[guidance] = sum(goals.residuals(motion.joints)[0].error for motion in made) / 4
    assert missed["masks"] < 0.7 * missed["none"]


def test_the_shipped_embedding_model_retrieves_the_prompts_of_generated_motions():
    """At least 7 of 8 motions are nearest to their own prompt; by chance it would be 1."""
    acts = (
        "walks backwards",
        "runs",
        "bows",
        "raises the left hand",
        "sits down on a chair",
        "boxes",
        "does a cartwheel",
    )
    texts = [f"a person {act}" for act in acts] + ["an elderly person walks"]
    model, matcher = MotionModel.load("v-masks"), TextMotionEncoder.load("mixed")
    seeds, settings = list(range(len(texts))), Settings(guidance="none", steps=15)
    motions = generate(model, texts, [80] * len(texts), goals=[GoalSet()] * len(texts), seeds=seeds, settings=settings)
    similar = matcher.embed_motions([motion.joints for motion in motions]) @ matcher.embed_texts(texts).T
    assert (similar.argmax(1) == torch.arange(len(texts))).sum() >= 7
    assert sum(parameter.numel() for parameter in matcher.parameters()) == pytest.approx(3.3e6, rel=0.05)
    assert "CC BY-NC" in matcher.config.licence
