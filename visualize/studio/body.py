"""The capsule body in a browser's scene: it holds the mesh, and of a moment is told where the joints are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_diffusion.body.rig import REST, Rig
from motion_diffusion.body.skeleton import JOINTS
from visualize.drawing.frames import frame_at

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Poses:
    """Where the joints are at every frame of a motion."""

    places: Array
    """(frames, 22, 3) metres."""
    turns: Array
    """(frames, 22, 4): their orientations in the world, quaternions wxyz."""
    fps: float

    @staticmethod
    def of(rig: Rig) -> Poses:
        """Those of a rig."""
        import roma

        xyzw = roma.rotmat_to_unitquat(rig.world)
        return Poses(rig.joints.numpy(), xyzw[..., [3, 0, 1, 2]].numpy(), rig.fps)

    def frame(self, time: float) -> int:
        """The frame nearest to a second."""
        return frame_at(time, self.fps, len(self.places))

    def joints_at(self, time: float) -> Tensor:
        """(22, 3): where the joints are at a second."""
        return torch.from_numpy(self.places[self.frame(time)])


@dataclass(frozen=True, eq=False)
class Piece:
    """What of the skin has one colour, and the joints that carry it."""

    vertices: Array
    faces: NDArray[np.int64]
    joints: tuple[int, ...]
    weights: Array
    """(V, joints)"""
    colour: tuple[int, int, int]


@cache
def pieces() -> tuple[Piece, ...]:
    """The capsule body by colours, since the browser's skinned meshes have one each."""
    from visualize.bodies.capsules import capsule_skin  # here, since it needs trimesh

    skin = capsule_skin()
    colours, which = np.unique(skin.colours, axis=0, return_inverse=True)
    cut = []
    for k, colour in enumerate(colours):
        mine = np.flatnonzero(which == k)
        number = np.full(len(which), -1)
        number[mine] = np.arange(len(mine))
        faces = number[skin.faces]
        joints = np.flatnonzero(skin.shares[mine].max(axis=0) > 0)
        red, green, blue = np.round(255 * colour).astype(int).tolist()
        whole = faces[(faces >= 0).all(axis=1)]
        cut.append(
            Piece(
                skin.vertices[mine],
                whole,
                tuple(joints.tolist()),
                skin.shares[np.ix_(mine, joints)],
                (red, green, blue),
            )
        )
    return tuple(cut)


class Body:
    """A body in a scene, below a node of it."""

    def __init__(self, scene: Any, name: str):
        """scene: of viser; name: the node's."""
        self._root = scene.add_frame(name, show_axes=False)
        still = np.tile([1.0, 0.0, 0.0, 0.0], (len(JOINTS), 1))
        self._meshes = [
            scene.add_mesh_skinned(
                f"{name}/{k}",
                piece.vertices,
                piece.faces,
                bone_wxyzs=still[list(piece.joints)],
                bone_positions=REST.numpy()[list(piece.joints)],
                skin_weights=piece.weights,
                color=piece.colour,
            )
            for k, piece in enumerate(pieces())
        ]

    def show(self, poses: Poses, time: float) -> None:
        """Stand as a motion does at a second."""
        frame = poses.frame(time)
        for piece, mesh in zip(pieces(), self._meshes, strict=True):
            for joint, bone in zip(piece.joints, mesh.bones, strict=True):
                bone.wxyz, bone.position = poses.turns[frame, joint], poses.places[frame, joint]

    def stand(self, away: float) -> None:
        """Be so many metres to the left of home."""
        self._root.position = (away, 0.0, 0.0)

    def fade(self, opacity: float | None) -> None:
        """Be seen through; None: not at all."""
        for mesh in self._meshes:
            mesh.opacity = opacity

    def hide(self, hidden: bool) -> None:
        """Be there or not."""
        self._root.visible = not hidden
