"""The training objective: the diffusion loss of a batch and geometric losses of its joints.

Geometric losses are in metres and are computed from x̂0, whatever the network predicts (MDM; Tevet et al. 2023). With
p_i the true joints in frame i, p̂_i the joints decoded from x̂0, N frames, and f_i = 1 where a true foot is in contact:

    position (eq. 3)  1/N Σ |p_i − p̂_i|²
    velocity (eq. 5)  1/(N−1) Σ |(p_{i+1} − p_i) − (p̂_{i+1} − p̂_i)|²
    foot     (eq. 4)  1/(N−1) Σ |(p̂_{i+1} − p̂_i)·f_i|²
    jerk              1/(N−3) Σ |Δ³(p_i − p̂_i)|², with Δ the difference between consecutive frames
    bone              1/N Σ (|b_i| − |b̂_i|)², with b the vectors from parents to joints

each averaged over its joints or bones. Jerk and bone are additions to MDM's: they measure trembling and stretching,
which hardly change positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import FEET, PARENTS
from motion_diffusion.diffusion.losses import training_loss
from motion_diffusion.diffusion.schedule import Level
from motion_diffusion.diffusion.variance import is_learned
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from train.batches import Batch, encoded
from train.config import TrainingOptions
from train.distillation import Distillation
from train.logging import BatchLosses

MAX_CONTACT_STEP = 0.01
"""A true foot is in contact between two frames if it moves by less than this (m), i.e. 0.2 m/s. HumanML3D's contacts
allow 0.9 m/s: their feet move by 1.6 cm per frame (root mean square), and the foot loss would remove that motion."""


@dataclass(frozen=True)
class GeometricLoss:
    """Weighted sum of geometric losses; a loss with weight 0 is not computed."""

    representation: Representation
    position: float = 0.0
    velocity: float = 0.0
    foot: float = 0.0
    jerk: float = 0.0
    bone: float = 0.0

    def __post_init__(self) -> None:
        for name, weight in (("foot", self.foot), ("bone", self.bone)):
            if weight and not self.representation.whole_body:
                raise InputError(
                    f"--{name}-weight is for models of the whole body, and this one is of the root; leave it out"
                )

    @property
    def any(self) -> bool:
        """Whether any weight is not 0."""
        return bool(self.position or self.velocity or self.foot or self.jerk or self.bone)

    def __call__(self, x0_hat: Tensor, joints: Tensor, lengths: Tensor) -> Tensor:
        """Compute the loss of each example.

        Args:
            x0_hat: (B, F, D) normalised features x̂0. They are clamped to the range of the training data, as in
                sampling.
            joints: (B, F, 22, 3) true joints in metres.
            lengths: (B,) number of frames before padding.

        Returns:
            (B,) losses.
        """
        bound = self.representation.bound.to(x0_hat)
        decoded = self.representation.decode(x0_hat.clamp(-bound, bound), lengths=lengths)
        true = joints[..., : decoded.shape[-2], :]
        frames = torch.arange(joints.shape[1], device=joints.device) < lengths.to(joints.device)[:, None]
        error, total = decoded - true, x0_hat.new_zeros(len(x0_hat))
        for weight, order in ((self.position, 0), (self.velocity, 1), (self.jerk, 3)):
            if weight:
                total = total + weight * _mean(error.diff(n=order, dim=1).square().sum(-1), frames[:, order:])
        if self.foot:
            feet = list(FEET)
            contact = true[..., feet, :].diff(dim=1).norm(dim=-1) < MAX_CONTACT_STEP
            total = total + self.foot * _mean(
                decoded[..., feet, :].diff(dim=1).square().sum(-1) * contact, frames[:, 1:]
            )
        if self.bone:
            length, real = (_bones(positions) for positions in (decoded, true))
            total = total + self.bone * _mean((length - real).square(), frames)
        return total


def _bones(joints: Tensor) -> Tensor:
    """Bone lengths (B, F, 21) in metres, with a finite gradient at length 0."""
    between = joints[..., 1:, :] - joints[..., PARENTS[1:], :]
    return (between.square().sum(-1) + 1e-12).sqrt()


def _mean(values: Tensor, frames: Tensor) -> Tensor:
    """(B, F, J) → (B,): mean over joints and frames that are no padding."""
    return (values * frames[..., None]).sum((1, 2)) / (frames.sum(1).clamp_min(1) * values.shape[-1])


class Objective:
    """Computes the training losses of batches."""

    def __init__(
        self,
        model: MotionModel,
        options: TrainingOptions,
        accelerator: Accelerator,
        distillation: Distillation | None = None,
    ):
        """Create the objective of a model, whose targets a teacher may set.

        Raises:
            InputError: The loss does not go with the model's variance, or a geometric loss needs a whole body.
        """
        if is_learned(model.config.variance) != (options.loss != "simple"):
            raise InputError(
                f"loss {options.loss} does not go with variance {model.config.variance}; a learned variance needs loss "
                "hybrid or vlb, a fixed one loss simple (weight vlb makes it the bound)"
            )
        self.model, self.options, self.accelerator = model, options, accelerator
        self.distillation = distillation
        self.geometric = GeometricLoss(
            model.representation,
            position=options.position_weight,
            velocity=options.velocity_weight,
            foot=options.foot_weight,
            jerk=options.jerk_weight,
            bone=options.bone_weight,
        )

    def __call__(self, batch: Batch, t: Tensor, importance: Tensor, step: int) -> BatchLosses:
        """Compute the losses of a batch.

        Args:
            batch: B examples.
            t: (B,) diffusion times, on the CPU.
            importance: (B,) weights of the examples in the mean, on the CPU.
            step: Training step; geometric losses count only from a share of the steps on.
        """
        options, model, device = self.options, self.model, self.accelerator.device
        joints, eps = (values.to(device, non_blocking=True) for values in (batch.joints, batch.eps))
        x0, frames = encoded(joints, batch.lengths, model)
        observed = None
        if batch.motion_mask is not None:
            joint_range = slice(None if model.representation.whole_body else 1)
            observed = (
                joints[..., joint_range, :],
                batch.motion_mask[..., joint_range, :].to(device, non_blocking=True),
            )
        hide = batch.drop_text.to(device)
        if self.distillation is not None:
            with self.accelerator.autocast():
                t, x0, eps = self.distillation.target(x0, eps, t, batch.texts, frames, hide, observed)
            joints = model.representation.decode(x0, lengths=batch.lengths)
        with self.accelerator.autocast():
            condition = model.condition(batch.texts, frames, hide=hide, observed=observed)

        def network(x_t: Tensor, level: Level) -> Tensor:
            with self.accelerator.autocast():
                return model.network(condition, x_t, level).float()

        def penalty(x0_hat: Tensor) -> Tensor:
            return self.geometric(x0_hat, joints, batch.lengths)

        loss, x0_error = training_loss(
            network,
            x0,
            frames,
            t,
            eps,
            schedule=model.schedule,
            prediction=model.prediction,
            weight=options.weight,
            gamma=options.min_snr_gamma,
            variance=model.config.variance,
            loss=options.loss,
            penalty=penalty if self.geometric.any and step >= options.metres_from * options.steps else None,
        )
        return BatchLosses(loss, x0_error, t, importance.to(loss), condition.context.shape[1] - 1)
