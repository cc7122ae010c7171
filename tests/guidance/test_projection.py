"""Projection: the nearest motion that meets the goals, its body turned along, and noise mixed anew."""

import math

import pytest
import torch

from guidance.goals.goal_set import GoalSet
from guidance.goals.observation import Observation
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, Waypoint
from guidance.projection import Projection, Projector, turning
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import heading
from motion_diffusion.diffusion.samplers import estimate_from_x0
from tests.guidance.conftest import missed


def test_projected_motions_meet_their_goals(make_task, two_walks):
    task = make_task()
    assert missed(task.joints(Projector(task)(two_walks)), task.known) < 1e-4


def test_projecting_twice_is_projecting_once(make_task, two_walks):
    project = Projector(make_task())
    once = project(two_walks)
    torch.testing.assert_close(project(once), once, atol=1e-3, rtol=0)


def test_without_goals_nothing_changes(make_task, two_walks):
    torch.testing.assert_close(Projector(make_task((GoalSet(), GoalSet())))(two_walks), two_walks, atol=1e-4, rtol=0)


def test_a_body_that_is_led_aside_turns_and_keeps_its_pose(walks, make_model):
    """A straight walk led to its left faces left on the way; seen from its heading, every pose is what it was."""
    time = torch.arange(60.0)[:, None, None] / 20
    joints = walks[0][:1] + time * torch.tensor([0.0, 0.0, 1.2])
    model = make_model()
    representation = model.representation
    x0 = representation.normalise(encode(joints, groups=representation.groups))[None]
    goals = GoalSet(goals=[Waypoint(frame=0, x=0, z=0), Waypoint(frame=59, x=2.5, z=2.5)])
    task = GuidanceProblem.of(model, [goals], torch.tensor([60]))
    bent = Projector(task)(x0)
    faces = -heading(task.joints(bent)[0], smooth=False)
    assert faces[-1] > 0.6
    assert (faces.diff() > -0.02).all()
    before, after = (representation.denormalise(x)[0, :, 4:67] for x in (x0, bent))
    torch.testing.assert_close(after, before, atol=0.02, rtol=0)


def test_a_pose_that_faces_elsewhere_is_turned_to(walks, make_task, two_walks):
    """The body turns as a whole: no bone gets shorter on the way, as it would if joints went straight there."""
    turned_round = walks[0][20:21] * torch.tensor([-1.0, 1.0, -1.0])
    goals = GoalSet(goals=[Pose.of(turned_round, frame=20)])
    task = make_task((goals, GoalSet()))
    before, after = (task.joints(x)[0] for x in (two_walks, Projector(task)(two_walks)))
    assert missed(task.joints(Projector(task)(two_walks)), task.known) < 1e-4
    thigh = [(joints[:, 1] - joints[:, 4]).norm(dim=-1) for joints in (before, after)]
    assert (thigh[1] / thigh[0] - 1).abs().max() < 0.15


@pytest.mark.parametrize("remix", [0.0, 0.3, 1.0])
def test_noise_is_mixed_anew(make_task, two_walks, remix):
    task = make_task()
    z = torch.randn(two_walks.shape, generator=torch.Generator().manual_seed(5))
    x = torch.randn(two_walks.shape, generator=torch.Generator().manual_seed(6))

    def denoise(x, t, s):
        return estimate_from_x0(two_walks, x, t, task.model.schedule)

    estimate = Projection(remix=remix).wrap(denoise, task, lambda: z)(x, 400, 380)
    left = estimate_from_x0(estimate.x0, x, 400, task.model.schedule).eps
    torch.testing.assert_close(estimate.eps, math.sqrt(1 - remix**2) * left + remix * z)
    late = Projection(begin=0.3).wrap(denoise, task, lambda: z)(x, 400, 380)
    assert torch.equal(late.x0, two_walks)


def test_neighbours_are_left_alone(make_task, two_walks):
    both = Projector(make_task())(two_walks)
    alone = Projector(make_task((GoalSet(goals=[Joint(joint="right_wrist", frame=20, position=(None, 1.5, None))]),)))
    torch.testing.assert_close(both[1:], alone(two_walks[1:]), atol=1e-4, rtol=0)


def test_a_path_without_a_body(make_model):
    model = make_model(groups=("root",))
    goals = GoalSet(goals=[Waypoint(frame=30, x=0.4, z=1.0)])
    task = GuidanceProblem.of(model, [goals], torch.tensor([40]))
    x0 = torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0))
    assert missed(task.joints(Projector(task)(x0)), task.known) < 1e-4


def test_ways_and_the_angles_between_them():
    time = torch.arange(80.0, dtype=torch.float64)[None, :, None, None] / 20
    lengths = torch.tensor([80])

    def way(angle, speed):
        return time * speed * torch.tensor([math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)

    for a, b in ((0.0, 0.5), (0.3, -1.0), (1.0, 1.0)):
        fast = turning(way(a, 30.0), way(b, 30.0), lengths)
        torch.testing.assert_close(fast, torch.full_like(fast, b - a), atol=1e-3, rtol=0)
    assert turning(way(0.0, 0.02), way(1.5, 0.02), lengths).abs().max() < 0.01  # who stands does not turn


def test_observations_of_different_lengths_make_a_batch():
    batch = Observation.stack([Observation.empty(3), Observation.empty(5)])
    assert batch.values.shape == (2, 5, 22, 3)
    assert not batch.mask.any()
    assert (batch.weights == 1).all()
