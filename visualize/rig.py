"""A motion as an animator has it: this body with bones of constant length, the way of its pelvis, and rotations.

Positions that a network made stretch their bones, so no rotations can put every joint where it was. A `Rig` has the
rotations that come nearest: the sum of squared distances between its joints and the motion's, and between its bones and
the motion's, is least. Joints alone are not enough: short limbs would buckle to reach them, collars turn by 34° between
two frames of which the bones turn by 6°.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from data_loaders.floor import BALL_HEIGHT
from motion_diffusion.motion import Motion
from motion_diffusion.ranges import Range
from motion_diffusion.rotations import in_the_world, orientations, relative_to_parents
from motion_diffusion.skeleton import JOINTS, PARENTS, forward_kinematics

ROUNDS = 6
"""Of Gauss and Newton's method; the last moves no joint by a millimetre unless bones are far from their lengths."""
LENGTHS = (1.0, 0.5, 0.25)
"""Of a step, of which each frame takes the best; a whole one goes too far where bones are twice too long."""
STIFFNESS = 1e-4
"""m²: what a turn of one radian costs in a round: turns that move no joint, a bone's about itself, are not made."""
BATCH = 500
"""Frames at once."""
FRAME_RATES = Range(0, 1000, above=True)
"""Frames a second."""
REST = forward_kinematics(torch.eye(3, dtype=torch.float64).expand(len(JOINTS), 3, 3), torch.zeros(3).double())
"""(22, 3) the joints in the T-pose, the pelvis at the origin, metres."""
STANDING = BALL_HEIGHT - float(REST[:, 1].min())
"""Height of the pelvis in the T-pose on the floor, metres."""

_ONES = torch.eye(len(JOINTS), dtype=torch.float64)
_NECK, _HEAD = JOINTS.index("neck"), JOINTS.index("head")
_CARRIES = _ONES.clone()
for _joint in reversed(range(1, len(JOINTS))):
    _CARRIES[PARENTS[_joint]] += _CARRIES[_joint]
_CARRIES -= _ONES  # (22, 22): 1 where a row's turn moves a column's joint
_BONES = _ONES[1:] - _ONES[list(PARENTS[1:])]  # (21, 22): bones from joints
_WEIGHTS = _ONES + _BONES.mT @ _BONES  # squared lengths of joints' differences and of their bones', as a form


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

    def after_t_pose(self) -> Rig:
        """The same motion after one frame of the T-pose, standing where it begins."""
        rest = torch.eye(3, dtype=torch.float64).expand_as(self.rotations[:1])
        start = self.root[:1].clone()
        start[:, 1] = STANDING
        return replace(self, rotations=torch.cat([rest, self.rotations]), root=torch.cat([start, self.root]))

    def at(self, fps: float) -> Rig:
        """The same motion with so many frames a second, from its first frame to the last that it reaches.

        Rotations turn evenly from one frame to the next about one axis (Shoemake 1985); the pelvis goes along a cubic
        spline. Raises InputError for an fps that is not of FRAME_RATES.
        """
        import roma

        FRAME_RATES.check("--fps", fps)
        last, ratio = len(self.root) - 1, self.fps / fps
        place = torch.arange(int(last / ratio + 1e-6) + 1, dtype=torch.float64) * ratio
        index = place.long().clamp(max=max(last - 1, 0))
        before, after = self.rotations[index], self.rotations[(index + 1).clamp(max=last)]
        turn = roma.rotmat_to_rotvec(before.mT @ after) * (place - index)[:, None, None]
        root = torch.from_numpy(CubicSpline(np.arange(last + 1), self.root)(place)) if last else self.root
        return replace(self, rotations=before @ roma.rotvec_to_rotmat(turn), root=root, fps=fps)


def rig_of(motion: Motion) -> Rig:
    """The rig whose joints and bones are nearest to a motion's.

    No joint says how the head turns. It turns half as far from the chest as the neck does; tilting with the neck as a
    stick, it would look up wherever a neck is upright, since in the rest pose it leans forward.
    """
    import roma

    parts = [_fitted(joints) for joints in motion.joints.double().split(BATCH)]
    world, root = (torch.cat(part) for part in zip(*parts, strict=True))
    rotations = relative_to_parents(world)
    rotations[:, _HEAD] = _turned(roma.rotmat_to_rotvec(rotations[:, _NECK]) / -2)
    return Rig(rotations, root, motion.fps)


def _fitted(joints: Tensor) -> tuple[Tensor, Tensor]:
    """Orientations in the world (frames, 22, 3, 3) and the root (frames, 3) of joints (frames, 22, 3)."""
    world, root = orientations(joints), joints[:, 0]
    each = torch.arange(len(joints))
    for _ in range(ROUNDS):
        turns, move = _step(forward_kinematics(world, root), joints)
        worlds = torch.stack([_turned(length * turns) @ world for length in LENGTHS])
        roots = torch.stack([root + length * move for length in LENGTHS])
        best = _misfit(forward_kinematics(worlds, roots) - joints).argmin(dim=0)
        world, root = worlds[best, each], roots[best, each]
    return world, root


def _misfit(differences: Tensor) -> Tensor:
    """(...,): squared lengths of joints' differences (..., 22, 3) and of their bones', added up."""
    return (differences * torch.einsum("ij,...jk->...ik", _WEIGHTS, differences)).sum((-1, -2))


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
    jacobian = torch.cat([by_turns, by_move], dim=-1)  # (frames, moved, 3, 69)
    weighted = torch.einsum("ij,fjkl->fikl", _WEIGHTS, jacobian).flatten(1, 2)
    normal = weighted.mT @ jacobian.flatten(1, 2) + STIFFNESS * torch.eye(jacobian.shape[-1], dtype=torch.float64)
    step = torch.linalg.solve(normal, weighted.mT @ (wanted - joints).flatten(1)[..., None])[..., 0]
    turns = list(step[:, :-3].unflatten(1, (-1, 3)).unbind(1))
    for joint in range(1, len(JOINTS)):
        turns[joint] = turns[PARENTS[joint]] + turns[joint]
    return torch.stack(turns, dim=1), step[:, -3:]


def _turned(vectors: Tensor) -> Tensor:
    """Rotations (..., 3, 3) about vectors (..., 3), by as many radians as they are long."""
    import roma  # here, since it brings PyTorch's compiler: 0.7 s that most commands need not wait for

    rotations: Tensor = roma.rotvec_to_rotmat(vectors)
    return rotations
