"""Moment matching: exact on Gaussian data, ΠGDM with an isotropic covariance, and the same as azula's."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from guidance.goals.goal_set import GoalSet
from guidance.goals.observation import Observation
from guidance.goals.poses import Pose
from guidance.goals.positions import Waypoint
from guidance.moment_matching import Linearised, MomentMatching, conjugate_gradients
from guidance.protocol import GuidanceProblem
from guidance.windows import Stitched
from motion_diffusion.diffusion.samplers import ddim, estimate_from_x0
from tests.guidance.conftest import SCHEDULE, missed
from tests.needs import present

F, D, SIZE = 2, 3, 6
SEEN = 4
"""Of the 6 features the first 4 sums (one joint at two frames, x and y) are observed."""
SPREAD = 0.2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FACTOR = draw(SIZE, SIZE, seed=1)
C, MEAN = FACTOR @ FACTOR.T, draw(SIZE, seed=2)
TO_JOINTS = draw(SIZE, SIZE, seed=3)
MASK = torch.tensor([True, True, False]).expand(1, F, 1, 3)
ROWS = TO_JOINTS[MASK.flatten()]
Y = draw(1, F, 1, 3, seed=4)


def gaussian(x, t, s):
    """The exact denoiser of N(MEAN, C)."""
    alpha, sigma = SCHEDULE.row(t)
    gain = alpha * C @ torch.linalg.inv(alpha**2 * C + sigma**2 * torch.eye(SIZE, dtype=torch.float64))
    x0 = MEAN + (x.flatten(1) - alpha * MEAN) @ gain.T
    return estimate_from_x0(x0.view_as(x), x, t, SCHEDULE)


def problem(count=2, y=Y, weights=1.0):
    wanted = Observation(y.expand(count, F, 1, 3), MASK.expand(count, F, 1, 3), torch.full((count, F, 1), weights))
    return SimpleNamespace(
        schedule=SCHEDULE, joints=lambda x0: (x0.flatten(1) @ TO_JOINTS.T).view(-1, F, 1, 3),
        target_for=lambda joints: wanted,
    )  # fmt: skip


def guided(x, t, task=None, denoise=gaussian, **options):
    method = MomentMatching(**{"spread": SPREAD, "iterations": SEEN} | options)
    return method.wrap(denoise, task or problem(len(x)), None)(x, t, t - 20)


@pytest.mark.parametrize("t", [990, 500, 20])
@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_it_is_exact_on_gaussian_data(t, weight):
    """E[x | x_t, y] from the joint Gaussian of x, x_t and y = A x + σ_y/√w·n."""
    alpha, sigma = SCHEDULE.row(t)
    x = draw(2, F, D)
    A = torch.cat([alpha * torch.eye(SIZE, dtype=torch.float64), ROWS])
    noise = torch.diag(torch.tensor([sigma**2] * SIZE + [SPREAD**2 / weight] * SEEN, dtype=torch.float64))
    seen = torch.cat([x.flatten(1), Y[MASK].expand(2, -1)], dim=1)
    gain = C @ A.T @ torch.linalg.inv(A @ C @ A.T + noise)
    expected = MEAN + (seen - MEAN @ A.T) @ gain.T
    estimate = guided(x, t, problem(weights=weight))
    torch.testing.assert_close(estimate.x0.flatten(1), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x)


@pytest.mark.parametrize(("t", "s"), [(990, 970), (500, 480), (20, 0)])
def test_an_isotropic_covariance_is_pigdm(t, s):
    """Song et al. 2023, algorithm 1: DDIM + √ᾱ_s·√ᾱ_t·r_t²·(∂x̂0/∂x_t)ᵀ Aᵀ (r_t² A Aᵀ + σ_y² I)⁻¹ (y − A x̂0)."""
    x, (alpha, sigma) = draw(1, F, D), SCHEDULE.row(t)
    jacobian = torch.autograd.functional.jacobian(lambda z: gaussian(z, t, s).x0, x).view(SIZE, SIZE)
    plain = gaussian(x, t, s).x0.flatten(1)
    r = sigma**2 / (alpha**2 + sigma**2)
    inner = torch.linalg.inv(r * ROWS @ ROWS.T + SPREAD**2 * torch.eye(SEEN, dtype=torch.float64))
    gradient = (Y[MASK] - plain @ ROWS.T) @ inner @ ROWS @ jacobian
    expected = ddim(gaussian, x, SCHEDULE, [t, s]).flatten(1) + SCHEDULE.row(s)[0] * alpha * r * gradient
    method = MomentMatching("isotropic", spread=SPREAD, iterations=SEEN).wrap(gaussian, problem(1), None)
    torch.testing.assert_close(ddim(method, x, SCHEDULE, [t, s]).flatten(1), expected, rtol=1e-6, atol=1e-6)


@present(find_spec("azula"), "azula")
class TestAzula:
    """The same steps as azula's."""

    x, t, s = draw(1, F, D), 500, 480

    @staticmethod
    def denoiser():
        from azula.denoise import Denoiser, DiracPosterior
        from azula.noise import Schedule

        class Cosine(Schedule):
            def __call__(self, t):
                return tuple(torch.tensor(value, dtype=torch.float64) for value in SCHEDULE.row(int(t)))

        class Exact(Denoiser):
            schedule = Cosine()

            def forward(self, x_t, t):
                return DiracPosterior(mean=gaussian(x_t, int(t), 0).x0)

        return Exact()

    @pytest.mark.parametrize("iterations", [1, 2, 4])
    def test_mmps(self, iterations):
        from azula.guidance.mmps import MMPSDenoiser

        theirs = MMPSDenoiser(
            self.denoiser(), Y[MASK], lambda x0: x0.flatten() @ ROWS.T, lambda v: SPREAD**2 * v, solver="cg",
            iterations=iterations,
        )  # fmt: skip
        expected = theirs(self.x, torch.tensor(self.t)).mean
        torch.testing.assert_close(guided(self.x, self.t, iterations=iterations).x0, expected, rtol=1e-6, atol=1e-8)

    def test_pigdm(self):
        from azula.guidance.pgdm import PGDMSampler

        inverse = torch.linalg.pinv(ROWS)
        theirs = PGDMSampler(
            self.denoiser(), Y[MASK], lambda x0: x0.flatten() @ ROWS.T, lambda y: (inverse @ y).view(1, F, D), eta=0.0
        )
        expected = theirs.step(self.x, torch.tensor(self.t), torch.tensor(self.s))
        method = MomentMatching("isotropic", spread=1e-6, iterations=SEEN).wrap(gaussian, problem(1), None)
        ours = ddim(method, self.x, SCHEDULE, [self.t, self.s])
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)


def test_motions_are_solved_by_themselves():
    x = draw(2, F, D)
    both, alone = guided(x, 500, iterations=2).x0, guided(x[:1], 500, iterations=2).x0
    torch.testing.assert_close(both[:1], alone)


def test_conjugate_gradients_stop_where_the_system_is_not_positive():
    """A motion with a negative direction keeps its solution, here none; its neighbour is solved."""
    scale = torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    right = draw(2, 3)
    solution = conjugate_gradients(lambda v: scale * v, right, 5)
    torch.testing.assert_close(solution, torch.stack([right[0] / 2, torch.zeros(3, dtype=torch.float64)]))


POSE = GoalSet(goals=[Pose.of(torch.rand(1, 22, 3, generator=torch.Generator().manual_seed(0)), frame=20)])


@pytest.mark.parametrize("stitched", [False, True])
def test_the_linearisation_is_that_of_the_joints(make_model, two_walks, stitched):
    """A u is the derivative of the joints along u, and Aᵀ its adjoint, for windows of one motion too."""
    model = make_model("v")
    windows = Stitched(model.representation, [0, 25], [40, 40]) if stitched else torch.tensor([40, 40])
    task = GuidanceProblem.of(model, [POSE] * (1 if stitched else 2), windows)
    x0 = two_walks.double()
    seen = Linearised(task, x0)
    u, v = draw(*x0.shape), draw(*seen.missing.shape)
    moved, step = seen.forward(u), 1e-5
    around = (task.joints(x0 + step * u) - task.joints(x0 - step * u)) / (2 * step)
    assert moved.abs().max() > 0.1
    if not stitched:  # the place of a stitched window counts as constant in the derivative
        torch.testing.assert_close(moved, torch.where(seen.wanted.mask, around, 0), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close((moved * v).sum(), (u * seen.transposed(v)).sum())


def test_joints_come_near_to_second_order(make_model, two_walks):
    """Joints turn with the yaw, hence are linear in features only nearly: what remains falls with the square."""
    model = make_model("v")
    remaining = []
    for far in (0.4, 0.2):
        here = model.representation.decode(two_walks)[:, 30, 0]
        goals = [GoalSet(goals=[Waypoint(frame=30, x=x + far, z=z + far)]) for x, _, z in here.tolist()]
        task = GuidanceProblem.of(model, goals, torch.tensor([40, 40]))

        def denoise(x, t, s):
            return estimate_from_x0(two_walks + 0.5 * (x - x.detach()), x, t, model.schedule)

        moved = MomentMatching(spread=1e-4).wrap(denoise, task, None)(torch.zeros_like(two_walks), 500, 480).x0
        remaining.append(missed(task.joints(moved), task.known))
    assert remaining[0] < 0.1 * 0.4
    assert remaining[1] < 0.3 * remaining[0]
