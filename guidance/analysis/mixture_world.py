"""Sampling in the world of `path_mixture`: its denoiser, exact, with errors or learned, and tasks with known posterior.

Features are those of the root. x and z are a path's; yaw and height are standard Gaussian noise that nothing asks
about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

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
from motion_diffusion.diffusion.schedule import Level, Schedule, cosine, vector
from motion_diffusion.diffusion.text_guidance import PLAIN, TextGuidance
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from motion_diffusion.network.weight_average import update_average
from motion_diffusion.sampling import sample_features

ROOT_FEATURES = 4
"""Yaw, x, z and height of the root."""
SMOOTHING = 5.0
"""Sigma in frames of the Gaussian over smooth errors."""
NETWORK = DenoiserConfig(
    features=ROOT_FEATURES, text_dim=1, width=64, depth=3, frames_per_token=8, text_depth=0, frame_width=32
)
RATE, AVERAGE = 1e-3, 0.995
"""Sizes of the networks that are trained in this world, learning rate, and rate of the average of weights."""


def network_features(paths: Tensor, generator: torch.Generator) -> Tensor:
    """Features (B, F, 4) of paths (B, 2F), with noise for yaw and height."""
    noise = torch.randn(len(paths), paths.shape[1] // 2, 2, generator=generator, dtype=paths.dtype)
    return torch.cat([noise[..., :1], paths.unflatten(1, (-1, 2)), noise[..., 1:]], dim=-1)


def exact_x0(mixture: PathMixture, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
    """E[x0 | x_t] (B, F, 4) at features x_t (B, F, 4), float64."""
    path = mixture.mean(x_t[..., 1:3].flatten(1), alpha, sigma)
    rest = x_t * alpha / (alpha**2 + sigma**2)
    return torch.cat([rest[..., :1], path.unflatten(1, (-1, 2)), rest[..., 3:]], dim=-1)


def trained_networks(
    mixture: PathMixture,
    prediction: Prediction,
    schedule: Schedule,
    checkpoints: Sequence[int],
    *,
    batch: int = 32,
    seed: int = 0,
) -> Iterator[Network]:
    """Train a network on endless samples of the mixture, and yield it after each of some numbers of steps.

    The squared error of x0 has the weight of v, SNR + 1, for every prediction type ("capped"), and data, noise and
    times depend only on the seed: networks differ in nothing but what they predict. The rate is constant and weights
    are averaged, so that a checkpoint is what a training of that length would give.

    Args:
        mixture: The data.
        prediction: What the network predicts.
        schedule: The noise schedule.
        checkpoints: Numbers of steps, ascending.
        batch: Paths in a step.
        seed: Seed of weights, data, noise and times.

    Yields:
        The network with averaged weights. It is valid until the next one.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        live = Denoiser(NETWORK)
    averaged = AveragedModel(live, multi_avg_fn=partial(update_average, AVERAGE))
    frames = torch.ones(batch, mixture.frames, dtype=torch.bool)
    optimiser = torch.optim.AdamW(live.parameters(), lr=RATE, weight_decay=0.01)
    warmup = torch.optim.lr_scheduler.LinearLR(optimiser, 0.01, total_iters=100)
    for step in range(1, checkpoints[-1] + 1):
        x0 = network_features(mixture.sample(batch, generator), generator).float()
        t = torch.randint(1, schedule.T + 1, (batch,), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss, _ = training_loss(
            _network(live), x0, frames, t, eps, schedule=schedule, prediction=prediction, weight="capped"
        )
        optimiser.zero_grad()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(live.parameters(), 1.0)
        optimiser.step()
        warmup.step()
        averaged.update_parameters(live)
        if step in checkpoints:
            yield _network(cast(Denoiser, averaged.module.eval()))


def _network(denoiser: Denoiser) -> Network:
    """The output of a denoiser without text, (B, F, 4) at features (B, F, 4) and a level."""

    def network(x_t: Tensor, level: Level) -> Tensor:
        x, count = x_t.float(), len(x_t)
        alpha, sigma = vector(level.alpha, x), vector(level.sigma, x)
        context, seen = denoiser.text(torch.zeros(count, 0, 1), torch.zeros(count, 0, dtype=torch.bool))
        exist = torch.ones(x_t.shape[:2], dtype=torch.bool)
        return denoiser(x, alpha, sigma, context, seen, exist).to(x_t)

    return network


ErrorKind = Literal["white", "smooth", "learned"]
"""White or smooth over frames, drawn anew at every call; or the error of a trained network at the same x_t, scaled."""


@dataclass(frozen=True)
class OutputError:
    """An error that is added to the exact output of a network."""

    size: float = 0.0
    """Standard deviation, relative to that of the output."""
    kind: ErrorKind = "white"

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """(B, F, D) of unit variance times size."""
        noise = torch.randn(like.shape, generator=generator, dtype=torch.float64)
        if self.kind == "smooth":
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
        network: Gives the output instead of the exact formula, or its error if `error` is of the kind "learned".
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
        self.mixture, self.prediction, self.error, self.network = mixture, prediction, error, network
        self.schedule = schedule or cosine(1000)
        std = torch.ones(FEATURES)
        std[1:3] = mixture.unit
        self.representation = Representation(("root",), 1.0, torch.zeros(FEATURES), std, torch.full((FEATURES,), 1e6))
        self.max_frames = mixture.frames
        self._generator = torch.Generator().manual_seed(seed)

    def denoise_fn(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        text_scale: float = 1.5,
        text_guidance: TextGuidance = PLAIN,
        observed: Observed | None = None,
        mask_scale: float = 1.0,
    ) -> Denoise:
        """The denoiser; texts, and what is observed, are ignored."""

        def denoise(x: Tensor, t: int, s: int) -> Estimate:
            level, x_t = self.schedule.at(t), x.double()
            learned = self.error.size > 0 and self.error.kind == "learned"
            y = self.exact_output(x_t, t) if self.network is None or learned else self.network(x_t, level)
            if learned:
                y = y + self._scale * self.learned_error(x_t, t, y)
            elif self.error.size:
                y = y + self.error.draw(y, self._generator) * self.prediction.size(level)
            return Estimate(self.prediction.to_x0(y, x_t, level).to(x), self.prediction.to_eps(y, x_t, level).to(x))

        return denoise

    def exact_output(self, x_t: Tensor, t: int) -> Tensor:
        """What an exact network answers at x_t (B, F, 4) float64."""
        alpha, sigma = self.schedule.row(t)
        x0 = exact_x0(self.mixture, x_t, alpha, sigma)
        return self.prediction.target(x0, (x_t - alpha * x0) / sigma, self.schedule.at(t))

    def learned_error(self, x_t: Tensor, t: int, exact: Tensor) -> Tensor:
        """Difference of the network's output and the exact one at x_t (B, F, 4) float64."""
        assert self.network is not None
        return self.network(x_t, self.schedule.at(t)) - exact

    @cached_property
    def _scale(self) -> float:
        """The size of the error over that of the network."""
        return self.error.size / error_size(self)


def error_size(model: MixtureDenoiser, *, count: int = 256, seed: int = 1) -> float:
    """Size of a network's own error of x and z, relative to its output, root of the mean square over quarters of t."""
    generator = torch.Generator().manual_seed(seed)
    x0 = network_features(model.mixture.sample(count, generator), generator)
    squares = []
    for t in middles(model.schedule):
        x_t = model.schedule.add_noise(x0, torch.randn(x0.shape, generator=generator, dtype=torch.float64), t)
        with torch.no_grad():
            error = model.learned_error(x_t, t, model.exact_output(x_t, t))[..., 1:3] / model.prediction.size(
                model.schedule.at(t)
            )
        squares.append(error.square().mean().item())
    return math.sqrt(sum(squares) / len(squares))


def middles(schedule: Schedule) -> range:
    """The middle of each quarter of t."""
    return range(schedule.T // 8, schedule.T, schedule.T // 4)


def x0_error(model: MixtureDenoiser, t: int, *, count: int = 256, seed: int = 1) -> float:
    """Mean squared distance at a time t between x and z of x̂0 and those of the exact x̂0, in the mixture's unit."""
    generator = torch.Generator().manual_seed(seed)
    x0 = network_features(model.mixture.sample(count, generator), generator)
    x_t = model.schedule.add_noise(x0, torch.randn(x0.shape, generator=generator, dtype=torch.float64), t)
    exact = exact_x0(model.mixture, x_t, *model.schedule.row(t))
    with torch.no_grad():
        estimate = model.denoise_fn(["a path"] * count, torch.ones(x0.shape[:2], dtype=torch.bool))(x_t, t, t - 1).x0
    return (estimate - exact)[..., 1:3].square().mean().item()


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
        return self.distances(paths).mean().item()

    def distances(self, paths: Tensor) -> Tensor:
        """Mean distance of each path (..., 2F) from the way-points in metres, (...)."""
        off = paths[..., self.columns] - self.values
        return self.unit * off.unflatten(-1, (-1, 2)).norm(dim=-1).mean(-1)

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
    x = sample_features(
        model,
        ["a path"] * count,
        [frames] * count,
        seeds=range(seed, seed + count),
        steps=Sampling(steps).guided_by(methods).steps,
        sampler=composed.sampler(sampler),
        start=composed.start if composed.chooses_noise else None,
        guide=composed.guide,
    )
    return x[..., 1:3].flatten(1).double()
