"""Imputation: what is written over x̂0 and x_s, as long as it is told to, and nothing else."""

import pytest
import torch

from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from guidance.imputation import Imputation, observed_features
from motion_diffusion.diffusion.samplers import ddim, estimate_from_x0
from tests.guidance.conftest import missed


@pytest.fixture
def denoise_to(two_walks):
    """A denoiser whose x̂0 is always the two walks, for the schedule of a task."""

    def make(task):
        return lambda x, t, s: estimate_from_x0(two_walks, x, t, task.model.schedule)

    return make


def draw(like):
    generator = torch.Generator().manual_seed(3)
    return lambda: torch.randn(like.shape, generator=generator)


def test_goals_are_hit_and_other_frames_stay(make_task, denoise_to, two_walks):
    task = make_task()
    x0 = Imputation().wrap(denoise_to(task), task, draw(two_walks))(torch.randn_like(two_walks), 500, 480).x0
    before, after = task.joints(two_walks), task.joints(x0)
    assert missed(after, task.known) < 1e-4
    frames = task.known.mask.any(-1).any(-1)
    torch.testing.assert_close(after[~frames], before[~frames], atol=1e-4, rtol=0)


def test_a_body_goes_where_its_pelvis_goes(make_task, denoise_to, two_walks):
    task = make_task()
    x0 = Imputation().wrap(denoise_to(task), task, draw(two_walks))(torch.randn_like(two_walks), 500, 480).x0
    shift = (task.joints(x0) - task.joints(two_walks))[0, 30]
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("prediction", "on", "overwrites"),
    [
        ("x0", "auto", False),
        ("eps", "auto", True),
        ("v", "auto", False),
        ("eps", "x0", False),
        ("v", "x_s", True),
    ],
)
def test_x_s_carries_the_goals_with_fresh_noise(make_task, denoise_to, two_walks, prediction, on, overwrites):
    """Where it is overwritten, x_s is α_s·x̂0 + σ_s·z for the very z that was drawn (GMD, eq. 3)."""
    task = make_task(prediction=prediction)
    x, (t, s) = torch.randn(two_walks.shape, generator=torch.Generator().manual_seed(1)), (600, 580)
    denoise = Imputation(on=on).wrap(denoise_to(task), task, draw(two_walks))
    x0 = denoise(x, t, s).x0
    stepped = ddim(denoise, x, task.model.schedule, [t, s])
    alpha, sigma = task.model.schedule.row(s)
    where = observed_features(task.known, task)
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(x.shape, generator=generator) for _ in range(2)][-1]
    fresh = (stepped - alpha * x0 - sigma * drawn).abs() < 1e-5
    assert where.any()
    assert bool(fresh[where].all()) is overwrites


def test_the_line_between_way_points(make_task, denoise_to, two_walks):
    """While t > line·T the pelvis is on the straight lines between its way-points, and stands beyond them."""
    goals = (GoalSet(goals=[Waypoint(frame=10, x=0.0, z=1.0), Waypoint(frame=30, x=1.0, z=1.0)]),) * 2
    task = make_task(goals)
    denoise = Imputation(line=0.1).wrap(denoise_to(task), task, draw(two_walks))
    x = torch.randn_like(two_walks)
    path = task.joints(denoise(x, 500, 480).x0)[0, :, 0]
    torch.testing.assert_close(path[[0, 10, 15, 30, 39], 0], torch.tensor([0, 0, 0.25, 1, 1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(path[:, 2], torch.ones(40), atol=1e-4, rtol=0)
    late = task.joints(denoise(x, 100, 80).x0)[0, :, 0]
    torch.testing.assert_close(late[15], task.joints(two_walks)[0, 15, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("on", ["x0", "x_s"])
def test_it_goes_on_until_told(make_task, denoise_to, two_walks, on):
    task = make_task()
    denoise = Imputation(until=0.1, on=on).wrap(denoise_to(task), task, draw(two_walks))
    x = torch.randn_like(two_walks)
    assert not torch.equal(denoise(x, 101, 80).x0, two_walks)
    plain = denoise_to(task)(x, 100, 80)
    assert torch.equal(denoise(x, 100, 80).x0, plain.x0)
    assert torch.equal(denoise(x, 100, 80).eps, plain.eps)
