"""From a request to motions: the contract of `generate`, with a model that knows nothing."""

import pytest
import torch

from guidance.goals import Goals, Joint, Waypoint
from motion_diffusion.errors import InputError
from sample.generate import Settings, generate

GOALS = Goals(
    goals=[
        Waypoint(frame=20, x=0.4, z=0.8),
        Joint(frame=25, joint="right_wrist", position=(None, 1.4, None)),
    ]
)


def run(model, goals=(GOALS,), texts=("a person walks",), frames=(36,), seeds=(0,), **settings):
    settings = Settings(**({"steps": 6} | settings))
    return generate(model, texts, frames, goals=goals, seeds=seeds, settings=settings)


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
@pytest.mark.parametrize("guidance", ["imputation", "projection", "classifier+imputation"])
def test_imputed_goals_are_met(make_model, prediction, guidance):
    (motion,) = run(make_model(prediction), guidance=guidance)
    assert motion.joints.shape == (36, 22, 3)
    for residual in GOALS.residuals(motion.joints):
        assert residual.error < 1e-4
        assert residual.met
    assert motion.joints[0, 0, [0, 2]].abs().max() < 1e-4


@pytest.mark.parametrize("guidance", ["none", "projection"])
def test_motions_begin_at_the_origin(make_model, guidance):
    for motion in run(make_model(), (GOALS, Goals()), ("walk", "run"), (36, 30), (0, 1), guidance=guidance):
        assert motion.joints[0, 0, [0, 2]].abs().max() < 1e-4


def test_a_goal_for_the_first_frame_takes_precedence(make_model):
    (motion,) = run(make_model(), (Goals(goals=[Waypoint(frame=0, x=0.5, z=0)]),))
    assert motion.joints[0, 0, [0, 2]].tolist() == pytest.approx([0.5, 0], abs=1e-4)


@pytest.mark.parametrize("guidance", ["none", "classifier", "imputation", "projection"])
def test_a_motion_does_not_depend_on_its_batch(make_model, guidance):
    model = make_model("eps")
    (alone,) = run(model, guidance=guidance, seeds=(5,))
    batch = run(model, (Goals(), GOALS), ("bow", "a person walks"), (44, 36), (1, 5), guidance=guidance)
    torch.testing.assert_close(batch[1].joints, alone.joints, atol=1e-3, rtol=1e-3)


def test_the_motion_says_where_it_comes_from(make_model):
    model = make_model()
    (motion,) = run(model, seeds=(3,), text_scale=1.5)
    assert motion.text == "a person walks"
    assert motion.provenance["seed"] == 3
    assert motion.provenance["settings"]["text_scale"] == 1.5
    assert motion.provenance["model"] == {"name": "untitled", "weights": model.digest, "licence": ""}
    assert Goals.model_validate(motion.provenance["goals"]) == GOALS
    assert len(motion.provenance["residuals"]) == 2


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"texts": (" ",)}, "prompt is empty"),
        ({"frames": (500,)}, "too long.*--seconds"),
        ({"frames": (1,)}, "too short.*--seconds"),
        ({"steps": 0}, "--steps from 1 to 1000"),
        ({"steps": 1001}, "--steps from 1 to 1000"),
        ({"frames": (25,)}, "goal 2.*beyond the motion"),
    ],
)
def test_requests_that_cannot_be(make_model, request_, said):
    with pytest.raises(InputError, match=said):
        run(make_model(), **request_)
