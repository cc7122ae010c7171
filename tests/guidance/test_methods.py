import math

import pytest
import torch

from guidance.bending import turning, with_goals
from guidance.goals import Goals, Joint, Waypoint
from guidance.methods import classifier, guide, imputation
from guidance.observation import Observation
from motion_diffusion.errors import InputError
from motion_diffusion.heading import heading
from motion_diffusion.representation import encode
from motion_diffusion.samplers import Estimate, consistent, ddim
from motion_diffusion.schedule import cosine

SCHEDULE = cosine(1000)


def linear_denoiser(gain=0.8):
    def denoise(x, t, s):
        return consistent(gain * x + 0.1, x, t, SCHEDULE)

    return denoise


def silent():
    return torch.zeros(2, 3, 4, dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.01, 0.5, 7.0, 1e6])
@pytest.mark.parametrize(("t", "s"), [(1000, 980), (500, 480), (20, 0), (3, 2)])
def test_classifier_moves_the_mean_by_the_variance_times_the_gradient(t, s, scale):
    """GMD: mean ← mean − scale·β̃·∇. The loss is |x̂0 − target|², whose gradient to x_t is known here; x̂0 goes straight
    to the target with it, and not beyond."""
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target, gain = 0.5, 0.8

    def loss(x0):
        return (x0 - target).square().sum((1, 2))

    guided = classifier(linear_denoiser(gain), loss, SCHEDULE, scale=scale)
    plain, moved = (
        ddim(denoise, x, SCHEDULE, [t, s], eta=1.0, noise=silent) for denoise in (linear_denoiser(gain), guided)
    )
    x0 = gain * x + 0.1
    _, mean_of_x0, variance, _ = SCHEDULE.posterior(t, s)
    by_gradient, to_target = -scale * variance * 2 * gain * (x0 - target), mean_of_x0 * (target - x0)
    expected = by_gradient if by_gradient.abs().max() < to_target.abs().max() else to_target
    torch.testing.assert_close(moved, plain + expected, rtol=1e-6, atol=1e-9)


def test_classifier_never_raises_the_loss():
    """Whatever the loss is: here one that is not quadratic, and far too large a scale."""

    def loss(x0):
        return (x0 - 1).square().square().sum((1, 2))

    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for scale in (1e-3, 1.0, 1e3):
        before, after = linear_denoiser()(x, 500, 480).x0, classifier(linear_denoiser(), loss, SCHEDULE, scale=scale)
        assert (loss(after(x, 500, 480).x0) < loss(before)).all()


def test_classifier_leaves_neighbours_alone():
    def loss(x0):
        return (x0 - 1).square().mean((1, 2))

    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    guided = classifier(linear_denoiser(), loss, SCHEDULE, scale=3.0)
    torch.testing.assert_close(guided(x, 500, 480).x0[:1], guided(x[:1], 500, 480).x0)


def test_imputation_of_eps_overwrites_the_next_x():
    """Where overwritten, x_s is α_s·x̂0 + σ_s·z for the very z that was drawn; elsewhere it is what it was."""
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    where = torch.zeros(2, 3, 4, dtype=torch.bool)
    where[:, 1] = True

    def impute(x0):
        return torch.where(where, 2.0, x0)

    t, s = 600, 580
    alpha, sigma = SCHEDULE.row(s)
    plain = linear_denoiser()
    guided = imputation(plain, impute, SCHEDULE, overwritten=where, noise=lambda: z)
    stepped = ddim(guided, x, SCHEDULE, [t, s])
    torch.testing.assert_close(stepped[where], (alpha * 2.0 + sigma * z)[where])
    torch.testing.assert_close(stepped[~where], ddim(plain, x, SCHEDULE, [t, s])[~where])


@pytest.fixture
def task(walks, representation):
    joints = torch.stack([walk[:40] for walk in walks[:2]])
    x0 = representation.normalise(encode(joints, groups=representation.groups))
    goals = [
        Goals(goals=[Waypoint(frame=30, x=0.4, z=1.0), Waypoint(frame=10, x=0.0, z=0.3)]),
        Goals(goals=[Joint(joint="right_wrist", frame=20, position=(None, 1.5, None))]),
    ]
    return x0, Observation.stack([wanted.observe(40) for wanted in goals]), torch.tensor([40, 40])


def test_imputed_motion_meets_its_goals_when_read(task, representation):
    x0, goals, lengths = task
    joints = representation.decode(with_goals(x0, goals, lengths, representation))
    assert (joints - goals.values)[goals.mask].abs().max() < 1e-4


def test_imputing_twice_is_imputing_once(task, representation):
    x0, goals, lengths = task
    once = with_goals(x0, goals, lengths, representation)
    torch.testing.assert_close(with_goals(once, goals, lengths, representation), once, atol=1e-4, rtol=0)


def test_imputing_nothing_changes_nothing(task, representation):
    x0, _, lengths = task
    nothing = Observation.stack([Observation.empty(40)] * 2)
    torch.testing.assert_close(with_goals(x0, nothing, lengths, representation), x0, atol=1e-4, rtol=0)


def test_a_body_that_is_led_aside_turns_and_keeps_its_pose(walks, representation):
    """A straight walk led to its left faces left on the way; seen from its heading, every pose is what it was."""
    time = torch.arange(60.0)[:, None, None] / 20
    joints = walks[0][:1] + time * torch.tensor([0.0, 0.0, 1.2])
    x0 = representation.normalise(encode(joints, groups=representation.groups))[None]
    goals = Observation.stack(
        [Goals(goals=[Waypoint(frame=0, x=0, z=0), Waypoint(frame=59, x=2.5, z=2.5)]).observe(60)]
    )
    bent = with_goals(x0, goals, torch.tensor([60]), representation)
    faces = -heading(representation.decode(bent)[0], smooth=False)
    assert (faces - torch.pi / 4)[10:].abs().max() < 0.2
    before, after = (representation.denormalise(x)[0, :, 4:67] for x in (x0, bent))
    torch.testing.assert_close(after, before, atol=0.02, rtol=0)


def test_ways_and_the_angles_between_them():
    time = torch.arange(80.0, dtype=torch.float64)[None, :, None, None] / 20
    lengths = torch.tensor([80])

    def way(angle, speed):
        return time * speed * torch.tensor([math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)

    for a, b in ((0.0, 0.5), (0.3, -1.0), (1.0, 1.0)):
        fast = turning(way(a, 30.0), way(b, 30.0), lengths)
        torch.testing.assert_close(fast, torch.full_like(fast, b - a), atol=1e-3, rtol=0)
    assert turning(way(0.0, 0.02), way(1.5, 0.02), lengths).abs().max() < 0.01  # who stands does not turn


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
@pytest.mark.parametrize("method", ["classifier", "imputation", "classifier+imputation"])
@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_every_method_works_with_every_model_and_sampler(make_model, task, prediction, method, sampler):
    _, goals, lengths = task
    model = make_model(prediction)
    run = dict(seeds=[0, 1], steps=12, sampler=sampler)
    plain = model.sample(["a person walks", "someone turns"], [40, 40], **run)
    guided = model.sample(
        ["a person walks", "someone turns"], [40, 40], guide=guide(method, model, goals, lengths, scale=10.0), **run
    )
    assert guided.isfinite().all()
    far, near = (goals.loss(model.representation.decode(x, lengths=lengths)) for x in (plain, guided))
    assert (near <= far).all()
    assert (near < far).any()


def test_unknown_method(make_model, task):
    _, goals, lengths = task
    with pytest.raises(InputError, match="choose from none, classifier"):
        guide("magic", make_model(), goals, lengths)


def test_estimates_are_pairs():
    x = torch.ones(1, 2, 2, dtype=torch.float64)
    estimate = consistent(x, x, 300, SCHEDULE)
    alpha, sigma = SCHEDULE.row(300)
    assert isinstance(estimate, Estimate)
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x)
