"""Ways of guiding by name: any that go together work with every model and sampler; what does not is refused."""

from dataclasses import replace

import pytest
import torch

from guidance.classifier import Classifier
from guidance.compose import ComposedGuidance, MethodOptions, parse_methods
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from guidance.imputation import Imputation
from guidance.noise_optimization import NoiseOptimization
from guidance.projection import Projection
from guidance.two_stage import TwoStage
from motion_diffusion.diffusion.samplers import ddim
from motion_diffusion.errors import InputError

PROMPTS = ("a person walks", "someone turns")


def composed(guidance, task):
    return ComposedGuidance.of(MethodOptions().methods(guidance), task, task.model)


@pytest.mark.parametrize(
    ("prediction", "methods"),
    [
        (prediction, methods)
        for prediction in ("x0", "eps", "v")
        for methods in ("classifier", "imputation", "projection", "classifier+projection", "tfg", "mmps")
        if (prediction, methods) != ("x0", "mmps")  # the Jacobian of an untrained network of x0 is no covariance
    ],
)
@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_every_method_works_with_every_model_and_sampler(make_task, prediction, methods, sampler):
    task = make_task(prediction=prediction)
    run = dict(seeds=[0, 1], steps=8, sampler=sampler)
    plain = task.model.sample(PROMPTS, [40, 40], **run)
    guided = task.model.sample(PROMPTS, [40, 40], guide=composed(methods, task).guide, **run)
    assert guided.isfinite().all()
    far, near = task.loss(plain), task.loss(guided)
    assert (near <= far).all()
    assert (near < far).any()


@pytest.mark.filterwarnings("ignore:smc")
@pytest.mark.parametrize("schedule", ["rectified", "variance-exploding"])
@pytest.mark.parametrize("methods", ["classifier", "tfg", "mmps", "dsg", "smc"])
def test_gradients_go_with_every_schedule(make_task, methods, schedule):
    """Also where x_T is pure noise (α = 0), and where its variance is not that of the data."""
    task = make_task(prediction="velocity", schedule=schedule)
    guidance = composed(methods, task)
    run = dict(seeds=[0, 1], steps=8, guide=guidance.guide, sampler=guidance.sampler("ancestral"))
    guided = task.model.sample(PROMPTS, [40, 40], **run)
    assert guided.isfinite().all()
    assert (task.loss(guided) < task.loss(task.model.sample(PROMPTS, [40, 40], seeds=[0, 1], steps=8))).any()


def test_names_are_read():
    assert parse_methods("none") == ()
    assert parse_methods("classifier + projection") == ("classifier", "projection")


@pytest.mark.parametrize(
    ("guidance", "said"),
    [
        ("magic", "choose from none, classifier"),
        ("classifier+classifier", "twice"),
        ("imputation+projection", "last one would win"),
        ("noise+classifier", "classifier and noise do not go together: each follows the gradient"),
        ("tfg+classifier", "classifier and tfg do not go together"),
        ("stages", "stages\\+projection"),
        ("", "unknown guidance ''"),
        ("none+projection", "unknown guidance 'none'"),
    ],
)
def test_what_does_not_go_together(guidance, said):
    with pytest.raises(InputError, match=said):
        parse_methods(guidance)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classifier": Classifier(scale=0)}, "--classifier.scale 0: give more than 0 to 1e\\+06"),
        ({"classifier": Classifier(scale=float("nan"))}, "--classifier.scale nan: "),
        ({"classifier": Classifier(inner=-1)}, "--classifier.inner -1: give 0 to 1,000"),
        ({"classifier": Classifier(inner=10**9)}, "--classifier.inner 1000000000: "),
        ({"classifier": Classifier(begin=1.1)}, "--classifier.begin 1.1: "),
        ({"imputation": Imputation(line=2)}, "--imputation.line 2: give 0 to 1"),
        ({"imputation": Imputation(until=1)}, "--imputation.until 1: give 0 to less than 1"),
        ({"projection": Projection(remix=1.5)}, "--projection.remix 1.5: give 0 to 1"),
        ({"projection": Projection(begin=0)}, "--projection.begin 0: give more than 0 to 1"),
        ({"noise": NoiseOptimization(rounds=0)}, "--noise.rounds 0: give 1 to 10,000"),
        ({"noise": NoiseOptimization(steps=10**9)}, "--noise.steps 1000000000: give 1 to 1,000"),
        ({"noise": NoiseOptimization(rate=float("inf"))}, "--noise.rate inf: "),
        ({"noise": NoiseOptimization(stay=float("nan"))}, "--noise.stay nan: "),
        ({"stages": TwoStage(steps=0)}, "--stages.steps 0: give 1 to 1,000"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(InputError, match=said):
        MethodOptions(**options)


def test_a_model_without_masks_cannot_be_told(make_task):
    with pytest.raises(InputError, match="not trained with masks"):
        composed("masks", make_task())


def test_functions_need_a_gradient(make_task):
    def high(joints, lengths):
        return (joints[:, 10, 15, 1] - 1.7).square()

    task = make_task((GoalSet(), GoalSet()), functions=(high,))
    with pytest.raises(InputError, match="add one of classifier, tfg"):
        composed("projection", task)
    x = task.model.sample(PROMPTS, [40, 40], seeds=[0, 1], steps=6, guide=composed("classifier", task).guide)
    plain = task.model.sample(PROMPTS, [40, 40], seeds=[0, 1], steps=6)
    assert (task.loss(x) < task.loss(plain)).all()


def test_noise_is_sought_through_all_steps(make_task):
    """From the noise that was found, DDIM comes nearer to the goals; the noise is as long as it was."""
    task = make_task(prediction="v")
    options = NoiseOptimization(steps=3, rounds=15, rate=0.1)
    denoise = task.model.denoise_fn(PROMPTS, torch.ones(2, 40, dtype=torch.bool))
    z = torch.randn(2, 40, task.model.config.denoiser.features, generator=torch.Generator().manual_seed(0))
    rounds = []
    found = options.start(denoise, z, task, lambda: rounds.append(1))
    assert len(rounds) == options.rounds
    times = task.model.schedule.times(3)
    far, near = (task.loss(ddim(denoise, noise, task.model.schedule, times)) for noise in (z, found))
    assert (near < far).all()
    torch.testing.assert_close(found.flatten(1).norm(dim=1), z.flatten(1).norm(dim=1))
    alone = options.start(
        task.model.denoise_fn(PROMPTS[:1], torch.ones(1, 40, dtype=torch.bool)), z[:1],
        make_task(task.goals[:1], prediction="v"), lambda: None,
    )  # fmt: skip
    torch.testing.assert_close(found[:1], alone, atol=1e-3, rtol=1e-3)


def test_masks_are_told_to_the_network(make_task):
    """A network with masks answers to what is known, and does not when it is told nothing."""
    task = make_task(prediction="v", masks=True)
    guidance = composed("masks", task)
    with torch.no_grad():
        task.model.denoiser.hint.weight += 0.1
    frames = torch.ones(2, 40, dtype=torch.bool)
    x = torch.randn(2, 40, task.model.config.denoiser.features, generator=torch.Generator().manual_seed(0))
    told = task.model.denoise_fn(PROMPTS, frames, observed=guidance.observed)(x, 500, 480).x0
    silent = task.model.denoise_fn(PROMPTS, frames)(x, 500, 480).x0
    assert (told - silent).abs().amax() > 1e-3
    values, mask = guidance.observed
    elsewhere = task.model.denoise_fn(PROMPTS, frames, observed=(values + (~mask), mask))(x, 500, 480).x0
    assert torch.equal(told, elsewhere)  # what is not known cannot be seen


def test_words_and_masks_have_scales_of_their_own(make_task):
    """y = y(∅, ∅) + m·(y(∅, masks) − y(∅, ∅)) + w·(y(text, masks) − y(∅, masks)), found from the four corners."""
    task = make_task(prediction="x0", masks=True)
    with torch.no_grad():
        task.model.denoiser.hint.weight += 0.1
    model, observed = task.model, composed("masks", task).observed
    far = torch.full_like(model.representation.extent, 1e6)
    model.representation = replace(model.representation, extent=far)  # no clip
    frames = torch.ones(2, 40, dtype=torch.bool)
    x = torch.randn(2, 40, model.config.denoiser.features, generator=torch.Generator().manual_seed(0))

    def x0(text_scale, mask_scale, known=observed):
        scales = dict(text_scale=text_scale, mask_scale=mask_scale)
        return model.denoise_fn(PROMPTS, frames, observed=known, **scales)(x, 500, 480).x0

    nothing, masks, both = x0(0.0, 1.0, None), x0(0.0, 1.0), x0(1.0, 1.0)
    expected = nothing + 2.0 * (masks - nothing) + 3.0 * (both - masks)
    torch.testing.assert_close(x0(3.0, 2.0), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(x0(3.0, 1.0), masks + 3.0 * (both - masks), atol=1e-4, rtol=1e-4)


def test_a_path_model_makes_the_way(make_model, tmp_path):
    make_model(groups=("root",)).save(tmp_path / "paths")
    goals = [GoalSet(goals=[Waypoint(frame=0, x=0, z=0), Waypoint(frame=30, x=0.4, z=1.0)])]
    options = TwoStage(path_model=str(tmp_path / "paths"), steps=5)
    (wanted,) = options.goals(goals, PROMPTS[:1], torch.tensor([40]), [0])
    path, *rest = wanted.goals
    assert path.kind == "path"
    assert len(path.points) == 40
    assert path.points[30] == pytest.approx((0.4, 1.0), abs=1e-4)
    assert rest == goals[0].goals
    steps = torch.tensor(path.points).diff(n=3, dim=0)
    assert steps.abs().max() < 0.05  # it does not tremble
    steps_of_a_foot = [Joint(joint="left_foot", frame=k, position=(0.2 * (k % 2), 0, 0.05 * k)) for k in range(40)]
    (wanted,) = options.goals([GoalSet(goals=steps_of_a_foot)], PROMPTS[:1], torch.tensor([40]), [0])
    assert torch.tensor(wanted.goals[0].points).diff(n=3, dim=0).abs().max() < 0.05  # nor does it step with a foot
    make_model().save(tmp_path / "body")
    with pytest.raises(InputError, match="model of the whole body"):
        TwoStage(path_model=str(tmp_path / "body")).goals(goals, PROMPTS[:1], torch.tensor([40]), [0])


def test_settings_have_every_method():
    assert {"classifier", "imputation", "projection", "noise", "stages"} <= set(vars(MethodOptions()))
