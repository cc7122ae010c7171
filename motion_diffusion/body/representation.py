"""The normalised features that a network is trained on: which groups, and their mean, scale and range."""

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
    """Selected features and their normalisation: x = (features - mean) / std, with yaw, x and z times emphasis.

    GMD's emphasis gives the root's few features more weight than their number; GMD then mixes all features by a random
    matrix. White noise and the squared error are invariant under an orthogonal mixing, so a network whose first and
    last layers are linear gains nothing from it: here emphasis is a plain scale.

    Raises:
        InputError: for groups, an emphasis or statistics that are invalid.
    """

    groups: tuple[str, ...]
    """Groups of `LAYOUT` in the network's order: root alone (path and yaw of the pelvis), or a whole body, which needs
    root, positions and velocities.
    """
    emphasis: float
    mean: Tensor
    std: Tensor
    extent: Tensor
    """mean, std and extent are (263,) float32; extent is the largest |features - mean| / std in the training data."""

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
        """Measure mean, std and extent on clips.

        As in HumanML3D the std is averaged over features of one kind, so that relative sizes within a kind are kept.
        Constant features get std 1.

        Args:
            clips: features (frames, 263) of each clip, without padding.
            groups: groups of features for the network.
            emphasis: factor of yaw, x and z.

        Raises:
            InputError: without any clip.
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
        """The statistics by name, to be stored beside groups and emphasis."""
        return {"mean": self.mean, "std": self.std, "extent": self.extent}

    @staticmethod
    def from_tensors(groups: Sequence[str], emphasis: float, tensors: Mapping[str, Tensor]) -> Representation:
        """Restore from `tensors()`; KeyError if one is missing."""
        return Representation(tuple(groups), emphasis, tensors["mean"], tensors["std"], tensors["extent"])

    @property
    def size(self) -> int:
        """Features per frame that the network sees."""
        return len(self.index)

    @property
    def whole_body(self) -> bool:
        """Whether the features describe a whole body rather than the path of the root alone."""
        return "positions" in self.groups

    @property
    def bound(self) -> Tensor:
        """(size,) largest |x| in the training data."""
        return (self.extent * self._emphasis())[self.index]

    @cached_property
    def scale(self) -> Tensor:
        """(size,) factor of each normalised feature."""
        return (self.std / self._emphasis())[self.index]

    @property
    def path_unit(self) -> float:
        """Metres on the floor per unit of the root's normalised x and z."""
        return self.std[1].item() / self.emphasis

    def columns(self, group: str) -> slice:
        """Columns of a group among the network's features."""
        before = self.groups[: self.groups.index(group)]
        start = sum(LAYOUT[name].stop - LAYOUT[name].start for name in before)
        return slice(start, start + LAYOUT[group].stop - LAYOUT[group].start)

    def normalise(self, features: Tensor) -> Tensor:
        """Normalise features (..., 263) and select the network's: (..., size)."""
        seen = features.index_select(-1, self.index.to(features.device))
        return (seen - self._mean.to(features)) * self._per_unit.to(features)

    def denormalise(self, x: Tensor) -> Tensor:
        """The inverse of `normalise`: (..., size) → (..., 263); groups that the network does not see are zero."""
        seen = x * self.scale.to(x) + self._mean.to(x)
        return x.new_zeros(*x.shape[:-1], FEATURES).index_copy(-1, self.index.to(x.device), seen)

    def decode(self, x: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Joint positions (..., F, J, 3) in metres from normalised features (..., F, size); see `read`."""
        return self.read(self.denormalise(x), lengths=lengths)

    def read(self, features: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Joint positions from features of which at least the network's are set.

        Args:
            features: (..., F, 263).
            lengths: (...) number of valid frames of each item.

        Returns:
            (..., F, J, 3) metres: J is 22, or 1 for the root alone, whose path is given by its features directly.
        """
        if self.whole_body:
            return decode(features, lengths=lengths)
        return features[..., None, [1, 3, 2]]

    def write_over(self, x: Tensor, estimate: Tensor, observed: Observed) -> Tensor:
        """Replace the part of normalised features that is determined by known positions.

        For the pelvis these are the root's x, z and y. Other joints are expressed relative to the root and heading of
        the estimate, or to the pelvis where that is known; their x and z are written only where both are known.

        Args:
            x: (B, F, size) normalised features.
            estimate: (B, F, size) normalised features of a clean motion.
            observed: known positions and mask, (B, F, J, 3).

        Returns:
            (B, F, size).
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
    def index(self) -> Tensor:
        """(size,) indices, in the network's order, of its features among the 263."""
        return torch.cat([torch.arange(LAYOUT[group].start, LAYOUT[group].stop) for group in self.groups])

    @cached_property
    def _mean(self) -> Tensor:
        return self.mean[self.index]

    @cached_property
    def _per_unit(self) -> Tensor:
        return (self._emphasis() / self.std)[self.index]

    def _emphasis(self) -> Tensor:
        factors = torch.ones(FEATURES)
        factors[:3] = self.emphasis
        return factors
