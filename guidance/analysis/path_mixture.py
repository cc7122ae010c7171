"""An exactly solvable world: a Gaussian mixture of paths of the root; its denoiser and its posterior in closed form.

A path x (N numbers) is

    x = Q z,    (z_1 … z_R) ~ Σ_k w_k N(m_k, C_k),    z_j ~ N(0, v_j) for j > R,

with the principal components Q (N, N) of real paths, the largest first. For x_t = α x + σ n, with u = Qᵀ x_t,

    E[z_1…R | x_t] = Σ_k ρ_k (m_k + α C_k (α² C_k + σ²)⁻¹ (u_1…R − α m_k)),    E[z_j | x_t] = α v_j / (α² v_j + σ²) u_j,

ρ_k ∝ w_k N(u_1…R; α m_k, α² C_k + σ²). Given linear observations A x = y, the posterior is a mixture again; it is
sampled by drawing a component, a path of it, and correcting the path by the residual of its observations (Matheron's
rule).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.errors import InputError

MIN_LENGTH = 1.5
"""Minimum length in metres of a path of the data."""
ROUNDS = 200
"""Maximum rounds of expectation–maximisation."""
CONVERGED = 1e-4
"""Increase of the mean log-likelihood per round below which they end."""


@dataclass(frozen=True, eq=False)
class PathMixture:
    """A Gaussian mixture of paths; all tensors float64."""

    weights: Tensor
    """(K,), sum 1."""
    means: Tensor
    """(K, R), m."""
    covariances: Tensor
    """(K, R, R), C."""
    variances: Tensor
    """(N - R,), v."""
    basis: Tensor
    """(N, N), Q, orthonormal columns."""
    unit: float = 1.0
    """Metres in a unit of x."""

    @staticmethod
    def fit(paths: Tensor, *, components: int = 50, rank: int = 24, seed: int = 0) -> PathMixture:
        """Fit by expectation–maximisation, from a random choice of paths as means.

        Covariances are regularised as if each component had R further paths of a twentieth of the variance of all.

        Args:
            paths: (n, N) in metres. The unit of the mixture is their standard deviation.
            components: K.
            rank: R.
            seed: Seed of the choice.

        Raises:
            InputError: For fewer paths than 10 per component, or paths that vary in fewer than R directions.
        """
        paths = paths.double()
        if len(paths) < 10 * components:
            raise InputError(
                f"{len(paths)} paths are too few for a mixture of {components} components; give {10 * components} or "
                "more, or fewer components"
            )
        unit = paths.std().item() or 1.0
        paths = paths / unit
        power, basis = (tensor.flip(-1) for tensor in torch.linalg.eigh(paths.mT @ paths / len(paths)))
        if not power[rank - 1] > 1e-12 * power[0]:
            raise InputError(f"the paths vary in fewer than {rank} directions; give other data, or a lower rank")
        z = paths @ basis[:, :rank]
        generator = torch.Generator().manual_seed(seed)
        overall = torch.cov(z.T)
        prior = 0.05 * torch.diag(overall.diagonal())
        means = z[torch.randperm(len(z), generator=generator)[:components]]
        covariances = overall.expand(components, rank, rank) / 4
        weights = torch.full((components,), 1 / components, dtype=torch.float64)
        before = -torch.inf
        for _ in range(ROUNDS):
            mixture = PathMixture(weights, means, covariances, power[rank:].clamp_min(1e-9), basis, unit)
            log = mixture._log_densities(z, 1.0, 0.0)
            now = torch.logsumexp(log, dim=-1).mean().item()
            if now - before < CONVERGED:
                break
            before, share = now, torch.softmax(log, dim=-1)
            count = share.sum(0)
            weights, means = count / count.sum(), share.T @ z / count.clamp_min(1e-9)[:, None]
            scatter = torch.stack([(z * share[:, k, None]).mT @ z for k in range(components)])
            scatter -= count[:, None, None] * means[:, :, None] * means[:, None]
            covariances = (scatter + rank * prior) / (count + rank)[:, None, None]
        return mixture

    def gaussian(self) -> PathMixture:
        """The Gaussian with the mean and covariance of this mixture, as a mixture of one component."""
        mean = self.weights @ self.means
        second = self.covariances + self.means[:, :, None] * self.means[:, None]
        covariance = torch.einsum("k,krs->rs", self.weights, second) - torch.outer(mean, mean)
        return replace(self, weights=torch.ones_like(self.weights[:1]), means=mean[None], covariances=covariance[None])

    def save(self, path: Path) -> None:
        """Write all tensors as float32."""
        with atomic(path) as temporary:
            tensors = {name: getattr(self, name).float().contiguous() for name in _NAMES}
            save_file(tensors | {"unit": torch.tensor([self.unit])}, temporary)

    @staticmethod
    def load(path: Path) -> PathMixture:
        """Read a file written by `save`.

        Raises:
            FileNotFoundError: If there is none.
            InputError: If it is damaged, or no mixture.
        """
        try:
            tensors = load_file(path)
            weights, means, covariances, variances, basis = (tensors[name].double() for name in _NAMES)
            unit = tensors["unit"].item()
        except (SafetensorError, KeyError) as error:
            raise InputError(f"{path} is no mixture of paths, or damaged ({error}); fit one with --data-root") from None
        return PathMixture(weights / weights.sum(), means, covariances, variances, basis, unit)

    @property
    def rank(self) -> int:
        """R."""
        return self.means.shape[1]

    @property
    def frames(self) -> int:
        """Frames of a path."""
        return len(self.basis) // 2

    @cached_property
    def _spectra(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (K, R) and eigenvectors (K, R, R) of the covariances."""
        values, vectors = torch.linalg.eigh(self.covariances)
        return values.clamp_min(1e-12), vectors

    def _log_densities(self, u: Tensor, alpha: float, sigma: float) -> Tensor:
        """(B, K) log of w_k N(u; α m_k, α² C_k + σ²) for u (B, R), up to a constant."""
        values, vectors = self._spectra
        variance = alpha**2 * values + sigma**2
        off = _rotated(vectors, u, alpha * self.means)
        return self.weights.clamp_min(1e-300).log() - 0.5 * (off.square() / variance + variance.log()).sum(-1)

    def mean(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """E[x | x_t] (B, N) at x_t (B, N)."""
        values, vectors = self._spectra
        u = x @ self.basis
        inside, outside = u[:, : self.rank], u[:, self.rank :]
        share = torch.softmax(self._log_densities(inside, alpha, sigma), dim=-1)
        off = _rotated(vectors, inside, alpha * self.means) * (alpha * values / (alpha**2 * values + sigma**2))
        inside = share @ self.means + torch.einsum("bk,krs,bks->br", share, vectors, off)
        outside = outside * (alpha * self.variances / (alpha**2 * self.variances + sigma**2))
        return torch.cat([inside, outside], dim=1) @ self.basis.T

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, N) paths."""
        return self._draw(self.weights, count, generator)[0]

    def posterior(self, A: Tensor, y: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(count, N) paths given observations A x = y, A (m, N) and y (m,)."""
        rows = A @ self.basis
        inside, outside = rows[:, : self.rank], rows[:, self.rank :]
        gram = inside @ self.covariances @ inside.T + (outside * self.variances) @ outside.T  # (K, m, m)
        factor = torch.linalg.cholesky(gram)
        missing = (y - self.means @ inside.T)[..., None]
        scaled = torch.linalg.solve_triangular(factor, missing, upper=False)[..., 0]
        log = self.weights.clamp_min(1e-300).log() - 0.5 * scaled.square().sum(-1)
        log = log - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        x, chosen = self._draw(torch.softmax(log, dim=0), count, generator)
        needed = torch.cholesky_solve((y - x @ A.T)[..., None], factor[chosen])[..., 0]  # (count, m)
        within = torch.einsum("brs,bs->br", self.covariances[chosen], needed @ inside)
        return x + torch.cat([within, (needed @ outside) * self.variances], dim=1) @ self.basis.T

    def _draw(self, weights: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count, N) paths of components that are drawn with these weights, and the components (count,)."""
        values, vectors = self._spectra
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        draw = torch.randn(count, len(self.basis), generator=generator, dtype=torch.float64)
        spread = draw[:, : self.rank] * values[chosen].sqrt()
        inside = self.means[chosen] + torch.einsum("brs,bs->br", vectors[chosen], spread)
        return torch.cat([inside, draw[:, self.rank :] * self.variances.sqrt()], dim=1) @ self.basis.T, chosen


def root_paths(motions: Iterable[NDArray[np.floating]], frames: int = 120) -> Tensor:
    """Paths of the root on the floor, (n, 2·frames) in metres as x, z, x, z …, float64, and their mirror images.

    One begins every second of each motion (F, 22, 3), at the origin and facing +z. Those shorter than `MIN_LENGTH` are
    left out.
    """
    windows = [
        np.array(joints[first : first + frames])
        for joints in motions
        for first in range(0, len(joints) - frames + 1, int(FPS))
    ]
    if not windows:
        return torch.zeros(0, 2 * frames, dtype=torch.float64)
    paths = to_origin(torch.from_numpy(np.stack(windows)).double())[:, :, 0, [0, 2]]
    paths = paths[paths.diff(dim=1).norm(dim=-1).sum(1) > MIN_LENGTH]
    mirrored = paths * paths.new_tensor([-1.0, 1.0])
    return torch.cat([paths, mirrored]).flatten(1)


_NAMES = ("weights", "means", "covariances", "variances", "basis")


def _rotated(vectors: Tensor, u: Tensor, means: Tensor) -> Tensor:
    """(B, K, R): u (B, R) minus means (K, R), in the eigenvectors (K, R, R) of each component."""
    return torch.einsum("krs,bkr->bks", vectors, u[:, None] - means)
