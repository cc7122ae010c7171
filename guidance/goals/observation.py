"""What goals observe: numbers that some joints should have along some axes at some frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class Observation:
    """Wanted positions: values (..., F, J, 3) in metres where mask (..., F, J, 3) holds; weights (..., F, J).

    J is 22, or 1 for models that know only the path of the root.
    """

    values: Tensor
    mask: Tensor
    weights: Tensor

    @staticmethod
    def empty(frames: int) -> Observation:
        """An observation of nothing, over so many frames."""
        shape = (frames, len(JOINTS), 3)
        return Observation(torch.zeros(shape), torch.zeros(shape, dtype=torch.bool), torch.ones(shape[:-1]))

    @staticmethod
    def stack(observations: Sequence[Observation]) -> Observation:
        """One batch of observations, (B, F, ...); the shorter ones observe nothing after their end."""
        return Observation(
            pad_sequence([o.values for o in observations], batch_first=True),
            pad_sequence([o.mask for o in observations], batch_first=True),
            pad_sequence([o.weights for o in observations], batch_first=True, padding_value=1.0),
        )

    def to(self, device: torch.device) -> Observation:
        """The same on a device."""
        return Observation(self.values.to(device), self.mask.to(device), self.weights.to(device))

    def known_to(self, representation: Representation) -> Observation:
        """This observation for the joints that a model knows: all, or the root alone.

        InputError if it observes joints of a body where there is none.
        """
        if representation.whole_body:
            return self
        if self.mask[..., 1:, :].any():
            raise InputError("this model knows only the path of the root; give goals for the pelvis, or another model")
        return Observation(self.values[..., :1, :], self.mask[..., :1, :], self.weights[..., :1])

    def updated(self, other: Observation, *, weight: float | None = None) -> Observation:
        """This observation with the other's entries written over it, at their own weights or at the given one."""
        weights = other.weights if weight is None else torch.full_like(other.weights, weight)
        return Observation(
            torch.where(other.mask, other.values, self.values),
            self.mask | other.mask,
            torch.where(other.mask.any(-1), weights, self.weights),
        )

    def written_into(self, joints: Tensor) -> Tensor:
        """Joints (..., F, J, 3) with what is observed; where the pelvis moves over the floor, the body goes along."""
        shift = torch.where(self.mask, self.values - joints, 0)[..., :1, :] * joints.new_tensor([1.0, 0.0, 1.0])
        return torch.where(self.mask, self.values, joints + shift)

    def errors(self, joints: Tensor) -> Tensor:
        """Distances in metres, over the observed axes, of all observed (frame, joint) entries of one motion: (N,)."""
        observed = self.mask.any(-1)
        return self._distance(joints)[observed]

    def loss(self, joints: Tensor) -> Tensor:
        """The weighted mean over observed entries of the squared distance in m²: (...,) → one number a motion.

        A mean over each motion's own entries: what one motion is pulled by does not depend on the others in its batch.
        """
        observed = self.mask.any(-1) * self.weights
        squared = ((joints - self.values).square() * self.mask).sum(-1)
        return (squared * observed).sum((-1, -2)) / observed.sum((-1, -2)).clamp_min(1e-9)

    def _distance(self, joints: Tensor) -> Tensor:
        return ((joints - self.values).square() * self.mask).sum(-1).sqrt()
