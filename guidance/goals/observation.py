"""Observations: target positions of some joints along some axes at some frames."""

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
    """Target positions of a motion.

    Attributes:
        values: (..., F, J, 3) metres. J is 22, or 1 for models of the root's path alone.
        mask: (..., F, J, 3) bool, where values are observed.
        weights: (..., F, J).
    """

    values: Tensor
    mask: Tensor
    weights: Tensor

    @staticmethod
    def empty(frames: int) -> Observation:
        """An observation of nothing over so many frames."""
        shape = (frames, len(JOINTS), 3)
        return Observation(torch.zeros(shape), torch.zeros(shape, dtype=torch.bool), torch.ones(shape[:-1]))

    @staticmethod
    def stack(observations: Sequence[Observation]) -> Observation:
        """A batch of observations, (B, F, ...), padded with unobserved frames."""
        return Observation(
            pad_sequence([o.values for o in observations], batch_first=True),
            pad_sequence([o.mask for o in observations], batch_first=True),
            pad_sequence([o.weights for o in observations], batch_first=True, padding_value=1.0),
        )

    def frames(self, some: slice) -> Observation:
        """Some of the frames of one motion."""
        return Observation(self.values[some], self.mask[some], self.weights[some])

    def to(self, device: torch.device) -> Observation:
        """The same observation on a device."""
        return Observation(self.values.to(device), self.mask.to(device), self.weights.to(device))

    def known_to(self, representation: Representation) -> Observation:
        """This observation restricted to the joints that a model represents: all, or the root alone.

        Raises:
            InputError: if it observes other joints and the model represents the root alone.
        """
        if representation.whole_body:
            return self
        if self.mask[..., 1:, :].any():
            raise InputError("this model knows only the path of the root; give goals for the pelvis, or another model")
        return Observation(self.values[..., :1, :], self.mask[..., :1, :], self.weights[..., :1])

    def write(self, rows: range, values: Tensor, weight: float = 1.0) -> None:
        """Write values (n or 1, J, 3) over those of some frames in place; NaN where nothing is observed."""
        if len(rows):
            at, given = slice(rows.start, rows.stop), ~values.isnan()
            self.values[at] = torch.where(given, values.to(self.values), self.values[at])
            self.mask[at] |= given
            self.weights[at] = torch.where(given.any(-1), weight, self.weights[at])

    def updated(self, other: Observation) -> Observation:
        """This observation with another one's entries written over it, at their own weights."""
        return Observation(
            torch.where(other.mask, other.values, self.values),
            self.mask | other.mask,
            torch.where(other.mask.any(-1), other.weights, self.weights),
        )

    def written_into(self, joints: Tensor) -> Tensor:
        """Joints (..., F, J, 3) with observed values imposed; where the pelvis moves horizontally, the body moves with
        it.
        """
        shift = torch.where(self.mask, self.values - joints, 0)[..., :1, :] * joints.new_tensor([1.0, 0.0, 1.0])
        return torch.where(self.mask, self.values, joints + shift)

    def errors(self, joints: Tensor) -> Tensor:
        """Distances in metres, along the observed axes, of all observed (frame, joint) entries of one motion: (N,)."""
        observed = self.mask.any(-1)
        return self._distance(joints)[observed]

    def misfit(self, joints: Tensor) -> Tensor:
        """Weighted sum over observed entries of the squared distance in m²: one value (...) per motion."""
        squared = ((joints - self.values).square() * self.mask).sum(-1)
        return (squared * self._weights).sum((-1, -2))

    def loss(self, joints: Tensor) -> Tensor:
        """Weighted mean over observed entries of the squared distance in m²: one value (...) per motion.

        The mean is over each motion's own entries, so that motions in a batch do not influence each other.
        """
        return self.misfit(joints) / self._weights.sum((-1, -2)).clamp_min(1e-9)

    @property
    def _weights(self) -> Tensor:
        """Weights (..., F, J) where something is observed, 0 elsewhere."""
        return self.mask.any(-1) * self.weights

    def _distance(self, joints: Tensor) -> Tensor:
        return ((joints - self.values).square() * self.mask).sum(-1).sqrt()
