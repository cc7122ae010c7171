"""GLB: skin, skeleton and motion in one binary file (glTF 2.0, Khronos), in metres, y up.

A GLB is a JSON description of arrays followed by the arrays, so no library is needed to write one.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import roma
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.skeleton import JOINTS, OFFSETS, PARENTS
from visualize.bodies.capsules import capsule_skin
from visualize.bodies.surface import Skin

_SHORT, _INTEGER, _FLOAT = 5123, 5125, 5126  # glTF component types
_VERTICES, _INDICES = 34962, 34963  # glTF buffer targets


def to_glb(rig: Rig, motion: Motion, *, skin: Skin | None = None) -> bytes:
    """Serialise a rig with a skin, with the motion's text and provenance in `asset.extras`.

    Args:
        rig: the motion.
        motion: source of text and provenance.
        skin: by default the capsule body.

    Returns:
        The bytes of the file.
    """
    body = capsule_skin() if skin is None else skin
    arrays = _Arrays()
    primitive = {
        "attributes": {
            "POSITION": arrays.add(body.vertices, "VEC3", target=_VERTICES, bounds=True),
            "NORMAL": arrays.add(_normals(body), "VEC3", target=_VERTICES),
            "COLOR_0": arrays.add(_linear(body.colours), "VEC3", target=_VERTICES),
            "JOINTS_0": arrays.add(body.joints, "VEC4", kind=_SHORT, target=_VERTICES),
            "WEIGHTS_0": arrays.add(body.weights, "VEC4", target=_VERTICES),
        },
        "indices": arrays.add(body.faces.reshape(-1, 1), "SCALAR", kind=_INTEGER, target=_INDICES),
        "material": 0,
    }
    to_joints = np.tile(np.eye(4), (len(JOINTS), 1, 1))
    to_joints[:, 3, :3] = -REST.numpy()  # glTF matrices are column-major
    skeleton = {"joints": list(range(len(JOINTS))), "skeleton": 0, "inverseBindMatrices": arrays.add(to_joints, "MAT4")}
    times = arrays.add(np.arange(len(rig.root))[:, None] / rig.fps, "SCALAR", bounds=True)
    tracks = [(0, "translation", arrays.add(rig.root.numpy(), "VEC3"))]
    tracks += [
        (joint, "rotation", arrays.add(turns.numpy(), "VEC4"))
        for joint, turns in enumerate(quaternions(rig.rotations).unbind(1))
    ]
    document = {
        "asset": {
            "version": "2.0",
            "generator": "motion-diffusion",
            "extras": {"text": motion.text, "provenance": json.loads(motion.provenance_json)},
        },
        "scene": 0,
        "scenes": [{"nodes": [0, len(JOINTS)]}],
        "nodes": [*_nodes(), {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "body", "primitives": [primitive]}],
        "materials": [{"name": "body", "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.7}}],
        "skins": [skeleton],
        "animations": [
            {
                "name": "motion",
                "samplers": [{"input": times, "output": track, "interpolation": "LINEAR"} for _, _, track in tracks],
                "channels": [
                    {"sampler": index, "target": {"node": node, "path": path}}
                    for index, (node, path, _) in enumerate(tracks)
                ],
            }
        ],
        "accessors": arrays.accessors,
        "bufferViews": arrays.views,
        "buffers": [{"byteLength": len(arrays.bytes)}],
    }
    return _packed(document, bytes(arrays.bytes))


def quaternions(rotations: Tensor) -> Tensor:
    """Unit quaternions of rotations, with continuous signs.

    Args:
        rotations: (frames, ..., 3, 3).

    Returns:
        (frames, ..., 4), x, y, z, w.
    """
    turns: Tensor = roma.rotmat_to_unitquat(rotations)
    against = (turns[1:] * turns[:-1]).sum(-1, keepdim=True) < 0
    turns[1:] *= torch.where(against, -1.0, 1.0).cumprod(dim=0)
    return turns


def _nodes() -> list[dict[str, Any]]:
    """Skeleton nodes in the rest pose."""
    nodes: list[dict[str, Any]] = []
    for joint, name in enumerate(JOINTS):
        place = OFFSETS[joint].tolist() if joint else [0.0, STANDING, 0.0]
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        nodes.append({"name": name, "translation": place} | ({"children": children} if children else {}))
    return nodes


def _normals(skin: Skin) -> NDArray[np.float64]:
    """Vertex normals (V, 3)."""
    normals: NDArray[np.float64] = trimesh.Trimesh(skin.vertices, skin.faces, process=False).vertex_normals
    return normals


def _linear(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert sRGB to linear colours (IEC 61966-2-1)."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


class _Arrays:
    """Concatenated arrays with their accessors."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self, values: NDArray, shape: str, *, kind: int = _FLOAT, target: int | None = None, bounds: bool = False
    ) -> int:
        """Append an array.

        Args:
            values: (n, …).
            shape: glTF type of an element ("VEC3" …).
            kind: glTF component type.
            target: glTF buffer target.
            bounds: include minimum and maximum.

        Returns:
            Index of its accessor.
        """
        array = values.astype({_SHORT: "<u2", _INTEGER: "<u4", _FLOAT: "<f4"}[kind])
        view = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": array.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        self.bytes += array.tobytes()
        accessor = {"bufferView": len(self.views) - 1, "componentType": kind, "count": len(array), "type": shape}
        if bounds:
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _packed(document: dict[str, Any], arrays: bytes) -> bytes:
    """Container: a header and two chunks aligned to four bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    arrays += b"\0" * (-len(arrays) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(arrays), b"BIN\0") + arrays
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
