"""What is learned: the losses of a batch, at the noise levels that are given."""

from __future__ import annotations

from accelerate import Accelerator
from torch import Tensor

from motion_diffusion.diffusion.losses import training_loss
from motion_diffusion.diffusion.schedule import Level
from motion_diffusion.diffusion.variance import is_learned
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from train.batches import Batch, encoded
from train.config import TrainingOptions
from train.geometric_losses import Geometric
from train.loss_meter import Losses


class Objective:
    """The losses of a model's batches. Raises InputError for options that do not go with the model."""

    def __init__(self, model: MotionModel, options: TrainingOptions, accelerator: Accelerator):
        if is_learned(model.config.variance) != (options.loss != "simple"):
            raise InputError(
                f"loss {options.loss} does not go with variance {model.config.variance}; a learned variance needs loss "
                "hybrid or vlb, a fixed one loss simple (weight vlb makes it the bound)"
            )
        self.model, self.options, self.accelerator = model, options, accelerator
        self.geometric = Geometric(
            model.representation,
            position=options.position_weight,
            velocity=options.velocity_weight,
            foot=options.foot_weight,
            jerk=options.jerk_weight,
            bone=options.bone_weight,
        )

    def __call__(self, batch: Batch, t: Tensor, importance: Tensor, step: int) -> Losses:
        """The losses of a batch at times t (B,), which count importance (B,) in the mean; both on the CPU.

        step: of the training, for losses that only count later.
        """
        options, model, device = self.options, self.model, self.accelerator.device
        joints = batch.joints.to(device, non_blocking=True)
        x0, frames = encoded(joints, batch.lengths, model)
        observed = None
        if batch.known is not None:
            told = slice(None if model.representation.whole_body else 1)
            observed = (joints[..., told, :], batch.known[..., told, :].to(device, non_blocking=True))
        with self.accelerator.autocast():
            condition = model.condition(batch.texts, frames, hide=batch.hide.to(device), observed=observed)

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
            batch.eps.to(device, non_blocking=True),
            schedule=model.schedule,
            prediction=model.prediction,
            weight=options.weight,
            gamma=options.min_snr_gamma,
            variance=model.config.variance,
            loss=options.loss,
            penalty=penalty if self.geometric.any and step >= options.metres_from * options.steps else None,
        )
        return Losses(loss, x0_error, t, importance.to(loss), condition.context.shape[1] - 1)
