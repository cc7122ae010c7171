"""Two-stage guidance (GMD): a model of the root's path generates a path, and the body is guided along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from guidance.classifier import Classifier
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import PathGoal, Waypoint
from guidance.gp_displacement import Displacement
from guidance.projection import Projection
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Denoise, Noise
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import Range
from motion_diffusion.sampling import MotionDenoiser

SMOOTHING = 6.0
"""Sigma in frames of the Gaussian over the path, since models of the root alone have no velocities and tremble."""


@dataclass(frozen=True)
class TwoStage:
    """Two stages: first a path by a model of the root alone, then a body that follows it."""

    single_window: ClassVar[str] = "a path is made for one sentence"

    path_model: str = "root-v"
    """Name of a shipped model of the path, or a run directory."""
    steps: Annotated[int, Range(1, 1000)] = 50
    """Denoising steps for the path."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The unchanged denoiser; another method guides the body along the path."""
        return denoise

    def goals(
        self, goals: Sequence[GoalSet], texts: Sequence[str], lengths: Tensor, seeds: Sequence[int]
    ) -> list[GoalSet]:
        """The goals of each motion with a path in front that passes through the goals of the root.

        Args:
            goals: Goals of each motion.
            texts: Prompts.
            lengths: (M,) frames.
            seeds: One for each motion.

        Raises:
            FileNotFoundError: As `check`.
            InputError: As `check`.
        """
        model = self._model_for(int(lengths.max()))
        lengths = lengths.to(model.device)  # which need not be that of the body's model
        of_root = [_of_root(wanted, n) for wanted, n in zip(goals, lengths.tolist(), strict=True)]
        problem = GuidanceProblem.of(model, of_root, lengths)

        def guide(denoise: Denoise, noise: Noise) -> Denoise:
            gradient = Classifier(scaling="variance")
            return Projection().wrap(gradient.wrap(denoise, problem, noise), problem, noise)

        x = model.sample(texts, lengths.tolist(), seeds=seeds, steps=self.steps, guide=guide)
        return [
            GoalSet(goals=[_path(_smooth(path[:n], wanted)), *wanted.goals])
            for path, wanted, n in zip(problem.joints(x), goals, lengths.tolist(), strict=True)
        ]

    def check(self, model: MotionDenoiser, frames: int) -> None:
        """Check the path model, before anything is sampled.

        Args:
            model: The model of the body; any.
            frames: Length of the motion.

        Raises:
            FileNotFoundError: If there is no such path model.
            InputError: If it is a model of the body, or cannot generate so many frames, or in so many steps.
        """
        self._model_for(frames)

    def _model_for(self, frames: int) -> MotionModel:
        """The path model; raises as `check`."""
        model = _path_model(self.path_model)
        if model.representation.whole_body:
            raise InputError(f"{model.name} is a model of the whole body; give one of the path, such as root-v")
        if frames > model.config.max_frames:
            raise InputError(
                f"{model.name} makes paths of up to {model.config.max_frames / FPS:g} s, not {frames / FPS:g} s; "
                "leave stages out of --guidance"
            )
        Range(1, model.times(1)[0]).check("--stages.steps", self.steps)
        return model


@lru_cache(maxsize=1)
def _path_model(name: str) -> MotionModel:
    """The path model, loaded once for all motions."""
    return MotionModel.load(name)


def _of_root(goals: GoalSet, frames: int) -> GoalSet:
    """The goals that apply to a model of the path alone: positions of the pelvis, and obstacles for the root.

    In frames with goals for other joints only, the pelvis is placed at their mean; the body reaches for them later.
    """
    wanted = goals.observe(frames)
    seen = wanted.mask[..., 0] & wanted.mask[..., 2]
    seen = torch.where(seen[:, :1], seen & (torch.arange(seen.shape[1]) == 0), seen)
    amid = (wanted.values * seen[..., None]).sum(1) / seen.sum(1).clamp_min(1)[:, None]
    places = [Waypoint(frame=k, x=amid[k, 0].item(), z=amid[k, 2].item()) for k in seen.any(1).nonzero()[:, 0].tolist()]
    return GoalSet(goals=[*places, *(g for g in goals.goals if g.kind == "obstacle" and g.body == "root")])


def _smooth(path: Tensor, goals: GoalSet) -> Tensor:
    """A smoothed path (N, 3) of a path (N, 1, 3), through the positions that the pelvis' own goals specify.

    Means of other joints' goals are not met exactly: these joints swing and step, and the body need not.
    """
    smooth = gaussian(path[:, 0], SMOOTHING)[:, None]
    own = goals.observe(len(path))
    mask = own.mask[:, :1] & torch.tensor([True, False, True])
    return (smooth + Displacement(mask)((own.values[:, :1] - smooth) * mask))[:, 0]


def _path(path: Tensor) -> PathGoal:
    """A path goal through positions (N, 3), one per frame. Met within a metre: the other goals are more precise."""
    points = [(x, z) for x, _, z in path.tolist()]
    return PathGoal(points=points, times=[frame / FPS for frame in range(len(points))], tolerance=1.0)
