"""Geometric losses, in metres: of the joints that x̂0 means, whatever the network predicts (MDM; Tevet et al. 2023).

With p the true joints and p̂ those of x̂0, both read as samplers' results are read, N frames, and f = 1 where a true
foot stands:

    position (eq. 3)  1/N Σ |p_i − p̂_i|²
    velocity (eq. 5)  1/(N−1) Σ |(p_{i+1} − p_i) − (p̂_{i+1} − p̂_i)|²
    foot     (eq. 4)  1/(N−1) Σ |(p̂_{i+1} − p̂_i)·f_i|²
    jerk              1/(N−3) Σ |Δ³(p_i − p̂_i)|², with Δ the difference from frame to frame
    bone              1/N Σ (|b_i| − |b̂_i|)², with b the differences of joints from their parents

each averaged over the joints (bones) it is about. Jerk and bone are not MDM's: they are what trembling and stretching
are, which count next to nothing in positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import FEET, PARENTS
from motion_diffusion.errors import InputError

STILL = 0.01
"""A true foot stands from one frame to the next if its joint moves by less than this, m: 0.2 m/s, and not the 0.9 m/s
of HumanML3D's contacts, within which feet move by 1.6 cm a frame (root mean square) and would be taught not to."""


@dataclass(frozen=True)
class Geometric:
    """The weighted sum of the losses whose weights are not 0."""

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
        """Whether there is anything to compute."""
        return bool(self.position or self.velocity or self.foot or self.jerk or self.bone)

    def __call__(self, x0_hat: Tensor, joints: Tensor, lengths: Tensor) -> Tensor:
        """(B,) of normalised features x̂0 (B, F, D), for true joints (B, F, 22, 3) and lengths (B,).

        x̂0 is kept within the range of the training data, as samplers keep it.
        """
        bound = self.representation.bound.to(x0_hat)
        read = self.representation.decode(x0_hat.clamp(-bound, bound), lengths=lengths)
        true = joints[..., : read.shape[-2], :]
        frames = torch.arange(joints.shape[1], device=joints.device) < lengths.to(joints.device)[:, None]
        off, total = read - true, x0_hat.new_zeros(len(x0_hat))
        for weight, order in ((self.position, 0), (self.velocity, 1), (self.jerk, 3)):
            if weight:
                total = total + weight * _mean(off.diff(n=order, dim=1).square().sum(-1), frames[:, order:])
        if self.foot:
            feet = list(FEET)
            stands = true[..., feet, :].diff(dim=1).norm(dim=-1) < STILL
            total = total + self.foot * _mean(read[..., feet, :].diff(dim=1).square().sum(-1) * stands, frames[:, 1:])
        if self.bone:
            length, real = (_bones(positions) for positions in (read, true))
            total = total + self.bone * _mean((length - real).square(), frames)
        return total


def _bones(joints: Tensor) -> Tensor:
    """Lengths (B, F, 21) of the bones, m; their gradient is finite where one has none."""
    between = joints[..., 1:, :] - joints[..., PARENTS[1:], :]
    return (between.square().sum(-1) + 1e-12).sqrt()


def _mean(values: Tensor, frames: Tensor) -> Tensor:
    """(B, F, J) → (B,): the mean over joints and the frames that exist."""
    return (values * frames[..., None]).sum((1, 2)) / (frames.sum(1).clamp_min(1) * values.shape[-1])
