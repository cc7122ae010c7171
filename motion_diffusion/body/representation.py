"""The normalised features that a network sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from motion_diffusion.body.features import (
    FEATURES,
    LAYOUT,
    SCALED_TOGETHER,
    check_groups,
    decode,
    decode_positions,
    write_positions,
)
from motion_diffusion.errors import InputError

Observed = tuple[Tensor, Tensor]
"""(values, mask), each (..., F, J, 3): world positions in metres that are known where the mask is true."""


@dataclass(frozen=True, eq=False)
class Representation:
    """Which features the network sees, and their scale: x = (features - mean) / std, yaw, x and z times emphasis.

    Raises InputError for groups, an emphasis or statistics that cannot be used.

    GMD's emphasis gives the root's few numbers more weight than their count; it then mixes all numbers by a random
    matrix. White noise looks the same after an orthogonal mixing and so does the squared error, so a network whose
    first and last layers are linear gains nothing from it: here emphasis is a plain scale.
    """

    groups: tuple[str, ...]
    """Groups of `LAYOUT`, in the order the network sees them: root alone, the path of the pelvis and its yaw; or the
    whole body, with root, positions and velocities among them."""
    emphasis: float
    mean: Tensor
    std: Tensor
    extent: Tensor
    """Each (263,) float32; extent is the largest |features - mean| / std in the training data."""

    def __post_init__(self) -> None:
        check_groups(self.groups)
        whole = {"root", "positions", "velocities"} <= set(self.groups) and len(set(self.groups)) == len(self.groups)
        if not whole and self.groups != ("root",):
            raise InputError(
                f"feature groups are {', '.join(self.groups) or 'none'}; give root alone, or root, positions and "
                "velocities, perhaps rotations and contacts, each once"
            )
        if not 0 < self.emphasis < math.inf:
            raise InputError(f"emphasis is {self.emphasis}; give a positive number")
        for name, tensor in self.tensors().items():
            if tensor.shape != (FEATURES,) or not tensor.isfinite().all() or (name == "std" and (tensor <= 0).any()):
                kind = "positive" if name == "std" else "finite"
                raise InputError(
                    f"the features' {name}, of shape {tuple(tensor.shape)}, is not {FEATURES} {kind} numbers; "
                    "measure it again with Representation.fit"
                )

    @staticmethod
    def fit(clips: Iterable[Tensor], groups: Sequence[str], *, emphasis: float = 1.0) -> Representation:
        """Measure mean, std and extent on clips of features, each (frames, 263), not padded.

        As in HumanML3D the std is averaged over features of one kind, so that within a kind sizes keep their meaning.
        What never changes gets std 1. Raises InputError if there is no clip.
        """
        clips = list(clips)
        if not clips:
            raise InputError("no clips to measure the features' scale on; give at least one")
        count = sum(len(clip) for clip in clips)
        mean = torch.stack([clip.sum(0, dtype=torch.float64) for clip in clips]).sum(0) / count
        variance = torch.stack([(clip - mean).square().sum(0) for clip in clips]).sum(0) / count
        std = torch.ones_like(mean)
        for features in SCALED_TOGETHER:
            average = variance[features].sqrt().mean()
            if average > 1e-6:
                std[features] = average
        extent = torch.stack([((clip - mean) / std).abs().amax(0) for clip in clips]).amax(0)
        return Representation(tuple(groups), emphasis, mean.float(), std.float(), extent.float())

    def tensors(self) -> dict[str, Tensor]:
        """The measured statistics, to be stored beside groups and emphasis."""
        return {"mean": self.mean, "std": self.std, "extent": self.extent}

    @staticmethod
    def from_tensors(groups: Sequence[str], emphasis: float, tensors: Mapping[str, Tensor]) -> Representation:
        """Restore from `tensors()`; KeyError if one is missing."""
        return Representation(tuple(groups), emphasis, tensors["mean"], tensors["std"], tensors["extent"])

    @property
    def size(self) -> int:
        """Numbers a frame that the network sees."""
        return len(self.index)

    @property
    def whole_body(self) -> bool:
        """Whether there is a body, and not just the path of its root."""
        return "positions" in self.groups

    @property
    def bound(self) -> Tensor:
        """(size,): the largest |x| in the training data."""
        return (self.extent * self._emphasis())[self.index]

    def columns(self, group: str) -> slice:
        """Where a group stands among the numbers that the network sees."""
        before = self.groups[: self.groups.index(group)]
        start = sum(LAYOUT[name].stop - LAYOUT[name].start for name in before)
        return slice(start, start + LAYOUT[group].stop - LAYOUT[group].start)

    def normalise(self, features: Tensor) -> Tensor:
        """Features (..., 263) → what the network sees, (..., size)."""
        index = self.index
        scale = (self._emphasis() / self.std)[index].to(features)
        return (features[..., index] - self.mean[index].to(features)) * scale

    def denormalise(self, x: Tensor) -> Tensor:
        """The inverse of `normalise`: (..., size) → features (..., 263); groups the network does not see are zero."""
        index = self.index
        scale = (self.std / self._emphasis())[index].to(x)
        features = x.new_zeros(*x.shape[:-1], FEATURES)
        features[..., index] = x * scale + self.mean[index].to(x)
        return features

    def decode(self, x: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Joint positions (..., F, J, 3) in metres from the network's numbers (..., F, size); see `read`."""
        return self.read(self.denormalise(x), lengths=lengths)

    def read(self, features: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Joint positions (..., F, J, 3) in metres from features (..., F, 263) of which the network's are filled in.

        J is 22, by `decode`; or 1 if there is only the root, whose path is its own features.
        """
        if self.whole_body:
            return decode(features, lengths=lengths)
        return features[..., None, [1, 3, 2]]

    def write_over(self, x: Tensor, estimate: Tensor, observed: Observed) -> Tensor:
        """The network's numbers x (B, F, size) with what is known of the motion in their place.

        Of the pelvis these are the root's x, z and y. Those of other joints are seen from the root and the heading of
        estimate (B, F, size), the numbers of a motion, or from the pelvis where that is known; their x and z are only
        written where both are known.
        """
        values, mask = observed
        whole = values.shape[-2] > 1
        features = self.denormalise(estimate)
        joints = decode_positions(features) if whole else features[..., None, [1, 3, 2]]
        joints = torch.where(mask, values.to(x), joints)
        known = torch.zeros_like(features, dtype=torch.bool)
        known[..., 1:4] = mask[..., 0, [0, 2, 1]]
        if whole:
            write_positions(features, joints)
            across = mask[..., 1:, [0]] & mask[..., 1:, [2]]
            known[..., LAYOUT["positions"]] = torch.cat([across, mask[..., 1:, [1]], across], dim=-1).flatten(-2)
        else:
            features[..., 1:4] = joints[..., 0, [0, 2, 1]]
        return torch.where(known[..., self.index], self.normalise(features), x)

    @cached_property
    def index(self) -> list[int]:
        """Which of the 263 features the network sees, in its order."""
        return [i for group in self.groups for i in range(LAYOUT[group].start, LAYOUT[group].stop)]

    def _emphasis(self) -> Tensor:
        factors = torch.ones(FEATURES)
        factors[:3] = self.emphasis
        return factors
