"""From a request to motions: the contract of `generate`, with a model that knows nothing."""

import pytest
import torch

from guidance.classifier import Classifier
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from guidance.noise_optimization import NoiseOptimization
from guidance.two_stage import TwoStage
from motion_diffusion.assets import ASSETS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel, Recommended
from sample.generate import ModelSettings, Settings, check, generate, methods_of, sampling_of
from sample.segments import OVERLAP, frames_of, segment_windows

GOALS = GoalSet(
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
    for motion in run(make_model(), (GOALS, GoalSet()), ("walk", "run"), (36, 30), (0, 1), guidance=guidance):
        assert motion.joints[0, 0, [0, 2]].abs().max() < 1e-4


def test_obstacles_that_close_in_do_not_lead_the_path_astray():
    """Targets of a moving obstacle beside a fixed one contradict each other: paths were up to 20 m long."""
    goals = load_goals(ASSETS / "goals" / "obstacles.json")  # 5 m ahead
    motions = generate(
        MotionModel.load("v-masks"), ["a person walks"] * 2, [120] * 2, goals=[goals] * 2, seeds=[0, 6],
        settings=Settings(steps=20),
    )  # fmt: skip
    for motion in motions:
        path = motion.joints[:, 0, [0, 2]]
        assert path.diff(dim=0).norm(dim=-1).sum() < 7
        assert all(residual.met for residual in goals.residuals(motion.joints))


def test_a_goal_for_the_first_frame_takes_precedence(make_model):
    (motion,) = run(make_model(), (GoalSet(goals=[Waypoint(frame=0, x=0.5, z=0)]),))
    assert motion.joints[0, 0, [0, 2]].tolist() == pytest.approx([0.5, 0], abs=1e-4)


@pytest.mark.parametrize("guidance", ["none", "classifier", "imputation", "projection"])
def test_a_motion_does_not_depend_on_its_batch(guidance):
    model = MotionModel.load("eps-mixed")  # where feet stand is no question of rounding
    (alone,) = run(model, guidance=guidance, seeds=(5,))
    batch = run(model, (GoalSet(), GOALS), ("bow", "a person walks"), (44, 36), (1, 5), guidance=guidance)
    torch.testing.assert_close(batch[1].joints, alone.joints, atol=1e-3, rtol=1e-3)


def test_the_motion_says_where_it_comes_from(make_model):
    model = make_model()
    (motion,) = run(model, seeds=(3,), text_scale=1.5)
    assert motion.text == "a person walks"
    assert motion.provenance["seed"] == 3
    assert motion.provenance["settings"]["text_scale"] == 1.5
    assert motion.provenance["model"] == {"name": "untitled", "weights": model.digest, "licence": ""}
    assert GoalSet.model_validate(motion.provenance["goals"]) == GOALS
    assert len(motion.provenance["residuals"]) == 2


def test_the_noise_is_not_sought_in_more_steps_than_the_model_has(make_model):
    with pytest.raises(InputError, match="--noise.steps 8: give 1 to 7"):
        run(make_model(T=7), guidance="noise")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"texts": (" ",)}, "prompt is empty"),
        ({"frames": (500,)}, "too long.*--seconds"),
        ({"frames": (1,)}, "too short.*--seconds"),
        ({"steps": 0}, "--steps 0: give 1 to 100,000"),
        ({"steps": 1001}, "--steps 1001: give 1 to 1,000"),
        ({"seeds": (2**63,)}, "--seed 9223372036854775808: give 0 to"),
        ({"seeds": (-1,)}, "--seed -1: give 0 to"),
        ({"frames": (25,)}, "goal 2.*beyond the motion"),
    ],
)
def test_requests_that_cannot_be(make_model, request_, said):
    with pytest.raises(InputError, match=said):
        run(make_model(), **request_)


def segments(*pairs, goals=()):
    return GoalSet(goals=list(goals), segments=[{"text": text, "seconds": seconds} for text, seconds in pairs])


def test_segments_are_one_motion(make_model):
    """Three prompts, of which one is too long for a window, on one timeline with goals in all of them."""
    model = make_model("v")
    told = segments(
        ("a person walks", 2.0), ("a person runs", 6.5), ("someone bows", 1.5),
        goals=(Waypoint(time=1.0, x=0.1, z=0.5), Waypoint(time=6.0, x=-1.0, z=2.0), Waypoint(time=9.9, x=0, z=3)),
    )  # fmt: skip
    (motion,) = run(model, (told,), ("",), (10,), (4,))
    assert motion.frames == 200
    assert motion.text == "a person walks; then a person runs; then someone bows"
    assert all(residual.error < 1e-3 for residual in told.residuals(motion.joints))
    assert GoalSet.model_validate(motion.provenance["goals"]) == told
    (again,) = run(model, (told,), ("",), (10,), (4,))
    assert torch.equal(again.joints, motion.joints)


@pytest.mark.parametrize("guidance", ["none", "classifier", "projection"])
def test_there_is_no_seam(make_model, guidance):
    """Where windows meet, the motion is about as smooth as within them; side by side they would jump."""
    told = segments(("a person walks", 3.0), ("a person runs", 3.0), goals=(Waypoint(time=1.0, x=0.1, z=0.5),))
    (motion,) = run(make_model("x0"), (told,), ("",), (10,), guidance=guidance, steps=10)
    steps = motion.joints.diff(n=2, dim=0).norm(dim=-1).mean(-1)
    assert steps[45:75].max() < 3 * torch.cat([steps[30:45], steps[75:90]]).max()
    assert motion.joints[0, 0, [0, 2]].norm() < (0.5 if guidance == "classifier" else 1e-4)


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
@pytest.mark.parametrize("guidance", ["imputation", "projection", "classifier", "noise"])
def test_every_kind_of_model_makes_segments(make_model, prediction, guidance):
    """Also where x_s is overwritten, window by window."""
    told = segments(("a person walks", 2.0), ("a person turns", 2.5), goals=(Waypoint(time=3.5, x=0.3, z=0.8),))
    seeking = NoiseOptimization(steps=2, rounds=2)
    (motion,) = run(make_model(prediction), (told,), ("",), (10,), guidance=guidance, noise=seeking)
    assert motion.frames == 90
    assert motion.joints.isfinite().all()
    if guidance in ("imputation", "projection"):
        assert told.residuals(motion.joints)[0].error < 1e-3


def test_windows_cover_the_timeline():
    told = segments(("a", 1.0), ("b", 12.0), ("c", 3.0)).segments
    made = segment_windows(told, 120)
    assert made.texts == ("a", "b", "b", "b", "c")
    assert max(made.lengths) <= 120
    ends = [start + length for start, length in zip(made.starts, made.lengths, strict=True)]
    assert made.starts[0] == 0
    assert ends[-1] == frames_of(told) == 320
    assert all(after - start == OVERLAP for after, start in zip(ends[:-1], made.starts[1:], strict=True))


def test_a_motion_beside_segments_is_what_it_would_be_alone(make_model):
    model, told = make_model("v"), segments(("a person walks", 2.0), ("a person runs", 2.0))
    both = run(model, (told, GOALS), ("", "walk"), (10, 36), (1, 5))
    (alone,) = run(model, (GOALS,), ("walk",), (36,), (5,))
    torch.testing.assert_close(both[1].joints, alone.joints)


def test_a_single_segment_is_a_text_and_a_length(make_model):
    """So that a goal file that says the words goes with every way of guiding; one that is too long is still woven."""
    model, goals = make_model("v", masks=True), (Waypoint(time=1.0, x=0.1, z=0.5),)
    told, longest = segments(("a person walks", 2.0), goals=goals), make_model().config.max_frames
    (motion,) = run(model, (told,), ("",), (10,), (4,), guidance="masks+projection")
    (plain,) = run(model, (GoalSet(goals=list(goals)),), ("a person walks",), (40,), (4,), guidance="masks+projection")
    assert torch.equal(motion.joints, plain.joints)
    assert (motion.text, motion.provenance) == (plain.text, plain.provenance)
    (long,) = run(model, (segments(("a person walks", longest / 20 + 1)),), ("",), (10,))
    assert long.frames == longest + 20


TWO = segments(("a", 2.0), ("b", 2.0), goals=(Waypoint(time=1, x=0, z=0),))


@pytest.mark.parametrize(
    ("settings", "goals", "said"),
    [
        ({}, segments(("a", 0.5), ("b", 2.0)), "segment 1 lasts 0.5 s"),
        ({"guidance": "masks"}, TWO, "leave masks out"),
        ({"guidance": "stages+projection"}, TWO, "one sentence"),
        ({"guidance": "masks"}, GOALS, "not trained with masks"),
        ({"guidance": "walking"}, GOALS, "unknown guidance"),
    ],
)
def test_what_cannot_be_done_together(make_model, settings, goals, said):
    with pytest.raises(InputError, match=said):
        run(make_model(), (goals,), **settings)


def test_a_model_of_the_path_is_looked_at_before_anything_is_sampled(make_model):
    settings = Settings(guidance="stages+projection", stages=TwoStage(path_model="nope"))
    with pytest.raises(FileNotFoundError, match="no model 'nope'"):
        check(make_model(), ["walk"], [36], [GOALS], settings)
    check(make_model(), ["walk"], [36], [GoalSet()], settings)  # nothing to make a path for


def test_functions_of_the_joints_are_goals_too(make_model):
    """Any differentiable function: here, that the head is at 1.4 m all the time."""

    def low(joints, lengths):
        return (joints[:, :, 15, 1] - 1.4).square().mean(1)

    request = (make_model(), ["walk"], [36])
    way = Settings(steps=6, guidance="classifier", classifier=Classifier(inner=12))
    (plain,), (bent,) = (
        generate(*request, goals=[GoalSet()], seeds=[0], settings=way, functions=functions)
        for functions in ((), (low,))
    )
    before, after = (low(motion.joints[None], None).item() for motion in (plain, bent))
    assert after < 0.2 * before


def test_clean_up_is_told(make_model):
    (motion,) = run(make_model())
    assert motion.provenance["clean_up"]["bone_error_before_cm"] > 1
    assert max(residual.error for residual in GOALS.residuals(motion.joints)) < 1e-3
    assert motion.joints[0, 0, [0, 2]].abs().max() < 1e-4


def test_masks_make_motions(make_model):
    (motion,) = run(make_model("v", masks=True), guidance="masks+projection", mask_scale=1.5)
    assert max(residual.error for residual in GOALS.residuals(motion.joints)) < 1e-3


def test_noise_is_sampled_from_with_the_steps_it_was_sought_with(make_model):
    ways = {"guidance": "noise", "noise": NoiseOptimization(steps=3, rounds=3)}
    (motion,), (same,) = run(make_model("v"), **ways), run(make_model("v"), **ways, sampler="ancestral", steps=9)
    (other,) = run(make_model("v"), guidance="noise", noise=NoiseOptimization(steps=4, rounds=3))
    assert torch.equal(motion.joints, same.joints)
    assert not torch.equal(motion.joints, other.joints)


def test_on_step_is_called_after_rounds_and_steps(make_model):
    seen = []
    settings = Settings(guidance="noise", noise=NoiseOptimization(steps=3, rounds=5))

    def on_step(t, estimate):
        assert not estimate.x0.requires_grad
        seen.append(t)

    model = make_model("v")
    generate(model, ["walk"], [36], goals=[GOALS], settings=settings, on_step=on_step)
    assert len(seen) == sampling_of(settings.of(model), methods_of(settings)).total == 8
    assert seen[:5] == [seen[-1]] * 5  # of rounds, the last step
    assert seen[5:] == sorted(seen[5:], reverse=True)


def test_what_a_model_recommends_is_used_where_nothing_is_asked(make_model):
    recommended = Recommended(steps=3, shift=3.0, sampler="ddim", text_scale=2.5)
    model, plain = make_model("v", recommended=recommended), make_model("v")
    asked = Settings(steps=3, shift=3.0, sampler="ddim", text_scale=2.5)
    (own,) = generate(model, ["a person walks"], [30])
    (same,) = generate(plain, ["a person walks"], [30], settings=asked)
    assert torch.equal(own.joints, same.joints)
    assert own.provenance["settings"] == same.provenance["settings"]
    assert Settings(steps=7).of(model).steps == 7
    assert Settings().of(plain) == ModelSettings(steps=50, shift=1.0, sampler="ancestral", text_scale=1.5)


def test_shift_spaces_the_steps_unless_a_method_prescribes_them(make_model):
    model, seen = make_model("v"), []

    def on_step(t, estimate):
        seen.append(t)

    generate(model, ["walk"], [30], settings=Settings(steps=4, shift=3.0), on_step=on_step)
    assert seen == model.times(4, shift=3.0)[:-1]
    seen.clear()
    settings = Settings(guidance="noise", noise=NoiseOptimization(steps=3, rounds=1), shift=3.0)
    generate(model, ["walk"], [36], goals=[GOALS], settings=settings, on_step=on_step)
    assert seen[1:] == model.times(3)[:-1]


def test_a_distilled_model_is_sampled_as_it_was_made_for(make_model):
    model = make_model("v", recommended=Recommended(steps=3, sampler="ddim", text_scale=1.0, only=True))
    assert generate(model, ["a person walks"], [30], settings=Settings(steps=3))
    for settings in (Settings(steps=4), Settings(shift=2.0), Settings(sampler="heun"), Settings(text_scale=2.0)):
        with pytest.raises(InputError, match=r"was distilled for 3 steps of ddim with --text-scale 1; leave it out"):
            check(model, ["a person walks"], [30], [GoalSet()], settings)
