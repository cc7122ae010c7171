"""Sampling in the world of `path_mixture`: its denoiser, exact, with errors or learned, and tasks with known posterior.

Features are those of the root. x and z are a path's; yaw and height are standard Gaussian noise that nothing asks
about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidance.analysis.path_mixture import PathMixture
from guidance.compose import ComposedGuidance, Sampling
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from guidance.protocol import Guidance, GuidanceProblem
from motion_diffusion.body.features import FEATURES
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.representation import Observed, Representation
from motion_diffusion.diffusion.losses import Network, training_loss
from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
from motion_diffusion.diffusion.samplers import Denoise, Estimate, SamplerName
from motion_diffusion.diffusion.schedule import Level, Schedule, cosine
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from motion_diffusion.sampling import sample_features

ROOT_FEATURES = 4
"""Yaw, x, z and height of the root."""
SMOOTHING = 5.0
"""Sigma in frames of the Gaussian over smooth errors."""
NETWORK = DenoiserConfig(
    features=ROOT_FEATURES, text_dim=1, width=64, depth=3, frames_per_token=8, text_depth=0, frame_width=32
)
"""Sizes of the networks that are trained in this world."""


def network_features(paths: Tensor, generator: torch.Generator) -> Tensor:
    """Features (B, F, 4) of paths (B, 2F), with noise for yaw and height."""
    noise = torch.randn(len(paths), paths.shape[1] // 2, 2, generator=generator, dtype=paths.dtype)
    return torch.cat([noise[..., :1], paths.unflatten(1, (-1, 2)), noise[..., 1:]], dim=-1)


def exact_x0(mixture: PathMixture, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
    """E[x0 | x_t] (B, F, 4) at features x_t (B, F, 4), float64."""
    path = mixture.mean(x_t[..., 1:3].flatten(1), alpha, sigma)
    rest = x_t * alpha / (alpha**2 + sigma**2)
    return torch.cat([rest[..., :1], path.unflatten(1, (-1, 2)), rest[..., 3:]], dim=-1)


def train_network(
    mixture: PathMixture, prediction: Prediction, schedule: Schedule, *, steps: int, batch: int = 64, seed: int = 0
) -> Network:
    """A network trained on endless samples of the mixture.

    The squared error of x0 has the weight of v, SNR + 1, for every prediction type ("capped"), and data, noise and
    times depend only on the seed: networks differ in nothing but what they predict.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(NETWORK)
    frames = torch.ones(batch, len(mixture.basis) // 2, dtype=torch.bool)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=2e-3, weight_decay=0.01)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.05)

    def network(x_t: Tensor, level: Level) -> Tensor:
        count = len(x_t)
        alpha, sigma = (torch.as_tensor(value, dtype=torch.float32).flatten().expand(count) for value in level[:2])
        context, seen = denoiser.text(torch.zeros(count, 0, 1), torch.zeros(count, 0, dtype=torch.bool))
        exist = torch.ones(x_t.shape[:2], dtype=torch.bool)
        return denoiser(x_t.float(), alpha, sigma, context, seen, exist).to(x_t)

    for _ in range(steps):
        x0 = network_features(mixture.sample(batch, generator), generator).float()
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss, _ = training_loss(network, x0, frames, t, eps, schedule=schedule, prediction=prediction, weight="capped")
        optimiser.zero_grad()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimiser.step()
        decay.step()
    return network


@dataclass(frozen=True)
class OutputError:
    """An error that is added to the exact output of a network, drawn anew at every call."""

    size: float = 0.0
    """Standard deviation, relative to that of the output."""
    smooth: bool = False
    """Smooth over frames, or white."""

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """(B, F, D) of unit variance times size."""
        noise = torch.randn(like.shape, generator=generator, dtype=torch.float64)
        if self.smooth:
            noise = gaussian(noise, SMOOTHING)
            noise = noise / noise.square().mean().sqrt()
        return self.size * noise


class MixtureDenoiser:
    """The denoiser of a mixture of paths with an output of some prediction type: exact, with an error, or a network's.

    Args:
        mixture: The data.
        prediction: Type of the output.
        schedule: Cosine with T = 1000 by default.
        error: Added to the exact output.
        network: Gives the output instead of the exact formula.
        seed: Seed of the errors.
    """

    name = "mixture of paths"
    takes_masks = False
    device = torch.device("cpu")

    def __init__(
        self,
        mixture: PathMixture,
        *,
        prediction: Prediction = PREDICTIONS["x0"],
        schedule: Schedule | None = None,
        error: OutputError = OutputError(),
        network: Network | None = None,
        seed: int = 0,
    ) -> None:
        self.mixture, self.prediction, self.error, self.output = mixture, prediction, error, network
        self.schedule = schedule or cosine(1000)
        std = torch.ones(FEATURES)
        std[1:3] = mixture.unit
        self.representation = Representation(("root",), 1.0, torch.zeros(FEATURES), std, torch.full((FEATURES,), 1e6))
        self.max_frames = len(mixture.basis) // 2
        self._generator = torch.Generator().manual_seed(seed)

    def denoise_fn(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        text_scale: float = 1.5,
        observed: Observed | None = None,
        mask_scale: float = 1.0,
    ) -> Denoise:
        """The denoiser; texts, and what is observed, are ignored."""

        def denoise(x: Tensor, t: int, s: int) -> Estimate:
            level, x_t = self.schedule.at(t), x.double()
            y = self.exact_output(x_t, t) if self.output is None else self.output(x_t, level)
            if self.error.size:
                y = y + self.error.draw(y, self._generator) * self.prediction.size(level)
            return Estimate(self.prediction.to_x0(y, x_t, level).to(x), self.prediction.to_eps(y, x_t, level).to(x))

        return denoise

    def exact_output(self, x_t: Tensor, t: int) -> Tensor:
        """What an exact network answers at x_t (B, F, 4) float64."""
        alpha, sigma = self.schedule.row(t)
        x0 = exact_x0(self.mixture, x_t, alpha, sigma)
        return self.prediction.target(x0, (x_t - alpha * x0) / sigma, self.schedule.at(t))


def output_error(model: MixtureDenoiser, t: int, *, count: int = 256, seed: int = 1) -> float:
    """Root mean square error of a network's output for x and z at a time t, relative to the size of the output."""
    if model.output is None:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    x0 = network_features(model.mixture.sample(count, generator), generator)
    eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    level, x_t = model.schedule.at(t), model.schedule.add_noise(x0, eps, t)
    with torch.no_grad():
        error = (model.output(x_t, level) - model.exact_output(x_t, t))[..., 1:3]
    return error.square().mean().sqrt().item() / float(model.prediction.size(level))


@dataclass(frozen=True, eq=False)
class Task:
    """Way-points of the root, and samples of the posterior given these."""

    goals: GoalSet
    unit: float
    """Metres in a unit of the mixture."""
    columns: tuple[int, ...]
    """Indices of the observed numbers of a path."""
    values: Tensor
    """Their values, in the mixture's unit."""
    posterior: Tensor
    """(N, 2F) paths in the mixture's unit."""
    again: Tensor
    """(N, 2F) further paths of the posterior."""

    def error(self, paths: Tensor) -> float:
        """Mean distance of paths (n, 2F) from the way-points in metres."""
        return self.unit * (paths[:, self.columns] - self.values).unflatten(1, (-1, 2)).norm(dim=-1).mean().item()

    @staticmethod
    def draw(mixture: PathMixture, at: Sequence[int], count: int, seed: int) -> Task:
        """Way-points where a random path of the mixture is at some frames.

        Args:
            mixture: The data.
            at: Frames of the way-points.
            count: Number of samples of the posterior.
            seed: Seed of path and samples.
        """
        generator = torch.Generator().manual_seed(seed)
        path = mixture.sample(1, generator)[0]
        columns = [2 * frame + axis for frame in at for axis in (0, 1)]
        y, A = path[columns], torch.eye(len(path), dtype=torch.float64)[columns]
        places = (y * mixture.unit).view(-1, 2).tolist()
        goals = [Waypoint(frame=frame, x=x, z=z) for frame, (x, z) in zip(at, places, strict=True)]
        first, second = (mixture.posterior(A, y, count, generator) for _ in range(2))
        return Task(GoalSet(goals=list(goals)), mixture.unit, tuple(columns), y, first, second)


def guided_paths(
    model: MixtureDenoiser,
    task: Task,
    methods: Sequence[Guidance],
    *,
    sampler: SamplerName,
    steps: int,
    count: int,
    seed: int,
) -> Tensor:
    """(count, 2F) paths in the mixture's unit, sampled with guidance."""
    frames = model.max_frames
    problem = GuidanceProblem.of(model, [task.goals] * count, torch.full((count,), frames))
    composed = ComposedGuidance.of(methods, problem, model)
    sampling = Sampling(steps, sampler).guided_by(methods)
    x = sample_features(
        model,
        ["a path"] * count,
        [frames] * count,
        seeds=range(seed, seed + count),
        steps=sampling.steps,
        sampler=sampling.sampler,
        start=composed.start if composed.chooses_noise else None,
        guide=composed.guide,
    )
    return x[..., 1:3].flatten(1).double()
