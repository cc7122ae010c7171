"""Composition of motions from sampled windows.

Each window is a motion of its own (`Independent`), or several are stitched into one that is longer than the model's
windows (`Stitched`), or the result is inserted into an existing motion (`Inpainted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from motion_diffusion.body.features import displaced
from motion_diffusion.body.heading import heading, turn
from motion_diffusion.body.representation import Representation


class Windows(Protocol):
    """From features of B windows (B, F, 263) to the joints of M motions (M, N, J, 3), and back."""

    lengths: Tensor
    """(M,) frames of each motion."""

    def joints(self, features: Tensor) -> Tensor:
        """Joints (M, N, J, 3) of the motions in metres. Differentiable."""

    def turned(self, features: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
        """Features of bodies turned to the left by angle (M, N) and moved on the floor by shift (M, N, 2)."""

    def meet(self, features: Tensor, joints: Tensor, now: Tensor | None = None) -> Tensor:
        """Features whose joints are these (M, N, J, 3), moved there with their heading unchanged.

        Args:
            features: (B, F, 263).
            joints: (M, N, J, 3) metres.
            now: The joints of these features, if they are known already.
        """

    def seen(self, motions: Tensor) -> Tensor:
        """Values per frame of the motions (M, N, ...) → per frame of the windows (B, F, ...)."""

    def of_motions(self, values: Tensor) -> Tensor:
        """Sums over the windows of each motion, (B,) → (M,)."""

    def of_windows(self, values: Tensor) -> Tensor:
        """The value of each window's motion, (M,) → (B,)."""


class Independent:
    """Every window is a motion of its own."""

    def __init__(self, representation: Representation, lengths: Tensor):
        self.representation, self.lengths = representation, lengths

    def joints(self, features: Tensor) -> Tensor:
        return self.representation.read(features, lengths=self.lengths)

    def turned(self, features: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
        return _turned(features, angle, shift)

    def meet(self, features: Tensor, joints: Tensor, now: Tensor | None = None) -> Tensor:
        return displaced(features, joints - (self.joints(features) if now is None else now), lengths=self.lengths)

    def seen(self, motions: Tensor) -> Tensor:
        return motions

    def of_motions(self, values: Tensor) -> Tensor:
        return values

    def of_windows(self, values: Tensor) -> Tensor:
        return values


class Stitched:
    """Overlapping windows of one motion, each placed where its beginning fits the end of the previous one.

    To the model a window is a motion like any other, which begins at the origin and faces +z. In the overlaps windows
    are blended linearly; `meet` makes them equal there.
    """

    def __init__(self, representation: Representation, starts: Sequence[int], lengths: Sequence[int]):
        """starts: frames of the motion at which the windows begin, the first at 0; lengths: frames of each."""
        self.representation, self.starts = representation, tuple(starts)
        self.windows = torch.tensor(list(lengths))
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        self.lengths = torch.tensor([ends[-1]])
        self._weights = torch.zeros(len(starts), max(lengths))
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            time = torch.arange(start, end, dtype=torch.float32)
            weight = torch.ones(end - start)
            if k > 0:
                weight = weight * ((time - start + 1) / (ends[k - 1] - start + 1)).clamp(max=1)
            if k + 1 < len(starts):
                weight = weight * ((end - time) / (end - starts[k + 1] + 1)).clamp(max=1)
            self._weights[k, : end - start] = weight
        time = torch.arange(max(lengths))
        self._within = time < self.windows[:, None]
        self._frames = (torch.tensor(self.starts)[:, None] + time)[self._within]

    def joints(self, features: Tensor) -> Tensor:
        local = self.representation.read(features, lengths=self.windows)
        angles, offsets = self._placed(local.detach())
        placed = turn(local, angles[:, None].expand(local.shape[:2])) + offsets[:, None, None]
        weighted = self._weights.to(local)[..., None, None] * placed
        motion = local.new_zeros(int(self.lengths), *local.shape[2:])
        return motion.index_add(0, self._frames.to(local.device), weighted[self._within])[None]

    def turned(self, features: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
        local = self.representation.read(features, lengths=self.windows)
        angles, _ = self._placed(local)
        x, z = shift[0].unbind(-1)
        cut = self._cut(torch.stack([x, torch.zeros_like(x), z], dim=-1)[:, None])
        shifts = turn(cut, -angles[:, None].expand(cut.shape[:2]))[..., 0, [0, 2]]
        return _turned(features, self._cut(angle[0, :, None, None])[..., 0, 0], shifts)

    def meet(self, features: Tensor, joints: Tensor, now: Tensor | None = None) -> Tensor:
        local = self.representation.read(features, lengths=self.windows)
        angles, offsets = self._placed(local)
        wanted = self._cut(joints[0]) - offsets[:, None, None]
        wanted = turn(wanted, -angles[:, None].expand(wanted.shape[:2]))
        features = displaced(features, wanted - local, lengths=self.windows)
        return torch.cat([features[:1], _to_origin(features[1:], wanted[1:])])  # the first one is at the motion's place

    def seen(self, motions: Tensor) -> Tensor:
        return self._cut(motions[0])

    def of_motions(self, values: Tensor) -> Tensor:
        return values.sum(0, keepdim=True)

    def of_windows(self, values: Tensor) -> Tensor:
        return values.expand(len(self.starts))

    def _placed(self, local: Tensor) -> tuple[Tensor, Tensor]:
        """Angles (B,) and offsets (B, 3): x_motion = turn(x_window, angle) + offset, least squares over the overlap."""
        angles, offsets = local.new_zeros(len(local)), local.new_zeros(len(local), 3)
        for k in range(1, len(local)):
            begin = self.starts[k] - self.starts[k - 1]
            overlap = int(self.windows[k - 1]) - begin
            before = turn(local[k - 1, begin : begin + overlap], angles[k - 1].expand(overlap)) + offsets[k - 1]
            a, b = (points.flatten(0, 1) for points in (local[k, :overlap], before))
            a_mean, b_mean = a.mean(0), b.mean(0)
            (ax, _, az), (bx, _, bz) = (a - a_mean).unbind(-1), (b - b_mean).unbind(-1)
            angles[k] = torch.atan2((az * bx - ax * bz).sum(), (ax * bx + az * bz).sum())
            offset = b_mean - turn(a_mean[None, None], angles[k][None])[0, 0]
            offsets[k, [0, 2]] = offset[[0, 2]]
        return angles, offsets

    def _cut(self, motion: Tensor) -> Tensor:
        """(N, ...) → the frames of each window, (B, F, ...), with the last one repeated beyond a window's end."""
        time = torch.arange(self._weights.shape[1])
        index = [
            start + time.clamp(max=length - 1) for start, length in zip(self.starts, self.windows.tolist(), strict=True)
        ]
        return motion[torch.stack(index)]


class Inpainted:
    """An existing motion, a part of which is formed by other windows.

    These begin at the origin, as all samples, and are placed at the position and heading of the part's first frame.
    """

    def __init__(self, part: Windows, motion: Tensor, start: int):
        """motion: the whole, (N, 22, 3) metres; start: frame at which the part begins, which determines its place."""
        self.part, self.motion = part, motion
        self.span = slice(start, start + int(part.lengths))
        self.lengths = torch.tensor([len(motion)])
        first = motion[start : start + 1]
        self._angle = heading(first, smooth=False)
        self._offset = first[0, 0] * first.new_tensor([1.0, 0.0, 1.0])

    def joints(self, features: Tensor) -> Tensor:
        part = self.part.joints(features)
        placed = turn(part, -self._turns(part)) + self._offset.to(part)
        motion = self.motion.to(part)[None]
        return torch.cat([motion[:, : self.span.start], placed, motion[:, self.span.stop :]], dim=1)

    def turned(self, features: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
        x, z = shift[:, self.span].unbind(-1)
        shifts = torch.stack([x, torch.zeros_like(x), z], dim=-1)[..., None, :]
        return self.part.turned(features, angle[:, self.span], turn(shifts, self._turns(shifts))[..., 0, [0, 2]])

    def meet(self, features: Tensor, joints: Tensor, now: Tensor | None = None) -> Tensor:
        return self.part.meet(features, self._local(joints), None if now is None else self._local(now))

    def seen(self, motions: Tensor) -> Tensor:
        return self.part.seen(motions[:, self.span])

    def of_motions(self, values: Tensor) -> Tensor:
        return self.part.of_motions(values)

    def of_windows(self, values: Tensor) -> Tensor:
        return self.part.of_windows(values)

    def _local(self, joints: Tensor) -> Tensor:
        """(1, N, J, 3) → the part's frames, moved and turned so that it begins at the origin."""
        part = joints[:, self.span] - self._offset.to(joints)
        return turn(part, self._turns(part))

    def _turns(self, joints: Tensor) -> Tensor:
        return self._angle.to(joints).expand(joints.shape[:2])


def _turned(features: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    features = features.clone()
    features[..., 0] -= angle / 2  # the yaw's half-angle takes the heading back to +z
    features[..., 1:3] += shift
    return features


def _to_origin(features: Tensor, joints: Tensor) -> Tensor:
    """Windows (B, F, 263) with joints (B, F, 22, 3), each moved and turned so that it begins at the origin."""
    angle = heading(joints[:, :1], smooth=False).expand(features.shape[:2])
    path = torch.stack([features[..., 1], torch.zeros_like(angle), features[..., 2]], dim=-1)
    path = turn((path - path[:, :1])[..., None, :], angle)[..., 0, :]
    features = features.clone()
    features[..., 0] -= angle / 2
    features[..., 1:3] = path[..., [0, 2]]
    return features
