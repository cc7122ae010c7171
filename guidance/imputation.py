"""Imputation: the goals are written over x̂0, and nothing else moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from guidance.goals.observation import Observation
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.features import FEATURES, LAYOUT
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise, with_hook
from motion_diffusion.option_ranges import Range


@dataclass(frozen=True)
class Imputation:
    """Imputation: the goals are written over the motion frame by frame (GMD); they are met exactly, and neighbouring
    frames stay where they were."""

    exact: ClassVar[bool] = True

    on: Literal["auto", "x0", "x_s"] = "auto"
    """The motion that is overwritten: the predicted one, or also the next noisy one, with fresh noise around the goal;
    auto: x_s for models of ε and the score, where x_t has more weight than x̂0."""
    line: Annotated[float, Range(0, 1)] = 0.0
    """GMD's point-to-point line, as long as t is more than this share of T (GMD: 0.1); 0: no line."""
    until: Annotated[float, Range(0, 1, below=True)] = 0.0
    """Share of the diffusion time at which imputation ends (GMD: 0.02 for ε, 0 for x0)."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """x̂0 with the goals written over it; where x_s is overwritten too, it is α_s·x̂0 + σ_s·z (GMD, eq. 3)."""
        schedule, representation = problem.schedule, problem.representation
        between = _line(problem.known) if self.line > 0 else None
        of_noise = problem.prediction.name in ("eps", "score")
        on_x_s = self.on == "x_s" or (self.on == "auto" and of_noise)

        def wanted(joints: Tensor, t: int) -> Observation:
            goals = problem.target_for(joints)
            return between.updated(goals) if between is not None and t > self.line * schedule.T else goals

        def impute(x0: Tensor, t: int, s: int) -> Tensor:
            if t <= self.until * schedule.T:
                return x0
            features = representation.denormalise(x0)
            joints = problem.windows.joints(features)
            return representation.normalise(problem.windows.meet(features, wanted(joints, t).written_into(joints)))

        imputed = with_hook(denoise, impute, schedule)

        def guided(x: Tensor, t: int, s: int) -> Estimate:
            estimate = imputed(x, t, s)
            if t <= self.until * schedule.T:
                return estimate
            where = observed_features(wanted(problem.joints(estimate.x0), t), problem)
            return estimate._replace(eps=torch.where(where, noise(), estimate.eps))

        return guided if on_x_s else imputed


def observed_features(goals: Observation, problem: GuidanceProblem) -> Tensor:
    """(B, F, D) bool: the position features of observed joints, and nothing else."""
    representation = problem.representation
    mask = problem.windows.seen(goals.mask)
    features = mask.new_zeros(*mask.shape[:2], FEATURES)
    features[..., 1:4] = mask[..., 0, [0, 2, 1]]
    if representation.whole_body:
        features[..., LAYOUT["positions"]] = mask[..., 1:, :].flatten(-2)
    return features[..., representation.index]


def _line(goals: Observation) -> Observation:
    """The pelvis' x and z in every frame, on straight lines between way-points, constant beyond the first and last."""
    values, mask = torch.zeros_like(goals.values), torch.zeros_like(goals.mask)
    time = torch.arange(goals.values.shape[1], dtype=goals.values.dtype, device=goals.values.device)
    for i, axis in ((i, axis) for i in range(len(values)) for axis in (0, 2)):
        frames = goals.mask[i, :, 0, axis].nonzero()[:, 0]
        if len(frames):
            places = goals.values[i, frames, 0, axis]
            after = torch.searchsorted(time[frames], time).clamp(1, max(len(frames) - 1, 1)).clamp(max=len(frames) - 1)
            before = (after - 1).clamp(min=0)
            gap = (time[frames[after]] - time[frames[before]]).clamp_min(1)
            share = ((time - time[frames[before]]) / gap).clamp(0, 1)
            values[i, :, 0, axis] = torch.lerp(places[before], places[after], share)
            mask[i, :, 0, axis] = True
    return Observation(values, mask, goals.weights)
