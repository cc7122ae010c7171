"""Kinematic constraints of x̂0 in the steps of sampling: bones do not stretch, toes on the floor stay in place.

A network stretches limbs and slides feet, more under guidance. If only the final fit of the body corrects this, the
trunk does not adapt, legs do not reach their contacts, and few contacts can still be detected. A corrected x̂0 is an
input of the next steps, in which the network makes the rest of the motion agree. (EDGE, Tseng et al. 2023, asks a
network for consistent contacts in training.) Goals are imposed on x̂0 afterwards, so they are met as exactly as without.

* `shortened_bones`: a bone that is too long is shortened, and what is beyond it moves along. One that is too short
  stays, since a body reaches the same joints with a bent limb.
* `standing_toes`: over an interval in which a toe is low and not as fast as in a step, it moves to its mean position in
  x and z, by at most `REACH`. The displacement is interpolated between intervals; the ankle moves with the toe, the
  knee half as far.

Both are smoothed over time, so that neither adds jitter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.body.features import displaced
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import ANKLES, BONE_LENGTHS, BONES_BEFORE, FPS, PARENTS, TOES

TOES_BEGIN, BONES_BEGIN = 0.8, 0.2
"""Shares of the diffusion time from which toes are held, and later bones shortened. Before, x̂0 is too smooth."""
LOW = 0.07
"""Metres: height below which a toe may be on the floor."""
FAST = 1.5
"""m/s along the floor: at this speed and above a toe is making a step."""
REACH = 0.15
"""Metres: the largest displacement of a toe. What slides further does so on purpose."""
KNEE = 0.5
"""Displacement of the knee relative to that of the toe."""
BONES_SMOOTHING, TOES_SMOOTHING = 1.0, 1.5
"""Frames: standard deviation of the Gaussian by which factors of bones, and displacements of toes, are smoothed."""
_LEGS = [*TOES, *ANKLES, *(PARENTS[ankle] for ankle in ANKLES)]


@dataclass(frozen=True, eq=False)
class KinematicConstraints:
    """A hook (see `diffusion.samplers.with_hook`) that constrains x̂0 (B, F, D)."""

    representation: Representation
    lengths: Tensor
    """(B,) number of frames of each motion (or window of one)."""
    T: int
    """Number of diffusion steps."""

    def __call__(self, x0: Tensor, t: int, s: int) -> Tensor:
        """x̂0 without too long bones and with standing toes; the displacement is held constant in gradients."""
        if t > TOES_BEGIN * self.T:
            return x0
        with torch.no_grad():
            features = self.representation.denormalise(x0)
            joints = self.representation.read(features, lengths=self.lengths)
            late = t <= BONES_BEGIN * self.T
            change = shortened_bones(joints, self.lengths) if late else torch.zeros_like(joints)
            change += standing_toes(joints + change, self.lengths)
            moved = self.representation.normalise(displaced(features, change, lengths=self.lengths))
        return x0 + (moved - x0.detach())


def shortened_bones(joints: Tensor, lengths: Tensor) -> Tensor:
    """The displacement (B, F, 22, 3) in metres that shortens too long bones of motions (B, F, 22, 3). The root stays.

    lengths: (B,) number of valid frames.
    """
    bones = joints[:, :, 1:] - joints[:, :, PARENTS[1:]]
    factors = (BONE_LENGTHS[1:].to(joints) / bones.norm(dim=-1)).clamp_max(1)
    last = torch.minimum(torch.arange(joints.shape[1], device=joints.device), lengths[:, None] - 1)
    factors = gaussian(factors.gather(1, last[..., None].expand_as(factors)), BONES_SMOOTHING)
    return BONES_BEFORE.to(joints) @ ((factors - 1)[..., None] * bones)


def standing_toes(joints: Tensor, lengths: Tensor) -> Tensor:
    """The displacement (B, F, 22, 3) in metres that holds low, slow toes of motions (B, F, 22, 3) in place.

    lengths: (B,) number of valid frames.
    """
    toes = joints[:, :, TOES]
    places = toes[..., [0, 2]]
    slow = (places.diff(dim=1).norm(dim=-1) * FPS < FAST) & (toes[:, :-1, :, 1] < LOW)
    slow &= (torch.arange(1, joints.shape[1], device=joints.device) < lengths[:, None])[..., None]
    tied = torch.nn.functional.pad(slow, (0, 0, 1, 1))  # (B, F + 1, 2) to the frame before
    held = tied[:, 1:] | tied[:, :-1]
    # Intervals have two frames or more and are numbered over time; a frame outside of them has the number of the one
    # before and no weight.
    number = (held & ~tied[:, :-1]).cumsum(1)[..., None].expand_as(places)
    weight = held[..., None].to(places).expand_as(places)
    sums, counts = (torch.zeros_like(places).scatter_add(1, number, values) for values in (places * weight, weight))
    away = ((sums / counts.clamp_min(1)).gather(1, number) - places) * weight
    away = away * (REACH / away.norm(dim=-1, keepdim=True).clamp_min(REACH))
    shift = gaussian(_between(away, held).flatten(2), TOES_SMOOTHING).view_as(away)
    x, z = torch.cat([shift, shift, KNEE * shift], dim=2).unbind(-1)
    result = torch.zeros_like(joints)
    result[:, :, _LEGS] = torch.stack([x, torch.zeros_like(x), z], dim=-1)
    return result


def _between(values: Tensor, given: Tensor) -> Tensor:
    """Values (B, F, C, 2) where given (B, F, C), elsewhere interpolated over time. They are 0 where none is given."""
    frames = given.shape[1]
    time = torch.arange(frames, device=values.device)[None, :, None].expand_as(given)
    last = torch.where(given, time, -1).cummax(1).values
    following = torch.where(given, time, frames).flip(1).cummin(1).values.flip(1)
    left = torch.where(last < 0, following, last).clamp(0, frames - 1)
    right = torch.where(following >= frames, last, following).clamp(0, frames - 1)
    share = ((time - left) / (right - left).clamp_min(1)).to(values)[..., None]
    a, b = (values.gather(1, k[..., None].expand_as(values)) for k in (left, right))
    return a + share * (b - a)
