"""Foot locking: at each step of sampling, toes that are near the floor in x̂0 stay in place.

Feet slide in what a network generates, more under guidance. Holding them at the end, by fitting the body to contacts,
leaves the trunk as it is, and few contacts are certain by then. Held during sampling, they are an input of the next
steps, in which the network makes the rest of the body agree. (EDGE, Tseng et al. 2023, asks the same of a network in
training: its contact consistency loss.)

Over an interval in which a toe is low and not as fast as in a step, it moves to its mean position in x and z, by at
most `REACH`. The displacement is interpolated between intervals and smoothed; the ankle moves with the toe, the knee
half as far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motion_diffusion.body.features import displaced
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import ANKLES, FPS, PARENTS, TOES

BEGIN = 0.6
"""Share of the diffusion time from which toes are held; before, x̂0 is too smooth to tell which stand."""
LOW = 0.07
"""Metres: height below which a toe may be on the floor."""
FAST = 1.5
"""m/s along the floor: at this speed and above a toe is making a step."""
REACH = 0.15
"""Metres: the largest displacement of a toe. What slides further does so on purpose."""
KNEE = 0.5
"""Displacement of the knee relative to that of the toe."""
SMOOTHING = 1.5
"""Frames: standard deviation of the Gaussian by which displacements are smoothed."""
_KNEES = tuple(PARENTS[ankle] for ankle in ANKLES)


@dataclass(frozen=True, eq=False)
class FootLocking:
    """A hook (see `diffusion.samplers.with_hook`) that holds the toes of x̂0 (B, F, D) that are on the floor."""

    representation: Representation
    lengths: Tensor
    """(B,) number of frames of each motion (or window of one)."""
    T: int
    """Number of diffusion steps."""

    def __call__(self, x0: Tensor, t: int, s: int) -> Tensor:
        """x̂0 with locked toes; the displacement is held constant in gradients."""
        if t > BEGIN * self.T:
            return x0
        with torch.no_grad():
            features = self.representation.denormalise(x0)
            joints = self.representation.read(features, lengths=self.lengths)
            change = displacement(joints, self.lengths)
            moved = self.representation.normalise(displaced(features, change, lengths=self.lengths))
        return x0 + (moved - x0.detach())


def displacement(joints: Tensor, lengths: Tensor) -> Tensor:
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
    shift = gaussian(_between(away, held).flatten(2), SMOOTHING).view_as(away)
    result = torch.zeros_like(joints)
    for some, share in ((TOES, 1.0), (ANKLES, 1.0), (_KNEES, KNEE)):
        result[:, :, some, 0], result[:, :, some, 2] = share * shift[..., 0], share * shift[..., 1]
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
