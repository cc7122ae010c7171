"""The protocol of guidance, and the problem that a guidance method sees.

A guidance method wraps a denoiser and returns a denoiser, hence works with every sampler and around any other method:

    class Mine:
        def wrap(self, denoise, problem, noise):
            def guided(x_t, t, s):
                estimate = denoise(x_t, t, s)
                ...
            return guided

One hook suffices. GMD (Karunratanakul et al. 2023) adds Σ_t·g to the mean of x_s. The mean is A·x_t + B·x̂0 with
B = α_s σ²_{t|s}/σ_t² and Σ_t = σ²_{t|s} σ_s²/σ_t², so that is adding (σ_s²/α_s)·g to x̂0, whatever is predicted.

Optional hooks serve methods that act elsewhere than at a step: `CheckedGuidance` refuses requests before anything is
sampled, `GoalGuidance` adds goals beforehand, `ConditioningGuidance` passes the goals to a network that takes them as
input, `NoiseGuidance` chooses the initial noise, and `SamplingGuidance` prescribes the sampler and its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from guidance.goals.goal_set import GoalSet
from guidance.goals.observation import Observation
from guidance.windows import Independent, Windows
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.diffusion.prediction import Prediction
from motion_diffusion.diffusion.samplers import Denoise, Noise, Sampler, SamplerName
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.sampling import MotionDenoiser

Function = Callable[[Tensor, Tensor], Tensor]
"""A differentiable objective in Python: (joints (M, N, J, 3) in metres, lengths (M,)) → violation in m² (M,)."""


@dataclass(frozen=True, eq=False)
class GuidanceProblem:
    """All that a guidance method may know: goals, lengths, schedule, and the codec between features and joints.

    It holds no network, so that a method works around any denoiser of the same features.
    """

    goals: tuple[GoalSet, ...]
    """Goals of each of the M motions."""
    windows: Windows
    """Composition of the M motions from the B windows that are sampled."""
    representation: Representation
    """Codec between normalised features (B, F, D) and joints."""
    schedule: Schedule
    prediction: Prediction
    """Type of the network's output."""
    functions: tuple[Function, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @staticmethod
    def of(
        model: MotionDenoiser,
        goals: Sequence[GoalSet],
        windows: Windows | Tensor,
        functions: Sequence[Function] = (),
    ) -> GuidanceProblem:
        """The problem of meeting goals with a model.

        Args:
            model: Whose codec, schedule and prediction type apply.
            goals: One set for each motion.
            windows: How windows form motions; or lengths (M,) in frames, for one window each.
            functions: Further objectives.
        """
        if isinstance(windows, Tensor):
            windows = Independent(model.representation, windows)
        return GuidanceProblem(
            tuple(goals),
            windows,
            model.representation,
            model.schedule,
            model.prediction,
            tuple(functions),
            model.device,
        )

    @cached_property
    def _observed(self) -> list[Observation]:
        """Targets of each motion that do not depend on it."""
        return [goals.observe(n) for goals, n in zip(self.goals, self.windows.lengths.tolist(), strict=True)]

    @cached_property
    def known(self) -> Observation:
        """Targets that do not depend on the motions, (M, N, J, 3)."""
        return self._for_model(self._observed)

    @cached_property
    def is_motion_dependent(self) -> bool:
        """Whether targets depend on the motions, as those of obstacles and contacts do."""
        return any(goals.is_motion_dependent for goals in self.goals)

    def joints(self, x0: Tensor) -> Tensor:
        """Joints (M, N, J, 3) in metres of the motions that x̂0 (B, F, D) forms."""
        return self.windows.joints(self.representation.denormalise(x0))

    def target_for(self, joints: Tensor) -> Observation:
        """Targets of the goals for motions (M, N, J, 3) as they are."""
        if not self.is_motion_dependent:
            return self.known
        bodies = joints.detach().expand(*joints.shape[:2], len(JOINTS), 3)
        return self._for_model(
            [
                goals.target_for(body[: len(observed.values)], observed=observed)
                for goals, body, observed in zip(self.goals, bodies, self._observed, strict=True)
            ]
        )

    def most_violated(self, motion: int, joints: Tensor) -> Observation:
        """The most violated targets of one motion (n, J, 3); see `GoalBase.most_violated`."""
        body = joints.detach().expand(len(joints), len(JOINTS), 3)
        wanted = self.goals[motion].target_for(body, most_violated=True, observed=self._observed[motion])
        return wanted.known_to(self.representation).to(joints.device)

    def loss(self, x0: Tensor) -> Tensor:
        """Mean squared distance of each motion to its goals plus its objectives, (M,) in m².

        The gradient of half the squared distance to a set points away from the nearest point, however that point
        depends on the motion; hence the nearest point is held fixed.
        """
        joints = self.joints(x0)
        return self.target_for(joints).loss(joints) + self._violation(joints)

    def misfit(self, x0: Tensor) -> Tensor:
        """The same with the sum of squared distances in place of their mean, (M,) in m².

        It is −2σ² times the log-likelihood of goals that are observed with standard deviation σ in metres.
        """
        joints = self.joints(x0)
        return self.target_for(joints).misfit(joints) + self._violation(joints)

    def _violation(self, joints: Tensor) -> Tensor | float:
        """The objectives of motions (M, N, J, 3), (M,) in m²."""
        return sum(function(joints, self.windows.lengths) for function in self.functions)

    def _for_model(self, each: Sequence[Observation]) -> Observation:
        return Observation.stack(each).known_to(self.representation).to(self.device)


class Guidance(Protocol):
    """A guidance method.

    Attributes that a class may set: `exact`, whether the final x̂0 meets the goals; `differentiates`, whether it follows
    the gradient of `GuidanceProblem.loss`, functions included; `differentiates_denoiser`, whether it differentiates the
    denoiser; and `single_window`, the reason why it cannot generate a motion of several windows, if it cannot.
    """

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The guided denoiser.

        Args:
            denoise: (x_t, t, s) → estimate of x0 and ε; of the network, or guided already.
            problem: Goals and codec of the batch.
            noise: Source of fresh noise (B, F, D), a generator for each motion.
        """
        ...


@runtime_checkable
class CheckedGuidance(Protocol):
    """A method that cannot do everything that may be requested."""

    def check(self, model: MotionDenoiser, frames: int) -> None:
        """Called for each motion that is to be guided, before anything is sampled.

        Args:
            model: The denoiser that is to be guided.
            frames: Length of the motion.

        Raises:
            InputError: If the method cannot guide such a motion.
        """
        ...


@runtime_checkable
class NoiseGuidance(Protocol):
    """A method that chooses the initial noise. A class may set `rounds`, how often it calls on_round, for progress."""

    def start(self, denoise: Denoise, z: Tensor, problem: GuidanceProblem, on_round: Callable[[], object]) -> Tensor:
        """Initial noise (B, F, D), given a draw z and the unguided denoiser. on_round is called after each round."""
        ...


@runtime_checkable
class SamplingGuidance(Protocol):
    """A method that prescribes how the motion is sampled, whatever the settings say."""

    @property
    def steps(self) -> int | None:
        """Number of sampling steps; None: as the settings say."""
        ...

    def sampler(self, problem: GuidanceProblem) -> SamplerName | Sampler:
        """The sampler for a problem, or its name."""
        ...


@runtime_checkable
class ConditioningGuidance(Protocol):
    """A method that passes what is known of the motion to a network trained for it."""

    def observed(self, problem: GuidanceProblem) -> tuple[Tensor, Tensor]:
        """Positions and mask, each (M, N, J, 3)."""
        ...


@runtime_checkable
class GoalGuidance(Protocol):
    """A method that derives further goals before sampling."""

    def goals(
        self, goals: Sequence[GoalSet], texts: Sequence[str], lengths: Tensor, seeds: Sequence[int]
    ) -> list[GoalSet]:
        """The goals of each motion with further ones in front; lengths: (M,) frames."""
        ...
