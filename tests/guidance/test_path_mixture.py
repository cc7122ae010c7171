"""The exactly solvable world: its denoiser and posterior against dense formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from guidance.analysis.path_mixture import PathMixture, root_paths
from motion_diffusion.errors import InputError

N, R, K = 6, 3, 4


@pytest.fixture(scope="module")
def mixture() -> PathMixture:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    factors = normal(K, R, R)
    covariances = factors @ factors.mT + 0.1 * torch.eye(R).double()
    weights = torch.softmax(normal(K), 0)
    return PathMixture(weights, 2 * normal(K, R), covariances, normal(N - R).exp(), torch.linalg.qr(normal(N, N))[0])


def dense(mixture: PathMixture, alpha: float = 1.0, sigma: float = 0.0) -> MixtureSameFamily:
    """The distribution of α·x + σ·n with all covariances written out."""
    covariance = torch.zeros(len(mixture.weights), N, N, dtype=torch.float64)
    covariance[:, :R, :R] = mixture.covariances
    covariance[:, R:, R:] = torch.diag(mixture.variances)
    covariance = alpha**2 * mixture.basis @ covariance @ mixture.basis.T + sigma**2 * torch.eye(N).double()
    means = alpha * torch.nn.functional.pad(mixture.means, (0, N - R)) @ mixture.basis.T
    return MixtureSameFamily(Categorical(mixture.weights), MultivariateNormal(means, covariance))


@pytest.mark.parametrize(("alpha", "sigma"), [(0.99, 0.1), (0.6, 0.8), (0.05, 1.0)])
def test_mean_is_that_of_tweedies_formula(mixture, alpha, sigma):
    x = torch.randn(32, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(dense(mixture, alpha, sigma).log_prob(x).sum(), x)
    torch.testing.assert_close(
        mixture.mean(x, alpha, sigma), ((x + sigma**2 * score) / alpha).detach(), atol=1e-9, rtol=1e-9
    )


def test_samples_have_the_moments_of_the_mixture(mixture):
    x = mixture.sample(200_000, torch.Generator().manual_seed(3))
    exact = dense(mixture)
    assert (x.mean(0) - exact.mean).abs().max() < 0.03
    assert (x.var(0) / exact.variance - 1).abs().max() < 0.03


def test_gaussian_has_the_moments_of_the_mixture(mixture):
    gaussian, exact = dense(mixture.gaussian()), dense(mixture)
    torch.testing.assert_close(gaussian.mean, exact.mean)
    torch.testing.assert_close(gaussian.variance, exact.variance)


def test_posterior_meets_its_observations_and_has_the_moments_of_bayes_rule(mixture):
    A = torch.randn(2, N, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = A @ mixture.sample(1, torch.Generator().manual_seed(5))[0]
    x = mixture.posterior(A, y, 200_000, torch.Generator().manual_seed(6))
    assert (x @ A.T - y).abs().max() < 1e-9
    parts = dense(mixture).component_distribution
    gram = A @ parts.covariance_matrix @ A.T
    gain = parts.covariance_matrix @ A.T @ torch.linalg.inv(gram)
    likelihood = MultivariateNormal(parts.mean @ A.T, gram).log_prob(y)
    share = torch.softmax(mixture.weights.log() + likelihood, 0)
    means = parts.mean + ((y - parts.mean @ A.T)[:, None] @ gain.mT)[:, 0]
    mean = share @ means
    spread = parts.covariance_matrix - gain @ A @ parts.covariance_matrix
    second = (share[:, None, None] * (spread + means[:, :, None] * means[:, None])).sum(0)
    covariance = second - mean[:, None] * mean
    assert (x.mean(0) - mean).abs().max() < 0.03
    assert (torch.cov(x.T) - covariance).abs().max() < 0.03 * covariance.diagonal().max()


def test_fit_describes_unseen_paths_as_well_as_the_truth(mixture):
    train, unseen = (mixture.sample(4000, torch.Generator().manual_seed(seed)) for seed in (7, 8))
    fitted = PathMixture.fit(train, components=2 * K, rank=R)
    log_prob = _log_prob(fitted, unseen / fitted.unit).mean() - N * math.log(fitted.unit)
    loss = dense(mixture).log_prob(unseen).mean() - log_prob
    assert loss < 0.1  # nats a path, of which the true mixture has about 9


def _log_prob(mixture: PathMixture, x: torch.Tensor) -> torch.Tensor:
    z = x @ mixture.basis
    inside = MixtureSameFamily(
        Categorical(mixture.weights), MultivariateNormal(mixture.means, mixture.covariances)
    ).log_prob(z[:, :R])
    return inside + torch.distributions.Normal(0, mixture.variances.sqrt()).log_prob(z[:, R:]).sum(1)


def test_too_few_paths_and_paths_that_hardly_vary_are_refused(mixture):
    paths = mixture.sample(100, torch.Generator().manual_seed(9))
    with pytest.raises(InputError, match="100 paths are too few for a mixture of 11 components; give 110 or more"):
        PathMixture.fit(paths, components=11, rank=R)
    with pytest.raises(InputError, match="vary in fewer than 3 directions"):
        PathMixture.fit(paths[:, :1] * torch.ones(N), components=2, rank=3)


def test_file_keeps_a_mixture_and_damage_is_reported(mixture, tmp_path):
    file = tmp_path / "mixture.safetensors"
    mixture.save(file)
    again = PathMixture.load(file)
    x = torch.randn(3, N, dtype=torch.float64)
    torch.testing.assert_close(again.mean(x, 0.6, 0.8), mixture.mean(x, 0.6, 0.8), atol=1e-5, rtol=1e-5)
    assert again.unit == mixture.unit == 1.0
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"mixture\.safetensors is no mixture of paths, or damaged"):
        PathMixture.load(file)


def test_paths_of_motions_start_at_the_origin_facing_ahead():
    walk = np.zeros((50, 22, 3), dtype=np.float32)
    walk[:, :, 0] = 0.1 * np.arange(50)[:, None]
    walk[:, [1, 16], 2], walk[:, [2, 17], 2] = -0.2, 0.2  # left hip and shoulder, and the right ones: facing +x
    standing = np.zeros_like(walk) + walk[:1]
    paths = root_paths([walk, standing], frames=20).unflatten(1, (20, 2))
    assert len(paths) == 2 * 2  # beginning at frames 0 and 20, and mirrored
    np.testing.assert_allclose(paths[..., 0], 0, atol=1e-6)
    np.testing.assert_allclose(paths[..., 1], np.tile(0.1 * np.arange(20), (4, 1)), atol=1e-6)
