"""A motion of the body as root trajectory and joint rotations; bone lengths are constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from motion_diffusion.body.rotations import in_the_world, rotation_vectors, turned
from motion_diffusion.body.skeleton import BALL_HEIGHT, JOINTS, forward_kinematics
from motion_diffusion.option_ranges import Range

FRAME_RATES = Range(0, 1000, above=True)
"""Frames per second."""
REST = forward_kinematics(torch.eye(3, dtype=torch.float64).expand(len(JOINTS), 3, 3), torch.zeros(3).double())
"""(22, 3) joints of the T-pose with the pelvis at the origin, metres."""
STANDING = BALL_HEIGHT - float(REST[:, 1].min())
"""Height of the pelvis in the T-pose on the floor, metres."""


@dataclass(frozen=True, eq=False)
class Rig:
    """A motion of this body's skeleton (`skeleton.OFFSETS` in its rest pose): float64, y up, metres."""

    rotations: Tensor
    """(frames, 22, 3, 3): each joint relative to its parent, the pelvis in the world; identities are the T-pose."""
    root: Tensor
    """(frames, 3): position of the pelvis."""
    fps: float

    @cached_property
    def world(self) -> Tensor:
        """(frames, 22, 3, 3): orientation of each joint in the world."""
        return in_the_world(self.rotations)

    @cached_property
    def joints(self) -> Tensor:
        """(frames, 22, 3): positions of the joints."""
        return forward_kinematics(self.world, self.root)

    def frames(self, some: slice | Tensor) -> Self:
        """Some of the frames."""
        return replace(self, rotations=self.rotations[some], root=self.root[some])

    def with_frames(self, some: slice | Tensor, other: Rig) -> Self:
        """A copy in which some frames are replaced by those of another rig."""
        rotations, root = self.rotations.clone(), self.root.clone()
        rotations[some], root[some] = other.rotations, other.root
        return replace(self, rotations=rotations, root=root)

    def after_t_pose(self) -> Rig:
        """The same motion preceded by one frame of the T-pose, standing where the motion begins."""
        rest = torch.eye(3, dtype=torch.float64).expand_as(self.rotations[:1])
        start = self.root[:1].clone()
        start[:, 1] = STANDING
        return replace(self, rotations=torch.cat([rest, self.rotations]), root=torch.cat([start, self.root]))

    def at(self, fps: float) -> Rig:
        """The same motion at another frame rate, from its first frame to the last that is reached.

        Rotations are interpolated about a fixed axis between frames (slerp; Shoemake 1985), the pelvis by a cubic
        spline.

        Raises:
            InputError: for an fps outside of `FRAME_RATES`.
        """
        FRAME_RATES.check("--fps", fps)
        last, ratio = len(self.root) - 1, self.fps / fps
        place = torch.arange(int(last / ratio + 1e-6) + 1, dtype=torch.float64) * ratio
        index = place.long().clamp(max=max(last - 1, 0))
        before, after = self.rotations[index], self.rotations[(index + 1).clamp(max=last)]
        turn = rotation_vectors(before.mT @ after) * (place - index)[:, None, None]
        root = torch.from_numpy(CubicSpline(np.arange(last + 1), self.root)(place)) if last else self.root
        return replace(self, rotations=before @ turned(turn), root=root, fps=fps)
