"""A motion as an animator has it: this body with bones of constant length, the way of its pelvis, and rotations.

Positions that a network made stretch their bones, so no rotations can put every joint where it was. A `Rig` has the
rotations that come nearest: the sum of squared distances between its joints and the motion's is least.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from motion_diffusion.errors import InputError
from motion_diffusion.motion import Motion
from motion_diffusion.rotations import in_the_world, orientations, relative_to_parents
from motion_diffusion.skeleton import JOINTS, PARENTS, forward_kinematics

ROUNDS = 4
"""Of Gauss and Newton's method; the third moves joints by a hundredth of a millimetre."""
STIFFNESS = 1e-4
"""m²: what a turn of one radian costs in a round: turns that move no joint, a bone's about itself, are not made."""

_CARRIES = torch.eye(len(JOINTS), dtype=torch.float64)
for _joint in reversed(range(1, len(JOINTS))):
    _CARRIES[PARENTS[_joint]] += _CARRIES[_joint]
_CARRIES -= torch.eye(len(JOINTS), dtype=torch.float64)  # (22, 22): 1 where a row's turn moves a column's joint


@dataclass(frozen=True, eq=False)
class Rig:
    """The motion of this body's skeleton (`skeleton.OFFSETS` in its rest pose), float64, y up, metres."""

    rotations: Tensor
    """(frames, 22, 3, 3): each joint relative to its parent, the pelvis in the world; identities are the T-pose."""
    root: Tensor
    """(frames, 3): where the pelvis is."""
    fps: float

    @property
    def world(self) -> Tensor:
        """(frames, 22, 3, 3): each joint's orientation in the world."""
        return in_the_world(self.rotations)

    @property
    def joints(self) -> Tensor:
        """(frames, 22, 3): where the joints are."""
        return forward_kinematics(self.world, self.root)

    def at(self, fps: float) -> Rig:
        """The same motion with so many frames a second, from its first frame to the last that it reaches.

        Rotations turn evenly from one frame to the next about one axis (Shoemake 1985); the pelvis goes along a cubic
        spline. Raises InputError for an fps that is not a positive number.
        """
        import roma

        if not 0 < fps < np.inf:
            raise InputError(f"fps is {fps}; give a positive number of frames a second")
        last, ratio = len(self.root) - 1, self.fps / fps
        place = torch.arange(int(last / ratio + 1e-6) + 1, dtype=torch.float64) * ratio
        index = place.long().clamp(max=max(last - 1, 0))
        before, after = self.rotations[index], self.rotations[(index + 1).clamp(max=last)]
        turn = roma.rotmat_to_rotvec(before.mT @ after) * (place - index)[:, None, None]
        root = torch.from_numpy(CubicSpline(np.arange(last + 1), self.root)(place)) if last else self.root
        return replace(self, rotations=before @ roma.rotvec_to_rotmat(turn), root=root, fps=fps)


def rig_of(motion: Motion) -> Rig:
    """The rig whose joints are nearest to a motion's."""
    joints = motion.joints.double()
    world, root = orientations(joints), joints[:, 0]
    for _ in range(ROUNDS):
        turns, move = _step(forward_kinematics(world, root), joints)
        world, root = _turned(turns) @ world, root + move
    return Rig(relative_to_parents(world), root, motion.fps)


def _step(joints: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Turns of every joint's orientation (frames, 22, 3), in radians about the world's axes, and moves of the root
    (frames, 3) that bring joints (frames, 22, 3) nearest to where they are wanted, to first order.

    A joint's turn ω moves those that it carries, at r from it, by ω × r, and is added to what its parents turn it by.
    """
    arms = (joints[:, None] - joints[:, :, None]) * _CARRIES[..., None]  # (frames, turning, moved, 3)
    x, y, z = arms.unbind(-1)
    none = torch.zeros_like(x)
    crossed = torch.stack([none, z, -y, -z, none, x, y, -x, none], dim=-1).unflatten(-1, (3, 3))
    by_turns = crossed.permute(0, 2, 3, 1, 4).flatten(3)  # (frames, moved, 3, 22 · 3)
    by_move = torch.eye(3, dtype=torch.float64).expand(*joints.shape[:2], 3, 3)
    jacobian = torch.cat([by_turns, by_move], dim=-1).flatten(1, 2)
    normal = jacobian.mT @ jacobian + STIFFNESS * torch.eye(jacobian.shape[-1], dtype=torch.float64)
    step = torch.linalg.solve(normal, jacobian.mT @ (wanted - joints).flatten(1)[..., None])[..., 0]
    turns = list(step[:, :-3].unflatten(1, (-1, 3)).unbind(1))
    for joint in range(1, len(JOINTS)):
        turns[joint] = turns[PARENTS[joint]] + turns[joint]
    return torch.stack(turns, dim=1), step[:, -3:]


def _turned(vectors: Tensor) -> Tensor:
    """Rotations (..., 3, 3) about vectors (..., 3), by as many radians as they are long."""
    import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

    rotations: Tensor = roma.rotvec_to_rotmat(vectors)
    return rotations
