"""HumanML3D's uniform skeleton: motions of bodies of any size on one body (Guo et al. 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_loaders.augment import with_bone_lengths
from motion_diffusion.body.skeleton import JOINTS, PARENTS

Array = NDArray[np.float64]

_LEG = [JOINTS.index("right_knee"), JOINTS.index("right_ankle")]


def bone_lengths(pose: Array) -> Array:
    """(22,) length of the bone that ends in each joint of a pose (22, 3); 0 for the root."""
    lengths: Array = np.linalg.norm(pose - pose[[0, *PARENTS[1:]]], axis=-1)
    return lengths


def uniform_skeleton(joints: Array, lengths: Array) -> Array:
    """Joints (F, 22, 3) with other lengths of bones (22,), in the same unit.

    Every bone keeps its direction; the pelvis' way is scaled, from the origin, by the ratio of the right legs in the
    first frame.
    """
    scale = lengths[_LEG].sum() / bone_lengths(joints[0])[_LEG].sum()
    return with_bone_lengths(scale * joints, lengths)
