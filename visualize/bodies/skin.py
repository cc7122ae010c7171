"""A skin over the skeleton: a mesh whose vertices go with the joints that carry them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.body.rig import REST, Rig
from motion_diffusion.body.skeleton import JOINTS

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skin:
    """A triangle mesh in the rest pose of `skeleton.OFFSETS`, metres, y up, the pelvis at the origin."""

    vertices: Array
    """(V, 3)"""
    faces: NDArray[np.int64]
    """(T, 3) indices of vertices, anticlockwise as seen from outside."""
    joints: NDArray[np.int64]
    """(V, 4) the joints that carry a vertex, 0 where its weight is 0 ..."""
    weights: Array
    """(V, 4) ... and how much of it each carries; a vertex's add up to 1."""
    colours: Array
    """(V, 3) red, green and blue as a screen has them (sRGB), 0…1."""

    @cached_property
    def shares(self) -> Array:
        """(V, 22) the weight of every joint."""
        shares = np.zeros((len(self.vertices), len(JOINTS)))
        np.add.at(shares, (np.arange(len(shares))[:, None], self.joints), self.weights)
        return shares

    def posed(self, rig: Rig) -> Array:
        """(frames, V, 3) the vertices in every frame: each the weighted mean of where its joints would put it.

        (Linear blend skinning, as glTF and SMPL have it.)
        """
        world, root = rig.world.numpy(), rig.joints.numpy()
        moved = root - (world @ REST.numpy()[..., None])[..., 0]  # of what is at the origin
        carried = np.concatenate([world, moved[..., None]], axis=-1)  # (frames, 22, 3, 4)
        blended = np.tensordot(self.shares, carried, axes=(1, 1))  # (V, frames, 3, 4)
        here: Array = np.einsum("vfij,vj->fvi", blended[..., :3], self.vertices) + blended[..., 3].swapaxes(0, 1)
        return here

    def posed_at(self, rig: Rig, frame: int) -> Array:
        """(V, 3) the vertices in one frame."""
        one = slice(frame, frame + 1)
        return self.posed(replace(rig, rotations=rig.rotations[one], root=rig.root[one]))[0]
